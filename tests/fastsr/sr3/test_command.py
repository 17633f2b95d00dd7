"""fastsr sr3, and fastsr evaluate sr3, as a user types them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastsr
from fastsr.errors import OutputError
from fastsr.pretrained import DEFAULTS
from fastsr.sr3 import sr3
from fastsr.sr3.formats import save
from fastsr.sr3.process import Process
from tests.command_line import run

QUICK = ["--steps", 3, "--device", "cpu", "--dtype", "float32"]
SAME = {"steps": 3, "device": "cpu", "dtype": "float32", "progress": False}
EXTRAS = ["--mean", "--spread", "--compare", "--process"]


@pytest.fixture
def photo(tmp_path, save_noise):
    return save_noise(tmp_path / "photo.png", 5, 6)


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_the_result_is_beside_the_input_and_is_the_function_s(photo, weights):
    status, out, err = run("sr3", photo, "--weights", weights, *QUICK)
    target = photo.with_name("photo_sr3_x4.png")
    assert (status, out, err) == (0, f"{target}\n", "")
    assert np.array_equal(opened(target), sr3(photo, weights=weights, **SAME))
    assert names(photo.parent) == ["photo.png", "photo_sr3_x4.png"]


def test_every_option_counts(photo, weights, tmp_path):
    options = ["--factor", 4, "--sampler", "ddim", "--spacing", "karras", "--seed", 7, "--no-consistency", "--tile", 8]
    status, out, _ = run("sr3", photo, "--weights", weights, *options, *QUICK, "-o", tmp_path / "out")
    assert status == 0
    expected = {"sampler": "ddim", "spacing": "karras", "seed": 7, "consistency": False, "tile": 8}
    assert np.array_equal(opened(out.strip()), sr3(photo, 4, weights=weights, **expected, **SAME))
    assert not np.array_equal(opened(out.strip()), sr3(photo, weights=weights, **SAME))


def test_samples_have_numbers_and_a_mean_and_a_spread(photo, weights):
    status, out, _ = run("sr3", photo, "--weights", weights, "--samples", 3, "--mean", "--spread", *QUICK)
    expected = sr3(photo, weights=weights, samples=3, **SAME)
    *samples, mean, spread = out.splitlines()
    assert status == 0
    for number, (path, sample) in enumerate(zip(samples, expected, strict=True), 1):
        assert path == str(photo.with_name(f"photo_sr3_x4_{number}.png"))
        assert np.array_equal(opened(path), sample)
    assert mean == str(photo.with_name("photo_sr3_x4_mean.png"))
    assert np.array_equal(opened(mean), expected.mean)
    path, white = photo.with_name("photo_sr3_x4_spread.png"), expected.spread.max()
    assert spread == f"{path}: white is a standard deviation of {255 * white:.1f} of 255"
    assert opened(path).dtype == np.uint8
    assert opened(path).max() == 255
    assert np.array_equal(opened(path), np.floor(expected.spread / white * 255 + 0.5))
    assert len(names(photo.parent)) == 6


def test_samples_that_do_not_differ_have_a_black_spread(photo, weights, small):
    checkpoint = small(gain=0)  # says the same whatever the noise
    save(checkpoint, weights)
    status, out, _ = run("sr3", photo, "--weights", weights, "--samples", 2, "--spread", *QUICK)
    assert status == 0
    assert "white is a standard deviation of 255.0 of 255" in out
    assert opened(photo.with_name("photo_sr3_x4_spread.png")).max() == 0


def test_an_output_that_is_a_file_names_all(photo, weights, tmp_path):
    target = tmp_path / "out" / "x.webp"
    status, out, _ = run("sr3", photo, "--weights", weights, "-o", target, "--samples", 2, *EXTRAS, *QUICK)
    assert status == 0
    beside = ["x_compare.webp", "x_mean.webp", "x_process.gif", "x_process.png", "x_spread.png"]
    lines = sorted(Path(line.partition(": ")[0]).name for line in out.splitlines())
    assert lines == sorted(["x_1.webp", "x_2.webp", *beside])
    assert names(target.parent) == ["x_1.webp", "x_2.webp", *beside]
    run("sr3", photo, "--weights", weights, "-o", target, *QUICK)
    assert "x.webp" in names(target.parent)


@pytest.mark.parametrize("samples", [[], ["--samples", 2, "--mean", "--spread"]])
def test_a_second_run_writes_the_same_files_anew(samples, photo, weights, save_noise):
    save_noise(photo.with_name("b.jpg"), 4, 4)
    command = ["sr3", photo.parent, "--weights", weights, "--compare", "--process", *samples, *QUICK]
    first, found = run(*command), names(photo.parent)
    assert first[0] == 0
    assert run(*command) == first
    assert names(photo.parent) == found
    status, out, _ = run("sr3", photo.parent / "photo*", "--weights", weights, *QUICK)
    assert (status, out) == (0, f"{photo.with_name('photo_sr3_x4.png')}\n")


def test_results_named_outright_and_without_their_pictures_are_inputs(photo, weights, save_noise):
    mean = save_noise(photo.with_name("photo_sr3_x4_mean.png"), 4, 4)
    other = save_noise(photo.with_name("gone_sr3_x4_1.png"), 4, 4)
    out = run("sr3", photo.parent, mean, "--weights", weights, *QUICK)[1]
    assert [Path(line).name for line in out.split()] == [f"{path.stem}_sr3_x4.png" for path in (other, photo, mean)]


@pytest.mark.parametrize("extra", ["--mean", "--spread"])
@pytest.mark.parametrize("samples", [[], ["--samples", 1]])
def test_one_sample_has_no_mean_and_no_spread(extra, samples, photo, weights):
    status, out, err = run("sr3", photo, "--weights", weights, *samples, extra, *QUICK)
    assert (status, out) == (2, "")
    assert "--mean and --spread are of several results; give --samples 2 or more" in err
    assert names(photo.parent) == ["photo.png"]


def test_files_that_would_replace_others_are_refused(photo, weights, save_noise):
    command = ["sr3", "--weights", weights, "--samples", 2, *EXTRAS, *QUICK]
    twin = save_noise(photo.with_suffix(".jpg"), 4, 4)
    status, out, err = run(*command, photo, twin)
    assert (status, out) == (2, "")
    assert f"'{photo}' and '{twin}' would both be '{photo.with_name('photo_sr3_x4_spread.png')}'" in err
    taken = save_noise(photo.with_name("x_1.png"), 4, 4)
    status, out, err = run(*command, photo, taken, "-o", photo.parent / "x.png")
    assert status == 2
    status, out, err = run(*command, taken, "-o", photo.parent / "x.png")
    assert (status, out) == (2, "")
    assert f"the result of '{taken}' would overwrite the input '{taken}'" in err
    photo.with_name("photo_sr3_x4_process.gif").mkdir()
    status, out, err = run(*command, photo)
    assert (status, out) == (2, "")
    assert "photo_sr3_x4_process.gif' is a folder" in err
    assert names(photo.parent) == ["photo.jpg", "photo.png", "x_1.png"]


def test_a_comparison_too_large_for_its_format_is_found_before_the_work(photo, weights, save_noise):
    picture = save_noise(photo.with_name("a.webp"), 5, 5)
    many = ["--samples", 500, "--compare"]
    status, out, err = run("sr3", picture, "--weights", weights, *many, *QUICK)
    assert (status, out) == (2, "")
    assert "a_sr3_x4_compare.webp': WEBP cannot hold" in err
    assert names(photo.parent) == ["a.webp", "photo.png"]


@pytest.mark.parametrize("samples", [None, 2])
def test_compare_puts_bicubic_beside_every_result(samples, photo, weights):
    several = [] if samples is None else ["--samples", samples]
    status, _, _ = run("sr3", photo, "--weights", weights, "--compare", *several, *QUICK)
    assert status == 0
    sheet, bicubic = opened(photo.with_name("photo_sr3_x4_compare.png")), np.asarray(fastsr.resize(opened(photo), 4))
    made = sr3(photo, weights=weights, samples=samples, **SAME)
    windows = np.lib.stride_tricks.sliding_window_view(sheet, bicubic.shape).reshape(-1, *bicubic.shape)
    for picture in (bicubic, *([made] if samples is None else made)):
        assert (windows == np.asarray(picture)).all((1, 2, 3)).sum() == 1


@pytest.mark.parametrize("samples", [None, 3])
def test_the_process_is_that_of_the_first_sample_of_each_picture(samples, photo, weights, save_noise):
    pictures = [photo, save_noise(photo.with_name("z.png"), 4, 7)]
    several = [] if samples is None else ["--samples", samples]
    status, _, _ = run("sr3", *pictures, "--weights", weights, "--process", *several, *QUICK)
    assert status == 0
    for picture in pictures:
        process = Process()
        sr3(picture, weights=weights, samples=samples, callback=process, **SAME)
        strip = opened(picture.with_name(f"{picture.stem}_sr3_x4_process.png"))
        assert np.array_equal(strip, process.strip())
        with Image.open(picture.with_name(f"{picture.stem}_sr3_x4_process.gif")) as animation:
            assert animation.n_frames == 3


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "I;16"])
def test_pictures_of_every_kind_get_all_files(mode, tmp_path, weights):
    values = np.random.default_rng(0).integers(0, 256, (4, 5, {"LA": 2, "RGBA": 4}.get(mode, 1))).astype(np.uint8)
    picture = tmp_path / "in" / "a.png"
    picture.parent.mkdir()
    values = values[..., 0] if values.shape[2] == 1 else values
    Image.fromarray(values.astype(np.uint16) * 256 if mode == "I;16" else values).save(picture)
    status, _, err = run("sr3", picture, "--weights", weights, "--samples", 2, *EXTRAS, *QUICK)
    assert (status, err) == (0, "")
    assert len(names(picture.parent)) == 8
    expected = sr3(picture, weights=weights, samples=2, **SAME)
    assert np.array_equal(opened(picture.with_name("a_sr3_x4_2.png")), expected[1])
    assert np.array_equal(opened(picture.with_name("a_sr3_x4_mean.png")), expected.mean)


def test_a_picture_that_fails_does_not_keep_the_others(photo, weights, save_noise):
    photo.with_name("a.png").write_text("no image")
    small = save_noise(photo.with_name("b.png"), 1, 8)
    status, out, err = run("sr3", photo.parent, "--weights", weights, *QUICK)
    assert status == 2
    assert [Path(line).name for line in out.split()] == ["photo_sr3_x4.png"]
    assert "a.png" in err
    assert f"'{small}': IN is 8x1 pixels" in err


def test_a_file_that_cannot_be_written_does_not_keep_the_others(photo, weights, save_noise, monkeypatch):
    later, real = save_noise(photo.with_name("z.png"), 4, 4), Process.animation

    def animation(process, path):
        if "photo" in str(path):
            raise OutputError("the disk is full")
        real(process, path)

    monkeypatch.setattr(Process, "animation", animation)
    status, out, err = run("sr3", photo, later, "--weights", weights, "--process", *QUICK)
    assert (status, len(out.splitlines()), "photo" in out) == (2, 3, False)
    assert err == f"Error: '{photo}': the disk is full\n"


def test_ctrl_c_leaves_what_is_done_and_nothing_else(photo, weights, save_noise, monkeypatch):
    later, calls, real = save_noise(photo.with_name("z.png"), 4, 4), [], Process.__call__

    def stopped(process, *arguments):
        calls.append(arguments)
        if len(calls) == 5:
            raise KeyboardInterrupt
        real(process, *arguments)

    monkeypatch.setattr(Process, "__call__", stopped)
    status, out, err = run("sr3", photo, later, "--weights", weights, "--process", *QUICK)
    made = [f"photo_sr3_x4{what}" for what in (".png", "_process.gif", "_process.png")]
    assert (status, sorted(Path(line).name for line in out.split()), err) == (130, made, "Interrupted.\n")
    assert names(photo.parent) == ["photo.png", *made, "z.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--factor", 8], "--factor 8 is not the one that --weights "),
        (["--steps", 1], "--steps 1 is too few"),
        (["--sampler", "euler"], "--sampler euler is unknown"),
        (["--spacing", "even"], "--spacing even is unknown"),
        (["--samples", 0], "--samples 0 is too few"),
        (["--tile", 3], "--tile 3 cannot be used; give a multiple of 2, in pixels of the result\n"),
        (["--dtype", "int8"], "--dtype int8 is not supported"),
        (["--device", "tpu"], "--device tpu"),
        (["--weights", "nowhere.pth"], "--weights nowhere.pth is not there"),
    ],
)
def test_options_that_cannot_be_used_are_one_line(options, message, photo, weights):
    status, out, err = run("sr3", photo, "--weights", weights, *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"Error: {message}")
    assert len(err.splitlines()) == 1


def test_without_weights_those_that_come_along_are_taken(photo, weights, bundle, tmp_path):
    bundle(DEFAULTS["sr3"], "sr3", weights.read_bytes())
    status, out, _ = run("sr3", photo, *QUICK)
    expected = sr3(photo, weights=weights, **SAME)
    assert status == 0
    assert np.array_equal(opened(out.strip()), expected)
    assert np.array_equal(sr3(photo, **SAME), expected)
    assert DEFAULTS["sr3"] in run("sr3", "--help")[1]
    status, _, err = run("sr3", photo, "--factor", 2)
    message = f"Error: --factor 2 is not the one that --weights {DEFAULTS['sr3']} was trained for; give --factor 4"
    assert (status, err.startswith(message)) == (2, True)


def test_a_benchmark_is_evaluated_at_the_factor_of_the_weights(small, tmp_path, save_noise):
    save(small(factor=8, size=32), tmp_path / "x8.safetensors")
    for name, height in (("a", 32), ("b", 43)):
        save_noise(tmp_path / "faces" / f"{name}.png", height, 40)
    command = ["evaluate", "sr3", "--data", tmp_path / "faces", "--weights", tmp_path / "x8.safetensors"]
    options = ["--factor", 8, "--seed", 3, "-o", tmp_path / "out", *QUICK]
    status, out, err = run(*command, *options)
    assert (status, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["a", "b", "mean"]
    for name, height in (("a", 32), ("b", 40)):
        inputs = fastsr.resize(opened(tmp_path / "faces" / f"{name}.png")[:height], 1 / 8)
        expected = sr3(inputs, weights=tmp_path / "x8.safetensors", seed=3, **SAME)
        assert np.array_equal(opened(tmp_path / "out" / "pictures" / f"{name}.png"), expected)
    status, _, err = run(*command, "--factor", 4)
    assert status == 2
    assert "--factor 4 is not the one that" in err
