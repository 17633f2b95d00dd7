"""One call of `fastsr.dip`: its images and masks, read one at a time, their fits, and the bar."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from itertools import repeat
from typing import Any

import torch
from torch import Tensor

from ..checks import spell
from ..errors import InputError, InputTypeError, Interrupted, NotEnoughMemoryError
from ..images import Picture, flatten, is_sequence, read
from ..runtime.memory import available_memory, require_memory, saved_for_backward
from ..runtime.progress import progress_bar
from .arguments import Options, target_size
from .fit import State, fit
from .network import Hourglass, HourglassConfig
from .optimizers import Weights
from .recipes import Recipe
from .tasks import Problem, build_problem, check_operator, read_known, recipe_for, stopping_for

PROBE_SIDE = 128
COPIES_OF_WEIGHTS = 6
"""Weights, those to compute with, gradients, the two moments of Adam, and what an update works in."""
PICTURES = 10
"""Float32 images a step holds: output and average, observation and residual, and their gradients."""


def fit_memory(config: HourglassConfig, size: tuple[int, int], dtype: torch.dtype) -> int:
    """Return about how many bytes a fit at `size` (height, width) takes.

    What autograd saves at 128x128 is counted tensor by tensor and scaled by the area; as much again as the
    largest of them is allowed eight times over for the gradients and the convolutions' own copies, and a quarter
    of all for what the allocator leaves unused.
    """
    saved, largest, weights = _probe(config, dtype)
    inputs = 2 * config.input_channels  # the noise of the input, and the noisy input
    area = config.padded(size[0]) * config.padded(size[1])
    per_pixel = (saved + 8 * largest) / PROBE_SIDE**2 + 4 * (inputs + PICTURES * config.output_channels)
    return int(1.25 * (per_pixel * area + COPIES_OF_WEIGHTS * weights))


@lru_cache
def _probe(config: HourglassConfig, dtype: torch.dtype) -> tuple[int, int, int]:
    """The bytes that autograd saves for one forward pass at 128x128, the largest of them, and the weights' bytes."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = Hourglass(config)
    weights = Weights(network, torch.device("cpu"))
    weights.install(dtype)
    z = torch.zeros(1, config.input_channels, PROBE_SIDE, PROBE_SIDE, dtype=dtype, device="cpu")
    z = z.contiguous(memory_format=torch.channels_last)
    saved, largest = saved_for_backward(lambda: network(z), (network.head.weight, weights.vectors))
    return saved, largest, weights.matrices.nbytes + weights.vectors.nbytes


FILLING = 512 * 512
"""Pixels of result that fill a GPU."""
MOST_WAITING = 16
"""Results that wait for that of an earlier image; no further one is begun meanwhile."""


class FitJob:
    """The fit of one image, a step at a time; on a GPU in a stream of its own, so that others run beside it.

    Attributes:
        room: the part of the device that it takes, 1 for all of it.
        image: what the fit has come to, (1, C, H, W).
        steps_left: of the recipe; what is left when the fit has ended was saved.
    """

    def __init__(self, problem: Problem, options: Options, number: int, room: float, report: Callable[[State], None]):
        """Take what to fit, the image's number and what is called after every step."""
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
                    f"the GPU ran out of memory at {width}x{height} pixels, image {self._number + 1}; make it "
                    f"smaller, or give {spell('device', 'cpu')}"
                ) from error
            if state is None:
                return False
            self.image = state.image
            self.steps_left -= 1
            state.picture = self._number
            self._report(state)
        return True

    def result(self) -> Tensor:
        """Return the image that the fit has come to; what the fit holds is freed."""
        self._states.close()  # type: ignore[attr-defined]  # a generator, in whose clothes of an iterator
        if self._stream is None:
            return self._problem.finish(self.image)
        here = torch.cuda.current_stream(self._stream.device)
        here.wait_stream(self._stream)
        result = self._problem.finish(self.image)
        here.synchronize()  # the memory of the fit, which is freed next, belongs to its own stream
        return result


def estimate_resources(pixels: Tensor, known: Tensor | None, options: Options, name: str) -> tuple[Recipe, float]:
    """Return the recipe of an image (N, C, h, w) and the part of the device that each of its fits takes.

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
        return recipe, 1.0  # the threads of a CPU are all at work on one image
    return recipe, max(size[0] * size[1] / FILLING, needed / available)


def run(jobs: Iterable[FitJob]) -> Iterator[Tensor]:
    """Yield the results of `jobs` in their order, doing steps in turns of as many as there is room for.

    A job is taken from `jobs` when there may be room for it, so that an iterator that reads images reads no more
    than one ahead of those worked on, of which `MOST_WAITING` may be done. What taking it raises is raised after the
    results of those before.
    """
    coming = enumerate(jobs)
    upcoming = _take(coming)
    running: dict[int, FitJob] = {}
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


def _take(coming: Iterator[tuple[int, FitJob]]) -> tuple[int, FitJob] | Exception | None:
    try:
        return next(coming, None)
    except Exception as error:
        return error


def _fits(job: FitJob, running: dict[int, FitJob], waiting: int) -> bool:
    """Whether there is room for a job: on the device, and among the results that wait for an earlier one."""
    return waiting < MOST_WAITING and sum(other.room for other in running.values()) + job.room <= 1


STEPS_BETWEEN_REPORTS = 10


class DipRunner:
    """The images of a call, and what becomes of them."""

    def __init__(
        self,
        options: Options,
        img: Any,
        mask: Any,
        callback: Callable[[int, Tensor, State], None] | None,
        progress: bool,
    ):
        """Take the arguments of `fastsr.dip`; no image is read yet."""
        self._options, self._callback, self._progress = options, callback, progress
        self._one_by_one = isinstance(img, Iterator)
        self._images = ((one, f"img[{i}]") for i, one in enumerate(img)) if self._one_by_one else flatten(img)
        self._masks = _masks_for(img, mask)
        self._unfinished: deque[tuple[Picture, list[FitJob]]] = deque()
        self._count: int | None = None
        self._bar: Any = None
        self._total = 0

    def check(self) -> int:
        """Raise what any image, the last one too, cannot be worked on for; return how many there are."""
        self._count = 0
        with _gradients():
            for image, known, name in self._pictures():
                recipe, _ = estimate_resources(image.pixels, known, self._options, name)
                self._total += recipe.steps * len(image.pixels)
                self._count += len(image.pixels)
        return self._count

    def results(self) -> Iterator[Any]:
        """Yield the result of each image, of the kind that came.

        Raises:
            Interrupted: Ctrl-C; it has what the first image that is not finished has come to.
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
                image, jobs = self._unfinished[0]
                self._pass_over(jobs[len(parts)].steps_left)
                parts.append(part.to(image.pixels.device))
                if len(parts) == len(image.pixels):
                    self._unfinished.popleft()
                    result = image.remade(torch.cat(parts))
                    parts.clear()
                    if self._one_by_one:
                        self._close()  # what the caller prints is to have a line of its own
                    yield result
        finally:
            self._close()

    def _reached(self) -> Any:
        """What the fit of the first image that is not finished has come to; None before it has begun."""
        if not self._unfinished or len(self._unfinished[0][0].pixels) > 1 or not self._unfinished[0][1]:
            return None
        image, (job,) = self._unfinished[0]
        with _gradients():
            return image.remade(job.result().to(image.pixels.device))

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
                raise InputError(
                    f"{mask_name} of {name} is None; {spell('task', self._options.task)} fills in what it marks"
                )
            yield picture, known, name

    def _jobs(self) -> Iterator[FitJob]:
        """Yield the fit of every picture."""
        number = 0
        for image, known, name in self._pictures():
            jobs: list[FitJob] = []
            recipe, room = estimate_resources(image.pixels, known, self._options, name)
            self._unfinished.append((image, jobs))
            if self._one_by_one:
                self._total += recipe.steps * len(image.pixels)
            count = len(image.pixels)
            of_each = repeat(None) if known is None else known.expand(count, -1, -1, -1).split(1)
            for pixels, its_own in zip(image.premultiplied.split(1), of_each, strict=False):
                jobs.append(
                    FitJob(build_problem(pixels, its_own, self._options), self._options, number, room, self._report)
                )
                number += 1
                yield jobs[-1]

    def _report(self, state: State) -> None:
        if self._bar is None:
            self._bar = progress_bar("dip", "step", shown=self._progress)
        self._bar.total = self._total
        if not self._bar.disable and state.step % STEPS_BETWEEN_REPORTS == 0:  # it waits for the device
            of = f" of {self._count}" if self._count else ""
            which = "" if self._count == 1 else f"image {state.picture + 1}{of}, "
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
    if not is_sequence(mask):
        return repeat((mask, "mask"))
    masks = flatten(mask, "mask")
    if not is_sequence(img):
        raise InputError(
            f"mask is a list of {len(masks)} and img is none; give one mask, or a tensor of them for a batch"
        )
    images = flatten(img)
    if len(images) != len(masks):
        raise InputError(f"mask is a list of {len(masks)} for {len(images)} images; give one for each")
    return masks
