from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fastsr.srgan.checkpoint import Checkpoint
from fastsr.srgan.formats import save
from fastsr.srgan.network import SRResNet, SRResNetConfig


@pytest.fixture
def small() -> Callable[..., Checkpoint]:
    """A function that makes a generator of two blocks, with random weights whose results look like pictures."""

    def make(**config: object) -> Checkpoint:
        torch.manual_seed(0)
        network = SRResNet(SRResNetConfig(**{"blocks": 2, "width": 16, **config})).eval().requires_grad_(False)
        network.last.weight.mul_(4)
        return Checkpoint(network, "fastsr", "unit", "signed", "weights='small'")

    return make


@pytest.fixture
def weights(small: Callable[..., Checkpoint], tmp_path: Path) -> Path:
    """A file of such a generator, which enlarges four times."""
    path = tmp_path / "weights" / "small.safetensors"
    path.parent.mkdir()
    save(small(), path)
    return path
