"""Training of SR3 (Saharia et al., arXiv 2104.07636): a network learns to say which noise is in a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from ..training import train as training
from ..training.crops import Crop, CropTraining
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.sharing import whole_at_last
from .arguments import TILE_OF_TRAINED, Options
from .checkpoint import Checkpoint
from .formats import save
from .inference import Diffuser, condition_of
from .network import UNet
from .plans import plan
from .samplers import SAMPLERS
from .train_parts import Lessons, first_network
from .train_settings import SAMPLER, TrainSettings

STAGE = "sr3"
BETA1 = 0.9
DISTANCES = {"l1": F.l1_loss, "l2": F.mse_loss}


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train SR3, or go on with it; see `fastsr.training.train.train`."""
    return training.train(SR3Training, settings, output, progress=progress)


class SR3Training(CropTraining):
    """SR3 in training; see `Training`. Pictures are mirrored and not turned."""

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        super().__init__(settings, accelerator, turned=False)
        self._settings = settings
        self.steps = settings.steps
        self._lessons = Lessons(settings, accelerator.device)
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
            with whole_at_last(self.accelerator, say, index, len(parts)):
                said = say(condition, noisy, levels[here].float())
                loss = DISTANCES[settings.loss](said.float(), wanted) / len(parts)
                self.accelerator.backward(loss)
            total += loss.detach()
        self._learner.update()
        return {settings.loss: total}

    def upscale(self) -> Callable[[Tensor], Tensor]:
        """Return what draws pictures by the averaged weights, with seed 0, and leaves them as they are drawn."""
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
        diffuser = Diffuser(options)

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
