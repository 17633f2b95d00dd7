import hashlib

import pytest
from click.testing import CliRunner

from fastsr.checksums import Checksum
from fastsr.cli import main
from fastsr.data import sets
from fastsr.data.sets import DataSet, Download


def run(*arguments):
    result = CliRunner().invoke(main, ["data", *arguments])
    return result.exit_code, result.stdout.splitlines(), result.stderr


@pytest.fixture
def tiny(web, monkeypatch):
    """Sets for testing and for training of one picture each, in place of those there are."""
    web.files["/a.png"] = b"picture"
    known = Checksum("sha256", hashlib.sha256(b"picture").hexdigest())
    downloads = (Download(f"{web.address}/a.png", known, 7, path="a.png"),)
    test = DataSet("Tiny-test", 1, downloads, "free", "none", "computed")
    monkeypatch.setattr(sets, "SETS", (test, DataSet("Tiny", 1, downloads, "paid", "none", "computed", training=True)))


def test_get_prints_the_next_command(tiny, tmp_path):
    folder = tmp_path / "my data"
    code, lines, _ = run("get", "TINY-test", "tiny", "-o", str(folder))
    assert code == 0
    assert lines == [
        f"{folder}/Tiny-test: 1 pictures; free",
        f"  fastsr evaluate bicubic --data '{folder}/Tiny-test' --factor 4",
        f"{folder}/Tiny: 1 pictures; paid",
    ]
    assert (folder / "Tiny-test" / "a.png").read_bytes() == b"picture"
    code, lines, _ = run("get", "tiny-test", "-o", str(folder))
    assert (code, lines[0]) == (0, f"{folder}/Tiny-test is there already: 1 pictures; free")


def test_the_folder_is_that_of_the_environment_or_data(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASTSR_DATA", str(tmp_path / "set"))
    assert run("get", "tiny")[0] == 0
    monkeypatch.delenv("FASTSR_DATA")
    assert run("get", "tiny")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "set"]


def test_a_name_that_is_unknown_is_told_before_the_first_download(tiny, web, tmp_path):
    code, lines, error = run("get", "tiny", "Set6", "-o", str(tmp_path))
    assert (code, lines) == (2, [])
    assert error == "Error: data set 'Set6' is not known; there are Tiny-test, Tiny\n"
    assert web.asked == []


def test_a_failing_network_is_one_line_and_status_2(tiny, web, tmp_path):
    web.codes["/a.png"] = 503
    code, lines, error = run("get", "tiny", "-o", str(tmp_path))
    assert (code, lines) == (2, [])
    assert error == (
        f"Error: data set Tiny: '{web.address}/a.png' cannot be downloaded: Service Unavailable; try again\n"
    )


def test_a_wrong_hash_is_one_line_and_status_2(tiny, tmp_path):
    code, _, error = run("get", f"tiny#sha256={'0' * 64}", "-o", str(tmp_path))
    assert code == 2
    assert error.endswith(f" instead of {'0' * 64}; it is not kept\n")
    assert error.count("\n") == 1


def test_list_names_every_set():
    code, lines, _ = run("list")
    assert code == 0
    assert [line.split()[0] for line in lines[1:]] == [entry.name for entry in sets.SETS]
    assert lines[1].split()[:5] == ["Set5", "test", "5", "3", "sha256"]
    assert max(map(len, lines)) <= 120
