from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SIZES = {"a": (24, 28), "b": (32, 24), "c": (28, 24)}


@pytest.fixture
def save_noise() -> Callable[..., Path]:
    """A function that saves a smooth random picture of a height and a width."""

    def save(path: Path, height: int, width: int, mode: str = "RGB") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(height * width).integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(values).resize((width, height), Image.Resampling.BICUBIC).convert(mode).save(path)
        return path

    return save


@pytest.fixture
def photos(tmp_path: Path, save_noise: Callable[..., Path]) -> Path:
    """A folder of three pictures a, b and c."""
    for name, size in SIZES.items():
        save_noise(tmp_path / "photos" / f"{name}.png", *size)
    return tmp_path / "photos"
