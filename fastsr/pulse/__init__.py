"""PULSE (Menon et al., arXiv 2003.03808): a search for a face whose downscale is the picture given."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..checks import check_callback
from ..domain import warn, warned_of
from ..errors import Doubt
from ..images import arranged, read, single
from ..kinds import same_kind
from .arguments import LOSS, check_options
from .call import search_pictures
from .checkpoint import Checkpoint
from .doubts import doubts_of
from .generator import Generator
from .losses import LossWeights
from .search import State


@same_kind
def pulse(
    img: Any,
    factor: float | None = None,
    *,
    weights: str | os.PathLike[str] | Checkpoint | Generator | None = None,
    steps: int = 100,
    eps: float = 2e-3,
    seed: int = 0,
    restarts: int = 1,
    optimizer: str = "adam",
    learning_rate: float = 0.4,
    schedule: str = "linear1cycledrop",
    loss: str | LossWeights = LOSS,
    tile_latent: bool = False,
    noise: str = "trainable",
    trainable_noise: int = 5,
    consistency: bool = False,
    batch: int | None = None,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Return a face whose downscale is the picture given, found by a search in what a generator can make.

    The face is invented: one of very many with this downscale. It is not that of the person in the picture, and
    identifies nobody. Of anything else a face is found as well: weights that say what they were trained on, as those
    that come with fastsr do, give a `fastsr.DomainWarning` of it.

    Args:
        img: a square picture, such as an aligned face: a path, PIL image, NumPy array (H, H), (H, H, 3 or 4), or torch
            tensor (3, H, H), (N, 3, H, H) in [0, 1]; or a list of them. An iterator of images gives an iterator of
            results in their order, which reads as many ahead as are searched for at once.
        factor: how much larger the result is; it must be the generator's resolution over H. None for that.
        weights: the path or URL (http or https, with "#sha256=..." at will) of a StyleGAN by `fastsr train stylegan`
            or lernapparat; a name that `fastsr weights` lists; a folder with PULSE's synthesis.pt and mapping.pt; what
            `fastsr.pulse.formats.load` made of one; or a generator of your own, see `fastsr.pulse.generator`. By
            default "faces-64". No code of a file is run.
        steps: of the optimiser, at most.
        eps: a picture is found when the mean squared error between the downscale (MATLAB's bicubic) and the picture
            is at most this, for colours in [0, 1]. The search for it ends there.
        seed: names the random numbers. The same seed gives the same result, up to rounding in whatever batch.
        restarts: searches for each picture, from the seeds `seed`, `seed` + 1 and so on. The first to reach eps gives
            the result; without one, that with the least error does.
        optimizer: "adam", "adamw", "adamax" or "sgd"; after each step latents and noise maps are brought back to the
            length that they began with.
        learning_rate: its largest.
        schedule: of the learning rate: "linear1cycledrop", that of PULSE, "linear1cycle" or "fixed".
        loss: a sum of L2, which counts as eps below eps, L1 (10 times the mean absolute error) and GEOCROSS (the
            angles between latent rows) with weights; or a `fastsr.pulse.losses.LossWeights`.
        tile_latent: search one latent row for all layers, in place of one for each: fewer faces, that are more alike
            to what the generator makes of itself.
        noise: "zero"; "fixed", random maps; or "trainable", random maps of which the first are searched too. The last
            map is zero.
        trainable_noise: how many maps, for "trainable"; all but the last where there are fewer.
        consistency: move the result to the nearest picture whose downscale is exactly the picture given.
        batch: how many pictures of one size to search for at once, at most; by default as many as fit into the free
            memory.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA when present.
        dtype: "float32" or "bfloat16" for the convolutions of a StyleGAN; by default bfloat16 where the device
            computes in it. The result is made in float32. Where bfloat16 fails, the search is done again in float32.
        progress: show a bar, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)``: steps done, the best pictures so far,
            (N, C, resolution, resolution) float32 in [0, 1], which later steps overwrite, and a `State` (`l2`,
            `reached`, `first`, `best`). Restarts that do not fit into memory together are done one part after the
            other, each from its first step.

    Returns:
        The best picture of the search, not its last, of the kind and dtype that came in (a path gives a PIL image, or
        a NumPy array where PIL has no mode for it: 16-bit colour); `fastsr.save` writes into its file that it was
        invented. Grey pictures are compared in grey, and the result is grey. Whether eps was reached is in the
        `callback`'s info and in what `fastsr.pulse.call.search_pictures` yields.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: a picture that is not
            square, or not smaller than what the generator makes, a factor that does not fit, weights that are damaged
            or of an unknown network, an unknown loss, a loss that is not finite.
        MissingFileError: there are no such weights, or they cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: a device that is not there.
        NotEnoughMemoryError: a search does not fit into memory.
    """
    options = check_options(
        factor,
        weights=weights,
        steps=steps,
        eps=eps,
        seed=seed,
        restarts=restarts,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        loss=loss,
        tile_latent=tile_latent,
        noise=noise,
        trainable_noise=trainable_noise,
        consistency=consistency,
        batch=batch,
        device=device,
        dtype=dtype,
    )
    check_callback(callback)
    if isinstance(img, Iterator):
        named = ((one, f"img[{index}]") for index, one in enumerate(img))
        watched = warned_of(named, partial(doubts_of, options=options))
        return (found.result for found in search_pictures(watched, options, callback, progress=progress))
    images = single(img)
    count = 0
    doubts: list[Doubt] = []
    for one, name in images:
        picture = read(one, name)
        doubts += doubts_of(picture, name, options)
        count += len(picture.pixels)
    warn(doubts)
    found = search_pictures(images, options, callback, total=count, progress=progress)
    return arranged(img, (one.result for one in found))
