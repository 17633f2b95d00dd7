"""Methods whose network comes from a file."""

from dataclasses import dataclass

import pytest
import torch

from fastsr.images import read
from fastsr.trained import trained

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Options:
    weights: str | None = None
    brighter: float = 0.0


class Network:
    """Says one number everywhere: what is in the file."""

    def __init__(self, path):
        with open(path) as file:
            self.number = float(file.read())

    def __str__(self):
        return "a network"

    def fingerprint(self):
        return f"{self.number}"


@pytest.fixture
def loaded():
    """The paths that were loaded."""
    return []


@pytest.fixture
def method(loaded, tmp_path):
    def run(picture, factor, *, weights, brighter, device, progress):
        assert (device, progress) == (CPU, False)
        return picture.like(torch.full((1, 3, 8 * factor, 8 * factor), weights.number + brighter))

    def check_options(factor, *, weights, brighter, device):
        if brighter > weights.number:
            raise ValueError(f"brighter={brighter} at {factor} on {device}")

    def load(path):
        loaded.append(path)
        return Network(path)

    def default(factor):
        return str(tmp_path / f"x{factor}.txt")

    return trained("constant", "Says one number.", Options, run, check_options, load, default)


def test_the_file_is_read_when_options_are_checked_and_not_before_they_are_again(method, loaded, tmp_path):
    path = tmp_path / "weights.txt"
    options, picture = Options(str(path), 0.125), read(torch.rand(3, 8, 8))
    for number, count in ((0.25, 1), (0.5, 2)):
        path.write_text(str(number))
        method.check(2, options, CPU)
        for _ in range(2):
            assert (method.upscale(picture, 2, options, CPU, "bicubic") == number + 0.125).all()
        assert method.details(2, options) == f"a network, weights {number}"
        assert loaded == [str(path)] * count


def test_options_are_checked_with_the_weights(method, tmp_path):
    (tmp_path / "weights.txt").write_text("0.5")
    with pytest.raises(ValueError, match=r"brighter=0\.75 at 4 on cpu"):
        method.check(4, Options(str(tmp_path / "weights.txt"), 0.75), CPU)


def test_without_weights_those_of_the_factor_are_taken(method, tmp_path):
    for factor in (2, 4):
        (tmp_path / f"x{factor}.txt").write_text(f"{1 / factor}")
        method.check(factor, Options(), CPU)
        assert method.details(factor, Options()) == f"a network, weights {1 / factor}"
        picture = read(torch.rand(3, 8, 8))
        assert (method.upscale(picture, factor, Options(), CPU, "bicubic") == 1 / factor).all()
