"""Training of SRGAN in two stages (Ledig et al., arXiv 1609.04802): SRResNet by squared errors, then adversarially."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ..training import train as training
from ..training.crops import Crop, CropTraining
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.optimizers import muon_adam
from ..training.sharing import whole_at_last
from .adversary import Adversary
from .checkpoint import Checkpoint
from .formats import save
from .inference import Enlarger
from .network import SRResNet
from .train_parts import SRGAN_STAGE, SRRESNET_STAGE, first_generator, stage_losses
from .train_settings import TrainSettings


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SRGAN, or go on with it; see `fastsr.training.train.train`."""
    return training.train(SRGANTraining, settings, output, progress=progress)


class SRGANTraining(CropTraining):
    """SRGAN in training; see `Training`.

    The second stage begins with the average of the first one's weights, a new optimizer, and a new discriminator.
    """

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        settings.check_part(settings.part(accelerator.num_processes))
        super().__init__(settings, accelerator)
        self._settings = settings
        self.steps = settings.mse_steps + settings.gan_steps
        self._losses = stage_losses(settings, accelerator.device)
        betas = (settings.beta1, 0.999)
        muon = (lambda network: muon_adam(network, "first", "last", betas)) if settings.optimizer == "muon" else None
        self._generator = Learner(first_generator(settings), settings.beta1, accelerator, settings.ema, optimizer=muon)
        self._adversary: Adversary | None = None

    def stage(self, step: int) -> str:
        """Return "srresnet" or "srgan"."""
        return SRRESNET_STAGE if step < self._settings.mse_steps else SRGAN_STAGE

    def rate(self, step: int) -> float:
        """Return the learning rate: less in the warm-up, the cooldown and the second half of the second stage."""
        settings = self._settings
        if step < settings.warm_up:
            return settings.rate * (step + 1) / settings.warm_up
        left = settings.mse_steps - step
        if 0 < left < settings.cooldown:
            return settings.rate * left / settings.cooldown
        return settings.rate if step < settings.mse_steps + settings.gan_steps // 2 else settings.rate / 10

    def prepare(self, step: int) -> None:
        """Begin the second stage when its time has come."""
        if self.stage(step) == SRGAN_STAGE and self._adversary is None:
            self._generator.network.load_state_dict(self._generator.result())
            self._generator.optimizer.state.clear()
            self._adversary = Adversary(self._settings.crop, self._settings.beta1, self.accelerator)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return generator, average and discriminator."""
        found = self._generator.modules("generator")
        return found if self._adversary is None else {**found, "discriminator": self._adversary.network}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return those of generator and discriminator."""
        found = {"generator": self._generator.optimizer}
        return found if self._adversary is None else {**found, "discriminator": self._adversary.optimizer}

    def step(self, parts: Sequence[Crop]) -> Mapping[str, Tensor]:
        """Update the discriminator if there is one, then the generator."""
        pairs = [self.placed(part) for part in parts]
        if self._adversary is None:
            return self._update(pairs, [None] * len(pairs))
        kept = len(pairs) == 1  # else what is needed for the gradients of all parts would be in memory at once
        with torch.set_grad_enabled(kept):
            fakes = [self._generator.parallel(lr) for lr, _ in pairs]
        judged = self._adversary.step([hr for _, hr in pairs], fakes)
        with self._adversary.frozen():
            terms = self._update(pairs, fakes if kept else [None] * len(pairs))
        return {**terms, "discriminator": judged}

    def upscale(self) -> Enlarger:
        """Return the averaged generator."""
        return Enlarger(self._checkpoint(), self.accelerator.device, torch.float32)

    def export(self, path: Path) -> None:
        """Write the averaged generator."""
        save(self._checkpoint(), path)

    def _update(self, pairs: Sequence[tuple[Tensor, Tensor]], made: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """Update the generator from pairs of LR and HR and, where they were made before, results; return the losses."""
        loss = self._losses[SRRESNET_STAGE if self._adversary is None else SRGAN_STAGE]
        generate, totals = self._generator.parallel, dict[str, Tensor]()
        for index, ((lr, hr), sr) in enumerate(zip(pairs, made, strict=True)):
            with whole_at_last(self.accelerator, generate, index, len(pairs)):
                sr = generate(lr) if sr is None else sr
                logits = None if self._adversary is None else self._adversary.network(sr)
                with self.accelerator.autocast():
                    terms = loss(sr, hr, logits)
                self.accelerator.backward(torch.stack(list(terms.values())).sum() / len(pairs))
            for name, term in terms.items():
                totals[name] = totals.get(name, 0) + term.detach() / len(pairs)
        self._generator.update()
        return totals

    def _checkpoint(self) -> Checkpoint:
        """A copy of the generator as it is used, on the CPU."""
        network = SRResNet(self._settings.generator)
        network.load_state_dict(self._generator.result())
        return Checkpoint(network.eval().requires_grad_(False), "fastsr", "unit", "unit", "weights in training")
