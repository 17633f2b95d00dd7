"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925): an untrained network as the prior."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import repeat
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..errors import InputError, InputTypeError, Interrupted
from ..images import Picture, arranged, read, single
from ..masks import read_known
from .arguments import Options, check_options
from .fit import State
from .jobs import Job, demands, run
from .recipes import Recipe
from .tasks import pose

STEPS_BETWEEN_REPORTS = 10


def dip(
    img: Any,
    factor: float | None = None,
    *,
    task: str = "upscale",
    mask: Any = None,
    sigma: float | None = None,
    kernel: str | None = None,
    operator: Callable[[Tensor], Tensor] | None = None,
    preset: str | Recipe = "fast",
    steps: int | None = None,
    early_stop: bool | None = None,
    seed: int = 0,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    consistency: bool | None = None,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Upscale or restore a picture by fitting an untrained network to it; needs no training data and no weights.

    The network's output x minimises ||A x - img||^2. A is the downscale by `factor` (the identity at
    factor 1), and where there is a mask only known pixels count, so that every task can be joined with both. The
    result is the running average of the outputs.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; a list or a batch is worked through one picture after the other, on a GPU several small ones at
            once. Sides of at least 4 pixels. An iterator of images gives an iterator of results in their order, which
            reads no more than it works on and one picture ahead.
        factor: how much larger the result is, need not be an integer; by default 4 for task "upscale", else 1.
        task: "upscale"; "denoise"; "inpaint" for holes, text and watermarks under a mask; "restore" where only
            scattered pixels are known.
        mask: a grey picture of the size of `img`, of any kind, or a list of them for a list, an iterator for an
            iterator: white where a pixel is to be filled in, black where it is known. Booleans are True where a
            pixel is filled in. None among those of an iterator is no mask.
        sigma: for task "denoise", the standard deviation of the noise in levels of 8 bits; None where it is unknown.
        kernel: of the downscale, where it is known by which filter the picture was made small: "lanczos2" (the
            paper's, and the default; bicubic differs little), "lanczos3" (what most programs call Lanczos),
            "bicubic", "linear" or "box".
        operator: A, where it is another: a linear, differentiable function of a tensor (1, C, H, W), the result,
            to one of the size of `img`.
        preset: "fast", "paper" for the recipe of the paper, or a `fastsr.dip.recipes.Recipe`.
        steps: optimiser steps at the most, instead of the preset's number.
        early_stop: end before the fit takes on noise: when its error has come down to `sigma`, or, where that is
            unknown, when the outputs vary more again. By default on for task "denoise".
        seed: names the random numbers; on one CPU with as many threads, the same seed gives the same result, to the
            last bit.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 where the device computes in it.
        consistency: move the result to a picture near to it that agrees with `img`, through A and mask, then clip
            to [0, 1]. By default on for tasks "inpaint" and "restore", where it keeps the known pixels, and for task
            "upscale" with preset "fast", which has no time to come as near by itself.
        progress: show a bar with step, PSNR of the fit and time left, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)``: steps done, the result so far as a
            (1, C, H, W) float32 tensor that later steps overwrite, and a `State` (`loss`, `psnr`, `picture`).

    Returns:
        The picture at round(H * factor) x round(W * factor), of the kind and dtype that came in (a path gives a
        PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour). No gradient flows through.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the fit would not fit into memory.
        Interrupted: Ctrl-C; its `image` is the picture reached so far, of an iterator the next one (a list or a batch
            is dropped).
    """
    options = check_options(
        factor,
        task=task,
        masked=mask is not None,
        sigma=sigma,
        kernel=kernel,
        operator=operator,
        preset=preset,
        steps=steps,
        early_stop=early_stop,
        seed=seed,
        device=device,
        dtype=dtype,
        consistency=consistency,
    )
    if callback is not None and not callable(callback):
        raise InputTypeError(f"callback={callback!r} cannot be called; give a function of step, image and info")
    bar = tqdm(desc="dip", unit="step", disable=not (progress and _someone_looks()))
    if isinstance(img, Iterator):
        named = ((one, f"img[{index}]") for index, one in enumerate(img))
        return _Call(options, named, _masks_for(img, mask), bar, callback).results()
    call = _Call(options, single(img), _masks_for(img, mask), bar, callback)
    with _gradients():
        count = call.check()
    try:
        return arranged(img, call.results())
    except Interrupted:
        if count == 1:
            raise
        raise KeyboardInterrupt from None


@contextmanager
def _gradients() -> Iterator[None]:
    """Switch gradients on: a caller may have switched them off, and without them there is nothing to fit by."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


class _Call:
    """One call of `dip`: its pictures, read one at a time, and their fits."""

    def __init__(
        self,
        options: Options,
        images: Iterable[tuple[Any, str]],
        masks: Iterable[tuple[Any, str]],
        bar: Any,
        callback: Callable[[int, Tensor, State], None] | None,
    ):
        self._options, self._images, self._masks, self._bar, self._callback = options, images, masks, bar, callback
        self._unfinished: deque[tuple[Picture, list[Job]]] = deque()
        self._count: int | None = None

    def check(self) -> int:
        """Raise what any picture, the last one too, cannot be worked on for; return how many there are."""
        self._count = steps = 0
        for picture, known, name in self._pictures():
            recipe, _ = demands(picture.pixels, known, self._options, name)
            steps += recipe.steps * len(picture.pixels)
            self._count += len(picture.pixels)
        self._bar.reset(total=steps)
        return self._count

    def results(self) -> Iterator[Any]:
        """Yield the result of each image, of the kind that came.

        Raises:
            Interrupted: Ctrl-C; it has what the first picture that is not finished has come to.
        """
        parts: list[Tensor] = []
        done = run(self._jobs())
        with self._bar:
            while True:
                try:
                    with _gradients():  # in a `with` around a `yield` the caller would work as well
                        part = next(done, None)
                except KeyboardInterrupt:
                    reached = self._reached()
                    raise (KeyboardInterrupt() if reached is None else Interrupted(reached)) from None
                if part is None:
                    return
                picture, _ = self._unfinished[0]
                parts.append(part.to(picture.pixels.device))
                if len(parts) == len(picture.pixels):
                    self._unfinished.popleft()
                    yield picture.remade(torch.cat(parts))
                    parts.clear()

    def _reached(self) -> Any:
        """What the fit of the first picture that is not finished has come to; None before it has begun."""
        if not self._unfinished or len(self._unfinished[0][0].pixels) > 1:
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
                raise InputError(f"mask ends before {name}; give a mask for each image, or None")
            if mask is not None:
                size = (picture.pixels.shape[-2], picture.pixels.shape[-1])
                known = read_known(mask, size, mask_name, name)
            yield picture, known, name

    def _jobs(self) -> Iterator[Job]:
        """Yield the fit of every picture."""
        number = 0
        for picture, known, name in self._pictures():
            jobs: list[Job] = []
            recipe, room = demands(picture.pixels, known, self._options, name)
            self._unfinished.append((picture, jobs))
            for pixels in picture.premultiplied.split(1):
                if self._count is None:
                    self._bar.total = (self._bar.total or 0) + recipe.steps
                jobs.append(Job(pose(pixels, known, self._options), self._options, number, room, self._report))
                number += 1
                yield jobs[-1]

    def _report(self, state: State) -> None:
        if not self._bar.disable and state.step % STEPS_BETWEEN_REPORTS == 0:  # it waits for the device
            many = self._count is None or self._count > 1
            which = f"picture {state.picture + 1}{f' of {self._count}' if self._count else ''}, " if many else ""
            self._bar.set_postfix_str(f"{which}PSNR of the fit {state.psnr:.2f} dB", refresh=False)
        self._bar.update()
        if self._callback is not None:
            self._callback(state.step, state.image, state)


def _masks_for(img: Any, mask: Any) -> Iterable[tuple[Any, str]]:
    """Return the mask of each image, which may be None, with its name."""
    if isinstance(mask, Iterator):
        if not isinstance(img, Iterator):
            raise InputTypeError("mask is an iterator and img is none; give one mask, or a list for a list of images")
        return ((one, f"mask[{index}]") for index, one in enumerate(mask))
    if not isinstance(mask, (list, tuple)):
        return repeat((mask, "mask"))
    masks = single(mask, "mask")
    if not isinstance(img, (list, tuple)):
        raise InputError(f"mask is a list of {len(masks)} and img is none; give one mask")
    images = single(img)
    if len(images) != len(masks):
        raise InputError(f"mask is a list of {len(masks)} for {len(images)} images; give one for each")
    return masks


def _someone_looks() -> bool:
    """Whether a bar would be seen: on a terminal, or in a notebook, whose kernel has none."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
