from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("tests.fastsr.evaluate.browser.stage")

SIZES = {"a": (24, 28), "b": (32, 24), "c": (28, 24)}


@pytest.fixture
def photos(tmp_path: Path, save_noise: Callable[..., Path]) -> Path:
    """A folder of three pictures a, b and c."""
    for name, size in SIZES.items():
        save_noise(tmp_path / "photos" / f"{name}.png", *size)
    return tmp_path / "photos"
