"""fastsr dip, as a user types it."""

import importlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fastsr
from fastsr.errors import Interrupted, NotEnoughMemoryError, OutputError
from tests.command_line import COMMAND, ENVIRONMENT, error_of, opened, run

QUICK = ["--steps", "2", "--device", "cpu"]


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 12, 3)).astype(np.uint8)).save(path)
    return path


def save_noise(path: Path, height: int, width: int) -> Path:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)).save(path)
    return path


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


def test_a_comparison_never_replaces_an_input(photo):
    source = photo.rename(photo.with_name("x_compare.png"))
    before = source.read_bytes()
    assert "overwrite" in error_of("dip", source, "-o", photo.with_name("x.png"), "--compare", *QUICK)
    assert source.read_bytes() == before


def interrupt(*arguments: object, after: str = "") -> tuple[int, str, str]:
    """Run a command with stderr on a terminal and press Ctrl-C at the bar's first PSNR after `after` was printed."""
    import fcntl
    import pty
    import select
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen([*COMMAND, *map(str, arguments)], env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=theirs)
    os.close(theirs)
    assert process.stdout is not None
    out = shown = ""
    while not (after in out and "dB" in shown) and process.poll() is None:
        for ready in select.select([ours, process.stdout], [], [], 1)[0]:
            if ready is ours:
                shown += os.read(ours, 4096).decode()
            else:
                out += process.stdout.readline().decode()
                shown = ""  # the bars of pictures that are done
    process.send_signal(signal.SIGINT)
    out += process.communicate(timeout=300)[0].decode()
    shown += os.read(ours, 65536).decode()
    return process.returncode, out, " ".join(shown.split())


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal to look at")
def test_ctrl_c_on_a_terminal_writes_the_picture_reached(photo):
    status, out, shown = interrupt("dip", photo, "--steps", 1000000, "--device", "cpu")
    target = photo.with_name("photo_dip_x4.png")
    assert (status, out) == (130, "")
    assert "1000000" in shown
    assert f"Interrupted: {target} holds the picture reached so far." in shown
    assert opened(target).size == (48, 40)


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal to look at")
def test_ctrl_c_keeps_what_is_done_and_starts_nothing_more(tmp_path):
    a, b, c = (save_noise(tmp_path / f"{name}.png", side, side) for name, side in (("a", 4), ("b", 32), ("c", 32)))
    done, current = tmp_path / "a_dip_x4.png", tmp_path / "b_dip_x4.png"
    status, out, shown = interrupt("dip", a, b, c, "--steps", 60, "--device", "cpu", after=str(done))
    assert (status, out) == (130, f"{done}\n")
    assert f"Interrupted: {current} holds the picture reached so far." in shown
    assert opened(current).size == (128, 128)
    assert sorted(tmp_path.iterdir()) == sorted([a, b, c, done, current])


def test_ctrl_c_stops_even_where_its_picture_cannot_be_written(photo, monkeypatch):
    class Stopped:
        def __init__(self, pictures: Iterator[object], **kwargs: object):
            self.pictures = pictures

        def __next__(self) -> object:
            raise Interrupted(next(self.pictures))

    def refuse(*args: object, **kwargs: object) -> None:
        raise OutputError("the disk is full")

    other = save_noise(photo.with_name("z.png"), 9, 9)
    monkeypatch.setattr(importlib.import_module("fastsr.dip"), "dip", Stopped)
    monkeypatch.setattr("fastsr.images.save", refuse)
    status, out, err = run("dip", photo, other, *QUICK)
    assert (status, out) == (130, "")
    assert err == f"Error: {str(photo)!r}: the disk is full\n"


def test_dip_does_every_task(photo, tmp_path):
    mask = np.zeros((10, 12), np.uint8)
    mask[2:4, 3:9] = 255
    Image.fromarray(mask).save(tmp_path / "hole.png")
    before = np.asarray(opened(photo))
    status, out, _ = run("dip", photo, "--task", "inpaint", "--mask", tmp_path / "hole.png", *QUICK)
    assert (status, out.strip()) == (0, str(photo.with_name("photo_dip_inpaint.png")))
    filled = np.asarray(opened(photo.with_name("photo_dip_inpaint.png")))
    assert np.array_equal(filled[mask == 0], before[mask == 0])
    assert not np.array_equal(filled[mask > 0], before[mask > 0])
    status, out, _ = run("dip", photo, "--task", "denoise", "--sigma", "25", "--factor", "2", "--compare", *QUICK)
    made = [str(photo.with_name(f"photo_dip_denoise_x2{what}.png")) for what in ("", "_compare")]
    assert (status, out.split()) == (0, made)
    assert opened(photo.with_name("photo_dip_denoise_x2.png")).size == (24, 20)
    assert opened(photo.with_name("photo_dip_denoise_x2_compare.png")).width > 48
    status, out, _ = run("dip", photo.parent, "--task", "denoise", *QUICK)
    assert out.split() == [str(photo.with_name(f"{name}_dip_denoise.png")) for name in ("hole", "photo")]
    expected = fastsr.dip(photo, task="denoise", steps=2, device="cpu", progress=False)
    assert np.array_equal(np.asarray(opened(photo.with_name("photo_dip_denoise.png"))), np.asarray(expected))


def test_masks_of_a_folder_belong_to_the_pictures_of_their_names(photo, tmp_path):
    other = save_noise(photo.with_name("z.png"), 9, 9)
    masks = tmp_path / "masks"
    masks.mkdir()
    for path, size in ((photo, (10, 12)), (other, (9, 9))):
        Image.fromarray(np.eye(*size, dtype=np.uint8) * 255).save(masks / f"{path.stem}.bmp")
    options = ["--task", "restore", "--mask", masks, *QUICK, "-o", tmp_path / "out"]
    assert run("dip", photo, other, *options)[0] == 0
    kept = np.eye(9) == 0
    assert np.array_equal(
        np.asarray(opened(tmp_path / "out" / "z_dip_restore.png"))[kept], np.asarray(opened(other))[kept]
    )
    (masks / "z.bmp").unlink()
    status, out, err = run("dip", photo, other, *options)
    assert (status, out) == (2, "")
    assert f"--mask {masks} holds no picture named 'z', as the picture {str(other)!r} is" in err


def test_a_picture_that_is_refused_leaves_the_masks_of_the_others(photo, tmp_path):
    small = save_noise(photo.with_name("a.png"), 3, 3)  # too small to be worked on
    masks = tmp_path / "masks"
    masks.mkdir()
    Image.fromarray(np.eye(3, dtype=np.uint8) * 255).save(masks / "a.png")
    Image.fromarray(np.eye(10, 12, dtype=np.uint8) * 255).save(masks / "photo.png")
    status, out, err = run("dip", small, photo, "--task", "restore", "--mask", masks, *QUICK)
    assert (status, out.split()) == (2, [str(photo.with_name("photo_dip_restore.png"))])
    assert "IN is 3x3 pixels" in err
    kept = np.eye(10, 12) == 0
    restored = np.asarray(opened(photo.with_name("photo_dip_restore.png")))
    assert np.array_equal(restored[kept], np.asarray(opened(photo))[kept])


def test_a_mask_among_the_pictures_is_none_of_them(photo):
    mask = photo.with_name("mask.png")
    Image.fromarray(np.eye(10, 12, dtype=np.uint8) * 255).save(mask)
    status, out, _ = run("dip", photo.parent, "--task", "restore", "--mask", mask, *QUICK)
    assert (status, out.split()) == (0, [str(photo.with_name("photo_dip_restore.png"))])


def test_a_mask_that_does_not_fit_one_picture_does_not_stop_the_others(photo, tmp_path):
    other = save_noise(photo.with_name("a.png"), 9, 9)
    Image.fromarray(np.eye(10, 12, dtype=np.uint8) * 255).save(tmp_path / "mask.png")
    status, out, err = run("dip", other, photo, "--task", "restore", "--mask", tmp_path / "mask.png", *QUICK)
    assert (status, out.split()) == (2, [str(photo.with_name("photo_dip_restore.png"))])
    named = f"--mask {tmp_path / 'mask.png'}"
    assert err == f"Error: {str(other)!r}: {named} is 12x10 pixels and IN is 9x9; a mask has the size of its picture\n"


def test_a_picture_that_fails_in_the_work_does_not_stop_those_read_ahead(photo, monkeypatch):
    pictures = [photo, *(save_noise(photo.with_name(f"{name}.png"), 9, 9) for name in "xyz")]
    dip = importlib.import_module("fastsr.dip.call")
    real, calls = dip.pose, []

    def pose(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 2:
            raise NotEnoughMemoryError("no memory is left")
        return real(*arguments)

    monkeypatch.setattr(dip, "pose", pose)
    status, out, err = run("dip", *pictures, *QUICK)
    assert status == 2
    assert out.split() == [str(path.with_name(f"{path.stem}_dip_x4.png")) for path in pictures if path.stem != "x"]
    assert err == f"Error: {str(pictures[1])!r}: no memory is left\n"
