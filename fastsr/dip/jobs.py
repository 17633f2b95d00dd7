"""Fits in turns: several small pictures at once where one does not fill a GPU, and never more than fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor

from ..device import available_memory, require_memory
from ..errors import NotEnoughMemoryError
from .arguments import Options, target_size
from .fit import State, fit
from .memory import fit_memory
from .recipes import Recipe
from .tasks import Problem, check_operator, recipe_for, stopping_for

FILLING = 512 * 512
"""Pixels of result that fill a GPU."""
MOST_WAITING = 16
"""Results that wait for that of an earlier picture; no further one is begun meanwhile."""


class Job:
    """The fit of one picture, a step at a time; on a GPU in a stream of its own, so that others run beside it.

    Attributes:
        room: the part of the device that it takes, 1 for all of it.
        image: what the fit has come to, (1, C, H, W).
        steps_left: of the recipe; what is left when the fit has ended was saved.
    """

    def __init__(self, problem: Problem, options: Options, number: int, room: float, report: Callable[[State], None]):
        """Take what to fit, the picture's number and what is called after every step."""
        self.room = room
        self.image = problem.start
        self.steps_left = problem.recipe.steps
        self._problem, self._report, self._number = problem, report, number
        device = options.device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # which made the observation
        self._states = fit(
            problem.observation,
            problem.operator,
            problem.size,
            problem.recipe,
            seed=options.seed,
            dtype=options.dtype,
            observed=problem.observed,
            stopping=stopping_for(problem.recipe, options),
        )

    def advance(self) -> bool:
        """Do a step; return whether there was one left."""
        with nullcontext() if self._stream is None else torch.cuda.stream(self._stream):
            try:
                state = next(self._states, None)
            except torch.OutOfMemoryError as error:
                height, width = self._problem.size
                raise NotEnoughMemoryError(
                    f"the GPU ran out of memory at {width}x{height} pixels, picture {self._number + 1}; make it "
                    "smaller, or give device='cpu'"
                ) from error
            if state is None:
                return False
            self.image = state.image
            self.steps_left -= 1
            state.picture = self._number
            self._report(state)
        return True

    def result(self) -> Tensor:
        """Return the picture that the fit has come to; what the fit holds is freed."""
        self._states.close()  # type: ignore[attr-defined]  # a generator, in whose clothes of an iterator
        if self._stream is None:
            return self._problem.finish(self.image)
        here = torch.cuda.current_stream(self._stream.device)
        here.wait_stream(self._stream)
        result = self._problem.finish(self.image)
        here.synchronize()  # the memory of the fit, which is freed next, belongs to its own stream
        return result


def demands(pixels: Tensor, known: Tensor | None, options: Options, name: str) -> tuple[Recipe, float]:
    """Return the recipe of a picture (N, C, h, w) and the part of the device that each of its fits takes.

    Args:
        pixels: of the picture.
        known: of its mask, see `pose`.
        options: of the call.
        name: what errors call the picture.

    Raises:
        InputError, InputTypeError: it is too small, or the user's operator does not fit it.
        NotEnoughMemoryError: it is too large.
    """
    size = target_size(pixels, options.factor, name)
    recipe = recipe_for(pixels.shape[1], known, options)
    if options.operator is not None:
        check_operator(options.operator, pixels[:1], size, options.device)
    needed = fit_memory(recipe.network, size, options.dtype)
    require_memory(needed, options.device, f"fitting {name} at {size[1]}x{size[0]} pixels")
    available = available_memory(options.device)
    if options.device.type != "cuda" or available is None:
        return recipe, 1.0  # the threads of a CPU are all at work on one picture
    return recipe, max(size[0] * size[1] / FILLING, needed / available)


def run(jobs: Iterable[Job]) -> Iterator[Tensor]:
    """Yield the results of `jobs` in their order, doing steps in turns of as many as there is room for.

    A job is taken from `jobs` when there may be room for it, so that an iterator that reads pictures reads no more
    than one ahead of those worked on, of which `MOST_WAITING` may be done. What taking it raises is raised after the
    results of those before.
    """
    coming = enumerate(jobs)
    upcoming = _take(coming)
    running: dict[int, Job] = {}
    results: dict[int, Tensor] = {}
    wanted = 0
    while upcoming is not None or running:
        while isinstance(upcoming, tuple) and (not running or _fits(upcoming[1], running, len(results))):
            running[upcoming[0]] = upcoming[1]
            upcoming = _take(coming)
        if isinstance(upcoming, Exception) and not running:
            raise upcoming
        for index in [index for index, job in running.items() if not job.advance()]:
            results[index] = running.pop(index).result()
        while wanted in results:
            yield results.pop(wanted)
            wanted += 1


def _take(coming: Iterator[tuple[int, Job]]) -> tuple[int, Job] | Exception | None:
    try:
        return next(coming, None)
    except Exception as error:
        return error


def _fits(job: Job, running: dict[int, Job], waiting: int) -> bool:
    """Whether there is room for a job: on the device, and among the results that wait for an earlier one."""
    return waiting < MOST_WAITING and sum(other.room for other in running.values()) + job.room <= 1
