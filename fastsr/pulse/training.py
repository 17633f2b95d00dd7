"""Training of StyleGAN (Karras et al., arXiv 1812.04948) with few pictures (Karras et al., arXiv 2006.06676)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.optim import Optimizer

from ..data.crops import Crops
from ..data.protocols import eight_bits
from ..data.training import TrainingPicture, find_training_pictures
from ..training import train as training
from ..training.crops import Crop, own_batches
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.method import Training
from ..training.pictures import described
from ..training.sharing import whole_at_last
from .adversary import BETAS, Adversary
from .checkpoint import Checkpoint
from .formats import save
from .gaussian_fit import fit_gaussian
from .network import StyleGAN
from .swd import SlicedWasserstein
from .train_parts import Mixing, drawn
from .train_pictures import Square, common_side, signed
from .train_settings import TrainSettings

STAGE = "stylegan"
SHEET = 1024
"""Side of the sheets of sample pictures in pixels, at the most for pictures that are not larger."""
MOST_SHOWN = 8
"""Pictures in a row of a sheet, at the most."""
VALIDATED = 200
"""Pictures that are validated on, at the most."""
FIT_DRAWS = 100_000
"""Of the Gaussian fit; its mean is then known to 0.3 % of its deviation."""


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train StyleGAN, or go on with it; see `fastsr.training.train.train`."""
    return training.train(StyleGANTraining, settings, output, progress=progress)


class StyleGANTraining(Training[Crop]):
    """StyleGAN in training; see `Training`. Pictures are mirrored left to right."""

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        self._settings, self.accelerator = settings, accelerator
        self.steps = settings.steps
        pictures = find_training_pictures(settings.data, None)
        self._pictures = described(pictures, settings.data)
        resolution = settings.resolution or common_side([picture.hr for picture in pictures])
        self._architecture = settings.architecture(resolution)
        squares = [TrainingPicture(Square(picture.hr, resolution), None) for picture in pictures]
        self._crops = Crops(squares, resolution, 1, settings.seed, turned=False)
        torch.manual_seed(settings.seed)
        network = Mixing(StyleGAN(self._architecture), settings.mixing)
        self._generator = Learner(network, BETAS[0], accelerator, settings.ema, beta2=BETAS[1])
        self._adversary = Adversary(settings, self._architecture.channels, resolution, accelerator)
        self._validation = None
        if settings.val is not None and accelerator.is_main_process:
            others = find_training_pictures([settings.val], None)[:VALIDATED]
            self.benchmark = described(others, [settings.val])
            real = torch.stack([Square(picture.hr, resolution).read() for picture in others])
            self._validation = SlicedWasserstein(signed(real))
            self._validated = len(others)
        self._step = 0

    def facts(self) -> Mapping[str, str]:
        """Return which pictures there are, and their side."""
        return {"set of training pictures": self._pictures, "resolution": str(self._architecture.resolution)}

    def stage(self, step: int) -> str:
        """Return "stylegan"."""
        return STAGE

    def rate(self, step: int) -> float:
        """Return the rate."""
        return self._settings.rate

    def prepare(self, step: int) -> None:
        """Note which step it is."""
        self._step = step

    def batches(self, sample: int) -> Iterator[Crop]:
        """Return the pictures of this process."""
        return own_batches(self._crops, self._part, self._settings.readers, self.accelerator, sample)

    def modules(self) -> Mapping[str, nn.Module]:
        """Return generator, average, discriminator, and what is known of the latter."""
        return {**self._generator.modules("generator"), **self._adversary.modules()}

    def optimizers(self) -> Mapping[str, Optimizer]:
        """Return those of generator and discriminator."""
        return {"generator": self._generator.optimizer, "discriminator": self._adversary.optimizer}

    def step(self, parts: Sequence[Crop]) -> Mapping[str, Tensor]:
        """Update the discriminator, then the generator."""
        generate, total = self._generator.parallel, torch.zeros((), device=self.accelerator.device)
        kept = len(parts) == 1  # else what is needed for the gradients of all parts would be in memory at once
        with torch.set_grad_enabled(kept):
            fakes = [generate(self._latents()) for _ in parts]
        judged = self._adversary.step([self._placed(part) for part in parts], fakes, self._step)
        with self._adversary.frozen():
            for index in range(len(parts)):
                with whole_at_last(self.accelerator, generate, index, len(parts)):
                    loss = self._adversary.loss(fakes[index] if kept else generate(self._latents())) / len(parts)
                    self.accelerator.backward(loss)
                total += loss.detach()
        self._generator.update()
        return {"generator": total, **judged}

    def validate(self) -> Mapping[str, float]:
        """Return "neg_swd": the sliced Wasserstein distance from pictures to validate on, below zero; none without."""
        if self._validation is None:
            return {}
        made = torch.cat(list(self._drawn(self._validated)))
        return {"neg_swd": -self._validation.distance(made.clamp(-1, 1))}

    def samples(self) -> Image.Image:
        """Return pictures of always the same latents, by the averaged generator."""
        side = self._architecture.resolution
        columns = min(max(SHEET // side, 2), MOST_SHOWN)
        pictures = torch.cat(list(self._drawn(columns**2)))
        whole = pictures.unflatten(0, (columns, columns)).permute(2, 0, 3, 1, 4).flatten(1, 2).flatten(2, 3)
        return Image.fromarray(eight_bits(((whole + 1) / 2).clamp(0, 1)).permute(1, 2, 0).numpy())

    def export(self, path: Path) -> None:
        """Write the averaged generator, and the Gaussian fit of its latents."""
        network = self._averaged()
        fit = fit_gaussian(network.mapping, network.latent, FIT_DRAWS, device=self.accelerator.device)
        save(Checkpoint(network.cpu(), fit, "fastsr", "weights in training"), path)

    @property
    def _part(self) -> int:
        return self._settings.part(self.accelerator.num_processes)

    def _latents(self) -> Tensor:
        return torch.randn(2, self._part, self._architecture.latent, device=self.accelerator.device)

    def _placed(self, part: Crop) -> Tensor:
        """Return pictures in [-1, 1] on the device."""
        pictures = signed(part["hr"].to(self.accelerator.device, non_blocking=True))
        return pictures.contiguous(memory_format=torch.channels_last)

    def _averaged(self) -> StyleGAN:
        """A copy of the generator as it is used, on the device."""
        mixing = Mixing(StyleGAN(self._architecture), self._settings.mixing)
        mixing.load_state_dict(self._generator.result())
        return mixing.network.to(self.accelerator.device).eval().requires_grad_(False)

    def _drawn(self, count: int) -> Iterator[Tensor]:
        """Yield pictures by the averaged generator, on the CPU."""
        return (pictures.cpu() for pictures in drawn(self._averaged(), count, self._part))
