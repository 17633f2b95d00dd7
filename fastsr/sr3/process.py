"""The sampling process as images: the noisy image and the x0 that the network predicts from it, step by step."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from ..checks import input_error
from ..errors import InputError, OutputError
from ..figures.sheets import PAPER, in_columns, opaque, side_by_side
from ..imresize import imresize
from ..io.codecs import Unnumbered
from ..io.files import atomic_write
from .sampling import State

MAX_SIDE = 512
"""The largest side in pixels of the images that are kept; larger ones are downscaled."""
MAX_FRAMES = 40
"""The largest number of steps that are kept, spread evenly over all steps."""
STRIP_FRAMES = 8
"""The number of steps in a strip."""
FRAME_DURATION = 120
"""The time in milliseconds for which an animation shows a step."""
LAST_FRAME_DURATION = 2500
"""The time in milliseconds for which an animation shows the last step."""


@dataclass(frozen=True)
class Frame:
    """One step of sampling.

    Attributes:
        step: number of the step, from 1.
        steps: total number of steps.
        noise: standard deviation of the noise at the start of the step, for colours in [-1, 1]: sqrt(1 - gamma).
        noisy: the noisy image at the start of the step, 8-bit RGB, clipped to the range of colours.
        seen: the x0 that the network predicts from it, 8-bit RGB.
    """

    step: int
    steps: int
    noise: float
    noisy: Image.Image
    seen: Image.Image


class Process:
    """Records how `fastsr.sr3` draws its first sample, when passed to it as `callback`.

        process = Process()
        large = fastsr.sr3("photo.png", weights="sr3.safetensors", callback=process)
        fastsr.save(process.strip(), "strip.png")
        process.animation("process.gif")

    It needs little memory: it keeps at most 40 steps, in images of at most 512 pixels a side.

    Attributes:
        frames: the steps that were kept, including the first and the last one.
    """

    def __init__(self) -> None:
        self.frames: list[Frame] = []

    def __call__(self, step: int, image: Tensor, state: State) -> None:
        """Keep the step if it is one of those to keep. The arguments are those of a callback of `fastsr.sr3`."""
        if state.first > 0:
            return
        if step == 1:
            self.frames.clear()  # a second call begins, or float32 after a failure of bfloat16
        if step - 1 in _evenly_spaced(state.steps, MAX_FRAMES):
            noisy = (state.noisy[:1] + 1) / 2
            noise = math.sqrt(1 - state.level**2)
            self.frames.append(Frame(step, state.steps, noise, _to_thumbnail(noisy), _to_thumbnail(image[:1])))

    def strip(self) -> Image.Image:
        """Return up to 8 steps side by side: the noisy image, and below it the x0 that the network predicts from it.

        Raises:
            InputError: no step was recorded.
        """
        frames = self._recorded_frames()
        chosen = [frames[index] for index in _evenly_spaced(len(frames), STRIP_FRAMES)]
        return in_columns([(f"step {one.step}, noise {one.noise:.2f}", [one.noisy, one.seen]) for one in chosen])

    def animation(self, path: str | os.PathLike[str]) -> None:
        """Write the steps as an animated GIF, atomically; the last step is shown for longer.

        Raises:
            InputError: no step was recorded.
            OutputError: the path does not end in .gif, or the file cannot be written.
        """
        if Path(path).suffix.lower() != ".gif":
            raise input_error("path", str(path), "is not the name of an animation", "use .gif", kind=OutputError)
        sheets = _pad_to_one_size([_sheet(frame) for frame in self._recorded_frames()])
        pages = [_quantize(sheet) for sheet in sheets]
        durations = [FRAME_DURATION] * (len(pages) - 1) + [LAST_FRAME_DURATION]
        with atomic_write(Path(path)) as file:
            pages[0].save(
                Unnumbered(file),  # type: ignore[arg-type]
                "GIF",
                save_all=True,
                append_images=pages[1:],
                duration=durations,
                loop=0,
            )

    def _recorded_frames(self) -> list[Frame]:
        if not self.frames:
            raise InputError("the process has no steps; pass it to fastsr.sr3 as callback first")
        return self.frames


def _evenly_spaced(count: int, max_count: int) -> list[int]:
    """Return at most `max_count` of the numbers below `count`, including the first and the last one."""
    if count <= max_count:
        return list(range(count))
    return [round(index * (count - 1) / (max_count - 1)) for index in range(max_count)]


def _to_thumbnail(pixels: Tensor) -> Image.Image:
    """Return (1, C, H, W) in [0, 1] as an image with sides of at most `MAX_SIDE`."""
    height, width = pixels.shape[-2:]
    scale = min(MAX_SIDE / max(height, width), 1)
    if scale < 1:
        pixels = imresize(pixels, size=(max(round(height * scale), 1), max(round(width * scale), 1)))
    # On a GPU, values that are not finite are noticed only after the last step; then the image is sampled again.
    return opaque(pixels.nan_to_num(0).clamp(0, 1))


def _sheet(frame: Frame) -> Image.Image:
    # The title whose width changes with the step comes last, so that nothing to its right jumps.
    titles = "noisy image", f"prediction at step {frame.step} of {frame.steps}, noise {frame.noise:.2f}"
    return side_by_side(list(zip(titles, (frame.noisy, frame.seen), strict=True)))


def _pad_to_one_size(sheets: list[Image.Image]) -> list[Image.Image]:
    """Return the sheets at the size of the largest; the width of a sheet with small images is that of its title."""
    size = max(sheet.width for sheet in sheets), max(sheet.height for sheet in sheets)
    pages = [Image.new("RGB", size, PAPER) for _ in sheets]
    for page, sheet in zip(pages, sheets, strict=True):
        page.paste(sheet)
    return pages


def _quantize(sheet: Image.Image) -> Image.Image:
    """Return a sheet with a palette of its own 256 colours, dithered; Pillow dithers only with a given palette."""
    palette = sheet.quantize(256, Image.Quantize.FASTOCTREE)  # median cut takes far longer
    return sheet.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
