"""SR3 (Saharia et al., arXiv 2104.07636): super-resolution by a diffusion model, which draws its results."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..checks import check_callback
from ..consistency import remade_to_agree
from ..domain import warn, warned_of
from ..images import Picture, arranged, read, single
from ..progress import progress_bar
from .arguments import Options, check_options, target_size
from .checkpoint import Checkpoint
from .doubts import doubts_of
from .inference import Diffuser
from .samples import Samples
from .sampling import State

NOTE = "Detail in this picture was invented by fastsr sr3 (SR3, a diffusion model). It identifies nobody."
"""What a file with a result says of itself."""


def sr3(
    img: Any,
    factor: float | None = None,
    *,
    weights: str | os.PathLike[str] | Checkpoint | None = None,
    steps: int = 20,
    sampler: str = "dpm-solver++",
    spacing: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    consistency: bool = True,
    tile: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Upscale a picture by a diffusion model: a sample of what it may have been, with detail of its own.

    A network trained on such pictures takes noise away step by step, told of the enlarged picture. What is more than
    twice as large as the pictures that it was trained on is done in overlapping tiles, put together at every step.
    Weights that say what those look like, as the ones that come with fastsr do, give a `fastsr.DomainWarning`
    of a picture of another size, and of one that does not look like them.

    Args:
        img: a path, PIL image, NumPy array (H, W), (H, W, 3 or 4), or torch tensor (3, H, W), (N, 3, H, W) in [0, 1]; a
            list is worked through one picture after the other, a batch together. An iterator of images gives an
            iterator of results in their order, which reads a picture when its result is asked for.
        factor: how much larger the result is, that which the weights were trained for; None for that.
        weights: the path or URL (http or https, with "#sha256=..." at will) of a checkpoint by `fastsr train sr3`, or
            of I*_E*_gen.pth by the best-known implementation of SR3; a name that `fastsr weights` lists; or what
            `fastsr.sr3.formats.load` made of one. By default "sr3-faces-x8", for faces. No code of the file is run.
        steps: how often the network is asked.
        sampler: "dpm-solver++", of second order, for few steps; "ddim"; or "ddpm", that of the paper, for many.
        spacing: where on the noise curve of the training the steps are: uniform in "log-snr" or in "time", or
            "karras"; by default "time" for ddpm, else "log-snr".
        samples: how many different results, drawn in one batch; None for one alone.
        seed: names the random numbers. The same seed gives the same result, and sample k is that of seed + k alone.
        consistency: move the result to the nearest picture whose downscale (MATLAB's bicubic) is the input.
        tile: the largest side of a tile in pixels of the result, a multiple of the network's halvings; by default
            twice the side of the pictures that it was trained on.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the activations; by default bfloat16 where the device computes in it. Where
            that fails, the picture is done again in float32.
        progress: show a bar, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)``: steps done, what the network sees in the
            noise, a (rows, C, H, W) float32 tensor in [0, 1], and a `State` (`steps`, `level`, `noisy`, which later
            steps overwrite, `first`). Rows are the samples of the picture, or of each picture of a batch in turn.

    Returns:
        The picture at ceil(H * factor) x ceil(W * factor), the size that `fastsr.resize` gives, of the kind and dtype
        that came in (a path gives a PIL image, or a NumPy array where PIL has no mode for it: 16-bit colour); with
        `samples` a sequence of so many, `fastsr.sr3.samples.Samples`, that has their `mean` and their `spread`. No
        gradient flows through.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: a factor that is not that of
            the weights, weights that are damaged or of an unknown network, a picture too small for them, too few steps
            for the sampler, weights that give values that are not finite.
        MissingFileError: there are no such weights, or they cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: the result does not fit into memory.
    """
    options = check_options(
        factor,
        weights=weights,
        steps=steps,
        sampler=sampler,
        spacing=spacing,
        samples=samples,
        seed=seed,
        consistency=consistency,
        tile=tile,
        device=device,
        dtype=dtype,
    )
    check_callback(callback)
    several = samples is not None
    bar = progress_bar("sr3", "step", shown=progress)
    if isinstance(img, Iterator):
        named = ((one, f"img[{index}]") for index, one in enumerate(img))
        watched = warned_of(named, partial(doubts_of, options=options))
        return _results(watched, options, several, callback, bar)
    images = single(img)
    warn([doubt for one, name in images for doubt in doubts_of(read(one, name), name, options)])
    bar.total = len(images) * options.plan.steps
    return arranged(img, _results(images, options, several, callback, bar))


def _results(
    images: Iterable[tuple[Any, str]],
    options: Options,
    several: bool,
    callback: Callable[[int, Tensor, State], None] | None,
    bar: Any,
) -> Iterator[Any]:
    """Yield the result of each image, of the kind that came."""
    diffuser = Diffuser(options)
    begun = 0
    passed = 0.0

    def report(part: float, seen: Tensor, state: State) -> None:
        nonlocal passed
        before = round(passed)
        passed += part
        bar.update(round(passed) - before)
        state.first += begun
        if callback is not None:
            callback(state.step, seen, state)

    def tile_done(count: int, tiles: int) -> None:
        bar.set_postfix_str(f"tile {count} of {tiles}")

    with bar:
        for number, (image, name) in enumerate(images, 1):
            bar.total = max(bar.total or 0, number * options.plan.steps)  # an iterator does not say how many come
            picture = replace(read(image, name), comment=NOTE)
            size = target_size(picture.pixels, options, name)
            drawn = diffuser(picture.premultiplied, size, report, tile_done)
            begun += drawn.shape[0] * drawn.shape[1]
            made = [_made(picture, sample, options) for sample in drawn.unbind(1)]
            yield Samples(picture, made) if several else picture.like(made[0].pixels, made[0].alpha)


@torch.no_grad()
def _made(picture: Picture, colours: Tensor, options: Options) -> Picture:
    """Return a sample, (N, C, H, W), as a picture with the alpha of the one that it is of."""
    there = replace(picture, origin=replace(picture.origin, kind="picture"))
    return remade_to_agree(there, colours) if options.consistency else there.remade(colours)
