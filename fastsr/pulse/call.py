"""One call of `fastsr.pulse`: its pictures, searched for in batches of one size, and the bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..consistency import remade_to_agree
from ..images import Picture, read
from ..imresize import imresize
from ..progress import progress_bar
from .arguments import Options, check_size
from .goals import Goal
from .inference import Face, Searcher
from .search import State

NOTE = "A plausible face that fastsr pulse (PULSE, a search in a generator) invented. It identifies nobody."
"""What a file with a result says of itself."""
STEPS_BETWEEN_REPORTS = 10


@dataclass(frozen=True, eq=False)
class Found:
    """The result for an image, or for a batch in one tensor or array.

    Attributes:
        result: an image of the kind that came.
        faces: what was found for it, or for each picture of the batch.
    """

    result: Any
    faces: list[Face]


def search_pictures(
    images: Iterable[tuple[Any, str]],
    options: Options,
    callback: Callable[[int, Tensor, State], None] | None = None,
    *,
    total: int | None = None,
    progress: bool = True,
) -> Iterator[Found]:
    """Yield what is found for each image, in their order.

    Images that follow each other and are of one size are searched for together, as many as fit into memory: so many
    are read before the first result comes, and one more. What reading one raises is raised after the results of those
    before.

    Args:
        images: each with what errors call it.
        options: of the search.
        callback: see `fastsr.pulse`.
        total: how many pictures there are, for the bar; None where that is not known.
        progress: show a bar.
    """
    searcher = Searcher(options, progress)
    unfinished: deque[Picture] = deque()
    faces: list[Face] = []
    bar = _Bar(options.settings.steps, total, progress)
    with bar.shown:
        for goal in _batches(_goals(images, options, unfinished), searcher.most):
            count = len(goal.pixels)
            bar.begin(count)
            report = _reporter(bar, callback)
            faces += searcher(goal, report)
            bar.end()
            while unfinished and len(faces) >= len(unfinished[0].pixels):
                picture = unfinished.popleft()
                own, faces = faces[: len(picture.pixels)], faces[len(picture.pixels) :]
                yield Found(_result(picture, own, options), own)
        bar.finish()


class _Bar:
    """The bar of a call, which counts the steps of each picture."""

    def __init__(self, steps: int, total: int | None, progress: bool):
        self.shown = progress_bar("pulse", "step", shown=progress)
        self.shown.total = None if total is None else total * steps
        self._known = total is not None
        self._steps = steps
        self.done = 0
        self._count, self._passed = 0, 0.0

    def begin(self, count: int) -> None:
        """Begin with so many pictures."""
        self._count, self._passed = count, 0.0
        if not self._known:
            self.shown.total = (self.shown.total or 0) + count * self._steps

    def step(self, part: float, state: State) -> None:
        """Take note of a part of a step."""
        before = round(self._passed)
        self._passed += part * self._count
        if not self.shown.disable and state.step % STEPS_BETWEEN_REPORTS == 0:  # it waits for the device
            reached = int(state.reached.sum())
            self.shown.set_postfix_str(f"L2 {float(state.l2.mean()):.4f}, {reached} of {self._count} found")
        self.shown.update(round(self._passed) - before)

    def end(self) -> None:
        """End with those pictures; steps that were not needed are taken off."""
        self.done += self._count
        self.shown.total -= self._count * self._steps - round(self._passed)
        self.shown.refresh()

    def finish(self) -> None:
        """End for good: pictures that could not be read are not waited for."""
        self.shown.total = self.shown.n
        self.shown.refresh()


def _reporter(bar: _Bar, callback: Callable[[int, Tensor, State], None] | None) -> Callable[[float, State], None]:
    def report(part: float, state: State) -> None:
        state.first = bar.done
        bar.step(part, state)
        if callback is not None:
            callback(state.step, state.best.image, state)

    return report


def _goals(images: Iterable[tuple[Any, str]], options: Options, unfinished: deque[Picture]) -> Iterator[Goal]:
    """Yield what each picture of each image asks for; the images are put to those that are not finished."""
    side = options.checkpoint.network.resolution
    for image, name in images:
        picture = read(image, name)
        check_size(picture.pixels, options, name)
        unfinished.append(picture)
        with torch.no_grad():
            pixels = picture.premultiplied.detach()
            alpha = None
            if picture.alpha is not None:
                alpha = imresize(picture.alpha.detach(), size=(side, side)).clamp(0, 1)
        for index in range(len(pixels)):
            yield Goal(pixels, alpha, side).one(index)


def _batches(goals: Iterator[Goal], most: int) -> Iterator[Goal]:
    """Join goals that follow each other and are of one kind, at most so many."""
    batch: list[Goal] = []
    try:
        for goal in goals:
            if batch and (len(batch) == most or goal.kind != batch[0].kind):
                yield Goal.joined(batch)
                batch = []
            batch.append(goal)
    except Exception:
        if batch:
            yield Goal.joined(batch)
        raise
    if batch:
        yield Goal.joined(batch)


@torch.no_grad()
def _result(picture: Picture, faces: list[Face], options: Options) -> Any:
    """Return the faces as an image of the kind that came."""
    colours = torch.stack([face.image for face in faces]).to(picture.pixels.device)
    picture = replace(picture, comment=NOTE)
    if picture.alpha is not None:
        alpha = imresize(picture.alpha, size=tuple(colours.shape[-2:])).clamp(0, 1)
        colours = colours * alpha.to(colours.device)
    return remade_to_agree(picture, colours) if options.consistency else picture.remade(colours)
