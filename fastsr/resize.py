"""MATLAB's imresize of images of any kind."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .images import Picture, each
from .imresize import imresize
from .kinds import same_kind


@same_kind
def resize(
    img: Any,
    scale: float | Sequence[float] | None = None,
    *,
    size: Sequence[int] | None = None,
    kernel: str = "bicubic",
    antialias: bool = True,
    border: str = "symmetric",
) -> Any:
    """Resize an image as MATLAB's imresize does; the same kind of image comes back.

    Integer images (files and PIL images among them) are computed in float64 and, as in MATLAB, clipped and rounded
    after each of the two passes: the result is MATLAB's in every pixel. Float images are computed in float32
    (`imresize` keeps float64), not rounded in between, only clipped to [0, 1] at the end, and gradients flow
    through. Where an image is transparent its colours are weighted by alpha.

    Args:
        img: A path, PIL image, NumPy array, torch tensor, or a list of them: see `fastsr.images.read`.
        scale: Output size over input size, a number or one for (height, width): 0.25 is four times smaller. The
            output size is rounded up.
        size: Output (height, width) in pixels, instead of `scale`.
        kernel: bicubic (Keys' kernel with a = -0.5), lanczos2, lanczos3, linear or box.
        antialias: Whether to widen the kernel when shrinking. Without it most input pixels are ignored.
        border: What lies outside: symmetric (c b a|a b c, today's MATLAB), replicate (a a a|a b c, MATLAB of the
            years in which the benchmark files were made) or reflect (d c b|a b c d).

    Returns:
        The image; a list for a list.

    Raises:
        InputError: `scale`, `size`, `kernel` or `border` cannot be used, or `img` is not an image.
        NotEnoughMemoryError: The result would not fit into memory.
    """
    run = partial(imresize, scale=scale, size=size, kernel=kernel, antialias=antialias, border=border)

    def resize_picture(picture: Picture, _: str) -> Any:
        levels = picture.levels
        transparent = picture.alpha is not None and bool((picture.alpha < 1).any())
        if levels is None or transparent:  # colours times alpha are no integers
            return picture.map(run, run)

        def run_integer(values: Tensor) -> Tensor:
            integers = values.to(torch.float64, copy=True).mul_(levels).round_()
            return run(integers, levels=levels).to(values.dtype).div_(levels)

        return picture.map(run_integer, run_integer)

    return each(img, resize_picture)
