"""`fastsr evaluate`, as a user types it."""

import subprocess
import sys
from functools import partial

import pytest

from fastsr.evaluate import evaluate
from fastsr.methods import Method, NoOptions, register
from tests import command_line

run = partial(command_line.run, "evaluate")


def test_the_command_is_the_function(photos, tmp_path):
    lines = []
    expected = evaluate("lanczos", photos, factor=2, protocol="matlab8", output=tmp_path / "a", show=lines.append)
    status, out, err = run(
        *("lanczos", "--data", photos, "--factor", 2, "--protocol", "matlab8", "-o", tmp_path / "b", "--device", "cpu")
    )
    assert (status, err) == (0, "")
    figures = [[line.split()[:-1] for line in table] for table in (out.splitlines(), lines)]  # but the seconds
    assert figures[0] == figures[1]
    assert f"{expected.mean.psnr_y:.3f}" in out.splitlines()[-1]


def test_options_of_the_method_reach_it(photos, tmp_path):
    arguments = ["--data", photos, "--factor", 2, "--images", "a,b", "--images", "c*", "--device", "cpu"]
    status, out, _ = run("dip", *arguments, "--steps", 1, "--seed", 5, "-o", tmp_path / "out")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == ["image", "a", "b", "c", "mean"]
    status, _, err = run("dip", *arguments, "--steps", 2, "--seed", 5, "-o", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "options was" in err


def test_help_of_a_method_shows_all_options():
    status, out, _ = run("dip", "--help")
    assert status == 0
    for text in ("--data FOLDER", "--protocol", "torchrun", "--preset", "[default: fast]", "file system"):
        assert text in " ".join(out.split())


def test_help_lists_the_methods_without_torch():
    code = (
        f"import sys; sys.path[:0] = {[p for p in sys.path if p]!r}\n"
        "from fastsr.cli import main; main(['evaluate', '--help'], standalone_mode=False)\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True, text=True).stdout
    assert "bicubic, lanczos, dip" in out
    assert out.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bicubic", "--data", "nowhere"], "--data nowhere does not exist"),
        (["bicubic", "--data", "{photos}", "--protocol", "float"], "--protocol float is unknown"),
        (["bicubic", "--data", "{photos}", "--images", "x*"], "--images 'x*' names no picture; there are a, b, c"),
        (["bicubic", "--data", "{photos}", "--device", "gpu"], "--device gpu"),
        (["bicubic", "--data", "{photos}", "-o", "{photos}/a.png"], "not writable"),
        (["dip", "--data", "{photos}", "--preset", "best"], "--preset best is unknown"),
    ],
)
def test_bad_input_is_one_line_and_status_2(arguments, message, photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*(argument.format(photos=photos) for argument in arguments))
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("Error: ")
    assert message in err
    assert not (tmp_path / "evaluation").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["best", "--data", "x"], "method='best' is unknown; choose one of bicubic"),
        (["bicubic"], "Missing option '--data'"),
        (["bicubic", "--data", "x", "--factor", "1"], "1 is not in the range x>=2"),
        (["bicubic", "--data", "x", "--steps", "3"], "No such option"),
    ],
)
def test_usage_errors_are_those_of_click(arguments, message):
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err


def test_failed_pictures_are_told_at_the_end(photos, tmp_path):
    (photos / "b.png").write_text("no image")
    status, out, err = run("bicubic", "--data", photos, "--factor", 2, "-o", tmp_path / "out")
    assert status == 2
    assert [line.split()[0] for line in out.splitlines()] == ["image", "a", "c", "mean"]
    assert len(err.splitlines()) == 1
    assert err.startswith("Error: 'b': ")


def test_ctrl_c_is_status_130(photos, tmp_path, registry):
    def stop(*arguments):
        raise KeyboardInterrupt

    register(Method("stop", "Stops.", NoOptions, stop))
    status, _, err = run("stop", "--data", photos, "--factor", 2, "-o", tmp_path / "out")
    assert (status, err) == (130, "Interrupted.\n")


def test_unknown_kernels_are_one_line(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTSR_KERNELS", "bogus")
    status, _, err = run("bicubic", "--data", photos, "-o", tmp_path / "out")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "FASTSR_KERNELS=bogus is not an implementation" in err
