"""The command line, as a user types it."""

import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fastsr
from fastsr import sheets
from fastsr.cli import main
from fastsr.errors import Interrupted, NotEnoughMemoryError, OutputError

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
    assert result.exception is None or isinstance(result.exception, SystemExit), "a traceback"
    return result.exit_code, result.stdout, result.stderr


def shell(*arguments: object) -> tuple[int, str, str]:
    """Do what `run` does in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def save_noise(path: Path, height: int, width: int) -> Path:
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)).save(path)
    return path


def error_of(*arguments: object, runner: Callable[..., tuple[int, str, str]] = run) -> str:
    """Run a command that prints nothing but one line of error and exits with status 2; return that line."""
    status, out, err = runner(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    return err


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


def test_a_comparison_never_replaces_an_input(photo):
    source = photo.rename(photo.with_name("x_compare.png"))
    before = source.read_bytes()
    assert "overwrite" in error_of("dip", source, "-o", photo.with_name("x.png"), "--compare", *QUICK)
    assert source.read_bytes() == before


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


def interrupt(*arguments: object, after: str = "") -> tuple[int, str, str]:
    """Run a command with stderr on a terminal and press Ctrl-C at the bar's first PSNR after `after` was printed."""
    import fcntl
    import pty
    import select
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
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
