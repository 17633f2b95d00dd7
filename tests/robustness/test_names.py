"""Files of any name that a file system takes, and names that it does not take: those are told before the work."""

import os
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from fastsr.cli import main
from fastsr.data.prepare import prepare
from fastsr.errors import InputError

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems take other names")

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8))
NAMES = {
    "unicode": "ünï 😀 図.png",
    "dash": "--help.png",
    "newline": "new\nline\t\x01.png",
    "glob": "star*[1]?.png",
    "template": "{x} $HOME %s ;#'\".png",
    "no UTF-8": os.fsdecode(b"bad\xff.png"),
    "long": "é" * 110 + ".png",
}
LONGEST = "b" * 251 + ".png"


def run(*words):
    return CliRunner().invoke(main, [os.fspath(word) for word in words])


COMMANDS = {
    "resize": (("resize", "--scale", "0.5", "-o", "OUT", "IN"), "{}_bicubic_x0.5.png"),
    "prepare": (("prepare", "IN", "-o", "OUT"), "LR_bicubic/X4/{}.png"),
    "evaluate": (("evaluate", "bicubic", "--data", "IN", "-o", "OUT"), "pictures/{}_bicubic.png"),
}
"""Commands on the folder IN, each with a file that it makes of a picture there."""


def run_on(folder, command, out):
    return run(*({"IN": folder, "OUT": out}.get(word, word) for word in COMMANDS[command][0]))


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_names_are_kept(name, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    PICTURE.save(source / name, "PNG")
    for command, (_, made) in COMMANDS.items():
        result = run_on(source, command, tmp_path / command)
        assert result.exit_code == 0, result.output
        assert (tmp_path / command / made.format(name.removesuffix(".png"))).is_file()
    assert run("resize", "--scale", "0.5", "-o", tmp_path / "one.png", "--", source / name).exit_code == 0
    assert not list(tmp_path.rglob("*.tmp"))


def test_databases_take_only_utf_8(tmp_path):
    PICTURE.save(tmp_path / NAMES["no UTF-8"], "PNG")
    with pytest.raises(InputError, match=r"'bad\\udcff' cannot be a name in LMDB, .* rename the file"):
        prepare([tmp_path], tmp_path / "out", lmdb=True, workers=1, progress=False)
    assert prepare([tmp_path], tmp_path / "numbered", sizes=(4, 8), lmdb=True, workers=1, progress=False).made == 1


@pytest.mark.parametrize("command", ["resize", "evaluate"])
def test_results_whose_names_are_too_long_are_refused_before_the_work(command, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / LONGEST).write_bytes(b"it would have to be a picture in the work")
    result = run_on(tmp_path / "in", command, tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.strip().endswith("cannot be written: File name too long")


TOO_LONG = "e" * 256
REFUSED = {
    "weights": (("srgan", "in", "--weights", TOO_LONG), "--weights {} cannot be read"),
    "generator": (("pulse", "in", "--weights", TOO_LONG), "--weights {} cannot be read"),
    "run": (("train", "srgan", "--data", "in", "-o", TOO_LONG), "--output {} cannot be read"),
    "model": (("metrics", "in", "--niqe", "--niqe-model", TOO_LONG + ".mat"), "--niqe-model {}.mat cannot be read"),
    "set": (("data", "get", "Set5", "-o", TOO_LONG), "--output {} cannot be read"),
}


@pytest.mark.parametrize(("words", "problem"), REFUSED.values(), ids=REFUSED)
def test_arguments_that_are_too_long_for_a_name_are_told(words, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    PICTURE.save(tmp_path / "in" / "a.png")
    result = run(*words)
    assert result.exit_code == 2, result.exception
    assert result.stderr.strip().endswith(f"{problem.format(TOO_LONG)}: File name too long")


@pytest.mark.parametrize("length", [300, 4000])
def test_paths_may_be_as_long_as_the_system_allows(length, tmp_path):
    folder = str(tmp_path)
    while len(folder) < length:
        folder += "/" + "d" * 50
    os.makedirs(folder)
    PICTURE.save(f"{folder}/a.png")
    assert run("resize", "--scale", "0.5", folder).exit_code == 0
    assert sorted(os.listdir(folder)) == ["a.png", "a_bicubic_x0.5.png"]
    result = run("prepare", f"{folder}/a.png", "-o", f"{folder}/{'e' * 80}")
    assert result.exit_code == (0 if length < 1000 else 2)
    assert length < 1000 or result.stderr.strip().endswith("File name too long")
