"""Pictures enlarged one after the other, as the arguments of `fastsr.srgan` ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..consistency import remade_to_agree
from ..images import read
from ..imresize import imresize
from .arguments import Options, target_size
from .inference import Enlarger

VIEWS = [(turns, flipped) for flipped in (False, True) for turns in range(4)]
"""The eight flips and rotations: quarter turns, after a flip or without one."""


def enlarge_pictures(images: Iterable[tuple[Any, str]], options: Options, bar: Any) -> Iterator[Any]:
    """Yield the result of each image, of the kind that came.

    Args:
        images: each with what errors call it.
        options: the arguments.
        bar: counts the pixels of the images.
    """
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
