"""What SRGAN's training begins with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch

from ..data.lmdb import Record
from ..data.pictures import PictureFile, StoredPicture
from ..data.training import TrainingPicture
from ..errors import InputError
from .formats import load
from .losses import SRRESNET, GeneratorLoss, LossWeights
from .network import SRResNet, SRResNetConfig
from .train_settings import PIXELS, TrainSettings
from .vgg import load_features

SRRESNET_STAGE, SRGAN_STAGE = "srresnet", "srgan"


def described(pictures: Sequence[TrainingPicture], folders: Sequence[str]) -> str:
    """Say which pictures there are, by the names of their HR and LR files, wherever the folders are."""
    roots = [root for folder in folders for root in (Path(folder).resolve(), Path(folder))]
    pairs = [[_name(stored, roots) for stored in (one.hr, one.lr) if stored is not None] for one in pictures]
    kind = "with LR files and" if any(one.lr is not None for one in pictures) else "with"
    return f"{len(pictures)} {kind} names of digest {hashlib.sha256(json.dumps(pairs).encode()).hexdigest()[:8]}"


def first_generator(settings: TrainSettings) -> SRResNet:
    """Return the generator with its first weights."""
    config = SRResNetConfig(settings.blocks, settings.width, settings.factor, settings.padding)
    torch.manual_seed(settings.seed)
    network = SRResNet(config)
    if settings.init is not None:
        checkpoint = load(settings.init)
        other = checkpoint.network
        if (
            not isinstance(other, SRResNet)
            or other.config != config
            or {checkpoint.input_range, checkpoint.output_range} != {"unit"}
        ):
            raise InputError(
                f"init={settings.init!r} is {checkpoint}, and the settings are for {config}; both must be the same, "
                "with colours in [0, 1]"
            )
        network.load_state_dict(other.state_dict())
    return network


def stage_losses(settings: TrainSettings, device: torch.device) -> dict[str, GeneratorLoss]:
    """Return the generator's loss in each stage; weights of VGG that are not there are told before the first stage."""
    losses = {SRRESNET_STAGE: GeneratorLoss(SRRESNET)}
    if settings.gan_steps:
        pixels = settings.content == PIXELS
        weights = LossWeights(pixel=float(pixels), content=float(not pixels), adversarial=settings.adversarial)
        features = None if pixels else load_features(settings.content, settings.vgg_weights)
        # As the pictures are laid out; else each convolution would copy what it gets.
        loss = GeneratorLoss(weights, features).to(device)
        losses[SRGAN_STAGE] = loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return losses


def _name(stored: StoredPicture, roots: Sequence[Path]) -> str:
    """The path of a picture below the first root that it is in."""
    if isinstance(stored, Record):
        path = stored.folder / stored.name
    else:
        assert isinstance(stored, PictureFile)
        path = stored.path
    return next(path.relative_to(root) for root in roots if path.is_relative_to(root)).as_posix()
