"""Upscale images with a generator: in tiles, in the precision of the device, and exactly."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..consistency import remade_to_agree
from ..errors import InputError
from ..images import read
from ..images.tiling import LEAST_TILE, Tile, in_tiles, spans
from ..imresize import imresize
from ..runtime.memory import available_memory, freed_memory_kept
from .arguments import Options, target_size
from .checkpoints import Checkpoint
from .networks import ResidualBlock, SRResNet, Upsample, Upscaler

LARGEST_TILE = {"cpu": 512, "cuda": 1024}
"""The largest side of a tile, where the overlap of SRResNet's tiles costs little; it bounds the memory of any image."""
TILE_PER_RECEPTIVE_FIELD = 4
"""The largest side of a tile in multiples of the receptive field, if that is more than `LARGEST_TILE`.

RRDBNet has a large receptive field: most of a smaller tile would be overlap."""
RECONSTRUCTION_BYTES = {"cpu": 2**28, "cuda": 2**31}
"""The bytes that `Upscaler.reconstruct` may take, which works on smaller tiles of its own."""
MEMORY_SHARE = 0.5
"""The share of the free memory that a tile may take."""
VIEWS = [(turns, flipped) for flipped in (False, True) for turns in range(4)]
"""The eight flips and rotations of an image: the number of quarter turns, and whether it is mirrored first."""


class TiledUpscaler:
    """A generator on a device, which upscales images tile by tile.

    Args:
        checkpoint: the generator.
        device: the device to compute on.
        dtype: dtype of the activations. A tile with a result that is not finite is computed again in float32.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype):
        self._checkpoint, self._device, self._dtype = checkpoint, device, dtype
        network = checkpoint.network
        self._network = for_inference(network) if isinstance(network, SRResNet) else network
        self._networks_on_device: dict[torch.dtype, Upscaler] = {}

    @torch.inference_mode()
    def __call__(
        self, pixels: Tensor, *, tile: int | None = None, report: Callable[[float], None] | None = None
    ) -> Tensor:
        """Upscale one image (1, C, H, W) in [0, 1] to (1, C, scale H, scale W) in [0, 1], on the device of `pixels`.

        Only tiles are moved to the device of the network.

        Args:
            pixels: the image; C is 1 or 3. An RGB network gets a grey image as three equal channels, whose results
                are averaged; a grey network gets the channels of an RGB image one by one.
            tile: the largest side of a tile in pixels, without the overlap; None chooses it by the free memory.
            report: called after each tile with the number of pixels of the image that were done.

        Raises:
            InputError: the network returns values that are not finite, even in float32.
            NotEnoughMemoryError: not even a tile of the smallest size fits into memory.
        """
        colours, channels = pixels.shape[1], self._network.channels
        if colours == channels:
            return self._upscale(pixels, tile, report)
        if channels == 3:
            return self._upscale(pixels.expand(-1, 3, -1, -1), tile, report).mean(1, keepdim=True)
        report_part = None if report is None else lambda done: report(done / colours)
        return torch.cat([self._upscale(colour, tile, report_part) for colour in pixels.split(1, 1)], 1)

    def _upscale(self, pixels: Tensor, tile: int | None, report: Callable[[float], None] | None) -> Tensor:
        network, square = self._network, self._network.unshuffle
        prepared = network.prepare(self._checkpoint.to_input(pixels))
        with freed_memory_kept() if self._device.type == "cpu" else nullcontext():
            upscaled = in_tiles(
                prepared,
                self._upscale_tile,
                channels=network.channels,
                magnification=network.scale * square,
                reach=network.receptive_field,
                limit=self._largest_tile() if tile is None else tile // square,
                report=None if report is None else lambda done: report(done * square**2),
            )
        height, width = (side * network.scale for side in pixels.shape[-2:])
        return upscaled[..., :height, :width]

    def _largest_tile(self) -> int:
        """Return the side of a tile, without the overlap, whose features fit into the free memory."""
        network = self._network
        overlap = network.receptive_field
        largest = max(LARGEST_TILE[self._device.type], TILE_PER_RECEPTIVE_FIELD * overlap)
        free = available_memory(self._device)
        if free is None:
            return largest
        side = math.isqrt(int(MEMORY_SHARE * free / (network.features_activations * self._dtype.itemsize)))
        return min(max(side - 2 * overlap, LEAST_TILE), largest)

    def _upscale_tile(self, part: Tensor, tile: Tile) -> Tensor:
        """Return the result for a tile in [0, 1], without the overlap."""
        part = part.to(self._device, memory_format=torch.channels_last)
        output = self._run(part, tile, self._dtype)
        if self._dtype != torch.float32 and not bool(output.isfinite().all()):
            output = self._run(part, tile, torch.float32)
        if not bool(output.isfinite().all()):
            raise InputError(f"{self._checkpoint.name} gives values that are not finite; the weights are damaged")
        return self._checkpoint.to_colours(output)

    def _run(self, part: Tensor, tile: Tile, dtype: torch.dtype) -> Tensor:
        """Run the network on a tile and return its float32 output, in its own range, without the overlap."""
        network = self._network_in(dtype)
        features = network.features(part)
        m, overlap = network.scale * network.unshuffle, network.image_receptive_field
        limit = self._largest_reconstruction(dtype)
        rows, columns = tile.rows.kept, tile.columns.kept
        size = m * (rows.stop - rows.start), m * (columns.stop - columns.start)
        output = torch.empty((1, network.channels, *size), dtype=torch.float32, device=part.device)
        for row in spans(rows.start, rows.stop, limit, overlap, part.shape[-2]):
            for column in spans(columns.start, columns.stop, limit, overlap, part.shape[-1]):
                window = (..., row.read, column.read)
                image = network.reconstruct(features[window], part[window])
                target = (..., row.placed(m, rows.start), column.placed(m, columns.start))
                output[target] = image[..., row.placed(m, row.low), column.placed(m, column.low)]
        return output

    def _largest_reconstruction(self, dtype: torch.dtype) -> int:
        """Return the side of a part of a tile, without the overlap, that `RECONSTRUCTION_BYTES` suffice for."""
        network = self._network
        side = math.isqrt(RECONSTRUCTION_BYTES[self._device.type] // (network.image_activations * dtype.itemsize))
        return max(side - 2 * network.image_receptive_field, LEAST_TILE)

    def _network_in(self, dtype: torch.dtype) -> Upscaler:
        """Return the network on the device, with weights and activations in `dtype`."""
        if dtype not in self._networks_on_device:
            network = copy.deepcopy(self._network)
            network.to(self._device, dtype)
            network.first = FirstInFloat32(copy.deepcopy(self._network.first).to(self._device), dtype)
            self._networks_on_device[dtype] = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self._networks_on_device[dtype]


class FirstInFloat32(nn.Module):
    """The first convolution computed in float32, for activations of another dtype.

    bfloat16 cannot represent the values of an 8-bit image, so most of its error arises in the first convolution, which
    is a small part of the work. In float32, the PSNR stays within 0.01 dB.
    """

    def __init__(self, convolution: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.convolution, self.dtype = convolution, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Map float32 (N, C, H, W) to `dtype` (N, width, H, W)."""
        return self.convolution(x).to(self.dtype)


def enlarge_pictures(images: Iterable[tuple[Any, str]], options: Options, bar: Any) -> Iterator[Any]:
    """Yield the upscaled version of each image, in the type of the input.

    Args:
        images: pairs of an image of any kind and its name in errors.
        options: the checked arguments of `fastsr.srgan`.
        bar: progress bar that counts input pixels.
    """
    upscaler = TiledUpscaler(options.checkpoint, options.device, options.dtype)
    with bar:
        for image, name in images:
            picture = read(image, name)
            size = target_size(picture.pixels, options, name)
            parts = [_upscale_to(part, size, upscaler, options, bar.update) for part in picture.premultiplied.split(1)]
            upscaled = torch.cat(parts)
            with torch.no_grad():  # alpha may require a gradient
                result = remade_to_agree(picture, upscaled) if options.consistency else picture.remade(upscaled)
            yield result


def _upscale_to(
    pixels: Tensor, size: tuple[int, int], upscaler: TiledUpscaler, options: Options, report: Callable[[float], Any]
) -> Tensor:
    """Return one image (1, C, H, W) at `size` (height, width)."""
    with torch.inference_mode():
        if options.ensemble:
            upscaled = _average_views(pixels, upscaler, options, report)
        else:
            upscaled = upscaler(pixels, tile=options.tile, report=report)
        return upscaled if upscaled.shape[-2:] == size else imresize(upscaled, size=size).clamp(0, 1)


def _average_views(pixels: Tensor, upscaler: TiledUpscaler, options: Options, report: Callable[[float], Any]) -> Tensor:
    """Return the mean of the results for the eight `VIEWS`, each flipped and rotated back."""

    def report_part(done: float) -> None:
        report(done / len(VIEWS))

    total: Tensor | None = None
    for turns, flipped in VIEWS:
        view = torch.rot90(pixels.flip(-1) if flipped else pixels, turns, (-2, -1))
        upscaled = torch.rot90(upscaler(view, tile=options.tile, report=report_part), -turns, (-2, -1))
        upscaled = upscaled.flip(-1) if flipped else upscaled
        total = upscaled.clone() if total is None else total.add_(upscaled)
    assert total is not None
    return total.div_(len(VIEWS))


def for_inference(network: SRResNet) -> SRResNet:
    """Return a faster copy of `network`, without gradients, with the same results up to rounding.

    Batch norms are folded into convolutions, and PReLU, which has a single slope, works in place. If the network pads
    with zeros, the last convolution is moved before the last pixel shuffle: its 3 output channels leave most of a
    vector unit idle, while 12 output channels with a kernel of half the side do not.
    """
    fast = fold_batch_norm(network)
    for parent in list(fast.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.PReLU):
                setattr(parent, name, nn.LeakyReLU(child.weight.item(), inplace=True))
    if network.config.padding == "zeros":
        step = fast.upsampling[-1]
        assert isinstance(step, Upsample)
        fast.last = nn.Sequential(before_shuffle(fast.last), step.shuffle)  # type: ignore[assignment]
        step.shuffle = nn.Identity()  # type: ignore[assignment]
    return fast.requires_grad_(False)


def fold_batch_norm(network: SRResNet) -> SRResNet:
    """Return a copy of `network` in inference mode whose batch norms are folded into the convolutions before them.

    The result is the same up to rounding.
    """
    folded = copy.deepcopy(network).eval()
    for block in folded.trunk:
        assert isinstance(block, ResidualBlock)
        block.conv1, block.norm1 = _fold(block.conv1, block.norm1)
        block.conv2, block.norm2 = _fold(block.conv2, block.norm2)
    folded.fuse, folded.fuse_norm = _fold(folded.fuse, folded.fuse_norm)
    return folded


def _fold(convolution: nn.Conv2d, norm: nn.Module) -> tuple[nn.Conv2d, nn.Module]:
    if not isinstance(norm, nn.BatchNorm2d):
        return convolution, norm
    return fuse_conv_bn_eval(convolution, norm), nn.Identity()


def before_shuffle(convolution: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution C with shuffle(C(x)) = convolution(shuffle(x)), for pixel shuffles by 2.

    Output pixel (2 i + a, 2 j + b) reads input pixels (2 i + a + dy, 2 j + b + dx). Before the shuffle these are at
    (i + (a + dy) // 2, j + (b + dx) // 2), in the channel given by the parities of a + dy and b + dx.

    Args:
        convolution: a convolution with an odd square kernel of side k, zero-padded by k // 2.
    """
    outputs, inputs, kernel, _ = convolution.weight.shape
    half = kernel // 2
    small = (half + 1) // 2
    weight = convolution.weight.new_zeros(outputs, 2, 2, inputs, 2, 2, 2 * small + 1, 2 * small + 1)
    for a in range(2):
        for b in range(2):
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    (row, u), (column, v) = divmod(a + dy, 2), divmod(b + dx, 2)
                    tap = convolution.weight.detach()[:, :, half + dy, half + dx]
                    weight[:, a, b, :, u, v, small + row, small + column] = tap
    moved = nn.Conv2d(4 * inputs, 4 * outputs, 2 * small + 1, padding=small, device="meta")
    moved.weight = nn.Parameter(weight.reshape(moved.weight.shape))
    assert convolution.bias is not None
    moved.bias = nn.Parameter(convolution.bias.detach().repeat_interleave(4))
    return moved
