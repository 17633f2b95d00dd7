"""Deep Image Prior (Ulyanov, Vedaldi, Lempitsky, CVPR 2018, arXiv 1711.10925): an untrained network as the prior."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..device import available_memory, require_memory
from ..errors import InputError, InputTypeError, Interrupted
from ..images import Picture, arranged, read, single
from ..masks import read_known
from .arguments import Options, check_options, target_size
from .fit import State
from .jobs import FILLING, Job, run
from .memory import fit_memory
from .recipes import Recipe
from .tasks import pose, recipe_for

STEPS_BETWEEN_REPORTS = 10


def dip(
    img: Any,
    factor: float | None = None,
    *,
    task: str = "upscale",
    mask: Any = None,
    sigma: float | None = None,
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

    The network's output x minimises ||A x - img||^2. A is the Lanczos-2 downscale by `factor` (the identity at
    factor 1), and where there is a mask only known pixels count, so that every task can be joined with both. The
    result is the running average of the outputs.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in
            [0, 1]; a list or a batch is worked through one picture after the other, on a GPU several small ones at
            once. Sides of at least 4 pixels.
        factor: how much larger the result is, need not be an integer; by default 4 for task "upscale", else 1.
        task: "upscale"; "denoise"; "inpaint" for holes, text and watermarks under a mask; "restore" where only
            scattered pixels are known.
        mask: a grey picture of the size of `img`, of any kind, or a list of them for a list: white where a pixel is
            to be filled in, black where it is known. Booleans are True where a pixel is filled in.
        sigma: for task "denoise", the standard deviation of the noise in levels of 8 bits; None where it is unknown.
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
            to [0, 1]. By default on for tasks "inpaint" and "restore", where it keeps the known pixels.
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
        Interrupted: Ctrl-C; its `image` is the picture reached so far (a list or a batch is dropped).
    """
    options = check_options(
        factor,
        task=task,
        masked=mask is not None,
        sigma=sigma,
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
    # A caller may have switched gradients off; without them there is nothing to fit by.
    with torch.inference_mode(False), torch.enable_grad():
        call = _Call(options, single(img), _masks_for(img, mask), callback)
        with tqdm(desc="dip", unit="step", disable=not (progress and _someone_looks())) as call.bar:
            call.check()
            try:
                return arranged(img, call.results())
            except KeyboardInterrupt:
                if call.alone is None:
                    raise
                picture, job = call.alone
                raise Interrupted(picture.remade(job.result().to(picture.pixels.device))) from None


class _Call:
    """One call of `dip`: its pictures, read one at a time, and their fits.

    Attributes:
        bar: shows how far all of it is.
        alone: the only picture and its fit, once that has begun; None where there are several.
    """

    bar: Any

    def __init__(
        self,
        options: Options,
        images: Sequence[tuple[Any, str]],
        masks: Sequence[tuple[Any, str]],
        callback: Callable[[int, Tensor, State], None] | None,
    ):
        self.alone: tuple[Picture, Job] | None = None
        self._options, self._images, self._masks, self._callback = options, images, masks, callback
        self._count = 0

    def check(self) -> None:
        """Raise what any picture, the last one too, cannot be worked on for; count the steps."""
        steps = 0
        for picture, known, name in self._pictures():
            recipe, _ = self._demands(picture, known, name)
            steps += recipe.steps * len(picture.pixels)
            self._count += len(picture.pixels)
        self.bar.reset(total=steps)

    def results(self) -> Iterator[Any]:
        """Yield the result of each image, of the kind that came."""
        pictures: list[Picture] = []
        parts: list[Tensor] = []
        for part in run(self._jobs(pictures)):
            parts.append(part.to(pictures[0].pixels.device))
            if len(parts) == len(pictures[0].pixels):
                yield pictures.pop(0).remade(torch.cat(parts))
                parts.clear()

    def _pictures(self) -> Iterator[tuple[Picture, Tensor | None, str]]:
        """Read every image and its mask."""
        for index, (image, name) in enumerate(self._images):
            picture, known = read(image, name), None
            if self._masks:
                mask, mask_name = self._masks[index % len(self._masks)]
                size = (picture.pixels.shape[-2], picture.pixels.shape[-1])
                known = read_known(mask, size, mask_name, name)
            yield picture, known, name

    def _jobs(self, pictures: list[Picture]) -> Iterator[Job]:
        """Yield the fit of every picture, adding to `pictures` what it belongs to."""
        number = 0
        for picture, known, name in self._pictures():
            pictures.append(picture)
            _, room = self._demands(picture, known, name)
            for pixels in picture.premultiplied.split(1):
                problem = pose(pixels, known, self._options)
                job = Job(problem, self._options, number, room, self._report)
                if self._count == 1:
                    self.alone = picture, job
                yield job
                number += 1

    def _demands(self, picture: Picture, known: Tensor | None, name: str) -> tuple[Recipe, float]:
        """Return the recipe of a picture and the part of the device that its fit takes."""
        options, pixels = self._options, picture.pixels
        size = target_size(pixels, options.factor, name)
        recipe = recipe_for(pixels.shape[1], known, options)
        needed = fit_memory(recipe.network, size, options.dtype)
        require_memory(needed, options.device, f"fitting {name} at {size[1]}x{size[0]} pixels")
        available = available_memory(options.device)
        if options.device.type != "cuda" or available is None:
            return recipe, 1.0  # the threads of a CPU are all at work on one picture
        return recipe, max(size[0] * size[1] / FILLING, needed / available)

    def _report(self, state: State) -> None:
        if not self.bar.disable and state.step % STEPS_BETWEEN_REPORTS == 0:  # it waits for the device
            of = f"picture {state.picture + 1} of {self._count}, " if self._count > 1 else ""
            self.bar.set_postfix_str(f"{of}PSNR of the fit {state.psnr:.2f} dB", refresh=False)
        self.bar.update()
        if self._callback is not None:
            self._callback(state.step, state.image, state)


def _masks_for(img: Any, mask: Any) -> list[tuple[Any, str]]:
    """Return the mask of each image with its name, or one for all of them; nothing where there is none."""
    if mask is None:
        return []
    if not isinstance(mask, (list, tuple)):
        return [(mask, "mask")]
    images, masks = single(img), list(single(mask, "mask"))
    if not isinstance(img, (list, tuple)) or len(images) != len(masks):
        raise InputError(
            f"mask is a list of {len(masks)} for {len(images)} images; give one mask, or one for each image"
        )
    return masks


def _someone_looks() -> bool:
    """Whether a bar would be seen: on a terminal, or in a notebook, whose kernel has none."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())
