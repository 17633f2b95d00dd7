"""PULSE (Menon et al., arXiv 2003.03808): a search in a generator for a face whose downscale matches the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from ..typing import same_kind_or_iterator

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ..stylegan.checkpoints import Checkpoint
    from ..stylegan.generator import Generator
    from ..typing import DTypeName, ImagesInput
    from .losses import LossWeights
    from .options import Noise, Optimizer, Schedule
    from .search import State


@same_kind_or_iterator
def pulse(
    img: ImagesInput,
    factor: float | None = None,
    *,
    weights: str | os.PathLike[str] | Checkpoint | Generator | None = None,
    steps: int = 100,
    eps: float = 2e-3,
    seed: int = 0,
    restarts: int = 1,
    optimizer: Optimizer = "adam",
    learning_rate: float = 0.4,
    schedule: Schedule = "linear1cycledrop",
    loss: str | LossWeights = "100*L2+0.05*GEOCROSS",
    tile_latent: bool = False,
    noise: Noise = "trainable",
    trainable_noise: int = 5,
    consistency: bool = False,
    batch: int | None = None,
    device: str | torch.device | None = None,
    dtype: DTypeName | torch.dtype | None = None,
    progress: bool = True,
    callback: Callable[[int, Tensor, State], None] | None = None,
) -> Any:
    """Search the latent space of a generator for a face whose downscale matches the image.

    The face is invented: it is one of very many with this downscale. It is not the person in the image, and identifies
    nobody. Images of anything else give a face too. If the weights describe their training images, as the bundled ones
    do, such an image causes a `fastsr.DomainWarning`.

    Args:
        img: a square image, such as an aligned face: a path, PIL image, NumPy array (H, H), (H, H, 3 or 4), or torch
            tensor (3, H, H), (N, 3, H, H) in [0, 1]; or a list of them. Given an iterator of images, returns an
            iterator of results in the same order; as many images are read ahead as are searched for at once.
        factor: upscaling factor; must be the resolution of the generator over H, which is the default.
        weights: the path or URL (http or https; may end in "#sha256=..." to verify the download) of a StyleGAN of
            `fastsr train stylegan` or lernapparat; a name that `fastsr weights` lists; a folder with PULSE's
            synthesis.pt and mapping.pt; the result of `fastsr.stylegan.checkpoints.load`; or a generator of your own,
            see `fastsr.stylegan.generator`. By default "faces-64". Loading never runs code from the file.
        steps: maximum number of optimizer steps.
        eps: the search ends when the mean squared error between the downscale (MATLAB's bicubic) of the result and the
            image is at most this, for colours in [0, 1].
        seed: random seed. The same seed gives the same result, up to rounding that depends on the batch.
        restarts: number of searches for each image, from the seeds `seed`, `seed` + 1 and so on. The first search to
            reach eps gives the result; if none does, the one with the least error.
        optimizer: "adam", "adamw", "adamax" or "sgd"; after each step latents and noise maps are scaled back to their
            initial length.
        learning_rate: peak learning rate.
        schedule: learning rate schedule: "linear1cycledrop", the one of PULSE, "linear1cycle" or "fixed".
        loss: weighted sum of L2 (which counts as eps when below eps), L1 (10 times the mean absolute error) and
            GEOCROSS (the angles between latent vectors); or a `fastsr.pulse.losses.LossWeights`.
        tile_latent: use one latent vector for all layers, in place of one for each: fewer faces can be made, and they
            are more typical of the generator.
        noise: "zero"; "fixed", random maps; or "trainable", random maps of which the first are optimized too. The last
            map is zero.
        trainable_noise: number of maps to optimize for "trainable"; all but the last if there are fewer.
        consistency: project the result onto the images whose downscale is exactly `img`.
        batch: maximum number of images of one size to search for at once; by default as many as fit into free memory.
        device: "cpu", "cuda" or "cuda:N"; by default CUDA if available.
        dtype: "float32" or "bfloat16" for the convolutions of a StyleGAN; by default bfloat16 if the device computes
            in it. The result is made in float32. If bfloat16 fails, the search is run again in float32.
        progress: show a progress bar, on a terminal and in notebooks.
        callback: called after every step as ``callback(step, image, info)`` with the number of steps done, the best
            images so far, (N, C, resolution, resolution) float32 in [0, 1], which later steps overwrite, and a `State`
            (`l2`, `reached`, `first`, `best`). Restarts that do not fit into memory together are run in several
            batches, each from its first step.

    Returns:
        The best image of the search, of the kind and dtype of `img` (a path gives a PIL image, or a NumPy array where
        PIL has no mode for it: 16-bit colour); `fastsr.save` writes into its file that it was invented. Grey images
        are compared in grey, and their results are grey. The `callback`'s info, and the values that
        `fastsr.pulse.runner.search_pictures` yields, tell whether eps was reached.

    Raises:
        InputError, InputTypeError: an argument that cannot be used, named in the message: an image that is not square,
            or not smaller than the images of the generator, a factor that does not fit, weights that are damaged or of
            an unknown network, an unknown loss, a loss that is not finite.
        MissingFileError: the weights do not exist or cannot be downloaded.
        OutputError: a download cannot be written.
        DeviceError: the device is not available.
        NotEnoughMemoryError: a search does not fit into memory.
    """
    from ..checks import check_callback
    from ..domain import run_and_warn, warn
    from ..images import flatten, read, unflatten_like
    from .arguments import check_options, domain_mismatches
    from .options import PulseOptions
    from .runner import search_pictures

    options = check_options(
        PulseOptions(
            weights=weights,
            factor=factor,
            steps=steps,
            eps=eps,
            seed=seed,
            restarts=restarts,
            batch=batch,
            optimizer=optimizer,
            learning_rate=learning_rate,
            schedule=schedule,
            loss=loss,
            noise=noise,
            trainable_noise=trainable_noise,
            tile_latent=tile_latent,
            consistency=consistency,
            device=device,
            dtype=dtype,
        )
    )
    check_callback(callback)
    if isinstance(img, Iterator):
        named = ((one, f"img[{index}]") for index, one in enumerate(img))
        mismatches = partial(domain_mismatches, options=options)
        return run_and_warn(
            lambda images: (found.result for found in search_pictures(images, options, callback, progress=progress)),
            named,
            mismatches,
        )
    images = flatten(img)
    count = 0
    doubts = []
    for one, name in images:
        image = read(one, name)
        doubts += domain_mismatches(image, name, options)
        count += len(image.pixels)
    warn(doubts)
    found = search_pictures(images, options, callback, total=count, progress=progress)
    return unflatten_like(img, (one.result for one in found))
