from collections.abc import Callable

import numpy as np
import pytest
import torch

from fastsr.niqe.model import PristineModel


@pytest.fixture
def model() -> PristineModel:
    """A model of no pictures at all."""
    covariance = torch.diag(torch.linspace(0.5, 2, 36, dtype=torch.float64))
    return PristineModel(torch.linspace(0, 1, 36, dtype=torch.float64), covariance, "made.safetensors", "nothing")


@pytest.fixture
def photograph() -> Callable[..., np.ndarray]:
    """A function that makes 8-bit colours which are smooth and sharp in parts."""

    def make(height: int, width: int, seed: int = 0) -> np.ndarray:
        random = np.random.default_rng(seed)
        waves = np.sin(np.arange(height)[:, None, None] / 9) * np.cos(np.arange(width)[:, None] / 14) * [60, 50, 40]
        return np.clip(128 + waves + random.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)

    return make
