"""The interface between a method and the training loop, and what methods that train on crops share."""

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
    """A method in training. Steps are numbered from 0.

    In a training of several processes, all of them call every method except `validate`, `samples` and `export`, which
    the main process calls alone.

    Attributes:
        steps: number of steps of the training.
        benchmark: name of the benchmark of `validate`, in the main process. Only scores on the same benchmark are
            compared.
    """

    steps: int
    benchmark: str = ""

    @abstractmethod
    def facts(self) -> Mapping[str, str]:
        """Return facts other than the settings that must be unchanged for a run to resume, by their names in errors."""

    @abstractmethod
    def stage(self, step: int) -> str:
        """Return the name of the stage that a step belongs to; weights are saved under this name."""

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""

    @abstractmethod
    def batches(self, sample: int) -> Iterator[Batch]:
        """Yield the batches of this process endlessly: its parts of the steps, from sample number `sample` on."""

    @abstractmethod
    def prepare(self, step: int) -> None:
        """Create what a step needs and earlier steps did not; called before each step and before loading a state."""

    @abstractmethod
    def modules(self) -> Mapping[str, nn.Module]:
        """Return all modules with weights or statistics, not wrapped for several processes."""

    @abstractmethod
    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return the optimizers; the loop sets their learning rates."""

    @abstractmethod
    def step(self, parts: Sequence[Batch]) -> Mapping[str, Tensor]:
        """Make one update from the parts of a step that this process has; return its losses, scalars on the device."""

    @abstractmethod
    def validate(self) -> Mapping[str, float]:
        """Return scores, the first of which selects the best weights (higher is better); empty without a benchmark."""

    @abstractmethod
    def samples(self) -> Image.Image:
        """Return a sheet of images made with the current weights."""

    @abstractmethod
    def export(self, path: Path) -> None:
        """Write the weights for inference, a .safetensors file."""


def dataset_digest(images: Sequence[TrainingPicture], folders: Sequence[str]) -> str:
    """Return the number of images and a digest of their file names, such as "4 with names of digest 887fc4f2".

    Names are relative to the folders, which may be moved. Run folders store the result.
    """
    roots = [root for folder in folders for root in (Path(folder).resolve(), Path(folder))]
    pairs = [[_name(stored, roots) for stored in (image.hr, image.lr) if stored is not None] for image in images]
    kind = "with LR files and" if any(image.lr is not None for image in images) else "with"
    return f"{len(images)} {kind} names of digest {hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:8]}"


def _name(stored: StoredPicture, roots: Sequence[Path]) -> str:
    """Return the path of an image relative to the first root that contains it."""
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
"""A batch of crops, as `fastsr.data.crops.batches` yields it: "hr", and "lr" if the images have LR files."""


class CropTraining(Training[Crop]):
    """A method that trains on crops of images.

    Attributes:
        accelerator: accelerator of the training.

    Args:
        settings: settings of the training.
        accelerator: accelerator of the training.
        turned: whether crops are flipped and rotated, or only mirrored; see `fastsr.data.crops.Crops`.

    Raises:
        InputError, MissingFileError: images are missing or cannot be used.
    """

    def __init__(self, settings: CropSettings, accelerator: Accelerator, *, turned: bool = True):
        self.accelerator = accelerator
        self._factor, self._readers = settings.factor, settings.readers
        self._part = settings.part(accelerator.num_processes)
        images = find_training_pictures(settings.data, settings.factor)
        self._digest = dataset_digest(images, settings.data)
        self._crops = Crops(images, settings.crop, settings.factor, settings.seed, turned=turned)
        self._validation = None
        if settings.val is not None and accelerator.is_main_process:
            self._validation = Validation(settings.val, settings.factor)
            self.benchmark = self._validation.name

    @abstractmethod
    def upscale(self) -> Upscale:
        """Return a function that upscales with the current weights."""

    def facts(self) -> Mapping[str, str]:
        """Return the digest of the training images."""
        return {"set of training pictures": self._digest}

    def batches(self, sample: int) -> Iterator[Crop]:
        """Return the crops of this process."""
        return own_batches(self._crops, self._part, self._readers, self.accelerator, sample)

    def to_device(self, part: Crop) -> tuple[Tensor, Tensor]:
        """Return LR (N, 3, h, w) and HR (N, 3, H, W) of a batch, float32 in [0, 1] and channels_last on the device."""
        crops = {name: values.to(self.accelerator.device, non_blocking=True) for name, values in part.items()}
        lr = crops["lr"].float() / 255 if "lr" in crops else make_lr(crops["hr"], self._factor)
        hr = crops["hr"].float() / 255
        return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)

    def validate(self) -> Mapping[str, float]:
        """Return the scores on the benchmark; empty without one."""
        return {} if self._validation is None else self._validation.scores(self.upscale())

    def samples(self) -> Image.Image:
        """Return a sheet of results for images of the benchmark, or for training crops if there is no benchmark."""
        return sheet(self.upscale(), self._sample_crops() if self._validation is None else self._validation.samples())

    def _sample_crops(self) -> list[tuple[Tensor, Tensor]]:
        crops = (self._crops[number] for number in range(SHOWN))
        return [(crop.get("lr", to_uint8(make_lr(crop["hr"], self._factor))), crop["hr"]) for crop in crops]


def own_batches(crops: Crops, part: int, readers: int, accelerator: Accelerator, sample: int) -> Iterator[Crop]:
    """Yield the batches of this process endlessly.

    Args:
        crops: crops of all processes.
        part: number of crops in a batch.
        readers: number of processes that load and cut images.
        accelerator: accelerator of the training.
        sample: number of the first crop of all processes.
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
