"""The command line, as a user types it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import fastsr
from fastsr.cli import main

COMMAND = "from fastsr.cli import main; main()"
QUICK = ["--steps", "2", "--device", "cpu"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)).save(path)
    return path


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_dip_writes_beside_the_input(photo):
    status, out, _ = run("dip", photo, "--factor", 2, *QUICK)
    target = photo.with_name("photo_dip_x2.png")
    assert status == 0
    assert out.strip() == str(target)
    assert opened(target).size == (24, 20)


def test_dip_is_the_function(photo):
    run("dip", photo, "--factor", 1.5, "--seed", 7, "--dtype", "float32", "--consistency", *QUICK)
    expected = fastsr.dip(photo, 1.5, steps=2, seed=7, device="cpu", dtype="float32", consistency=True, progress=False)
    assert np.array_equal(opened(photo.with_name("photo_dip_x1.5.png")), expected)


def test_dip_takes_folders_and_globs(photo, tmp_path):
    Image.new("L", (5, 6), 80).save(tmp_path / "grey.png")
    status, out, _ = run("dip", tmp_path, "-o", tmp_path / "out", "--factor", 2, *QUICK)
    assert status == 0
    assert [Path(line).name for line in out.split()] == ["grey_dip_x2.png", "photo_dip_x2.png"]
    assert opened(tmp_path / "out" / "grey_dip_x2.png").mode == "L"
    status, out, _ = run("dip", tmp_path / "gr*.png", "-o", tmp_path / "again", "--factor", 2, *QUICK)
    assert [Path(line).name for line in out.split()] == ["grey_dip_x2.png"]


def test_compare_puts_bicubic_beside_the_result(photo):
    run("dip", photo, "--factor", 2, "--compare", *QUICK)
    sheet = np.asarray(opened(photo.with_name("photo_dip_x2_compare.png")))
    result = np.asarray(opened(photo.with_name("photo_dip_x2.png")))
    bicubic = np.asarray(fastsr.resize(opened(photo), 2))
    windows = np.lib.stride_tricks.sliding_window_view(sheet, result.shape).reshape(-1, *result.shape)
    assert (windows == result).all((1, 2, 3)).sum() == 1
    assert (windows == bicubic).all((1, 2, 3)).sum() == 1


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
    for word in ("torch", "triton", "resample", "noise", "ok", "CPU"):
        assert word in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dip", "missing.png"], "missing.png"),
        (["dip", "{photo}", "--factor", "1"], "factor=1"),
        (["dip", "{photo}", "--factor", "nan"], "factor=nan"),
        (["dip", "{photo}", "--factor", "four"], "'four' is not a valid float"),
        (["dip", "{photo}", "--preset", "best"], "preset='best' is unknown"),
        (["dip", "{photo}", "--device", "gpu"], "device='gpu' is not a device"),
        (["dip", "{photo}", "--max-pixels", "5"], "max_pixels"),
        (["dip", "{photo}", "-o", "{photo}"], "overwrite"),
        (["dip", "{text}"], "not an image"),
        (["dip", "{photo}", "--factor", "100000"], "GiB"),
        (["resize", "{photo}", "--scale", "0"], "scale=0"),
        (["resize", "{photo}"], "scale"),
        (["resize", "{photo}", "--scale", "2", "--kernel", "best"], "kernel='best'"),
        (["metrics", "{photo}", "{photo}", "--channel", "red"], "channel='red'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, photo, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("no image")
    status, out, err = run(*(a.format(photo=photo, text=text) for a in arguments), *[])
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert out == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.png", "text.png"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="a folder cannot be made unwritable here")
def test_unwritable_folder_is_found_before_the_work(photo, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    status, _, err = run("dip", photo, "-o", locked, "--steps", 10**6)
    assert status == 2
    assert "not writable" in err


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal to look at")
def test_ctrl_c_on_a_terminal_writes_the_picture_reached(photo):
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "dip", str(photo), "--steps", "1000000", "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.DEVNULL,
        stderr=theirs,
    )
    os.close(theirs)
    shown = ""
    while "dB" not in shown and process.poll() is None:  # until the bar's first PSNR
        shown += os.read(ours, 4096).decode()
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    shown += os.read(ours, 65536).decode()
    target = photo.with_name("photo_dip_x4.png")
    assert process.returncode == 130
    assert "1000000" in shown
    assert f"Interrupted: {target} holds the picture reached so far." in " ".join(shown.split())
    assert opened(target).size == (48, 40)
