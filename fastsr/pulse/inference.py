"""The faces that searches find: starts in batches that fit into memory, in the precision of the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from ..activations import saved_for_backward
from ..device import available_memory, require_memory
from ..errors import NotEnoughMemoryError, NotFiniteError
from .arguments import Options
from .gaussian_fit import GaussianFit
from .generator import Generator
from .goals import Goal
from .losses import l2
from .placing import fitted, placed
from .search import Best, State, search
from .starts import Start, draw

SHARE = 0.5
"""The part of the free memory that searches may take."""
MOST_ON_CPU = 4
"""Starts at once; more are no faster there."""
PICTURES = 12
"""Float32 pictures that a start holds in a step: the generator's, clipped, the best, and their gradients."""
MARGIN = 0.95
"""Of eps, in bfloat16: made again in float32, the picture is to be at eps as well."""

Report = Callable[[float, State], None]


@dataclass(frozen=True, eq=False)
class Face:
    """What was found for a picture; tensors are float32, on the CPU.

    Attributes:
        image: (C, resolution, resolution) in [0, 1], C that of the picture.
        l2: mean squared error between its downscale and the picture.
        reached: whether that is at most eps.
        step: of the search, from 1, that made it.
        seed: of the start that it was found from.
        latents: what the generator was given, (layers, latent).
        noises: likewise, (1, 1, side, side) each.
    """

    image: Tensor
    l2: float
    reached: bool
    step: int
    seed: int
    latents: Tensor
    noises: list[Tensor]

    @property
    def order(self) -> tuple[bool, float]:
        """The less, the better: first those that reached eps, by when they did; then by their error."""
        return not self.reached, self.step if self.reached else self.l2


class Searcher:
    """A generator on a device, and how to search in it."""

    def __init__(self, options: Options, progress: bool = True):
        self._options = replace(options, checkpoint=fitted(options.checkpoint, options.device, progress=progress))
        self._placed: dict[torch.dtype, Generator] = {}

    @property
    def most(self) -> int:
        """How many pictures to search for at once."""
        fits = max(self._most_starts // self._options.restarts, 1)
        return fits if self._options.batch is None else min(self._options.batch, fits)

    def __call__(self, goal: Goal, report: Report | None = None) -> list[Face]:
        """Return a face for each picture of `goal`; none depends on the others.

        Args:
            goal: at most `most` pictures.
            report: called after each step with the part of it that was done, less than 1 where not all starts fit
                into memory at once, and a `State`.

        Raises:
            NotFiniteError: a loss is not finite, in float32 as well.
            NotEnoughMemoryError: a single start is too much.
        """
        options = self._options
        goal = goal.repeated(1, options.device)
        at_once = max(self._most_starts // len(goal.pixels), 1)
        seeds = range(options.seed, options.seed + options.restarts)
        best: list[Face] = []
        for first in range(0, len(seeds), at_once):
            some = seeds[first : first + at_once]
            part = len(some) / len(seeds)
            faces = self._faces(goal, some, partial(report, part) if report is not None else _nothing)
            best = [min(pair, key=lambda face: face.order) for pair in zip(best or faces, faces, strict=True)]
        return best

    def _faces(self, goal: Goal, seeds: Sequence[int], report: Callable[[State], object]) -> list[Face]:
        """Return the best faces from some starts; where bfloat16 gives what is not finite, all again in float32."""
        try:
            return self._found(goal, seeds, report, self._options.dtype)
        except NotFiniteError as error:
            if self._options.dtype == torch.float32:
                raise
            warnings.warn(f"{error}; the search is done again in float32", RuntimeWarning, stacklevel=3)
        except torch.OutOfMemoryError as error:
            raise NotEnoughMemoryError(
                f"the GPU ran out of memory with {len(goal.pixels) * len(seeds)} starts at once; give a smaller batch, "
                "or device='cpu'"
            ) from error
        return self._found(goal, seeds, _nothing, torch.float32)

    def _found(
        self, goal: Goal, seeds: Sequence[int], report: Callable[[State], object], dtype: torch.dtype
    ) -> list[Face]:
        options, settings = self._options, self._options.settings
        network = options.checkpoint.network
        start = draw(
            network,
            seeds,
            tile_latent=options.tile_latent,
            noise=options.noise,
            trainable_noise=options.trainable_noise,
        ).to(options.device)
        if dtype != torch.float32:
            settings = replace(settings, eps=MARGIN * settings.eps)
        for state in search(self._network(dtype), self._fit, goal, start, settings):
            report(state)
        return [self._face(goal, index, start, seeds, state.best) for index in range(len(goal.pixels))]

    @torch.no_grad()
    def _face(self, goal: Goal, index: int, start: Start, seeds: Sequence[int], best: Best) -> Face:
        """Return the best of the picture `index`, made in float32."""
        one = goal.one(index)
        number = int(best.start[index])
        noises = [noise[number : number + 1] for noise in start.noises]
        noises[: start.trainable] = [noise[index : index + 1] for noise in best.noises]
        latents = self._fit.latents(best.z[index : index + 1]).expand(-1, self._options.checkpoint.network.layers, -1)
        image = one.colours(self._network(torch.float32)(latents, noises))
        distance = float(l2(one.difference(image)))
        return Face(
            image[0].cpu(),
            distance,
            distance <= self._options.settings.eps,
            int(best.step[index]),
            seeds[number],
            latents[0].cpu(),
            [noise.cpu() for noise in noises],
        )

    @property
    def _fit(self) -> GaussianFit:
        fit = self._options.checkpoint.fit
        assert fit is not None
        return fit.to(self._options.device)

    def _network(self, dtype: torch.dtype) -> Generator:
        if dtype not in self._placed:
            self._placed[dtype] = placed(self._options.checkpoint.network, self._options.device, dtype)
        return self._placed[dtype]

    @cached_property
    def _most_starts(self) -> int:
        """The number of starts that fit into memory at once."""
        device, side = self._options.device, self._options.checkpoint.network.resolution
        needed = self._needed()
        require_memory(needed, device, f"a search at {side}x{side} pixels")
        free = available_memory(device)
        fits = MOST_ON_CPU if free is None else max(int(SHARE * free) // needed, 1)
        return min(fits, MOST_ON_CPU) if device.type == "cpu" else fits

    @torch.inference_mode(False)
    def _needed(self) -> int:
        """Return about how many bytes a start takes: what autograd saves, gradients, and pictures."""
        network = self._network(torch.float32)
        start = draw(network, [0], tile_latent=False, noise="zero", trainable_noise=0).to(self._options.device)
        own = [*network.parameters(), *network.buffers()] if isinstance(network, nn.Module) else []
        saved, largest = saved_for_backward(lambda: network(start.z.requires_grad_(), start.noises), own)
        return int(1.25 * (saved + 4 * largest + PICTURES * 3 * 4 * network.resolution**2))


def _nothing(state: State) -> None:
    """Do nothing with it."""
