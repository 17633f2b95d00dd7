"""Training of StyleGAN (Karras et al., arXiv 1812.04948) with few images (Karras et al., arXiv 2006.06676)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from ..checks import spell
from ..data.crops import Crops
from ..data.recipes import middle
from ..data.stored_images import StoredPicture, to_uint8
from ..data.training_sets import TrainingPicture, find_training_pictures
from ..errors import InputError
from ..images.resizing import resize
from ..training import loop as training
from ..training.accelerator import sync_on_last_part
from ..training.learner import Learner
from ..training.loop import Outcome
from ..training.method import TRAINING_IMAGES, Crop, Training, dataset_digest, own_batches
from .checkpoints import Checkpoint, save
from .discriminator import Adaptation, Discriminator, augment
from .latents import fit_gaussian
from .network import StyleGAN
from .sliced_wasserstein import SlicedWasserstein
from .train_settings import TrainSettings

SEED = 0
"""Of the images that are shown and validated: the same ones after every so many steps."""


class StyleMixing(nn.Module):
    """A generator that draws images of two latents each: up to a layer, drawn anew for each, of one of them.

    Args:
        network: the generator.
        part: of the images; the others have one latent.
    """

    def __init__(self, network: StyleGAN, part: float):
        super().__init__()
        self.network, self._part = network, part

    def forward(self, z: Tensor) -> Tensor:
        """Map normally distributed (2, N, latent) to images (N, 3, side, side), by torch's random numbers."""
        network, device, count = self.network, z.device, z.shape[1]
        with torch.autocast(device.type, enabled=False):  # as the synthesis takes its rows
            first, second = network.mapping(z.flatten(0, 1)).unflatten(0, (2, count))
        borders = torch.randint(1, network.layers, (count, 1, 1), device=device)
        borders = torch.where(torch.rand(count, 1, 1, device=device) < self._part, borders, network.layers)
        of_first = torch.arange(network.layers, device=device)[:, None] < borders
        noises = [torch.randn(count, 1, side, side, device=device) for side in network.noise_sides]
        images: Tensor = network(torch.where(of_first, first[:, None], second[:, None]), noises)
        return images


@torch.no_grad()
def drawn(network: StyleGAN, count: int, part: int) -> Iterator[Tensor]:
    """Yield images of `SEED`, (N, 3, side, side) in [-1, 1] or beyond, `part` at a time, by a network on a device."""
    device = next(network.parameters()).device
    z = torch.randn(count, network.latent, generator=torch.Generator().manual_seed(SEED))
    for some in z.split(part):
        rows = network.mapping(some.to(device))
        yield network(rows[:, None].expand(-1, network.layers, -1), network.noises)


@dataclass(frozen=True)
class CenterCrop:
    """The middle square of an image, resized to a `side` that is not larger; a `StoredPicture`."""

    picture: StoredPicture
    side: int

    @property
    def label(self) -> str:
        """That of the picture."""
        return self.picture.label

    def sides(self) -> tuple[int, int]:
        """Return the sides of the square.

        Raises:
            InputError: the image is too small.
        """
        height, width = self.picture.sides()
        if min(height, width) < self.side:
            raise InputError(
                f"{self.label} is {width}x{height} pixels, and {spell('resolution', self.side)} needs larger ones"
            )
        return self.side, self.side

    def read(self) -> Tensor:
        """Return the colours, uint8 (3, side, side)."""
        found: Tensor = resize(middle(self.picture.read()), size=self.sides())
        return found


def common_side(images: Sequence[StoredPicture]) -> int:
    """Return the shorter side of the pictures.

    Raises:
        InputError: it is not the same for all; or one cannot be read.
    """
    found = {min(image.sides()) for image in images}
    if len(found) > 1:
        raise InputError(
            f"resolution is not given, and the images have sides from {min(found)} to {max(found)} pixels; "
            "give one, such as 64"
        )
    return found.pop()


def signed(images: Tensor) -> Tensor:
    """Return images of 8 bits in [-1, 1], float32."""
    return images.float() / 127.5 - 1


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return the mean of softplus(-real) + softplus(fake), from logits (N, 1)."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """Return the mean of softplus(-fake), from logits (N, 1)."""
    return F.softplus(-fake).mean()


def gradient_penalty(logits: Tensor, images: Tensor) -> Tensor:
    """Return R1 (Mescheder et al., arXiv 1801.04406): the squared length of the gradient, the mean over the pictures.

    Args:
        logits: (N, 1), of real pictures.
        images: (N, 3, H, W), from which they were made, and which require gradients.

    Returns:
        A number, differentiable with respect to the discriminator.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean()


BETAS = (0.0, 0.99)
"""Of Adam, for both networks."""


class LastValue(nn.Module):
    """The last value of what is not measured in every step, so that a checkpoint has it."""

    value: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("value", torch.zeros(()))


class DiscriminatorStep:
    """A discriminator, new, its optimizer, and the changes to the images that it judges.

    R1 is the gradient with respect to these changed pictures.

    Args:
        settings: of the training.
        channels: at each side, see `Discriminator`.
        resolution: the side of the pictures.
        accelerator: of the training.
    """

    def __init__(self, settings: TrainSettings, channels: Sequence[int], resolution: int, accelerator: Accelerator):
        self._settings, self._accelerator = settings, accelerator
        self._weight = settings.penalty_weight(resolution) / 2 * settings.penalty_every
        self._learner = Learner(Discriminator(channels), BETAS[0], accelerator, beta2=BETAS[1])
        self._adaptation = Adaptation(settings.augment_target, settings.augment_images).to(accelerator.device)
        self._r1 = LastValue().to(accelerator.device)

    @property
    def optimizer(self) -> Optimizer:
        """That of the discriminator."""
        return self._learner.optimizer

    def modules(self) -> Mapping[str, nn.Module]:
        """Return what a checkpoint holds."""
        return {"discriminator": self._learner.network, "augmentation": self._adaptation, "r1": self._r1}

    def step(self, real: Sequence[Tensor], fake: Sequence[Tensor], step: int) -> dict[str, Tensor]:
        """Make one update, and return what a log has of it.

        Args:
            real: images in [-1, 1], in parts of the step.
            fake: as many generated ones, likewise.
            step: its number.
        """
        judge, device, parts = self._learner.parallel, self._accelerator.device, len(real)
        total, signs, r1 = (torch.zeros((), device=device) for _ in range(3))
        penalised = step % self._settings.penalty_every == 0
        for index, images in enumerate(zip(real, fake, strict=True)):
            with sync_on_last_part(self._accelerator, judge, index, parts):
                seen, made = (self._changed(each.detach()) for each in images)
                logits = judge(seen.requires_grad_(penalised))
                loss = discriminator_loss(logits, judge(made))
                total += loss.detach() / parts
                signs += logits.detach().sign().mean() / parts
                if penalised:
                    penalty = gradient_penalty(logits, seen)
                    r1 += penalty.detach() / parts
                    loss = loss + self._weight * penalty
                self._accelerator.backward(loss / parts)
        self._learner.update()
        if penalised:
            self._r1.value.copy_(r1)
        if self._settings.augment_target:
            self._adaptation.update(self._accelerator.reduce(signs, "mean"), self._settings.batch, step)
        adaptation = self._adaptation
        return {"discriminator": total, "r1": self._r1.value, "p": adaptation.p, "r_t": adaptation.sureness}

    def loss(self, fake: Tensor) -> Tensor:
        """Return the generator's loss for images that it made."""
        return generator_loss(self._learner.network(self._changed(fake)))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let no gradients be computed for the discriminator itself."""
        self._learner.network.requires_grad_(False)
        try:
            yield
        finally:
            self._learner.network.requires_grad_(True)

    def _changed(self, images: Tensor) -> Tensor:
        return augment(images, self._adaptation.p) if self._settings.augment_target else images


STAGE = "stylegan"
SHEET = 1024
"""Side of the sheets of sample images in pixels, at the most for images that are not larger."""
MOST_SHOWN = 8
"""Pictures in a row of a sheet, at the most."""
VALIDATED = 200
"""Pictures that are validated on, at the most."""
FIT_DRAWS = 100_000
"""Of the Gaussian fit; its mean is then known to 0.3 % of its deviation."""


def train(settings: TrainSettings, output: str | Path, *, progress: bool = True) -> Outcome:
    """Train StyleGAN, or resume a run; see `fastsr.training.loop.train`."""
    return training.train(StyleGANTraining, settings, output, progress=progress)


class StyleGANTraining(Training[Crop]):
    """StyleGAN in training; see `Training`. Images are mirrored left to right."""

    def __init__(self, settings: TrainSettings, accelerator: Accelerator):
        self._settings, self.accelerator = settings, accelerator
        self.steps = settings.steps
        images = find_training_pictures(settings.data, None)
        self._pictures = dataset_digest(images, settings.data)
        resolution = settings.resolution or common_side([image.hr for image in images])
        self._architecture = settings.architecture(resolution)
        squares = [TrainingPicture(CenterCrop(image.hr, resolution), None) for image in images]
        self._crops = Crops(squares, resolution, 1, settings.seed, turned=False)
        torch.manual_seed(settings.seed)
        network = StyleMixing(StyleGAN(self._architecture), settings.mixing)
        self._generator = Learner(network, BETAS[0], accelerator, settings.ema, beta2=BETAS[1])
        self._adversary = DiscriminatorStep(settings, self._architecture.channels, resolution, accelerator)
        self._validation = None
        if settings.val is not None and accelerator.is_main_process:
            others = find_training_pictures([settings.val], None)[:VALIDATED]
            self.benchmark = dataset_digest(others, [settings.val])
            real = torch.stack([CenterCrop(image.hr, resolution).read() for image in others])
            self._validation = SlicedWasserstein(signed(real))
            self._validated = len(others)
        self._step = 0

    def facts(self) -> Mapping[str, str]:
        """Return which images there are, and their side."""
        return {TRAINING_IMAGES: self._pictures, "resolution": str(self._architecture.resolution)}

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
        """Return the images of this process."""
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
                with sync_on_last_part(self.accelerator, generate, index, len(parts)):
                    loss = self._adversary.loss(fakes[index] if kept else generate(self._latents())) / len(parts)
                    self.accelerator.backward(loss)
                total += loss.detach()
        self._generator.update()
        return {"generator": total, **judged}

    def validate(self) -> Mapping[str, float]:
        """Return "neg_swd": the sliced Wasserstein distance from images to validate on, below zero; none without."""
        if self._validation is None:
            return {}
        made = torch.cat(list(self._drawn(self._validated)))
        return {"neg_swd": -self._validation.distance(made.clamp(-1, 1))}

    def samples(self) -> Image.Image:
        """Return images of always the same latents, by the averaged generator."""
        side = self._architecture.resolution
        columns = min(max(SHEET // side, 2), MOST_SHOWN)
        images = torch.cat(list(self._drawn(columns**2)))
        whole = images.unflatten(0, (columns, columns)).permute(2, 0, 3, 1, 4).flatten(1, 2).flatten(2, 3)
        return Image.fromarray(to_uint8(((whole + 1) / 2).clamp(0, 1)).permute(1, 2, 0).numpy())

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
        """Return images in [-1, 1] on the device."""
        images = signed(part["hr"].to(self.accelerator.device, non_blocking=True))
        return images.contiguous(memory_format=torch.channels_last)

    def _averaged(self) -> StyleGAN:
        """A copy of the generator as it is used, on the device."""
        mixing = StyleMixing(StyleGAN(self._architecture), self._settings.mixing)
        mixing.load_state_dict(self._generator.result())
        return mixing.network.to(self.accelerator.device).eval().requires_grad_(False)

    def _drawn(self, count: int) -> Iterator[Tensor]:
        """Yield images by the averaged generator, on the CPU."""
        return (images.cpu() for images in drawn(self._averaged(), count, self._part))
