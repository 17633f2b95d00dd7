"""SRGAN (Ledig et al., CVPR 2017, arXiv 1609.04802) and its relatives: networks trained to enlarge pictures.

What is heavy is imported inside the function, so that `fastsr weights` can read `named` at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..kinds import same_kind

if TYPE_CHECKING:
    import torch

    from .checkpoint import Checkpoint


@same_kind
def srgan(
    img: Any,
    factor: float = 4,
    *,
    weights: str | os.PathLike[str] | Checkpoint | None = None,
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
            Lornatang, sgrvinod, eriklindernoren, BasicSR or ESRGAN; a name that `fastsr weights` lists, such as
            "realesrgan-x4plus"; or what `fastsr.srgan.formats.load` made of one. By default "srgan-x4", and
            "srresnet-x2" up to a factor of 2. What is on the web is downloaded once, to FASTSR_CACHE or
            ~/.cache/fastsr. No code of the file is run.
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
        The picture at ceil(H * factor) x ceil(W * factor), the size that `fastsr.resize` gives, of the kind and dtype
        that came in (a path gives a PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). No
        gradient flows through.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: a factor above that of the
            weights, weights that are damaged or of an unknown network, a picture too small for a network that pads by
            reflection.
        MissingFileError: there are no such weights, or they cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the result, or the smallest tile, does not fit into memory.
    """
    from ..images import arranged, read, single
    from ..progress import progress_bar
    from .arguments import check_options, target_size
    from .call import enlarge_pictures

    options = check_options(
        factor, weights=weights, ensemble=ensemble, tile=tile, device=device, dtype=dtype, consistency=consistency
    )
    bar = progress_bar("srgan", "px", shown=progress, scaled=True)
    if isinstance(img, Iterator):
        return enlarge_pictures(((one, f"img[{index}]") for index, one in enumerate(img)), options, bar)
    images = single(img)
    for one, name in images:
        picture = read(one, name)
        target_size(picture.pixels, options, name)
        bar.total = (bar.total or 0) + picture.pixels[:, 0].numel()
    return arranged(img, enlarge_pictures(images, options, bar))
