"""The command line, as a user types it."""

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fastsr
from fastsr import sheets
from fastsr.cli import main
from tests.command_line import error_of, opened, run, shell

COMMAND = "from fastsr.cli import main; main()"
QUICK = ["--steps", "2", "--device", "cpu"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)).save(path)
    return path


def save_noise(path: Path, height: int, width: int) -> Path:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)).save(path)
    return path


def test_the_size_of_a_comparison_is_known_before():
    pictures = [("bicubic", np.zeros((5, 300))), ("a title wider than its picture", np.zeros((9, 4, 3)))]
    sheet = sheets.side_by_side(pictures)
    assert sheet.size == sheets.sheet_size([(title, array.shape[1::-1]) for title, array in pictures])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_pictures_on_a_gpu_are_compared():
    picture = torch.rand(4, 5, 6)
    assert np.array_equal(sheets.opaque(picture.cuda()), sheets.opaque(picture))


def test_resize_is_the_function(photo):
    status, out, _ = run("resize", photo, "--scale", 0.5, "--kernel", "lanczos3", "--border", "replicate")
    assert status == 0
    expected = fastsr.resize(photo, 0.5, kernel="lanczos3", border="replicate")
    assert np.array_equal(opened(out.strip()), expected)
    status, out, _ = run("resize", photo, "--size", 7, 9, "-o", photo.with_name("small.png"))
    assert status == 0
    assert opened(photo.with_name("small.png")).size == (9, 7)


def test_metrics_prints_what_the_functions_return(photo):
    other = photo.with_name("other.png")
    fastsr.save(fastsr.resize(fastsr.resize(photo, 2), 0.5), other)
    Image.fromarray(255 - np.asarray(opened(photo))).resize((24, 26)).save(photo.with_name("a.png"))
    Image.new("RGB", (24, 26)).save(photo.with_name("b.png"))
    a, b = photo.with_name("a.png"), photo.with_name("b.png")
    status, out, _ = run("metrics", a, b, "--shave", 2, "--channel", "rgb")
    assert status == 0
    expected = {"channel": "rgb", "shave": 2}
    assert out.split() == [
        "PSNR",
        f"{fastsr.metrics.psnr(a, b, **expected):.3f}",
        "dB",
        "SSIM",
        f"{fastsr.metrics.ssim(a, b, **expected):.4f}",
    ]


def test_doctor_reports_every_op():
    status, out, _ = run("doctor")
    assert status == 0
    for word in ("torch", "triton", "resample", "noise", "stream mt19937", "ok", "CPU"):
        assert word in out


@pytest.mark.filterwarnings("default")
def test_a_warning_is_one_line(tmp_path):
    frames = [Image.new("L", (8, 8), value) for value in (0, 255)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    status, _, err = run("resize", tmp_path / "a.gif", "--scale", 2)
    assert status == 0
    assert err == f"Warning: IN={str(tmp_path / 'a.gif')!r} has several frames; only the first is used\n"


BAD_INPUT = [
    (["dip", "missing.png"], "missing.png"),
    (["dip", "{photo}", "missing.png"], "missing.png"),
    (["dip", "{photo}", "--factor", "1"], "--factor 1"),
    (["dip", "{photo}", "--factor", "0", "-o", "{folder}/new"], "--factor 0"),
    (["dip", "{photo}", "--factor", "nan"], "--factor nan"),
    (["dip", "{photo}", "--steps", "0"], "--steps 0"),
    (["dip", "{photo}", "--seed", "-1"], "--seed -1"),
    (["dip", "{photo}", "--preset", "best"], "--preset best is unknown"),
    (["dip", "{photo}", "--device", "gpu"], "--device gpu is not a device"),
    (["dip", "{photo}", "--dtype", "int8"], "--dtype int8"),
    (["dip", "{photo}", "--max-pixels", "5"], "more than --max-pixels 5"),
    (["dip", "{photo}", "-o", "{photo}"], "overwrite"),
    (["dip", "{photo}", "-o", "{folder}/%s.png" % ("a" * 300)], "File name too long"),
    (["dip", "a" * 300], "File name too long"),
    (["dip", "{text}"], "not an image"),
    (["dip", "{cut}"], "truncated"),
    (["dip", "{line}"], "line.png': IN is 1x9 pixels"),
    (["dip", "{photo}", "--factor", "100000"], "GiB"),
    (
        ["dip", "{photo}", "-o", "{folder}/a.webp", "--factor", "2000"],
        "photo.png': path='{folder}/a.webp': WEBP cannot",
    ),
    (
        ["dip", "{photo}", "-o", "{folder}/a.webp", "--factor", "800", "--compare"],
        "a_compare.webp': WEBP cannot hold 19218x8034",
    ),
    (["resize", "{photo}", "--scale", "0"], "--scale 0"),
    (["resize", "{photo}", "--scale", "nan"], "--scale nan"),
    (["resize", "{photo}", "--scale", "0.0001"], "photo.png': --scale 0.0001"),
    (["resize", "{photo}", "--size", "5", "0"], "--size 5 0"),
    (["resize", "{photo}"], "no --scale and no --size: give one of the two"),
    (["resize", "{photo}", "--scale", "2", "--size", "5", "5"], "--scale 2.0 and --size 5 5"),
    (["resize", "{photo}", "--scale", "2", "--kernel", "best"], "--kernel best"),
    (["resize", "{photo}", "--scale", "2", "--kernel", "../best"], "--kernel ../best"),
    (["resize", "{photo}", "--scale", "2", "--border", "best", "-o", "{folder}/new"], "--border best"),
    (["resize", "{photo}", "--size", "1", "70000", "-o", "{folder}/a.jpg"], "JPEG cannot hold 70000x1 pixels"),
    (["metrics", "{photo}", "{photo}", "--channel", "red"], "--channel red"),
    (["metrics", "{photo}", "{photo}"], "SSIM needs at least 11 pixels"),
    (["metrics", "{photo}", "missing.png"], "B='missing.png' does not exist"),
]


@pytest.fixture
def files(photo: Path, tmp_path: Path) -> dict[str, Path]:
    text, cut = tmp_path / "text.png", tmp_path / "cut.png"
    text.write_text("no image")
    cut.write_bytes(photo.read_bytes()[:200])
    return {
        "photo": photo,
        "text": text,
        "cut": cut,
        "line": save_noise(tmp_path / "line.png", 9, 1),
        "folder": tmp_path,
    }


@pytest.mark.parametrize(("arguments", "message"), BAD_INPUT)
def test_bad_input_is_one_line_and_status_2(arguments, message, files):
    before = sorted(files["folder"].rglob("*"))
    assert message.format(**files) in error_of(*(a.format(**files) for a in arguments))
    assert sorted(files["folder"].rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["dip", "missing.png"], "'missing.png' does not exist"), (["resize", "{cut}", "--scale", "2"], "truncated")],
)
def test_so_it_is_in_a_shell(arguments, message, files):
    assert message in error_of(*(a.format(**files) for a in arguments), runner=shell)


def test_usage_errors_are_those_of_click(photo):
    status, out, err = run("dip", photo, "--factor", "four")
    assert (status, out) == (2, "")
    assert err.startswith("Usage: ")
    assert "'four' is not a valid float" in err.splitlines()[-1]


@pytest.mark.parametrize("command", [["dip", *QUICK], ["resize", "--scale", 2], ["doctor"]])
def test_unknown_kernels_are_one_line_and_status_2(command, photo, monkeypatch):
    monkeypatch.setenv("FASTSR_KERNELS", "bogus")
    pictures = [] if command == ["doctor"] else [photo, "-o", photo.parent / "new"]
    assert "FASTSR_KERNELS=bogus is not an implementation" in error_of(*command, *pictures)
    assert not (photo.parent / "new").exists()


@pytest.mark.parametrize("command", [["dip", *QUICK], ["resize", "--scale", 2]])
def test_kernels_without_a_gpu_are_one_line_and_status_2(command, photo, monkeypatch):
    monkeypatch.setenv("FASTSR_KERNELS", "triton")
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    assert "FASTSR_KERNELS=triton" in error_of(*command, photo)


def test_other_value_errors_are_bugs(photo, monkeypatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(importlib.import_module("fastsr.imresize"), "axis_table", fail)
    assert isinstance(CliRunner().invoke(main, ["resize", str(photo), "--scale", "2"]).exception, ValueError)


@pytest.mark.parametrize("command", [["dip", "--factor", 2, *QUICK], ["resize", "--scale", 0.002]])
def test_a_bad_picture_does_not_stop_the_others(command, files):
    save_noise(files["folder"] / "z.png", 20, 20)
    status, out, err = run(*command, files["folder"], "-o", files["folder"] / "out")
    assert status == 2
    bad, lines = ["cut", "line", "text"], err.splitlines()
    assert len(lines) == len(bad)
    for line, name in zip(lines, bad, strict=True):
        assert line.startswith("Error: ")
        assert line.count(repr(str(files[name]))) == 1
    assert [Path(line).name.split("_")[0] for line in out.split()] == ["photo", "z"]
    assert all(Path(line).is_file() for line in out.split())


def test_a_second_run_writes_the_same_files_anew(photo):
    command = ["dip", photo.parent, "--factor", 2, "--compare", *QUICK]
    first = run(*command)
    names = sorted(photo.parent.iterdir())
    photo.with_name("photo_dip_x2.png").write_bytes(b"")
    made = [photo.with_name(f"photo_dip_x2{what}.png") for what in ("", "_compare")]
    assert run(*command) == first == (0, f"{made[0]}\n{made[1]}\n", "")
    assert sorted(photo.parent.iterdir()) == names
    assert opened(photo.with_name("photo_dip_x2.png")).size == (24, 20)
    for _ in range(2):
        assert run("resize", photo.parent / "photo*.png", "--scale", 2)[0] == 0


def test_max_pixels_raises_the_limit(photo, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    assert "--max-pixels" in error_of("resize", photo, "--scale", 2)
    status, out, _ = run("resize", photo, "--scale", 2, "--max-pixels", 120)
    assert status == 0
    monkeypatch.undo()
    assert opened(Path(out.strip())).size == (24, 20)


def test_a_folder_that_refuses_files_is_found_before_the_work(photo, tmp_path, monkeypatch):
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refuse)
    assert "not writable: Permission denied" in error_of("dip", photo, "-o", tmp_path / "out", "--steps", 10**6)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a folder cannot be made unwritable here")
def test_unwritable_folder_is_found_before_the_work(photo, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    status, _, err = run("dip", photo, "-o", locked, "--steps", 10**6)
    assert status == 2
    assert "not writable" in err
