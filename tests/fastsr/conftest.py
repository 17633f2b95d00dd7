from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastsr import methods


@pytest.fixture
def registry(monkeypatch):
    """What a test registers is gone after it."""
    for name in methods.BUILT_IN:
        methods.find(name)  # a module registers when it is imported, which happens once
    monkeypatch.setattr(methods, "_registered", dict(methods._registered))


@pytest.fixture
def save_noise() -> Callable[..., Path]:
    """A function that saves a smooth random picture of a height and a width."""

    def save(path: Path, height: int, width: int, mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(height * width).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(path)
        return path

    return save
