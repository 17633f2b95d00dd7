"""Whether an installed fastsr works: `python -I tests/installed.py`, in its environment and in an empty folder."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image

import fastsr
import fastsr_kernels


def check_files() -> None:
    assert importlib.metadata.version("fastsr") == fastsr.__version__
    for package in (fastsr, fastsr_kernels):
        folder = Path(str(package.__file__)).parent
        assert folder.is_relative_to(sys.prefix), f"{package.__name__} comes from {folder}, not from {sys.prefix}"
        assert (folder / "py.typed").is_file()


def check_functions() -> None:
    original = Image.fromarray(skimage.data.astronaut()).crop((176, 64, 272, 160))
    small = fastsr.resize(original, 1 / 4)
    large = fastsr.srgan(small, progress=False)
    scores = [fastsr.metrics.psnr(result, original) for result in (large, fastsr.resize(small, 4))]
    print(f"PSNR: fastsr.srgan {scores[0]:.2f} dB, bicubic {scores[1]:.2f} dB")
    assert scores[0] > scores[1]
    assert fastsr.dip(np.asarray(small), 2, steps=2, progress=False).shape == (48, 48, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastsr.DomainWarning)  # of a picture that is no face
        tiny = fastsr.resize(original, size=(8, 8))
        assert fastsr.sr3(tiny, steps=2, progress=False).size == (64, 64)
        assert fastsr.pulse(tiny, steps=2, progress=False).size == (64, 64)
    fastsr.save(large, "large.png")
    assert fastsr.load("large.png").shape == (3, 96, 96)


def check_commands() -> None:
    command = str(Path(sys.executable).with_name("fastsr"))
    for arguments in (["--help"], ["weights"], ["doctor"], ["srgan", "large.png", "--factor", "2"]):
        done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"fastsr {' '.join(arguments)}: {done.stderr}"
    assert fastsr.load("large_srgan_x2.png").shape == (3, 192, 192)


if __name__ == "__main__":
    check_files()
    check_functions()
    check_commands()
    print(f"fastsr {fastsr.__version__} works with Python {sys.version.split()[0]} and torch {torch.__version__}")
