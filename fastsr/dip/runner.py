"""One call of `fastsr.dip`: images in, fits side by side as far as memory allows, results out.

`DipRunner` reads the images one at a time and makes a `FitJob` of each. `run_jobs` does the optimiser steps of several
jobs in turns, as many as the device has room for, and `estimate_resources` says how much room one takes.
"""

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
from .tasks import Problem, build_problem, check_operator, read_mask, recipe_for, stopping_for

STEPS_BETWEEN_REPORTS = 10
"""The progress bar shows the PSNR every so many steps: reading it waits for the device."""
FILLING = 512 * 512
"""Output pixels that keep a GPU busy. Fits are added side by side up to this many."""
MAX_PENDING_RESULTS = 16
"""No further fit is begun while this many finished results wait for that of an earlier image."""
PROBE_SIDE = 128
"""Height and width in pixels of the forward pass whose saved tensors are counted."""
COPIES_OF_WEIGHTS = 6
"""Weights, the copy that the network computes with, gradients, Adam's two moments, and an update's workspace."""
OUTPUT_COPIES = 10
"""Float32 images of the output's size in a step: output, average, observation, residual, and their gradients."""


class DipRunner:
    """The images of one call of `fastsr.dip`, their masks, fits, results and progress bar."""

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
        self._is_iterator = isinstance(img, Iterator)
        self._images = ((one, f"img[{i}]") for i, one in enumerate(img)) if self._is_iterator else flatten(img)
        self._masks = _pair_masks(img, mask)
        self._unfinished: deque[tuple[Picture, list[FitJob]]] = deque()
        self._count: int | None = None
        self._bar: Any = None
        self._total_steps = 0

    def check(self) -> int:
        """Read every image and check that it can be fitted, before any work; return the number of images."""
        self._count = 0
        with _gradients_enabled():
            for image, observed, name in self._read_images():
                recipe, _ = estimate_resources(image.pixels, observed, self._options, name)
                self._total_steps += recipe.steps * len(image.pixels)
                self._count += len(image.pixels)
        return self._count

    def results(self) -> Iterator[Any]:
        """Yield the result of each image, of the kind of its input.

        Raises:
            Interrupted: Ctrl-C was pressed; it holds the first unfinished image as far as its fit came.
        """
        parts: list[Tensor] = []
        finished = run_jobs(self._make_jobs())
        try:
            while True:
                try:
                    with _gradients_enabled():  # around `yield` it would change the caller's gradient mode too
                        part = next(finished, None)
                except KeyboardInterrupt:
                    partial = self._partial_result()
                    raise (KeyboardInterrupt() if partial is None else Interrupted(partial)) from None
                if part is None:
                    return
                image, jobs = self._unfinished[0]
                self._drop_steps(jobs[len(parts)].steps_left)
                parts.append(part.to(image.pixels.device))
                if len(parts) == len(image.pixels):
                    self._unfinished.popleft()
                    result = image.remade(torch.cat(parts))
                    parts.clear()
                    if self._is_iterator:
                        self._close_bar()  # what the caller prints gets a line of its own
                    yield result
        finally:
            self._close_bar()

    def _read_images(self) -> Iterator[tuple[Picture, Tensor | None, str]]:
        """Yield every image, the observed pixels (1 or N, 1, h, w) of its mask or None, and its name in errors."""
        masks = iter(self._masks)
        for img, name in self._images:
            image, observed = read(img, name), None
            mask, mask_name = next(masks, (None, None))
            if mask_name is None:
                raise InputError(f"mask ends before {name}; give a mask for each image")
            if mask is not None:
                size = (image.pixels.shape[-2], image.pixels.shape[-1])
                observed = read_mask(mask, size, mask_name, name, len(image.pixels))
            elif self._options.needs_mask:
                task = spell("task", self._options.task)
                raise InputError(f"{mask_name} of {name} is None; {task} fills in what it marks")
            yield image, observed, name

    def _make_jobs(self) -> Iterator[FitJob]:
        """Yield a fit for every image, and for each one of a batch."""
        number = 0
        for image, observed, name in self._read_images():
            jobs: list[FitJob] = []
            count = len(image.pixels)
            recipe, device_fraction = estimate_resources(image.pixels, observed, self._options, name)
            self._unfinished.append((image, jobs))
            if self._is_iterator:
                self._total_steps += recipe.steps * count
            masks = repeat(None) if observed is None else observed.expand(count, -1, -1, -1).split(1)
            for pixels, mask in zip(image.premultiplied.split(1), masks, strict=False):
                problem = build_problem(pixels, mask, self._options)
                jobs.append(FitJob(problem, self._options, number, device_fraction, self._report))
                number += 1
                yield jobs[-1]

    def _partial_result(self) -> Any:
        """Return the first unfinished image as far as its fit came; None for a batch, or before a fit has begun."""
        if not self._unfinished or len(self._unfinished[0][0].pixels) > 1 or not self._unfinished[0][1]:
            return None
        image, (job,) = self._unfinished[0]
        with _gradients_enabled():
            return image.remade(job.finish().to(image.pixels.device))

    def _report(self, state: State) -> None:
        """Advance the progress bar by a step, and call the callback."""
        if self._bar is None:
            self._bar = progress_bar("dip", "step", shown=self._progress)
        self._bar.total = self._total_steps
        if not self._bar.disable and state.step % STEPS_BETWEEN_REPORTS == 0:
            total = f" of {self._count}" if self._count else ""
            which = "" if self._count == 1 else f"image {state.picture + 1}{total}, "
            self._bar.set_postfix_str(f"{which}PSNR of the fit {state.psnr:.2f} dB", refresh=False)
        self._bar.update()
        if self._callback is not None:
            self._callback(state.step, state.image, state)

    def _drop_steps(self, steps: int) -> None:
        """Subtract the steps that early stopping saved from the total of the progress bar."""
        self._total_steps -= steps
        if self._bar is not None:
            self._bar.total = self._total_steps
            self._bar.refresh()

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._total_steps -= self._bar.n
            self._bar.close()
            self._bar = None


@contextmanager
def _gradients_enabled() -> Iterator[None]:
    """Enable gradients, which a fit needs and a caller may have switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def _pair_masks(img: Any, mask: Any) -> Iterable[tuple[Any, str]]:
    """Return the mask of each image, which may be None, with its name in errors."""
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


def run_jobs(jobs: Iterable[FitJob]) -> Iterator[Tensor]:
    """Yield the results of `jobs` in their order, (1, C, H, W) each, doing the steps of several jobs in turns.

    A job is taken from `jobs` only when there may be room for it: at most one image is read ahead of those being
    fitted, beside up to `MAX_PENDING_RESULTS` finished ones. An error raised by `jobs` is raised after the results of
    the earlier jobs.
    """
    numbered = enumerate(jobs)
    upcoming = _next_job(numbered)
    running: dict[int, FitJob] = {}
    results: dict[int, Tensor] = {}
    wanted = 0
    while upcoming is not None or running:
        while isinstance(upcoming, tuple) and (not running or _has_room(upcoming[1], running, len(results))):
            running[upcoming[0]] = upcoming[1]
            upcoming = _next_job(numbered)
        if isinstance(upcoming, Exception) and not running:
            raise upcoming
        for index in [index for index, job in running.items() if not job.advance()]:
            results[index] = running.pop(index).finish()
        while wanted in results:
            yield results.pop(wanted)
            wanted += 1


def _next_job(numbered: Iterator[tuple[int, FitJob]]) -> tuple[int, FitJob] | Exception | None:
    """Return the next job with its number, the error that reading its image raised, or None after the last job."""
    try:
        return next(numbered, None)
    except Exception as error:
        return error


def _has_room(job: FitJob, running: dict[int, FitJob], pending: int) -> bool:
    """Whether a job can run beside those `running`, with `pending` results waiting for an earlier one."""
    busy = sum(other.device_fraction for other in running.values())
    return pending < MAX_PENDING_RESULTS and busy + job.device_fraction <= 1


class FitJob:
    """The fit of one image, done a step at a time; on a GPU in a CUDA stream of its own, so that others run beside it.

    Attributes:
        device_fraction: the part of the device that the fit occupies, 1 for all of it.
        image: the result so far, (1, C, H, W).
        steps_left: steps of the recipe not yet done; those left at the end were saved by early stopping.
    """

    def __init__(
        self,
        problem: Problem,
        options: Options,
        number: int,
        device_fraction: float,
        report: Callable[[State], None],
    ):
        """Prepare the fit of image `number`, counted from 0; `report` is called after every step."""
        self.device_fraction = device_fraction
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
            observed=problem.observed_fraction,
            stopping=stopping_for(problem.recipe, options),
        )

    def advance(self) -> bool:
        """Do one step; return False when none was left."""
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

    def finish(self) -> Tensor:
        """End the fit, free its memory and return the result, (1, C, H, W) in [0, 1]."""
        self._states.close()  # type: ignore[attr-defined]  # `fit` is a generator, declared as an iterator
        if self._stream is None:
            return self._problem.finish(self.image)
        current = torch.cuda.current_stream(self._stream.device)
        current.wait_stream(self._stream)
        result = self._problem.finish(self.image)
        current.synchronize()  # the memory of the fit, which is freed next, belongs to the fit's own stream
        return result


def estimate_resources(pixels: Tensor, observed: Tensor | None, options: Options, name: str) -> tuple[Recipe, float]:
    """Return the recipe of an image and the part of the device that each of its fits occupies.

    Args:
        pixels: (N, C, h, w), the image.
        observed: (1 or N, 1, h, w), 1 where a pixel is observed, as `read_mask` returns it; None without a mask.
        options: of the call.
        name: what errors call the image.

    Raises:
        InputError, InputTypeError: the image is too small, or the user's operator does not fit it.
        NotEnoughMemoryError: the image is too large.
    """
    size = target_size(pixels, options.factor, name)
    recipe = recipe_for(pixels.shape[1], observed, options)
    if options.operator is not None:
        check_operator(options.operator, pixels[:1], size, options.device)
    needed = fit_memory(recipe.network, size, options.dtype)
    require_memory(needed, options.device, f"fitting {name} at {size[1]}x{size[0]} pixels")
    available = available_memory(options.device)
    if options.device.type != "cuda" or available is None:
        return recipe, 1.0  # one fit keeps all threads of a CPU busy
    return recipe, max(size[0] * size[1] / FILLING, needed / available)


def fit_memory(config: HourglassConfig, size: tuple[int, int], dtype: torch.dtype) -> int:
    """Return about how many bytes a fit at `size` (height, width) takes.

    The tensors that autograd saves at 128x128 are counted and scaled by the area. Added to them are eight times the
    largest one, for gradients and the workspace of convolutions, and a quarter of the sum, for the allocator's slack.
    """
    saved, largest, weights = _count_saved_bytes(config, dtype)
    inputs = 2 * config.input_channels  # the noise of the input, and the noisy input
    area = config.padded(size[0]) * config.padded(size[1])
    per_pixel = (saved + 8 * largest) / PROBE_SIDE**2 + 4 * (inputs + OUTPUT_COPIES * config.output_channels)
    return int(1.25 * (per_pixel * area + COPIES_OF_WEIGHTS * weights))


@lru_cache
def _count_saved_bytes(config: HourglassConfig, dtype: torch.dtype) -> tuple[int, int, int]:
    """Return the bytes that autograd saves in a 128x128 forward pass, of the largest tensor, and of the weights."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = Hourglass(config)
    weights = Weights(network, torch.device("cpu"))
    weights.install(dtype)
    z = torch.zeros(1, config.input_channels, PROBE_SIDE, PROBE_SIDE, dtype=dtype, device="cpu")
    z = z.contiguous(memory_format=torch.channels_last)
    saved, largest = saved_for_backward(lambda: network(z), (network.head.weight, weights.vectors))
    return saved, largest, weights.matrices.nbytes + weights.vectors.nbytes
