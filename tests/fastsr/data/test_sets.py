import hashlib
import re
from pathlib import Path, PurePosixPath

import pytest

from fastsr.checksums import Checksum
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.sets import SETS, find_set
from fastsr.errors import InputError

DIGITS = {"sha256": 64, "md5": 32}
TESTS = [entry for entry in SETS if not entry.training]


@pytest.mark.parametrize("entry", SETS, ids=lambda entry: entry.name)
def test_entries_are_well_formed(entry):
    assert re.fullmatch(r"[A-Za-z0-9-]+", entry.name)
    assert all((entry.terms, entry.paper, entry.origin, entry.downloads))
    assert entry.size > 0
    for download in entry.downloads:
        assert download.address.startswith("https://")
        assert re.fullmatch(f"[0-9a-f]{{{DIGITS[download.checksum.algorithm]}}}", download.checksum.digits)
        assert bool(download.path) != bool(download.picks)
        path = PurePosixPath(download.path)
        assert not path.is_absolute()
        assert ".." not in path.parts
    assert len({download.address for download in entry.downloads}) == len(entry.downloads)


def test_names_are_unique_in_capitals_or_not():
    names = [entry.name.lower() for entry in SETS]
    assert len(set(names)) == len(names)
    assert {"set5", "set14", "b100", "urban100", "div2k-val"} <= set(names)
    assert [find_set(name).name for name in ("SET5", "div2k-VAL")] == ["Set5", "DIV2K-val"]


def test_unknown_names_are_told():
    with pytest.raises(InputError, match="data set 'set6' is not known; there are Set5, Set14, B100"):
        find_set("set6")


def test_a_hash_of_the_callers():
    digits = "0" * 64
    (download,) = find_set(f"urban100#sha256={digits}").downloads
    assert download.checksum == Checksum("sha256", digits)
    with pytest.raises(InputError, match=r"'Set5#sha256=0+' is 30 downloads, and no hash fits all"):
        find_set(f"Set5#sha256={digits}")
    with pytest.raises(InputError, match="data set 'Set5#md5=1' ends in no hash"):
        find_set("Set5#md5=1")


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("entry", TESTS, ids=lambda entry: entry.name)
def test_test_sets_are_benchmarks(entry, factor, tmp_path):
    folder = tmp_path / entry.name
    for download in entry.downloads:
        names = [download.path] if download.path else []
        for pick in download.picks:
            scale = re.search(r"X(\d)$", pick.inside)
            end = f"x{scale[1]}.png" if scale else ".png"
            names += [str(PurePosixPath(pick.into, f"{i:04d}{end}")) for i in range(pick.count)]
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    benchmark = find_benchmark(folder, factor)
    assert benchmark.name == entry.name
    assert len(benchmark.samples) == entry.pictures
    with_inputs = entry.name.startswith(("Set", "DIV2K"))
    assert all((sample.lr is not None) == with_inputs for sample in benchmark.samples)


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_the_files_of_self_ex_sr_are_those_that_results_are_of(name, data: Path):
    for download in find_set(name).downloads:
        body = (data / name / download.path).read_bytes()
        assert (len(body), hashlib.sha256(body).hexdigest()) == (download.size, download.checksum.digits)


def test_no_test_picture_is_for_training():
    inside = {
        (download.address, pick.inside): entry.training
        for entry in SETS
        for download in entry.downloads
        for pick in download.picks
    }
    bsds500 = next(entry for entry in SETS if entry.name == "BSDS500").downloads[0].address
    assert inside[bsds500, "BSDS500/data/images/val"] is False
    assert sum(training for (address, _), training in inside.items() if address == bsds500) == 2


@pytest.mark.parametrize("entry", SETS, ids=lambda entry: entry.name)
def test_the_guide_has_every_set(entry):
    guide = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text()
    assert f"| {entry.name} | {entry.pictures} | {round(entry.size / 10**6)} |" in guide
    assert entry.terms in guide
    for download in entry.downloads:
        if download.picks:
            assert download.address.rpartition("/")[2] in guide
            assert download.checksum.digits in guide
