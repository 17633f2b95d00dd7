"""Random crops of training pictures, batches of them, and their LR.

Crops are numbered 0, 1, 2, ... without end, and all that is random about one depends on the seed and its number alone:
a run that goes on at a number sees what it would have seen.
"""

from __future__ import annotations

import itertools
import signal
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from fastsr_kernels.resample import axis_table, resample

from ..device import resolve_seed
from ..errors import FastsrError, InputError
from .held import Held, bytes_of, memory_for_pictures
from .training import TrainingPicture

ORDER, PLACE = 0, 1
"""What random numbers are for."""
UPRIGHT = (0, 4)
"""The symmetries of `_cut` that leave the upper side of a picture where it is."""


class Crops(Dataset[dict[str, Tensor]]):
    """Random crops by number.

    ``crops[number]`` is {"hr": uint8 (3, crop, crop)}, and where pictures have LR files also "lr", uint8
    (3, crop / factor, crop / factor), of the same place. In every n crops in a row, from a multiple of n on, each of
    the n pictures comes once, in an order that is new each time. All places in a picture are as likely, for pairs those
    that lie on a pixel of the LR picture, and all 8 flips and rotations, or the 2 that leave pictures upright. Where
    the pictures fit into a share of the memory they are decoded once and kept, else for each crop.

    Attributes:
        paired: whether crops have "lr".
        held: whether decoded pictures are kept.
    """

    def __init__(
        self,
        pictures: Sequence[TrainingPicture],
        crop: int,
        factor: int,
        seed: int,
        *,
        turned: bool = True,
        memory: int | None = None,
    ):
        """Look at the header of every picture, and decode all where they are to be kept.

        Args:
            pictures: all with LR files or all without, as `find_training_pictures` gives them.
            crop: the side of an HR crop in pixels, a multiple of `factor`.
            factor: HR side over LR side.
            seed: of all that is random, an integer from 0 to 2**63 - 1.
            turned: whether crops come in all 8 flips and rotations; False for pictures that have an upper side, such as
                faces: they are only mirrored, left to right.
            memory: the most bytes that decoded pictures may take. None is a quarter of what is available, divided by
                the processes that torchrun started on this machine.

        Raises:
            InputError: there are no pictures, `crop` or `factor` cannot be used, or a picture is smaller than the crop,
                cannot be read, or has an LR file of another size than its own over `factor`.
        """
        if not pictures:
            raise InputError("pictures is empty; give at least one")
        if factor < 1:
            raise InputError(f"factor={factor} cannot be used; give at least 1")
        if crop < 1 or crop % factor:
            raise InputError(f"crop={crop} cannot be used; give a positive multiple of factor={factor}")
        self.paired = pictures[0].lr is not None
        self._pictures, self._crop, self._factor, self._seed = list(pictures), crop, factor, resolve_seed(seed)
        self._symmetries = range(8) if turned else UPRIGHT
        with ThreadPoolExecutor() as threads:
            sides = list(threads.map(self._checked_sides, self._pictures))
        self.held = bytes_of(sides) <= (memory_for_pictures() if memory is None else memory)
        self._held = Held(self._pictures, sides, factor) if self.held else None

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        """Return the crop of a number, 0 or more.

        Raises:
            FastsrError: its picture cannot be read; the message names it.
        """
        epoch, position = divmod(number, len(self._pictures))
        index = int(_order(self._seed, epoch, len(self._pictures))[position])
        hr, *lr = self._pictures[index].read(self._factor) if self._held is None else self._held[index]
        random = np.random.default_rng((self._seed, PLACE, number))
        step = self._factor if self.paired else 1
        top, left = (int(step * random.integers((side - self._crop) // step + 1)) for side in hr.shape[1:])
        symmetry = self._symmetries[random.integers(len(self._symmetries))]
        crop = {"hr": _cut(hr, top, left, self._crop, symmetry)}
        if lr:
            top, left, side = (value // self._factor for value in (top, left, self._crop))
            crop["lr"] = _cut(lr[0], top, left, side, symmetry)
        return crop

    def _checked_sides(self, picture: TrainingPicture) -> list[tuple[int, int]]:
        if (picture.lr is not None) != self.paired:
            raise InputError(f"{picture.hr.label}: some pictures have LR files and others have not; give all or none")
        sides = picture.sides(self._factor)
        height, width = sides[0]
        if min(height, width) < self._crop:
            raise InputError(
                f"{picture.hr.label} is {width}x{height} pixels, smaller than the crop of {self._crop}x{self._crop}; "
                "leave it out, or take smaller crops"
            )
        return sides


def batches(
    crops: Crops, batch: int, *, first: int, rank: int = 0, ranks: int = 1, workers: int, pin: bool = False
) -> Generator[dict[str, Tensor], None, None]:
    """Yield batches of crops without end: "hr" uint8 (batch, 3, crop, crop), and "lr" as `Crops` has it.

    The k-th batch of a rank holds the crops from first + (k ranks + rank) batch on.

    Args:
        crops: where they come from.
        batch: crops in a batch.
        first: the number of the first crop of rank 0.
        rank: of this process among those that share the crops.
        ranks: how many of them there are.
        workers: processes that cut the crops; 0 for this one. They end when the iterator is closed, or with this
            process, and not by Ctrl-C or SIGTERM.
        pin: whether batches are in pinned memory, from which copies to a CUDA device need not be waited for.

    Raises:
        InputError: a number cannot be used.
        FastsrError: a picture cannot be read; the message names it.
    """
    for name, value, least in (("batch", batch, 1), ("first", first, 0), ("ranks", ranks, 1), ("workers", workers, 0)):
        if value < least:
            raise InputError(f"{name}={value} cannot be used; give at least {least}")
    if not 0 <= rank < ranks:
        raise InputError(f"rank={rank} is not one of ranks={ranks}; give 0 to {ranks - 1}")
    numbered: Dataset[Any] = _Batches(crops, batch, first, rank, ranks)
    # Forked processes share what is decoded; where a system does not fork well, torch's own shared memory does.
    context = "fork" if workers and sys.platform == "linux" else None
    return _results(
        DataLoader(
            numbered,
            batch_size=None,
            sampler=itertools.count(),
            num_workers=workers,
            collate_fn=_unchanged,
            pin_memory=pin,
            worker_init_fn=_leave_signals,
            multiprocessing_context=context,
            generator=torch.Generator(),  # else the caller's random numbers would be drawn on
        )
    )


def make_lr(hr: Tensor, factor: int) -> Tensor:
    """Return the LR of crops, each taken as a picture: MATLAB's bicubic imresize, rounded to 8 bits as in LR files.

    Args:
        hr: uint8 (..., H, W), H and W multiples of `factor`.
        factor: HR side over LR side.

    Returns:
        float32 (..., H / factor, W / factor) in [0, 1], whole multiples of 1/255, on the device of `hr`.
    """
    # Not imresize: it asks how much memory is free, which a GPU should not be asked in every step of a training.
    rows, columns = (
        axis_table(side, side // factor, scale=1 / factor, kernel="cubic", antialias=True, border="symmetric")
        for side in hr.shape[-2:]
    )
    lr = hr.double()
    for tables in ((rows, None), (None, columns)):
        lr = (resample(lr, *tables) + 0.5).floor().clamp(0, 255)
    return lr.float() / 255


class _Batches(Dataset[Any]):
    """Batches by number; in place of one that cannot be made the error, which a worker would wrap otherwise."""

    def __init__(self, crops: Crops, batch: int, first: int, rank: int, ranks: int):
        self._crops, self._batch, self._first, self._rank, self._ranks = crops, batch, first, rank, ranks

    def __getitem__(self, number: int) -> dict[str, Tensor] | FastsrError:
        first = self._first + (number * self._ranks + self._rank) * self._batch
        try:
            return default_collate([self._crops[first + i] for i in range(self._batch)])
        except FastsrError as error:
            return error


def _results(loader: DataLoader[Any]) -> Generator[dict[str, Tensor], None, None]:
    for made in loader:
        if isinstance(made, FastsrError):
            raise made
        yield made


def _unchanged(made: Any) -> Any:
    return made


def _leave_signals(worker: int) -> None:
    """Let a worker ignore what asks its whole group to stop: the process that started it ends it."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The order of the pictures in an epoch."""
    return np.random.default_rng((seed, ORDER, epoch)).permutation(count)


def _cut(picture: Tensor, top: int, left: int, side: int, symmetry: int) -> Tensor:
    """Cut a square, and turn it into one of its 8 flips and rotations."""
    square = np.rot90(picture.numpy()[:, top : top + side, left : left + side], symmetry % 4, (1, 2))
    return torch.from_numpy(np.array(square[..., ::-1] if symmetry >= 4 else square, order="C"))  # a copy
