"""What methods share that learn from random crops of pictures to enlarge pictures."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from ..data.crops import Crops, batches, make_lr
from ..data.protocols import eight_bits
from ..data.training import find_training_pictures
from .method import Training
from .pictures import described
from .settings import CropSettings
from .validation import SHOWN, Upscale, Validation, sheet

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
        InputError, MissingFileError: pictures that are not there, or cannot be used.
    """

    def __init__(self, settings: CropSettings, accelerator: Accelerator, *, turned: bool = True):
        self.accelerator = accelerator
        self._factor, self._readers = settings.factor, settings.readers
        self._part = settings.part(accelerator.num_processes)
        pictures = find_training_pictures(settings.data, settings.factor)
        self._pictures = described(pictures, settings.data)
        self._crops = Crops(pictures, settings.crop, settings.factor, settings.seed, turned=turned)
        self._validation = None
        if settings.val is not None and accelerator.is_main_process:
            self._validation = Validation(settings.val, settings.factor)
            self.benchmark = self._validation.name

    @abstractmethod
    def upscale(self) -> Upscale:
        """Return what the weights make of a picture."""

    def facts(self) -> Mapping[str, str]:
        """Return which pictures there are."""
        return {"set of training pictures": self._pictures}

    def batches(self, sample: int) -> Iterator[Crop]:
        """Return the crops of this process."""
        return own_batches(self._crops, self._part, self._readers, self.accelerator, sample)

    def placed(self, part: Crop) -> tuple[Tensor, Tensor]:
        """Return LR and HR in [0, 1] on the device."""
        there = {name: pictures.to(self.accelerator.device, non_blocking=True) for name, pictures in part.items()}
        lr = there["lr"].float() / 255 if "lr" in there else make_lr(there["hr"], self._factor)
        hr = there["hr"].float() / 255
        return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)

    def validate(self) -> Mapping[str, float]:
        """Return the scores of what the weights make of the benchmark; none without one."""
        return {} if self._validation is None else self._validation.scores(self.upscale())

    def samples(self) -> Image.Image:
        """Return what the weights make of pictures to validate on, or of crops to train on."""
        return sheet(self.upscale(), self._crops_shown() if self._validation is None else self._validation.shown())

    def _crops_shown(self) -> list[tuple[Tensor, Tensor]]:
        crops = (self._crops[number] for number in range(SHOWN))
        return [(crop.get("lr", eight_bits(make_lr(crop["hr"], self._factor))), crop["hr"]) for crop in crops]


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
