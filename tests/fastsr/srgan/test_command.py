"""fastsr srgan, and fastsr evaluate srgan, as a user types them."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from fastsr.pretrained import DEFAULTS, SRGAN_UP_TO_2
from fastsr.srgan.formats import save
from tests.command_line import run


def save_noise(path, height=10, width=12):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)).save(path)
    return path


@pytest.fixture
def photo(tmp_path):
    return save_noise(tmp_path / "photo.png")


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_result_is_beside_the_input_and_is_the_function_s(photo, weights):
    status, out, err = run("srgan", photo, "--weights", weights, "--device", "cpu", "--dtype", "float32")
    target = photo.with_name("photo_srgan_x4.png")
    assert (status, out, err) == (0, f"{target}\n", "")
    expected = fastsr.srgan(photo, weights=weights, device="cpu", dtype="float32", progress=False)
    assert np.array_equal(opened(target), expected)


def test_every_option_counts(photo, weights, tmp_path):
    options = ["--factor", 2.5, "--ensemble", "--tile", 16, "--dtype", "bfloat16", "--device", "cpu", "--consistency"]
    status, out, _ = run("srgan", photo, "--weights", weights, "-o", tmp_path / "out", *options)
    assert status == 0
    assert out == f"{tmp_path / 'out' / 'photo_srgan_x2.5.png'}\n"
    arguments = {"weights": weights, "ensemble": True, "tile": 16, "dtype": "bfloat16", "device": "cpu"}
    plain, expected = (fastsr.srgan(photo, 2.5, **arguments, consistency=c, progress=False) for c in (False, True))
    assert np.array_equal(opened(out.strip()), expected)
    assert not np.array_equal(plain, expected)


def test_folders_are_worked_through_and_results_left_out(photo, weights):
    save_noise(photo.with_name("b.png"), 6, 6)
    for _ in range(2):
        status, out, _ = run("srgan", photo.parent, "--weights", weights, "--device", "cpu")
        assert status == 0
        assert [Path(line).name for line in out.split()] == ["b_srgan_x4.png", "photo_srgan_x4.png"]


def test_a_picture_that_fails_does_not_keep_the_others(photo, weights):
    photo.with_name("a.png").write_text("no image")
    status, out, err = run("srgan", photo.parent, "--weights", weights, "--device", "cpu")
    assert status == 2
    assert [Path(line).name for line in out.split()] == ["photo_srgan_x4.png"]
    assert "a.png" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--factor", 8], "--factor 8 is more than --weights "),
        (["--tile", 2], "--tile 2 is too small"),
        (["--dtype", "int8"], "--dtype int8 is not supported"),
        (["--device", "tpu"], "--device tpu"),
        (["--weights", "nowhere.pth"], "--weights nowhere.pth is not there"),
    ],
)
def test_options_that_cannot_be_used_are_one_line(options, message, photo, weights):
    status, out, err = run("srgan", photo, "--weights", weights, *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"Error: {message}")
    assert len(err.splitlines()) == 1


def test_without_weights_those_of_the_factor_are_taken(photo, bundle, small, weights):
    save(small(scale=2), weights.with_name("x2.safetensors"))
    paths = {4: weights, 2: weights.with_name("x2.safetensors")}
    bundle("srgan-x4", "srgan", paths[4].read_bytes())
    bundle("srresnet-x2", "srgan", paths[2].read_bytes())
    for factor, file in ((1.5, 2), (2, 2), (2.5, 4)):
        status, out, _ = run("srgan", photo, "--factor", factor, "--device", "cpu")
        assert status == 0
        expected = fastsr.srgan(photo, factor, weights=paths[file], device="cpu", progress=False)
        assert np.array_equal(opened(out.strip()), expected)
        assert np.array_equal(fastsr.srgan(photo, factor, device="cpu", progress=False), expected)
    status, _, err = run("srgan", photo, "--factor", 8)
    assert (status, err.startswith("Error: --factor 8 is more than --weights srgan-x4 can do; give")) == (2, True)
    assert {DEFAULTS["srgan"], SRGAN_UP_TO_2} <= set(re.findall(r"[\w-]+", run("srgan", "--help")[1]))


def test_a_pickled_network_is_refused(photo, tmp_path):
    torch.save({"model": torch.nn.Linear(1, 1)}, tmp_path / "model.pth.tar")
    status, _, err = run("srgan", photo, "--weights", tmp_path / "model.pth.tar")
    assert status == 2
    assert "state_dict() alone" in err


def test_a_benchmark_is_evaluated(photo, weights, tmp_path):
    folder = tmp_path / "hr"
    folder.mkdir()
    save_noise(folder / "a.png", 32, 40)
    options = ["--data", folder, "-o", tmp_path / "out", "--device", "cpu", "--dtype", "float32", "--tile", 16]
    status, out, err = run("evaluate", "srgan", "--weights", weights, *options)
    assert (status, err) == (0, "")
    assert out.split("\n")[1].startswith("a ")
    small = fastsr.resize(opened(folder / "a.png"), 1 / 4)
    expected = fastsr.srgan(small, weights=weights, device="cpu", dtype="float32", tile=16, progress=False)
    assert np.array_equal(opened(tmp_path / "out" / "pictures" / "a.png"), expected)


def test_an_evaluation_without_weights_takes_those_of_the_factor(photo, bundle, small, weights, tmp_path):
    save(small(scale=2), weights)
    bundle("srresnet-x2", "srgan", weights.read_bytes())
    save_noise(photo, 32, 40)
    for folder, given in (("bundled", []), ("given", ["--weights", weights])):
        options = ["--data", photo.parent, "--factor", 2, "--device", "cpu", "-o", tmp_path / "out" / folder]
        assert run("evaluate", "srgan", *options, *given)[0] == 0
    results = [opened(tmp_path / "out" / folder / "pictures" / "photo.png") for folder in ("bundled", "given")]
    assert np.array_equal(*results)


# The whole of Set5 is what is published of these weights; for consistency, two of its pictures tell as much.
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--no-consistency"], ("30.66", "0.8642")),
        (["--consistency", "--images", "img_003,img_005"], ("28.15", "0.8857")),
    ],
)
def test_real_weights_score_what_they_are_known_for(options, expected, data, tmp_path):
    path = data / "weights" / "leftthomas-srgan-x4.pth"
    options = [*options, "--data", data / "Set5", "-o", tmp_path / "out", "--device", "cpu", "--dtype", "float32"]
    status, out, _ = run("evaluate", "srgan", "--weights", path, *options)
    assert status == 0
    psnr, _, ssim = out.splitlines()[-1].split()[1:4]
    assert (f"{float(psnr):.2f}", ssim) == expected
