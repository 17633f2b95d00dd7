"""What a method brings to the training loop."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.crops import Crops, batches, make_lr
from ..data.lmdb import Record
from ..data.stored_images import PictureFile, StoredPicture, to_uint8
from ..data.stores import LMDBSquare
from ..data.training_sets import TrainingPicture, find_training_pictures
from .settings import CropSettings
from .validation import SHOWN, Upscale, Validation, sheet

Batch = TypeVar("Batch")


class Training(ABC, Generic[Batch]):
    """A method in training. Steps are numbered from 0; several processes call everything but the last three alike.

    Attributes:
        steps: how many there are.
        benchmark: what `validate` is on, in the one process that calls it; scores of another one are not compared.
    """

    steps: int
    benchmark: str = ""

    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Return what, beside the settings, must be as it was for a run to resume, by what errors call it."""

    @abstractmethod
    def stage(self, step: int) -> str:
        """Return the name of what step number `step` trains; its weights are kept under that name."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    @abstractmethod
    def batches(self, sample: int) -> Iterator[Batch]:
        """Return the batches of this process without end, its parts of the steps from sample number `sample` on."""

    @abstractmethod
    def prepare(self, step: int) -> None:
        """Make what a step needs that steps before it did not; called before each, and before a state is loaded."""

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Return everything with weights or statistics, as it is and not as processes share it."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return the optimizers; the loop sets their learning rates."""

    @abstractmethod
    def step(self, parts: Sequence[Batch]) -> Mapping[str, Tensor]:
        """Make one update from this process's parts of a step, and return its losses, numbers on the device."""

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Return scores, or none; the higher the first one is, the better the weights are."""

    @abstractmethod
    def samples(self) -> Image.Image:
        """Return an image that shows what the weights do."""

    @abstractmethod
    def export(self, path: Path) -> None:
        """Write the weights for use: a .safetensors file."""


TRAINING_IMAGES = "set of training pictures"
"""Name of the digest of the training images in the checkpoints of a run, which runs of earlier versions have too."""


def dataset_digest(images: Sequence[TrainingPicture], folders: Sequence[str]) -> str:
    """Say which images there are, by the names of their HR and LR files, wherever the folders are."""
    roots = [root for folder in folders for root in (Path(folder).resolve(), Path(folder))]
    pairs = [[_name(stored, roots) for stored in (one.hr, one.lr) if stored is not None] for one in images]
    kind = "with LR files and" if any(one.lr is not None for one in images) else "with"
    return f"{len(images)} {kind} names of digest {hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:8]}"


def _name(stored: StoredPicture, roots: Sequence[Path]) -> str:
    """The path of an image below the first root that it is in."""
    path = _path(stored)
    return next(path.relative_to(root) for root in roots if path.is_relative_to(root)).as_posix()


def _path(stored: StoredPicture) -> Path:
    if isinstance(stored, Record):
        return stored.folder / stored.name
    if isinstance(stored, LMDBSquare):
        return stored.folder / stored.key
    assert isinstance(stored, PictureFile)
    return stored.path


Crop = dict[str, Tensor]
"""A batch of crops, as `fastsr.data.crops.batches` yields it."""


class CropTraining(Training[Crop]):
    """A method that learns from crops.

    Attributes:
        accelerator: of the training.

    Args:
        settings: of the training.
        accelerator: of the training.
        turned: see `fastsr.data.crops.Crops`.

    Raises:
        InputError, MissingFileError: images that are not there, or cannot be used.
    """

    def __init__(self, settings: CropSettings, accelerator: Accelerator, *, turned: bool = True):
        self.accelerator = accelerator
        self._factor, self._readers = settings.factor, settings.readers
        self._part = settings.part(accelerator.num_processes)
        images = find_training_pictures(settings.data, settings.factor)
        self._pictures = dataset_digest(images, settings.data)
        self._crops = Crops(images, settings.crop, settings.factor, settings.seed, turned=turned)
        self._validation = None
        if settings.val is not None and accelerator.is_main_process:
            self._validation = Validation(settings.val, settings.factor)
            self.benchmark = self._validation.name

    @abstractmethod
    def upscale(self) -> Upscale:
        """Return what the weights make of a picture."""

    def facts(self) -> Mapping[str, str]:
        """Return which images there are."""
        return {TRAINING_IMAGES: self._pictures}

    def batches(self, sample: int) -> Iterator[Crop]:
        """Return the crops of this process."""
        return own_batches(self._crops, self._part, self._readers, self.accelerator, sample)

    def placed(self, part: Crop) -> tuple[Tensor, Tensor]:
        """Return LR and HR in [0, 1] on the device."""
        there = {name: images.to(self.accelerator.device, non_blocking=True) for name, images in part.items()}
        lr = there["lr"].float() / 255 if "lr" in there else make_lr(there["hr"], self._factor)
        hr = there["hr"].float() / 255
        return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)

    def validate(self) -> Mapping[str, float]:
        """Return the scores of what the weights make of the benchmark; none without one."""
        return {} if self._validation is None else self._validation.scores(self.upscale())

    def samples(self) -> Image.Image:
        """Return what the weights make of images to validate on, or of crops to train on."""
        return sheet(self.upscale(), self._crops_shown() if self._validation is None else self._validation.shown())

    def _crops_shown(self) -> list[tuple[Tensor, Tensor]]:
        crops = (self._crops[number] for number in range(SHOWN))
        return [(crop.get("lr", to_uint8(make_lr(crop["hr"], self._factor))), crop["hr"]) for crop in crops]


def own_batches(crops: Crops, part: int, readers: int, accelerator: Accelerator, sample: int) -> Iterator[Crop]:
    """Return the crops of this process without end, its parts of the steps from sample number `sample` on.

    Args:
        crops: of all processes.
        part: crops in a part.
        readers: processes that cut them.
        accelerator: of the training.
        sample: the number of the first crop.
    """
    return batches(
        crops,
        part,
        first=sample,
        rank=accelerator.process_index,
        ranks=accelerator.num_processes,
        workers=readers,
        pin=accelerator.device.type == "cuda",
    )
