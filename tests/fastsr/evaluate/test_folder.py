import json
import math
from dataclasses import replace

import pytest

from fastsr.errors import InputError, OutputError
from fastsr.evaluate.folder import Folder, Machine, Settings
from fastsr.evaluate.table import Row

SETTINGS = Settings("dip", {"steps": None, "seed": 0}, 4, "rgb8", "Set5", "/data/Set5")
MACHINE = Machine("0.1.0", "cpu", 2)
ROW = Row("a", 24, 16, 30.123456789012344, math.inf, 0.9, math.inf, 1.5)


@pytest.fixture
def folder(tmp_path):
    folder = Folder(tmp_path / "new" / "out")
    folder.open(SETTINGS, MACHINE)
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
    assert (folder.path / "settings.json").read_bytes() == before


def test_a_folder_without_rows_takes_other_settings(folder):
    folder.open(replace(SETTINGS, factor=8), MACHINE)
    assert json.loads((folder.path / "settings.json").read_text())["factor"] == 8


def test_damaged_files_are_named(folder):
    folder.write_row(ROW, MACHINE)
    (folder.path / "settings.json").write_text("{")
    (folder.path / "rows" / "a.json").write_text("")
    with pytest.raises(InputError, match=r"settings\.json' cannot be read"):
        folder.open(SETTINGS, MACHINE)
    with pytest.raises(InputError, match=r"a\.json' cannot be read"):
        folder.row("a")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="not writable"):
        Folder(tmp_path / "out").open(SETTINGS, MACHINE)
