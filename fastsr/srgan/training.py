"""Training of SRGAN in two stages (Ledig et al., arXiv 1609.04802): SRResNet by squared errors, then adversarially."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from ..data.crops import Crops, batches, make_lr
from ..data.protocols import eight_bits
from ..data.training import find_training_pictures
from ..training.ema import Average
from ..training.loop import Outcome, run
from ..training.method import Training
from ..training.run_folder import RunFolder
from ..training.sharing import share, whole_at_last
from ..training.start import start
from ..training.validation import SHOWN, Validation, sheet
from .adversary import Adversary
from .checkpoint import Checkpoint
from .formats import save
from .inference import Enlarger
from .network import SRResNet
from .train_parts import SRGAN_STAGE, SRRESNET_STAGE, described, first_generator, stage_losses
from .train_settings import TrainSettings

Crop = dict[str, Tensor]
"""A batch of crops, as `fastsr.data.crops.batches` yields it."""


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SRGAN, or go on with it.

    Args:
        settings: of the training.
        output: the folder of the run, see `fastsr.training.run_folder`; one that holds a run of the same settings goes
            on after its last checkpoint.
        progress: show a bar on a terminal, and print validations.

    Raises:
        InputError, MissingFileError: a setting, a picture or a file that cannot be used, or the settings differ from
            those of the run in the folder.
        OutputError: the folder cannot be written in.
        DeviceError: a device that is not there.
        TrainingError: a loss is not finite; the last checkpoint stays as it was.
    """
    settings.check()
    accelerator = start(settings, Path(output))
    folder = RunFolder(Path(output))
    folder.check(settings, folder.state())  # before pictures are decoded and VGG is loaded
    outcome = run(SRGANTraining(settings, accelerator), settings, folder, accelerator, progress=progress)
    accelerator.end_training()
    return outcome


class SRGANTraining(Training[Crop]):
    """SRGAN in training; see `Training`.

    The second stage begins with the average of the first one's weights, a new optimizer, and a new discriminator.
    """

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        self._settings, self._accelerator = settings, accelerator
        settings.check_part(self._part)
        self.steps = settings.mse_steps + settings.gan_steps
        pictures = find_training_pictures(settings.data, settings.factor)
        self._pictures = described(pictures, settings.data)
        self._crops = Crops(pictures, settings.crop, settings.factor, settings.seed)
        self._validation = None
        if settings.val is not None and accelerator.is_main_process:
            self._validation = Validation(settings.val, settings.factor)
            self.benchmark = self._validation.name
        self._losses = stage_losses(settings, accelerator.device)

        self._generator = first_generator(settings).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = Average(self._generator.to(accelerator.device), settings.ema) if settings.ema else None
        adam = Adam(self._generator.parameters(), betas=(settings.beta1, 0.999))
        self._parallel, self._optimizer = share(accelerator, self._generator, adam)
        self._adversary: Adversary | None = None

    def facts(self) -> Mapping[str, str]:
        """Return which pictures there are."""
        return {"set of training pictures": self._pictures}

    def stage(self, step: int) -> str:
        """Return "srresnet" or "srgan"."""
        return SRRESNET_STAGE if step < self._settings.mse_steps else SRGAN_STAGE

    def rate(self, step: int) -> float:
        """Return the rate, a tenth of it in the second half of the second stage."""
        settings = self._settings
        return settings.rate if step < settings.mse_steps + settings.gan_steps // 2 else settings.rate / 10

    def batches(self, sample: int) -> Iterator[Crop]:
        """Return the crops of this process."""
        settings, accelerator = self._settings, self._accelerator
        return batches(
            self._crops,
            self._part,
            first=sample,
            rank=accelerator.process_index,
            ranks=accelerator.num_processes,
            workers=settings.readers,
            pin=accelerator.device.type == "cuda",
        )

    def prepare(self, step: int) -> None:
        """Begin the second stage when its time has come."""
        if self.stage(step) == SRGAN_STAGE and self._adversary is None:
            self._generator.load_state_dict(self._result().state_dict())
            self._optimizer.state.clear()
            self._adversary = Adversary(self._settings.crop, self._settings.beta1, self._accelerator)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return generator, average and discriminator."""
        found: dict[str, nn.Module] = {"generator": self._generator}
        if self._average is not None:
            found["average"] = self._average
        if self._adversary is not None:
            found["discriminator"] = self._adversary.network
        return found

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return those of generator and discriminator."""
        found = {"generator": self._optimizer}
        return found if self._adversary is None else {**found, "discriminator": self._adversary.optimizer}

    def step(self, parts: Sequence[Crop]) -> Mapping[str, Tensor]:
        """Update the discriminator if there is one, then the generator."""
        pairs = [self._placed(part) for part in parts]
        if self._adversary is None:
            return self._update(pairs, [None] * len(pairs))
        kept = len(pairs) == 1  # else what is needed for the gradients of all parts would be in memory at once
        with torch.set_grad_enabled(kept):
            fakes = [self._parallel(lr) for lr, _ in pairs]
        judged = self._adversary.step([hr for _, hr in pairs], fakes)
        with self._adversary.frozen():
            terms = self._update(pairs, fakes if kept else [None] * len(pairs))
        return {**terms, "discriminator": judged}

    def validate(self) -> Mapping[str, float]:
        """Return PSNR and SSIM of the averaged generator."""
        return {} if self._validation is None else self._validation.scores(self._enlarger())

    def samples(self) -> Image.Image:
        """Return what the averaged generator makes of pictures to validate on, or of crops to train on."""
        return sheet(self._enlarger(), self._crops_shown() if self._validation is None else self._validation.shown())

    def export(self, path: Path) -> None:
        """Write the averaged generator."""
        save(self._checkpoint(), path)

    @property
    def _part(self) -> int:
        """Crops in a part of a batch."""
        return self._settings.batch // (self._accelerator.num_processes * self._settings.accumulate)

    def _update(self, pairs: Sequence[tuple[Tensor, Tensor]], made: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """Update the generator from pairs of LR and HR and, where they were made before, results; return the losses."""
        loss = self._losses[SRRESNET_STAGE if self._adversary is None else SRGAN_STAGE]
        totals: dict[str, Tensor] = {}
        for index, ((lr, hr), sr) in enumerate(zip(pairs, made, strict=True)):
            with whole_at_last(self._accelerator, self._parallel, index, len(pairs)):
                sr = self._parallel(lr) if sr is None else sr
                logits = None if self._adversary is None else self._adversary.network(sr)
                with self._accelerator.autocast():
                    terms = loss(sr, hr, logits)
                self._accelerator.backward(torch.stack(list(terms.values())).sum() / len(pairs))
            for name, term in terms.items():
                totals[name] = totals.get(name, 0) + term.detach() / len(pairs)
        self._optimizer.step()
        self._optimizer.zero_grad()
        if self._average is not None:
            self._average.update()
        return totals

    def _placed(self, part: Crop) -> tuple[Tensor, Tensor]:
        """Return LR and HR in [0, 1] on the device."""
        there = {name: pictures.to(self._accelerator.device, non_blocking=True) for name, pictures in part.items()}
        lr = there["lr"].float() / 255 if "lr" in there else make_lr(there["hr"], self._settings.factor)
        hr = there["hr"].float() / 255
        return lr.contiguous(memory_format=torch.channels_last), hr.contiguous(memory_format=torch.channels_last)

    def _crops_shown(self) -> list[tuple[Tensor, Tensor]]:
        crops, factor = (self._crops[number] for number in range(SHOWN)), self._settings.factor
        return [(crop.get("lr", eight_bits(make_lr(crop["hr"], factor))), crop["hr"]) for crop in crops]

    def _result(self) -> nn.Module:
        """The generator as it is used: its average, if there is one."""
        return self._generator if self._average is None else self._average.module

    def _checkpoint(self) -> Checkpoint:
        """A copy of `_result` on the CPU; the generator itself may have been given another `forward`."""
        network = SRResNet(self._generator.config)
        network.load_state_dict(self._result().state_dict())
        return Checkpoint(network.eval().requires_grad_(False), "fastsr", "unit", "unit", "weights in training")

    def _enlarger(self) -> Enlarger:
        return Enlarger(self._checkpoint(), self._accelerator.device, torch.float32)
