"""SR3 (Saharia et al., arXiv 2104.07636): super-resolution by a diffusion model, which draws its results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import Tensor
    from typing_extensions import Unpack

    from ..typing import DTypeName, ImageInput, ImagesInput, Kind
    from .checkpoints import Checkpoint
    from .options import Keywords, Sampler, Spacing
    from .samples import Samples
    from .sampling import State


# A path gives a PIL image, or a NumPy array where PIL has no mode for it: hence `Image | Any`.
@overload
def sr3(img: Kind, factor: float | None = ..., *, samples: None = ..., **keywords: Unpack[Keywords]) -> Kind: ...
@overload
def sr3(
    img: str | os.PathLike[str], factor: float | None = ..., *, samples: None = ..., **keywords: Unpack[Keywords]
) -> Image.Image | Any: ...
@overload
def sr3(img: ImageInput, factor: float | None = ..., *, samples: int, **keywords: Unpack[Keywords]) -> Samples: ...
@overload
def sr3(
    img: Sequence[Any], factor: float | None = ..., *, samples: int | None = ..., **keywords: Unpack[Keywords]
) -> list[Any]: ...
@overload
def sr3(
    img: Iterator[ImageInput], factor: float | None = ..., *, samples: int | None = ..., **keywords: Unpack[Keywords]
) -> Iterator[Any]: ...
def sr3(
    img: ImagesInput,
    factor: float | None = None,
    *,
    weights: str | os.PathLike[str] | Checkpoint | None = None,
    steps: int = 20,
    sampler: Sampler = "dpm-solver++",
    spacing: Spacing | None = None,
    samples: int | None = None,
    seed: int = 0,
    consistency: bool = True,
    tile: int | None = None,
    device: str | torch.device | None = None,
    dtype: DTypeName | torch.dtype | None = None,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Upscale an image with a diffusion model: draw a plausible high-resolution version, with invented detail.

    A network that was trained on one kind of image removes noise step by step, given the upscaled input. Results with
    sides of more than twice those of the training images are made in overlapping tiles, which are blended at every
    step. If the weights describe their training images, as the bundled ones do, an image of another size or of another
    kind causes a `fastsr.DomainWarning`.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in [0, 1];
            or a list of them. The images of a list are upscaled one after the other, those of a batch together. Given
            an iterator of images, returns an iterator of results in the same order; an image is read when its result is
            requested.
        factor: upscaling factor; must be the one that the weights were trained for, which is the default.
        weights: the path or URL (http or https; may end in "#sha256=..." to verify the download) of a checkpoint of
            `fastsr train sr3`, or of I*_E*_gen.pth of the best-known implementation of SR3; a name that
            `fastsr weights` lists; or the result of `fastsr.sr3.checkpoints.load`. By default "sr3-faces-x8", for
            faces. Loading never runs code from the file.
        steps: number of sampling steps (network evaluations).
        sampler: "dpm-solver++", of second order, for few steps; "ddim"; or "ddpm", the paper's, for many.
        spacing: spacing of the steps along the noise schedule: uniform in "log-snr" or in "time", or "karras"; by
            default "time" for ddpm, else "log-snr".
        samples: number of different results, drawn in one batch; None for a single result.
        seed: random seed. The same seed gives the same result, and sample k is that of seed + k alone.
        consistency: project the result onto the images whose bicubic downscale (MATLAB's) is `img`.
        tile: maximum side of a tile in pixels of the result, a multiple of the total downsampling of the network; by
            default twice the side of the training images.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 if the device computes in it. If
            bfloat16 fails, the image is upscaled again in float32.
        progress: show a progress bar, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)`` with the number of steps done, the
            network's estimate of the result, a (rows, C, H, W) float32 tensor in [0, 1], and a `State` (`steps`,
            `level`, `noisy`, which later steps overwrite, `first`). Rows are the samples of the image, or of each image
            of a batch in turn.

    Returns:
        The image at ceil(H * factor) x ceil(W * factor), the size that `fastsr.resize` gives, of the kind and dtype of
        `img` (a path gives a PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). With `samples`
        a sequence of that length, `fastsr.sr3.samples.Samples`, with their `mean` and their `spread`. It has no
        gradient.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: a factor that is not that of
            the weights, weights that are damaged or of an unknown network, an image too small for them, too few steps
            for the sampler, weights that give values that are not finite.
        MissingFileError: the weights do not exist or cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: the device is not available.
        NotEnoughMemoryError: the result does not fit into memory.
    """
    from ..checks import check_callback
    from ..domain import run_and_warn, warn
    from ..images import flatten, read, unflatten_like
    from ..runtime.progress import progress_bar
    from .arguments import check_options, domain_mismatches
    from .inference import draw
    from .options import SR3Options

    options = check_options(
        SR3Options(
            weights=weights,
            factor=factor,
            steps=steps,
            sampler=sampler,
            spacing=spacing,
            samples=samples,
            seed=seed,
            consistency=consistency,
            tile=tile,
            device=device,
            dtype=dtype,
        )
    )
    check_callback(callback)
    several = samples is not None
    bar = progress_bar("sr3", "step", shown=progress)
    if isinstance(img, Iterator):
        named = ((one, f"img[{index}]") for index, one in enumerate(img))
        mismatches = partial(domain_mismatches, options=options)
        return run_and_warn(lambda images: draw(images, options, several, callback, bar), named, mismatches)
    images = flatten(img)
    warn([doubt for one, name in images for doubt in domain_mismatches(read(one, name), name, options)])
    bar.total = len(images) * options.plan.steps
    return unflatten_like(img, draw(images, options, several, callback, bar))
