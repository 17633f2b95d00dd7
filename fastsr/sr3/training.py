"""Training of SR3 (Saharia et al., arXiv 2104.07636): a network learns to predict the noise in an image.

`train` runs it. `SR3Training` is what the training loop drives, and `NoisyPairs` makes its inputs and targets.
"""

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
from .schedules import target_coefficients
from .train_settings import SAMPLER, TrainSettings

STAGE = "sr3"
"""The name of the only stage of the training."""
BETA1 = 0.9
"""Adam's beta1."""
LOSS_FUNCTIONS = {"l1": F.l1_loss, "l2": F.mse_loss}
SCHEDULE_TOLERANCE = 1e-4
"""The relative difference in gamma up to which noise schedules are equal: files of others have them in float32."""


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SR3, or resume its training; see `fastsr.training.loop.train`."""
    return training.train(SR3Training, settings, output, progress=progress)


class SR3Training(CropTraining):
    """The training of SR3; see `fastsr.training.method.Training`. Crops are flipped at random, but not rotated."""

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        super().__init__(settings, accelerator, turned=False)
        self._settings = settings
        self.steps = settings.steps
        self._pairs = NoisyPairs(settings, accelerator.device)
        self._learner = Learner(initial_network(settings), BETA1, accelerator, settings.ema)
        self._step = 0

    def stage(self, step: int) -> str:
        """Return "sr3"."""
        return STAGE

    def rate(self, step: int) -> float:
        """Return the learning rate, which rises linearly during the warm-up."""
        settings = self._settings
        return settings.rate * min((step + 1) / max(settings.warm_up, 1), 1)

    def prepare(self, step: int) -> None:
        """Store the number of the step."""
        self._step = step

    def modules(self) -> Mapping[str, nn.Module]:
        """Return the network and its EMA."""
        return self._learner.modules("network")

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return the optimizer of the network."""
        return {"network": self._learner.optimizer}

    def step(self, parts: Sequence[Crop]) -> Mapping[str, Tensor]:
        """Update the network, and return its loss."""
        settings, device, network = self._settings, self.accelerator.device, self._learner.parallel
        levels = self._pairs.levels(self._step)
        total = torch.zeros((), device=device)
        for index, part in enumerate(parts):
            lr, hr = self.placed(part)
            rows = self._rows(index, len(hr))
            seeds = torch.arange(rows.start, rows.stop, device=device) + self._step * settings.batch
            noisy, target = self._pairs.q_sample(2 * hr - 1, levels[rows], seeds)
            condition = condition_of(lr, (settings.crop, settings.crop)).contiguous(memory_format=torch.channels_last)
            with sync_on_last_part(self.accelerator, network, index, len(parts)):
                model_out = network(condition, noisy, levels[rows].float())
                loss = LOSS_FUNCTIONS[settings.loss](model_out.float(), target) / len(parts)
                self.accelerator.backward(loss)
            total += loss.detach()
        self._learner.update()
        return {settings.loss: total}

    def upscale(self) -> Callable[[Tensor], Tensor]:
        """Return a function that samples with the EMA weights, with seed 0 and without the consistency projection."""
        settings, checkpoint = self._settings, self._checkpoint()
        spacing = SAMPLERS[SAMPLER].spacing
        options = Options(
            checkpoint,
            factor=settings.factor,
            plan=plan(checkpoint.alphas_cumprod, checkpoint.prediction, SAMPLER, spacing, settings.val_steps),
            samples=1,
            seed=0,
            consistency=False,
            tile=TILE_OF_TRAINED * settings.crop,
            device=self.accelerator.device,
            dtype=torch.bfloat16 if settings.precision == "bfloat16" else torch.float32,
        )
        sampler = DiffusionSampler(options)

        def upscale(pixels: Tensor) -> Tensor:
            height, width = (settings.factor * side for side in pixels.shape[-2:])
            return sampler(pixels, (height, width))[:, 0]

        return upscale

    def export(self, path: Path) -> None:
        """Write the EMA weights."""
        save(self._checkpoint(), path)

    def _rows(self, index: int, count: int) -> slice:
        """Return which samples of a step are in part number `index`, of `count` samples, of this process."""
        first = (index * self.accelerator.num_processes + self.accelerator.process_index) * count
        return slice(first, first + count)

    def _checkpoint(self) -> Checkpoint:
        """Return a copy of the network for inference, on the CPU."""
        settings = self._settings
        network = UNet(settings.network)
        network.load_state_dict(self._learner.result())
        return Checkpoint(
            network.eval().requires_grad_(False),
            settings.alphas_cumprod,
            settings.prediction,
            settings.factor,
            settings.crop,
            "fastsr",
            "weights in training",
        )


class NoisyPairs:
    """Makes noisy images and the targets of the network.

    The noise of a sample depends only on the random seed and the number of the sample, however the processes share a
    step.

    Args:
        settings: settings of the training.
        device: device of the images.
    """

    def __init__(self, settings: TrainSettings, device: torch.device):
        self._settings, self._device = settings, device
        self._levels = settings.alphas_cumprod.sqrt().to(device)

    def levels(self, step: int) -> Tensor:
        """Draw sqrt(gamma) for each sample of a step, float64 (batch,).

        As in the paper, t is uniform, and sqrt(gamma) is uniform between its values at t - 1 and t.
        """
        last = len(self._levels) - 1
        generator = torch.Generator(self._device).manual_seed(seed_of(self._settings.seed, step))
        uniform = torch.rand(self._settings.batch, generator=generator, dtype=torch.float64, device=self._device)
        times = uniform * last
        lower = times.long().clamp(max=last - 1)
        return torch.lerp(self._levels[lower], self._levels[lower + 1], times - lower)

    def q_sample(self, images: Tensor, levels: Tensor, seeds: Tensor) -> tuple[Tensor, Tensor]:
        """Sample q(x_t | x0), and return x_t = sqrt(gamma) x0 + sqrt(1 - gamma) n with the target of the network.

        Args:
            images: x0, (N, 3, H, W) in [-1, 1], float32.
            levels: sqrt(gamma) of each image, float64 (N,).
            seeds: number of each sample in the training, int64 (N,), which determines its noise n.

        Returns:
            x_t and the target, each (N, 3, H, W), float32.
        """
        gammas = levels.square()
        coefficients = (levels, (1 - gammas).sqrt()), target_coefficients(self._settings.prediction, gammas)
        noisy, target = (
            diffuse(images, signal.float(), noise.float(), seeds, self._settings.seed) for signal, noise in coefficients
        )
        return noisy, target


def initial_network(settings: TrainSettings) -> UNet:
    """Return the network with its initial weights, random or those of ``settings.init``.

    Raises:
        InputError, MissingFileError: the weights of ``settings.init`` cannot be used.
    """
    torch.manual_seed(settings.seed)
    network = UNet(settings.network)
    if settings.init is not None:
        network.load_state_dict(_load_init(settings.init, settings))
    return network


def _load_init(init: str, settings: TrainSettings) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, if it was trained with these settings; dropout may differ.

    Raises:
        InputError: other settings differ; the message lists all of them.
    """
    checkpoint = load(init)
    config = replace(checkpoint.network.config, dropout=settings.dropout)
    pairs = {
        "network": (config, settings.network),
        "prediction": (checkpoint.prediction, settings.prediction),
        "factor": (checkpoint.factor or settings.factor, settings.factor),
        "crop": (checkpoint.size or settings.crop, settings.crop),
    }
    differences = [f"{name} {theirs} instead of {ours}" for name, (theirs, ours) in pairs.items() if theirs != ours]
    theirs, ours = checkpoint.alphas_cumprod, settings.alphas_cumprod
    if len(theirs) != len(ours) or not torch.allclose(theirs, ours, rtol=SCHEDULE_TOLERANCE, atol=0):
        differences.append(f"noise schedule of {_summarize(theirs)} instead of {_summarize(ours)}")
    if differences:
        problem = f"is {checkpoint}, and was trained with other settings: {'; '.join(differences)}"
        raise input_error("init", init, problem)
    return checkpoint.network.state_dict()


def _summarize(alphas_cumprod: Tensor) -> str:
    steps = len(alphas_cumprod) - 1
    middle, last = alphas_cumprod[steps // 2].item(), alphas_cumprod[-1].item()
    return f"{steps} steps, with gamma {middle:.4g} after half of them and {last:.4g} at the end"
