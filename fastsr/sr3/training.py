"""Training of SR3 (Saharia et al., arXiv 2104.07636): a network learns to say which noise is in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from fastsr_kernels.noise import diffuse

from ..checks import input_error
from ..training import loop as training
from ..training.accelerator import sync_on_last_part
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.method import Crop, CropTraining
from ..training.settings import seed_of
from .arguments import TILE_OF_TRAINED, Options
from .checkpoints import Checkpoint, load, save
from .inference import DiffusionSampler, condition_of
from .network import UNet
from .sampling import SAMPLERS, plan
from .schedules import target
from .train_settings import SAMPLER, TrainSettings

CURVES_AGREE = 1e-4
"""How much noise curves may differ, relative to gamma: files have them in float32."""


def first_network(settings: TrainSettings) -> UNet:
    """Return the network with its first weights.

    Raises:
        InputError, MissingFileError: those of ``settings.init`` cannot be used.
    """
    torch.manual_seed(settings.seed)
    network = UNet(settings.network)
    if settings.init is not None:
        network.load_state_dict(_given(settings.init, settings))
    return network


class NoisyPairs:
    """Noisy images, and what the network is to say of them.

    The noise of a sample depends on the seed and the number of the sample alone, however a step is shared out.

    Args:
        settings: of the training.
        device: where images are.
    """

    def __init__(self, settings: TrainSettings, device: torch.device):
        self._settings, self._device = settings, device
        self._levels = settings.curve.sqrt().to(device)

    def levels(self, step: int) -> Tensor:
        """Return sqrt(gamma) of each sample of a step, float64 (batch,).

        Uniform between those of two neighbouring times of the schedule, of which all are as likely.
        """
        last = len(self._levels) - 1
        generator = torch.Generator(self._device).manual_seed(seed_of(self._settings.seed, step))
        drawn = torch.rand(self._settings.batch, generator=generator, dtype=torch.float64, device=self._device)
        times = drawn * last
        before = times.long().clamp(max=last - 1)
        return torch.lerp(self._levels[before], self._levels[before + 1], times - before)

    def lesson(self, images: Tensor, levels: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return noisy images, and what the network is to say of them.

        Args:
            images: (N, 3, H, W) in [-1, 1], float32.
            levels: sqrt(gamma) of each, float64 (N,).
            numbers: of the samples, int64 (N,).
        """
        gammas = levels.square()
        pairs = (levels, (1 - gammas).sqrt()), target(self._settings.prediction, gammas)
        noisy, said = (
            diffuse(images, signal.float(), noise.float(), numbers, self._settings.seed) for signal, noise in pairs
        )
        return noisy, said


def _given(init: str, settings: TrainSettings) -> dict[str, Tensor]:
    """Return the weights in a file, when it holds a network of these settings; dropout is not in the weights."""
    checkpoint = load(init)
    config = replace(checkpoint.network.config, dropout=settings.dropout)
    facts = {
        "network": (config, settings.network),
        "prediction": (checkpoint.prediction, settings.prediction),
        "factor": (checkpoint.factor or settings.factor, settings.factor),
        "crop": (checkpoint.size or settings.crop, settings.crop),
    }
    other = [f"{name} {there} instead of {here}" for name, (there, here) in facts.items() if there != here]
    curves = checkpoint.curve, settings.curve
    if len(curves[0]) != len(curves[1]) or not torch.allclose(*curves, rtol=CURVES_AGREE, atol=0):
        other.append(f"noise curve of {_in_words(curves[0])} instead of {_in_words(curves[1])}")
    if other:
        raise input_error("init", init, f"is {checkpoint}, and was trained with other settings: {'; '.join(other)}")
    return checkpoint.network.state_dict()


def _in_words(curve: Tensor) -> str:
    steps = len(curve) - 1
    return f"{steps} steps, gamma {curve[steps // 2].item():.4g} after half of them and {curve[-1].item():.4g} at last"


STAGE = "sr3"
BETA1 = 0.9
DISTANCES = {"l1": F.l1_loss, "l2": F.mse_loss}


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SR3, or resume a run; see `fastsr.training.loop.train`."""
    return training.train(SR3Training, settings, output, progress=progress)


class SR3Training(CropTraining):
    """SR3 in training; see `Training`. Images are mirrored and not turned."""

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        super().__init__(settings, accelerator, turned=False)
        self._settings = settings
        self.steps = settings.steps
        self._lessons = NoisyPairs(settings, accelerator.device)
        self._learner = Learner(first_network(settings), BETA1, accelerator, settings.ema)
        self._step = 0

    def stage(self, step: int) -> str:
        """Return "sr3"."""
        return STAGE

    def rate(self, step: int) -> float:
        """Return the rate, which grows with the steps of the warm-up."""
        settings = self._settings
        return settings.rate * min((step + 1) / max(settings.warm_up, 1), 1)

    def prepare(self, step: int) -> None:
        """Note which step it is."""
        self._step = step

    def modules(self) -> Mapping[str, nn.Module]:
        """Return network and average."""
        return self._learner.modules("network")

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return that of the network."""
        return {"network": self._learner.optimizer}

    def step(self, parts: Sequence[Crop]) -> Mapping[str, Tensor]:
        """Update the network."""
        settings, device, say = self._settings, self.accelerator.device, self._learner.parallel
        levels = self._lessons.levels(self._step)
        total = torch.zeros((), device=device)
        for index, part in enumerate(parts):
            lr, hr = self.placed(part)
            here = self._places(index, len(hr))
            numbers = torch.arange(here.start, here.stop, device=device) + self._step * settings.batch
            noisy, wanted = self._lessons.lesson(2 * hr - 1, levels[here], numbers)
            condition = condition_of(lr, (settings.crop, settings.crop)).contiguous(memory_format=torch.channels_last)
            with sync_on_last_part(self.accelerator, say, index, len(parts)):
                said = say(condition, noisy, levels[here].float())
                loss = DISTANCES[settings.loss](said.float(), wanted) / len(parts)
                self.accelerator.backward(loss)
            total += loss.detach()
        self._learner.update()
        return {settings.loss: total}

    def upscale(self) -> Callable[[Tensor], Tensor]:
        """Return what draws images by the averaged weights, with seed 0, and leaves them as they are drawn."""
        settings, checkpoint = self._settings, self._checkpoint()
        steps = plan(checkpoint.curve, checkpoint.prediction, SAMPLER, SAMPLERS[SAMPLER].spacing, settings.val_steps)
        dtype = torch.bfloat16 if settings.precision == "bfloat16" else torch.float32
        options = Options(
            checkpoint,
            factor=settings.factor,
            plan=steps,
            samples=1,
            seed=0,
            consistency=False,
            tile=TILE_OF_TRAINED * settings.crop,
            device=self.accelerator.device,
            dtype=dtype,
        )
        diffuser = DiffusionSampler(options)

        def drawn(pixels: Tensor) -> Tensor:
            height, width = (settings.factor * side for side in pixels.shape[-2:])
            return diffuser(pixels, (height, width))[:, 0]

        return drawn

    def export(self, path: Path) -> None:
        """Write the averaged weights."""
        save(self._checkpoint(), path)

    def _places(self, index: int, count: int) -> slice:
        """Return which samples of a step the part of this number has, of `count`."""
        first = (index * self.accelerator.num_processes + self.accelerator.process_index) * count
        return slice(first, first + count)

    def _checkpoint(self) -> Checkpoint:
        """A copy of the network as it is used, on the CPU."""
        settings = self._settings
        network = UNet(settings.network)
        network.load_state_dict(self._learner.result())
        return Checkpoint(
            network.eval().requires_grad_(False),
            settings.curve,
            settings.prediction,
            settings.factor,
            settings.crop,
            "fastsr",
            "weights in training",
        )
