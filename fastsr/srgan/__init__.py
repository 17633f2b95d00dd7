"""SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802), ESRGAN and MSRResNet: networks trained to upscale images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..typing import same_kind_or_iterator

if TYPE_CHECKING:
    import torch

    from ..typing import DTypeName, ImagesInput
    from .checkpoints import Checkpoint


@same_kind_or_iterator
def srgan(
    img: ImagesInput,
    factor: float = 4,
    *,
    weights: str | os.PathLike[str] | Checkpoint | None = None,
    ensemble: bool = False,
    tile: int | None = None,
    device: str | torch.device | None = None,
    dtype: DTypeName | torch.dtype | None = None,
    consistency: bool = False,
    progress: bool = True,
) -> Any:
    """Upscale an image with a trained network: SRResNet, SRGAN, ESRGAN or MSRResNet, from anybody's checkpoint.

    The image stays on its device, and tiles of it go to `device` one by one. Tiles overlap by the receptive field of
    the network, so that the result is that of the whole image: in float32 to the last bit or nearly (1e-6).

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; or a list of them. The images of a list or a batch are upscaled one after the other. Given an
            iterator of images, returns an iterator of results in the same order; an image is read when its result is
            requested.
        factor: upscaling factor, above 1. For a factor below that of the weights, or one that is not an integer, the
            result of the network is resized with MATLAB's bicubic kernel.
        weights: the path or URL (http or https; may end in "#sha256=..." to verify the download) of a checkpoint of
            fastsr, leftthomas, Lornatang, sgrvinod, eriklindernoren, BasicSR or ESRGAN; a name that `fastsr weights`
            lists, such as "realesrgan-x4plus"; or the result of `fastsr.srgan.checkpoints.load`. By default
            "srgan-x4", and "srresnet-x2" for factors up to 2. Downloads are kept in FASTSR_CACHE or ~/.cache/fastsr.
            Loading never runs code from the file.
        ensemble: average the results for the 8 flips and rotations of the image: slightly better, 8 times slower.
        tile: maximum side of a tile in pixels of the image, at least 16; by default as large as free memory allows. If
            memory runs out, the tile is halved.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 if the device computes in it. A tile
            whose result is not finite is computed again in float32.
        consistency: project the result onto the images whose bicubic downscale (MATLAB's) is `img`, as
            `fastsr.consistency.project` does. This also brings back noise and JPEG artifacts of the input.
        progress: show a progress bar, on a terminal and in notebooks.

    Returns:
        The image at ceil(H * factor) x ceil(W * factor), the size that `fastsr.resize` gives, of the kind and dtype of
        `img` (a path gives a PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). It has no
        gradient.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: a factor above that of the
            weights, weights that are damaged or of an unknown network, an image too small for a network that pads by
            reflection.
        MissingFileError: the weights do not exist or cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: the device is not available.
        NotEnoughMemoryError: the result, or the smallest tile, does not fit into memory.
    """
    from ..images import flatten, read, unflatten_like
    from ..runtime.progress import progress_bar
    from .arguments import check_options, target_size
    from .inference import enlarge_pictures
    from .options import SRGANOptions

    options = check_options(
        SRGANOptions(
            weights=weights,
            factor=factor,
            ensemble=ensemble,
            tile=tile,
            device=device,
            dtype=dtype,
            consistency=consistency,
        )
    )
    bar = progress_bar("srgan", "px", shown=progress, scaled=True)
    if isinstance(img, Iterator):
        return enlarge_pictures(((one, f"img[{index}]") for index, one in enumerate(img)), options, bar)
    images = flatten(img)
    for one, name in images:
        pixels = read(one, name).pixels
        target_size(pixels, options, name)
        bar.total = (bar.total or 0) + pixels[:, 0].numel()
    return unflatten_like(img, enlarge_pictures(images, options, bar))
