"""What SRGAN's training begins with."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ..errors import FastsrError, InputError
from .checkpoint import Checkpoint
from .formats import load
from .losses import SRRESNET, GeneratorLoss, LossWeights
from .network import SRResNet
from .train_settings import PIXELS, TrainSettings
from .vgg import load_features

SRRESNET_STAGE, SRGAN_STAGE = "srresnet", "srgan"


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
        weights = LossWeights(
            0.0 if absolute else pixel, float(not pixels), settings.adversarial, pixel if absolute else 0.0
        )
        features = None if pixels else load_features(settings.content, settings.vgg_weights)
        # As the pictures are laid out; else each convolution would copy what it gets.
        loss = GeneratorLoss(weights, features).to(device)
        losses[SRGAN_STAGE] = loss.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return losses
