"""``fastsr metrics`` of folders and of NIQE, and ``fastsr niqe-fit``."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fastsr.metrics import niqe, psnr, ssim
from tests.command_line import run


def noise(path: Path, seed: int, side: int = 194) -> Path:
    path.parent.mkdir(exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4, 3)).astype(np.uint8)
    Image.fromarray(values).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """A model of one's own."""
    folder = tmp_path_factory.mktemp("fit")
    for seed in range(12):
        noise(folder / "good" / f"{seed}.png", seed)
    status, out, _ = run("niqe-fit", folder / "good", "-o", folder / "new" / "my.safetensors")
    assert (status, out) == (0, "my.safetensors, fitted on 48 blocks of 12 pictures of 'good'\n")
    return folder / "new" / "my.safetensors"


def test_one_picture_needs_no_reference(data):
    status, out, _ = run("metrics", data / "niqe" / "image1.bmp", "--niqe")
    assert (status, out) == (0, "NIQE 5.0290\n")


def test_another_model_is_named(fitted, tmp_path):
    picture = noise(tmp_path / "a.png", 99)
    status, out, _ = run(
        "metrics", picture, picture, "--niqe", "--niqe-model", fitted, "--niqe-channel", "y", "--shave", 0
    )
    value = niqe(picture, model=fitted, channel="y")
    assert (status, out) == (0, f"PSNR inf dB\nSSIM 1.0000\nNIQE Y (my.safetensors) {value:.4f}\n")


def test_folders_are_compared_by_name(fitted, tmp_path):
    results, references = tmp_path / "results", tmp_path / "references"
    a, b = noise(results / "one.png", 1), noise(results / "two_srgan_x4.png", 2)
    noise(results / "wide.png", 3, 200)
    others = noise(references / "one.jpg", 4), noise(references / "two.png", 5)
    noise(references / "wide.png", 6)
    status, out, err = run("metrics", results, references, "--niqe", "--niqe-model", fitted, "--shave", 1)
    head, one, two, mean = out.splitlines()
    assert status == 2
    assert "wide.png': a is 200x200 pixels and b is 194x194" in err
    assert err.count("Error") == 1
    assert head.split() == ["PSNR", "SSIM", "NIQE", "(my.safetensors)"]
    rows = []

    def texts(values):
        return [f"{value:.{digits}f}" for value, digits in zip(values, (3, 4, 4), strict=True)]

    for line, picture, other in ((one, a, others[0]), (two, b, others[1])):
        compared = psnr(picture, other, shave=1), ssim(picture, other, shave=1)
        rows.append((*compared, niqe(picture, model=fitted, shave=1)))
        assert line.split() == [picture.name, *texts(rows[-1])]
    assert mean.split() == ["mean", "of", "2", *texts(np.mean(rows, 0))]
    assert len({len(line) for line in (head, one, two, mean)}) == 1


def test_bad_calls_are_one_line(fitted, tmp_path):
    picture, folder = noise(tmp_path / "a.png", 1, 100), tmp_path / "folder"
    noise(folder / "b.png", 2)
    for arguments, message in (
        (("metrics", picture), "B is missing"),
        (("metrics", picture, picture, "--niqe-model", fitted), "are for --niqe"),
        (("metrics", picture, "--niqe", "--niqe-channel", "rgb", "--niqe-model", fitted), "--niqe-channel rgb is"),
        (("metrics", picture, "--niqe", "--niqe-model", fitted), "at least 2 blocks of 96x96 pixels"),
        (("metrics", picture, "--niqe", "--niqe-model", picture), f"--niqe-model {picture} does not end"),
        (("metrics", tmp_path, folder), "A has 'a.png', and B="),
        (("niqe-fit", folder, "-o", tmp_path / "my.npz"), "does not end in .safetensors"),
        (("niqe-fit", folder, "-o", tmp_path / "my.safetensors"), "have 4 sharp blocks"),
        (("niqe-fit", tmp_path / "none", "-o", tmp_path / "my.safetensors"), "none' does not exist"),
    ):
        status, out, err = run(*arguments)
        assert (status, out, len(err.splitlines())) == (2, "", 1)
        assert message in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder"]
