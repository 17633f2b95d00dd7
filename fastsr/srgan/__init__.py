"""SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802) and its relatives: networks trained to enlarge pictures."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..consistency import remade_to_agree
from ..images import arranged, read, single
from ..progress import progress_bar
from ..resize import imresize
from .arguments import Options, check_options, target_size
from .checkpoint import Checkpoint
from .inference import Enlarger

VIEWS = [(turns, flipped) for flipped in (False, True) for turns in range(4)]
"""The eight flips and rotations: quarter turns, after a flip or without one."""


def srgan(
    img: Any,
    factor: float = 4,
    *,
    weights: str | os.PathLike[str] | Checkpoint,
    ensemble: bool = False,
    tile: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    consistency: bool = False,
    progress: bool = True,
) -> Any:
    """Upscale a picture with a trained network: SRResNet, SRGAN, ESRGAN or MSRResNet, from anybody's checkpoint.

    The picture stays where it is, and tiles of it go to the device one by one. They overlap by what the network sees,
    so that the result is that of the whole picture: in float32 to the last bit or nearly (1e-6).

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; a list or a batch is worked through one picture after the other. An iterator of images gives an
            iterator of results in their order, which reads a picture when its result is asked for.
        factor: how much larger the result is, above 1; less than the weights' own, and not an integer, by resizing
            their result with MATLAB's bicubic kernel.
        weights: the path or URL (http or https, with "#sha256=..." at will) of a checkpoint by fastsr, leftthomas,
            Lornatang, sgrvinod, eriklindernoren, BasicSR or ESRGAN; a name of `fastsr.srgan.named.NAMED`, such as
            "realesrgan-x4plus"; or what `fastsr.srgan.formats.load` made of one. What is on the web is downloaded once,
            to FASTSR_CACHE or ~/.cache/fastsr. No code of the file is run.
        ensemble: average the results of the 8 flips and rotations: a little better, and 8 times the work.
        tile: the largest side of a tile in pixels of the picture, at least 16; by default what fits into the free
            memory. A tile for which memory runs out is halved.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 where the device computes in it. A tile
            that it gives values for that are not finite is done again in float32.
        consistency: move the result to the nearest picture that MATLAB's bicubic kernel makes the picture given of, as
            `fastsr.consistency.project` does. What noise it has, and JPEG's blocks, come back with it.
        progress: show a bar, on a terminal and in notebooks.

    Returns:
        The picture at round(H * factor) x round(W * factor), of the kind and dtype that came in (a path gives a
        PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). No gradient flows through.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: a factor above that of the
            weights, weights that are damaged or of an unknown network, a picture too small for a network that pads by
            reflection.
        MissingFileError: there are no such weights, or they cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the result, or the smallest tile, does not fit into memory.
    """
    options = check_options(
        factor, weights=weights, ensemble=ensemble, tile=tile, device=device, dtype=dtype, consistency=consistency
    )
    bar = progress_bar("srgan", "px", shown=progress, scaled=True)
    if isinstance(img, Iterator):
        return _results(((one, f"img[{index}]") for index, one in enumerate(img)), options, bar)
    images = single(img)
    for one, name in images:
        picture = read(one, name)
        target_size(picture.pixels, options, name)
        bar.total = (bar.total or 0) + picture.pixels[:, 0].numel()
    return arranged(img, _results(images, options, bar))


def _results(images: Iterable[tuple[Any, str]], options: Options, bar: Any) -> Iterator[Any]:
    """Yield the result of each image, of the kind that came."""
    enlarger = Enlarger(options.checkpoint, options.device, options.dtype)
    with bar:
        for image, name in images:
            picture = read(image, name)
            size = target_size(picture.pixels, options, name)
            parts = [_enlarge(part, size, enlarger, options, bar.update) for part in picture.premultiplied.split(1)]
            large = torch.cat(parts)
            with torch.no_grad():  # alpha may come with a gradient
                result = remade_to_agree(picture, large) if options.consistency else picture.remade(large)
            yield result


def _enlarge(
    pixels: Tensor, size: tuple[int, int], enlarger: Enlarger, options: Options, report: Callable[[float], Any]
) -> Tensor:
    """Return one picture, (1, C, H, W), at `size` (height, width)."""
    with torch.inference_mode():
        if options.ensemble:
            large = _average(pixels, enlarger, options, report)
        else:
            large = enlarger(pixels, tile=options.tile, report=report)
        return large if large.shape[-2:] == size else imresize(large, size=size).clamp(0, 1)


def _average(pixels: Tensor, enlarger: Enlarger, options: Options, report: Callable[[float], Any]) -> Tensor:
    """Return the mean of the results of the eight `VIEWS`, each turned back."""

    def report_part(done: float) -> None:
        report(done / len(VIEWS))

    total: Tensor | None = None
    for turns, flipped in VIEWS:
        view = torch.rot90(pixels.flip(-1) if flipped else pixels, turns, (-2, -1))
        large = torch.rot90(enlarger(view, tile=options.tile, report=report_part), -turns, (-2, -1))
        large = large.flip(-1) if flipped else large
        total = large.clone() if total is None else total.add_(large)
    assert total is not None
    return total.div_(len(VIEWS))
