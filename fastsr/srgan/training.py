"""Training of SRGAN in two stages (Ledig et al., arXiv 1609.04802): SRResNet by squared errors, then adversarially."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import FastsrError, InputError
from ..metrics.st_lpips import ShiftTolerantFeatures
from ..metrics.st_lpips import load_features as load_shift_tolerant
from ..training import loop as training
from ..training.accelerator import sync_on_last_part
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.method import Crop, CropTraining
from ..training.optimizers import muon_adam
from .checkpoints import Checkpoint, load, save
from .inference import TiledUpscaler
from .losses import SRRESNET, GeneratorLoss, LossWeights, discriminator_loss
from .networks import Discriminator, PatchDiscriminator, SRResNet
from .train_settings import PIXELS, SHIFT_TOLERANT, TrainSettings
from .vgg import VGGFeatures, load_features

SRRESNET_STAGE, SRGAN_STAGE = "srresnet", "srgan"
PATCH_BETAS = (0.5, 0.99)
"""Decay rates of Adam for the patch discriminator, with less momentum than usual, as for most adversarial training."""


def first_generator(settings: TrainSettings) -> SRResNet:
    """Return the generator with its first weights."""
    config = settings.generator
    torch.manual_seed(settings.seed)
    network = SRResNet(config)
    if settings.init is not None:
        checkpoint = _checkpoint_of(settings.init)
        other = checkpoint.network
        if (
            not isinstance(other, SRResNet)
            or replace(other.config, scale=config.scale) != config
            or {checkpoint.input_range, checkpoint.output_range} != {"unit"}
        ):
            raise InputError(
                f"init={settings.init!r} is {checkpoint}, and the settings are for {config}; both must be the same "
                "but for the scale, with colours in [0, 1]"
            )
        network.load_state_dict(_at_scale(other.state_dict(), other, network))
    return network


def _checkpoint_of(init: str) -> Checkpoint:
    """Return the generator in a file; errors call it by the name of the setting."""
    try:
        return load(init)
    except FastsrError as error:
        raise type(error)(str(error).replace("weights=", "init=", 1)) from error


def _at_scale(weights: dict[str, Tensor], of: SRResNet, network: SRResNet) -> dict[str, Tensor]:
    """Return weights for a network of another scale: its last doublings are those of the other one, as many as it has.

    Doublings that the other one lacks keep the weights that they have.
    """
    shift = len(network.upsampling) - len(of.upsampling)
    result = dict(network.state_dict())
    for key, value in weights.items():
        part, number, rest = (*key.split(".", 2), "")[:3]
        if part == "upsampling":
            key = f"{part}.{int(number) + shift}.{rest}"
        if key in result:
            result[key] = value
    return result


def stage_losses(settings: TrainSettings, device: torch.device) -> dict[str, GeneratorLoss]:
    """Return the generator's loss in each stage; weights of VGG that are not there are told before the first stage."""
    losses = {SRRESNET_STAGE: GeneratorLoss(LossWeights(l1=1.0) if settings.pixel_loss == "l1" else SRRESNET)}
    if settings.gan_steps:
        pixels = settings.content == PIXELS
        pixel = 1.0 if pixels else settings.pixel
        absolute = settings.pixel_loss == "l1" and not pixels
        content = 0.0 if pixels else settings.content_weight
        weights = LossWeights(0.0 if absolute else pixel, content, settings.adversarial, pixel if absolute else 0.0)
        features = content_features(settings) if content else None
        # As the pictures are laid out; else each convolution would copy what it gets.
        loss = GeneratorLoss(weights, features).to(device)
        losses[SRGAN_STAGE] = loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return losses


def content_features(settings: TrainSettings) -> VGGFeatures | ShiftTolerantFeatures:
    """Return the network whose features the content loss compares."""
    if settings.content in SHIFT_TOLERANT:
        levels = 1 + SHIFT_TOLERANT.index(settings.content)
        return load_shift_tolerant("vgg", settings.vgg_weights, levels)
    return load_features(settings.content, settings.vgg_weights)


class DiscriminatorStep:
    """A discriminator, new, and its optimizer.

    Args:
        settings: of the training.
        accelerator: of the training.
    """

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        self._accelerator = accelerator
        self.network: nn.Module
        if settings.discriminator == "patch":
            self.network = PatchDiscriminator()
            self._learner = Learner(self.network, PATCH_BETAS[0], accelerator, beta2=PATCH_BETAS[1])
        else:
            self.network = Discriminator(settings.crop)
            self._learner = Learner(self.network, settings.beta1, accelerator)
        self.optimizer = self._learner.optimizer
        for group in self.optimizer.param_groups:
            group["rate_factor"] = settings.discriminator_rate

    def step(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Make one update from pictures and generated ones, each in parts of a step, and return the loss."""
        judge, total = self._learner.parallel, torch.zeros((), device=self._accelerator.device)
        for index, (hr, sr) in enumerate(zip(real, fake, strict=True)):
            with sync_on_last_part(self._accelerator, judge, index, len(real)):
                loss = discriminator_loss(judge(hr), judge(sr.detach())) / len(real)
                self._accelerator.backward(loss)
            total += loss.detach()
        self._learner.update()
        return total

    @contextmanager
    def frozen(self) -> Iterator[nn.Module]:
        """Give the discriminator of this process for the generator's gradients, and get none for itself."""
        self.network.requires_grad_(False)
        try:
            yield self.network
        finally:
            self.network.requires_grad_(True)


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SRGAN, or go on with it; see `fastsr.training.loop.train`."""
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
        self._adversary: DiscriminatorStep | None = None

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
            self._adversary = DiscriminatorStep(self._settings, self.accelerator)

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

    def upscale(self) -> TiledUpscaler:
        """Return the averaged generator."""
        return TiledUpscaler(self._checkpoint(), self.accelerator.device, torch.float32)

    def export(self, path: Path) -> None:
        """Write the averaged generator."""
        save(self._checkpoint(), path)

    def _update(self, pairs: Sequence[tuple[Tensor, Tensor]], made: Sequence[Tensor | None]) -> dict[str, Tensor]:
        """Update the generator from pairs of LR and HR and, where they were made before, results; return the losses."""
        loss = self._losses[SRRESNET_STAGE if self._adversary is None else SRGAN_STAGE]
        generate, totals = self._generator.parallel, dict[str, Tensor]()
        for index, ((lr, hr), sr) in enumerate(zip(pairs, made, strict=True)):
            with sync_on_last_part(self.accelerator, generate, index, len(pairs)):
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
