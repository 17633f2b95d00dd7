"""The training of SRGAN in two stages (Ledig et al., arXiv 1609.04802): with a pixel loss, then adversarially."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from ..checks import input_error
from ..training import loop as training
from ..training.accelerator import sync_on_last_part
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.method import Crop, CropTraining
from ..training.optimizers import muon_adam
from .checkpoints import Checkpoint, load, save
from .inference import TiledUpscaler
from .losses import GeneratorLoss, LossWeights, discriminator_loss
from .networks import Discriminator, SRResNet
from .train_settings import CONTENT_MSE, TrainSettings
from .vgg import load_features

SRRESNET_STAGE, SRGAN_STAGE = "srresnet", "srgan"
PIXEL_TERMS = {"mse": "pixel", "l1": "l1"}
"""The term of the generator's loss for each pixel loss."""


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SRGAN, or resume a run; see `fastsr.training.loop.train`."""
    return training.train(SRGANTraining, settings, output, progress=progress)


class SRGANTraining(CropTraining):
    """SRGAN in training; see `Training`.

    The second stage starts from the averaged weights of the first stage, with a new discriminator and a new state of
    the generator's optimizer.
    """

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        settings.check_part(settings.part(accelerator.num_processes))
        super().__init__(settings, accelerator)
        self._settings = settings
        self.steps = settings.mse_steps + settings.gan_steps
        self._losses = stage_losses(settings, accelerator.device)
        betas = (settings.beta1, 0.999)
        muon = (lambda network: muon_adam(network, "first", "last", betas)) if settings.optimizer == "muon" else None
        generator = initial_generator(settings)
        self._generator = Learner(generator, settings.beta1, accelerator, settings.ema, optimizer=muon)
        self._discriminator: DiscriminatorStep | None = None

    def stage(self, step: int) -> str:
        """Return "srresnet" or "srgan"."""
        return SRRESNET_STAGE if step < self._settings.mse_steps else SRGAN_STAGE

    def rate(self, step: int) -> float:
        """Return the learning rate, which is reduced in warm-up, cooldown and the second half of the second stage."""
        settings = self._settings
        if step < settings.warm_up:
            return settings.rate * (step + 1) / settings.warm_up
        left = settings.mse_steps - step
        if 0 < left < settings.cooldown:
            return settings.rate * left / settings.cooldown
        return settings.rate if step < settings.mse_steps + settings.gan_steps // 2 else settings.rate / 10

    def prepare(self, step: int) -> None:
        """Start the second stage with its first step."""
        if self.stage(step) == SRGAN_STAGE and self._discriminator is None:
            self._generator.network.load_state_dict(self._generator.result())
            self._generator.optimizer.state.clear()
            self._discriminator = DiscriminatorStep(self._settings.crop, self._settings.beta1, self.accelerator)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the generator, its average and the discriminator."""
        modules = self._generator.modules("generator")
        return modules if self._discriminator is None else {**modules, "discriminator": self._discriminator.network}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return the optimizers of the generator and the discriminator."""
        generator = {"generator": self._generator.optimizer}
        return (
            generator if self._discriminator is None else {**generator, "discriminator": self._discriminator.optimizer}
        )

    def step(self, parts: Sequence[Crop]) -> Mapping[str, Tensor]:
        """Update the discriminator, if there is one, then the generator."""
        pairs = [self.to_device(part) for part in parts]
        if self._discriminator is None:
            return self._update_generator(pairs, [None] * len(pairs))
        # With several parts the graphs of all would be in memory at once, so each result is computed again with one.
        reuse = len(pairs) == 1
        with torch.set_grad_enabled(reuse):
            fakes = [self._generator.parallel(lr) for lr, _ in pairs]
        d_loss = self._discriminator.update([hr for _, hr in pairs], fakes)
        with self._discriminator.frozen():
            terms = self._update_generator(pairs, fakes if reuse else [None] * len(pairs))
        return {**terms, "discriminator": d_loss}

    def upscale(self) -> TiledUpscaler:
        """Return an upscaler with the averaged generator."""
        return TiledUpscaler(self._checkpoint(), self.accelerator.device, torch.float32)

    def export(self, path: Path) -> None:
        """Write the averaged generator."""
        save(self._checkpoint(), path)

    def _update_generator(
        self, pairs: Sequence[tuple[Tensor, Tensor]], fakes: Sequence[Tensor | None]
    ) -> dict[str, Tensor]:
        """Update the generator and return the terms of its loss.

        Args:
            pairs: LR and HR of each part.
            fakes: results of the generator for each part; None to compute them.
        """
        loss = self._losses[SRRESNET_STAGE if self._discriminator is None else SRGAN_STAGE]
        generator, totals = self._generator.parallel, dict[str, Tensor]()
        for index, ((lr, hr), sr) in enumerate(zip(pairs, fakes, strict=True)):
            with sync_on_last_part(self.accelerator, generator, index, len(pairs)):
                sr = generator(lr) if sr is None else sr
                logits = None if self._discriminator is None else self._discriminator.network(sr)
                with self.accelerator.autocast():
                    terms = loss(sr, hr, logits)
                self.accelerator.backward(torch.stack(list(terms.values())).sum() / len(pairs))
            for name, term in terms.items():
                totals[name] = totals.get(name, 0) + term.detach() / len(pairs)
        self._generator.update()
        return totals

    def _checkpoint(self) -> Checkpoint:
        """Return a copy of the averaged generator, on the CPU."""
        network = SRResNet(self._settings.generator)
        network.load_state_dict(self._generator.result())
        return Checkpoint(network.eval().requires_grad_(False), "fastsr", "unit", "unit", "weights in training")


class DiscriminatorStep:
    """A new discriminator with its optimizer.

    Attributes:
        network: the discriminator, as this process has it.
        optimizer: its optimizer; the training loop sets its learning rate.

    Args:
        crop: side of the images in pixels.
        beta1: Adam beta1.
        accelerator: accelerator of the training.
    """

    def __init__(self, crop: int, beta1: float, accelerator: Accelerator):
        self._accelerator = accelerator
        self.network = Discriminator(crop)
        self._learner = Learner(self.network, beta1, accelerator)
        self.optimizer = self._learner.optimizer

    def update(self, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
        """Update the discriminator from real and generated images, given by the parts of a step; return the loss."""
        discriminator, d_loss = self._learner.parallel, torch.zeros((), device=self._accelerator.device)
        for index, (hr, sr) in enumerate(zip(real, fake, strict=True)):
            with sync_on_last_part(self._accelerator, discriminator, index, len(real)):
                loss = discriminator_loss(discriminator(hr), discriminator(sr.detach())) / len(real)
                self._accelerator.backward(loss)
            d_loss += loss.detach()
        self._learner.update()
        return d_loss

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let gradients flow through the discriminator to the generator, without gradients of its own weights."""
        self.network.requires_grad_(False)
        try:
            yield
        finally:
            self.network.requires_grad_(True)


def stage_losses(settings: TrainSettings, device: torch.device) -> dict[str, GeneratorLoss]:
    """Return the loss of the generator in each stage.

    VGG19 is loaded here, so that an error about its weights comes before the first stage.
    """
    pixel_term = PIXEL_TERMS[settings.pixel_loss]
    losses = {SRRESNET_STAGE: GeneratorLoss(LossWeights(**{pixel_term: 1.0}))}
    if not settings.gan_steps:
        return losses
    if settings.content == CONTENT_MSE:
        loss = GeneratorLoss(LossWeights(pixel=1.0, adversarial=settings.adversarial))
    else:
        features = load_features(settings.content, settings.vgg_weights, argument="vgg_weights")
        weights = LossWeights(content=1.0, adversarial=settings.adversarial, **{pixel_term: settings.pixel})
        loss = GeneratorLoss(weights, features).to(device)
    # The images are channels_last; with other weights, each convolution would convert its input.
    losses[SRGAN_STAGE] = loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return losses


def initial_generator(settings: TrainSettings) -> SRResNet:
    """Return the generator before the first step: with random weights, or those of `settings.init`.

    Raises:
        InputError, MissingFileError: the weights cannot be loaded, or belong to another kind of generator.
    """
    config = settings.generator
    torch.manual_seed(settings.seed)
    network = SRResNet(config)
    if settings.init is not None:
        checkpoint = load(settings.init, argument="init")
        other = checkpoint.network
        if (
            not isinstance(other, SRResNet)
            or replace(other.config, scale=config.scale) != config
            or {checkpoint.input_range, checkpoint.output_range} != {"unit"}
        ):
            problem = f"is {checkpoint}, and the settings are for {config}"
            advice = "both must be the same except for the scale, with colours in [0, 1]"
            raise input_error("init", settings.init, problem, advice)
        network.load_state_dict(_match_doublings(other, network))
    return network


def _match_doublings(other: SRResNet, network: SRResNet) -> dict[str, Tensor]:
    """Return the state of `network` with the weights of `other`, which may have another scale.

    The last doublings of the two networks are matched. Doublings that `other` lacks keep the weights of `network`.
    """
    shift = len(network.upsampling) - len(other.upsampling)
    state = dict(network.state_dict())
    for key, value in other.state_dict().items():
        part, number, rest = (*key.split(".", 2), "")[:3]
        if part == "upsampling":
            key = f"{part}.{int(number) + shift}.{rest}"
        if key in state:
            state[key] = value
    return state
