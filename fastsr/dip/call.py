"""One call of `fastsr.dip`: its pictures and masks, read one at a time, their fits, and the bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, InputTypeError, Interrupted
from ..images import Picture, read, several, single
from ..masks import read_known
from ..progress import progress_bar
from .arguments import Options
from .fit import State
from .jobs import Job, demands, run
from .tasks import pose

STEPS_BETWEEN_REPORTS = 10


class Call:
    """The pictures of a call, and what becomes of them."""

    def __init__(
        self,
        options: Options,
        img: Any,
        mask: Any,
        callback: Callable[[int, Tensor, State], None] | None,
        progress: bool,
    ):
        """Take the arguments of `fastsr.dip`; no picture is read yet."""
        self._options, self._callback, self._progress = options, callback, progress
        self._one_by_one = isinstance(img, Iterator)
        self._images = ((one, f"img[{i}]") for i, one in enumerate(img)) if self._one_by_one else single(img)
        self._masks = _masks_for(img, mask)
        self._unfinished: deque[tuple[Picture, list[Job]]] = deque()
        self._count: int | None = None
        self._bar: Any = None
        self._total = 0

    def check(self) -> int:
        """Raise what any picture, the last one too, cannot be worked on for; return how many there are."""
        self._count = 0
        with _gradients():
            for picture, known, name in self._pictures():
                recipe, _ = demands(picture.pixels, known, self._options, name)
                self._total += recipe.steps * len(picture.pixels)
                self._count += len(picture.pixels)
        return self._count

    def results(self) -> Iterator[Any]:
        """Yield the result of each image, of the kind that came.

        Raises:
            Interrupted: Ctrl-C; it has what the first picture that is not finished has come to.
        """
        parts: list[Tensor] = []
        done = run(self._jobs())
        try:
            while True:
                try:
                    with _gradients():  # in a `with` around a `yield` the caller would work as well
                        part = next(done, None)
                except KeyboardInterrupt:
                    reached = self._reached()
                    raise (KeyboardInterrupt() if reached is None else Interrupted(reached)) from None
                if part is None:
                    return
                picture, jobs = self._unfinished[0]
                self._pass_over(jobs[len(parts)].steps_left)
                parts.append(part.to(picture.pixels.device))
                if len(parts) == len(picture.pixels):
                    self._unfinished.popleft()
                    result = picture.remade(torch.cat(parts))
                    parts.clear()
                    if self._one_by_one:
                        self._close()  # what the caller prints is to have a line of its own
                    yield result
        finally:
            self._close()

    def _reached(self) -> Any:
        """What the fit of the first picture that is not finished has come to; None before it has begun."""
        if not self._unfinished or len(self._unfinished[0][0].pixels) > 1 or not self._unfinished[0][1]:
            return None
        picture, (job,) = self._unfinished[0]
        with _gradients():
            return picture.remade(job.result().to(picture.pixels.device))

    def _pictures(self) -> Iterator[tuple[Picture, Tensor | None, str]]:
        """Read every image and its mask."""
        masks = iter(self._masks)
        for image, name in self._images:
            picture, known = read(image, name), None
            mask, mask_name = next(masks, (None, None))
            if mask_name is None:
                raise InputError(f"mask ends before {name}; give a mask for each image")
            if mask is not None:
                size = (picture.pixels.shape[-2], picture.pixels.shape[-1])
                known = read_known(mask, size, mask_name, name, len(picture.pixels))
            elif self._options.needs_mask:
                raise InputError(f"{mask_name} of {name} is None; task={self._options.task!r} fills in what it marks")
            yield picture, known, name

    def _jobs(self) -> Iterator[Job]:
        """Yield the fit of every picture."""
        number = 0
        for picture, known, name in self._pictures():
            jobs: list[Job] = []
            recipe, room = demands(picture.pixels, known, self._options, name)
            self._unfinished.append((picture, jobs))
            if self._one_by_one:
                self._total += recipe.steps * len(picture.pixels)
            count = len(picture.pixels)
            of_each = repeat(None) if known is None else known.expand(count, -1, -1, -1).split(1)
            for pixels, its_own in zip(picture.premultiplied.split(1), of_each, strict=False):
                jobs.append(Job(pose(pixels, its_own, self._options), self._options, number, room, self._report))
                number += 1
                yield jobs[-1]

    def _report(self, state: State) -> None:
        if self._bar is None:
            self._bar = progress_bar("dip", "step", shown=self._progress)
        self._bar.total = self._total
        if not self._bar.disable and state.step % STEPS_BETWEEN_REPORTS == 0:  # it waits for the device
            of = f" of {self._count}" if self._count else ""
            which = "" if self._count == 1 else f"picture {state.picture + 1}{of}, "
            self._bar.set_postfix_str(f"{which}PSNR of the fit {state.psnr:.2f} dB", refresh=False)
        self._bar.update()
        if self._callback is not None:
            self._callback(state.step, state.image, state)

    def _pass_over(self, steps: int) -> None:
        """Take steps that an early end has saved off the bar."""
        self._total -= steps
        if self._bar is not None:
            self._bar.total = self._total
            self._bar.refresh()

    def _close(self) -> None:
        if self._bar is not None:
            self._total -= self._bar.n
            self._bar.close()
            self._bar = None


@contextmanager
def _gradients() -> Iterator[None]:
    """Switch gradients on: a caller may have switched them off, and without them there is nothing to fit by."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _masks_for(img: Any, mask: Any) -> Iterable[tuple[Any, str]]:
    """Return the mask of each image, which may be None, with its name."""
    if isinstance(mask, Iterator):
        if not isinstance(img, Iterator):
            raise InputTypeError("mask is an iterator and img is none; give one mask, or a list for a list of images")
        return ((one, f"mask[{index}]") for index, one in enumerate(mask))
    if not several(mask):
        return repeat((mask, "mask"))
    masks = single(mask, "mask")
    if not several(img):
        raise InputError(
            f"mask is a list of {len(masks)} and img is none; give one mask, or a tensor of them for a batch"
        )
    images = single(img)
    if len(images) != len(masks):
        raise InputError(f"mask is a list of {len(masks)} for {len(images)} images; give one for each")
    return masks
