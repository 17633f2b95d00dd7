"""What SR3's training begins with, and what its network learns from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from fastsr_kernels.noise import diffuse

from ..errors import InputError
from ..training.seeds import seed_of
from .formats import load
from .network import UNet
from .predictions import target
from .train_settings import TrainSettings

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


class Lessons:
    """Noisy pictures, and what the network is to say of them.

    The noise of a sample depends on the seed and the number of the sample alone, however a step is shared out.

    Args:
        settings: of the training.
        device: where pictures are.
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

    def lesson(self, pictures: Tensor, levels: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Return noisy pictures, and what the network is to say of them.

        Args:
            pictures: (N, 3, H, W) in [-1, 1], float32.
            levels: sqrt(gamma) of each, float64 (N,).
            numbers: of the samples, int64 (N,).
        """
        gammas = levels.square()
        pairs = (levels, (1 - gammas).sqrt()), target(self._settings.prediction, gammas)
        noisy, said = (
            diffuse(pictures, signal.float(), noise.float(), numbers, self._settings.seed) for signal, noise in pairs
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
        raise InputError(f"init={init!r} is {checkpoint}, and was trained with other settings: {'; '.join(other)}")
    return checkpoint.network.state_dict()


def _in_words(curve: Tensor) -> str:
    steps = len(curve) - 1
    return f"{steps} steps, gamma {curve[steps // 2].item():.4g} after half of them and {curve[-1].item():.4g} at last"
