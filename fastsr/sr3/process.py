"""How a sample came about: the noisy picture and what the network saw in it, step by step."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..codecs import Unnumbered
from ..errors import InputError, OutputError
from ..files import atomic_write
from ..imresize import imresize
from ..sheets import PAPER, in_columns, opaque, side_by_side
from .sampling import State

LARGEST_SIDE = 512
"""Of the pictures kept."""
KEPT = 40
"""Steps at the most; they are spread evenly over all."""
SHOWN = 8
"""Steps in a strip."""
DURATION = 120
"""Of a step in an animation, in milliseconds."""
HELD = 2500
"""Likewise of the last one."""


@dataclass(frozen=True)
class Frame:
    """A step.

    Attributes:
        step: its number, from 1.
        steps: of the sampler.
        noise: the standard deviation of the noise that the step began with, on colours from -1 to 1: sqrt(1 - gamma).
        noisy: what it began with, 8-bit RGB; what is beyond the colours that there are is clipped.
        seen: what the network saw in it.
    """

    step: int
    steps: int
    noise: float
    noisy: Image.Image
    seen: Image.Image


class Process:
    """Steps of the first sample that `fastsr.sr3` draws; to be given to it as `callback`.

        process = Process()
        large = fastsr.sr3("photo.png", weights="sr3.safetensors", callback=process)
        fastsr.save(process.strip(), "strip.png")
        process.animation("process.gif")

    What it keeps takes little memory: up to 40 steps, in pictures of at most 512 pixels a side.

    Attributes:
        frames: the steps kept, the first and the last one among them.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def __call__(self, step: int, image: Tensor, state: State) -> None:
        """Keep a step where it is one of those to keep; the arguments are those of a callback of `fastsr.sr3`."""
        if state.first > 0:
            return
        if step == 1:
            self.frames.clear()  # in a second call, or where bfloat16 failed
        if step - 1 in _evenly(state.steps, KEPT):
            noisy = (state.noisy[:1] + 1) / 2
            noise = math.sqrt(1 - state.level**2)
            self.frames.append(Frame(step, state.steps, noise, _reduced(noisy), _reduced(image[:1])))

    def strip(self) -> Image.Image:
        """Return about 8 of the steps beside one another: the noisy picture, and below what the network saw in it.

        Raises:
            InputError: there are no steps.
        """
        frames = self._seen()
        chosen = [frames[index] for index in _evenly(len(frames), SHOWN)]
        return in_columns([(f"step {one.step}, noise {one.noise:.2f}", [one.noisy, one.seen]) for one in chosen])

    def animation(self, path: str | os.PathLike[str]) -> None:
        """Write the steps as an animated GIF, whole or not at all; the last one stays longer.

        Raises:
            InputError: there are no steps.
            OutputError: the path does not end in .gif, or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".gif":
            raise OutputError(f"path={str(path)!r} is not the name of an animation; use .gif")
        sheets = _of_one_size([_sheet(frame) for frame in self._seen()])
        pages = [_in_256_colours(sheet) for sheet in sheets]
        durations = [DURATION] * (len(pages) - 1) + [HELD]
        with atomic_write(Path(path)) as file:
            pages[0].save(
                Unnumbered(file),  # type: ignore[arg-type]
                "GIF",
                save_all=True,
                append_images=pages[1:],
                duration=durations,
                loop=0,
            )

    def _seen(self) -> list[Frame]:
        if not self.frames:
            raise InputError("the process has no steps; give it to fastsr.sr3 as callback first")
        return self.frames


def _evenly(count: int, most: int) -> list[int]:
    """Return at most `most` of the numbers below `count`, the first and the last one among them."""
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _reduced(pixels: Tensor) -> Image.Image:
    """Return (1, C, H, W) in small enough a size."""
    height, width = pixels.shape[-2:]
    share = min(LARGEST_SIDE / max(height, width), 1)
    if share < 1:
        pixels = imresize(pixels, size=(max(round(height * share), 1), max(round(width * share), 1)))
    # On a GPU values that are not finite are noticed after the last step only, and the picture is done again.
    return opaque(pixels.nan_to_num(0).clamp(0, 1))


def _sheet(frame: Frame) -> Image.Image:
    # Where digits change the width of a title, nothing is to its right that would jump.
    titles = "noisy picture", f"seen in step {frame.step} of {frame.steps}, noise {frame.noise:.2f}"
    return side_by_side(list(zip(titles, (frame.noisy, frame.seen), strict=True)))


def _of_one_size(sheets: list[Image.Image]) -> list[Image.Image]:
    """Return the sheets at the size of the largest; that of those with small pictures is the title's."""
    size = max(sheet.width for sheet in sheets), max(sheet.height for sheet in sheets)
    made = [Image.new("RGB", size, PAPER) for _ in sheets]
    for whole, sheet in zip(made, sheets, strict=True):
        whole.paste(sheet)
    return made


def _in_256_colours(sheet: Image.Image) -> Image.Image:
    """Return a sheet in colours of its own, dithered, for which Pillow wants them given."""
    colours = sheet.quantize(256, Image.Quantize.FASTOCTREE)  # median cut takes far longer
    return sheet.quantize(palette=colours, dither=Image.Dither.FLOYDSTEINBERG)
