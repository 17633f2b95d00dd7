"""Decoded pictures in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from math import prod

import torch
from torch import Tensor

from ..device import available_memory
from .training import TrainingPicture

SHARE = 0.25
"""Of the memory that is available."""
ASSUMED = 4 * 2**30
"""Bytes available, where the system does not say."""
CHANNELS = 3

Sides = Sequence[tuple[int, int]]


def memory_for_pictures() -> int:
    """Return the bytes that this process may fill with pictures; those that torchrun started share the machine."""
    available = available_memory(torch.device("cpu")) or ASSUMED
    return int(SHARE * available) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def bytes_of(sides: Sequence[Sides]) -> int:
    """Return the bytes that pictures take, given the sides of each one's parts."""
    return sum(map(_bytes, sides))


class Held:
    """Pictures by number, as `TrainingPicture.read` gives them.

    All are in one tensor, which forked processes share, and others can be given without a copy for each.
    """

    def __init__(self, pictures: Sequence[TrainingPicture], sides: Sequence[Sides], factor: int):
        """Decode all pictures, each in the room that `sides`, of its parts, ask for.

        Raises:
            FastsrError: a picture cannot be read.
        """
        self._starts = [0, *accumulate(map(_bytes, sides))]
        self._memory = torch.empty(self._starts[-1], dtype=torch.uint8)

        def decode(number: int) -> list[tuple[int, int]]:
            parts = pictures[number].read(factor)
            torch.cat([part.reshape(-1) for part in parts], out=self._room(number))
            return [(part.shape[1], part.shape[2]) for part in parts]  # the header may have had them swapped

        with ThreadPoolExecutor(os.cpu_count()) as threads:
            self._sides = list(threads.map(decode, range(len(pictures))))

    def __getitem__(self, number: int) -> list[Tensor]:
        lengths = [CHANNELS * prod(pair) for pair in self._sides[number]]
        parts = self._room(number).split(lengths)
        return [part.view(CHANNELS, *pair) for part, pair in zip(parts, self._sides[number], strict=True)]

    def _room(self, number: int) -> Tensor:
        return self._memory[self._starts[number] : self._starts[number + 1]]


def _bytes(sides: Sides) -> int:
    return sum(CHANNELS * prod(pair) for pair in sides)
