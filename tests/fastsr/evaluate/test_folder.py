import json
import math
from dataclasses import replace

import pytest

from fastsr.errors import InputError, OutputError
from fastsr.evaluate.folder import KINDS, Folder, Machine, Settings
from fastsr.evaluate.table import Row

SETTINGS = Settings("dip", {"steps": None, "seed": 0}, 4, "rgb8", "Set5", "/data/Set5", "32 channels")
MACHINE = Machine("0.1.0", "cpu", 2)
ROW = Row("a", 24, 16, 30.123456789012344, math.inf, 0.9, math.inf, 1.5)


@pytest.fixture
def folder(tmp_path):
    """With the pictures of one that has no row yet."""
    folder = Folder(tmp_path / "new" / "out")
    folder.open(SETTINGS, MACHINE)
    for kind in KINDS:
        folder.picture("a", kind).touch()
    return folder


def test_a_row_comes_back(folder):
    assert folder.row("a") is None
    folder.write_row(ROW, MACHINE)
    assert folder.row("a") == ROW
    assert folder.row("b") is None


def test_rows_are_plain_json_with_the_machine(folder):
    folder.write_row(ROW, MACHINE)

    def refuse(constant):
        raise AssertionError(constant)

    found = json.loads((folder.path / "rows" / "a.json").read_text(), parse_constant=refuse)
    assert found["lr_psnr"] == "inf"
    assert (found["fastsr"], found["device"], found["threads"]) == ("0.1.0", "cpu", 2)


def test_settings_are_written(folder):
    found = json.loads((folder.path / "settings.json").read_text())
    assert found["method"] == "dip"
    assert found["options"] == {"steps": None, "seed": 0}
    assert found["device"] == "cpu"


def test_other_settings_are_refused_and_another_machine_is_not(folder):
    folder.write_row(ROW, MACHINE)
    before = (folder.path / "settings.json").read_bytes()
    folder.open(SETTINGS, Machine("0.2.0", "cuda", 8))
    with pytest.raises(InputError, match=r"factor was 4 and is 8; protocol was 'rgb8' and is 'dip'. .* with -o"):
        folder.open(replace(SETTINGS, factor=8, protocol="dip"), MACHINE)
    with pytest.raises(InputError, match=r"options was {'steps': None, 'seed': 0} and is {'steps': 5, 'seed': 0}"):
        folder.open(replace(SETTINGS, options={"steps": 5, "seed": 0}), MACHINE)
    with pytest.raises(InputError, match=r"details was '32 channels' and is '64 channels'"):
        folder.open(replace(SETTINGS, details="64 channels"), MACHINE)
    assert (folder.path / "settings.json").read_bytes() == before


def test_a_folder_without_rows_takes_other_settings(folder):
    folder.open(replace(SETTINGS, factor=8), MACHINE)
    assert json.loads((folder.path / "settings.json").read_text())["factor"] == 8


def test_damaged_settings_are_named(folder):
    folder.write_row(ROW, MACHINE)
    (folder.path / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json' cannot be read"):
        folder.open(SETTINGS, MACHINE)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"psnr_y": "x"}'])
def test_a_damaged_row_is_not_done(folder, content):
    folder.write_row(ROW, MACHINE)
    (folder.path / "rows" / "a.json").write_text(content)
    assert folder.row("a") is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_its_pictures_is_not_done(folder, kind):
    folder.write_row(ROW, MACHINE)
    folder.picture("a", kind).unlink()
    assert folder.row("a") is None


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="not writable"):
        Folder(tmp_path / "out").open(SETTINGS, MACHINE)
