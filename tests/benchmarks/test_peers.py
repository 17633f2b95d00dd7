"""The comparison with other packages: what is measured of fastsr itself, without any of them."""

import json
import mmap
import os
import threading
from functools import partial

import numpy as np
import pytest
import torch

import fastsr
from benchmarks.peers import __main__ as command
from benchmarks.peers import dip, metrics, networks, packages, resize, run, turns, venv
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import Recipe
from fastsr.srgan.relatives import RRDBNetConfig


@pytest.fixture
def here(no_processes):
    no_processes(turns)


def broken(name):
    if name == "broken":
        raise ImportError("no such thing\nat all")
    return name


def test_rivals_take_turns_and_those_that_fail_are_named(here):
    calls = []
    with turns.rivals(broken, ("one", "broken", "two")) as (found, failures):
        assert failures == {"broken": "ImportError: no such thing"}
        turns.measured("one", lambda work: lambda: calls.append(work))
        costs = turns.take_turns(found, zeros, 2**22, rounds=4, seconds=60.0)
        slow = turns.take_turns(found, zeros, 4, rounds=4, seconds=0.0)
    assert calls == ["one"]
    assert list(costs) == ["one", "two"]
    for cost in costs.values():
        assert cost["rounds"] == 4
        assert 0 < cost["fastest"] <= cost["seconds"] <= cost["slowest"]
        assert 0.9 * 2**25 < cost["peak_bytes"] < 1.5 * 2**25
    assert slow["one"]["rounds"] == 1  # the first call took longer than all were to take


def zeros(work, count):
    # Pages of its own: after other tests malloc may have some to give, and the process would not grow.
    return lambda: np.frombuffer(mmap.mmap(-1, 8 * count), np.uint8).fill(1)


def test_differences_are_counted_inside_the_border_too():
    theirs = np.full((12, 10, 3), 7, np.uint8)
    ours = theirs.copy()
    ours[0, 0, 0] = 0  # less than theirs: unsigned numbers would go round
    ours[5, 5, 1] = 9
    found = resize.differences([(ours, theirs), (theirs, theirs)])
    assert found["values"] == 720
    assert found["differing"] == 2
    assert found["most"] == 7
    assert found["most_inside"] == 2
    assert found["percent_inside"] == pytest.approx(100 / (2 * 6 * 4 * 3))


@pytest.mark.parametrize("name", ["fastsr", "fastsr, uint8", "torch, antialias", "torch, uint8, antialias"])
def test_resizers_take_and_give_pictures(name):
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    work = resize.make(name)
    small = work.give(work.call(work.take(picture), (4, 6)))
    assert small.shape == (4, 6, 3)
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small.astype(int)[1:3, 1:5], fastsr.resize(picture, 1 / 4)[1:3, 1:5].astype(int), atol=3)
    assert resize.has_gradient(work) == ("uint8" not in name)


def test_fastsr_resizes_as_matlab_did(data, here):
    names = (resize.OURS[1], resize.OLD_MATLAB)
    report = resize.measure(data, names, sides=(16, 32), rounds=1)
    today, old = report["agreement"]
    assert old["percent"] == old["most"] == today["percent_inside"] == 0 < today["percent"]
    assert [(row["case"], row["side"]) for row in report["rows"]] == [
        ("down", 16),
        ("down", 32),
        ("up", 16),
        ("up", 32),
    ]


def test_what_would_take_too_long_is_not_asked_for_the_larger_size(here, monkeypatch, tmp_path):
    monkeypatch.setattr(resize, "agreement", nothing)
    costs = {"fastsr": {"seconds": 4.0}, "torch, antialias": {"seconds": 3.0}}
    monkeypatch.setattr(resize, "take_turns", lambda found, *_, **__: {name: costs[name] for name in found})
    report = resize.measure(tmp_path, tuple(costs), sides=(10, 20), rounds=1, seconds=10.0)
    assert [row["side"] for row in report["rows"] if row["rival"] == "fastsr"] == [10, 20, 10, 20]
    assert [row["side"] for row in report["rows"] if row["rival"] == "torch, antialias"] == [10, 10]


def nothing(work, folder):
    return {}


def test_fastsr_scores_as_published(data, here):
    report = metrics.measure(data, ("fastsr",), rounds=1)
    (row,) = report["rows"]
    assert row["psnr"] == pytest.approx(metrics.PUBLISHED["psnr"], abs=0.015)
    assert row["ssim"] == pytest.approx(metrics.PUBLISHED["ssim"], abs=0.001)
    assert row["niqe"] == pytest.approx(metrics.LIVE, abs=1e-4)
    assert set(row["costs"]) == {"psnr", "ssim", "niqe"}


def test_networks_are_read_and_compared(data, here, monkeypatch):
    monkeypatch.setattr(networks, "set5_psnr", thirty)  # it would take seconds
    config = RRDBNetConfig(blocks=1, width=8, growth=4)
    report = networks.measure(data, networks.RIVALS[:2], sides={16: (1, 1.0)}, config=config)
    assert [row["rival"] for row in report["rows"]] == [*networks.RIVALS[:2]] * 2
    for row in report["rows"]:
        assert (row["off"] > 0) == (row["rival"] == "fastsr, bfloat16")
        assert ("set5_psnr_y" in row) == (row["file"] == "SRGAN's generator")


def thirty(work, path, folder):
    return 30.0


def test_a_file_that_a_rival_does_not_know_is_said_so(tmp_path):
    torch.save({"some.weight": torch.zeros(2)}, tmp_path / "other.pth")
    assert "InputError" in str(networks.loads(networks.Networks(networks.OURS), tmp_path / "other.pth"))


TINY = Recipe(HourglassConfig(channels=(8, 8), skip_channels=2), steps=3)


def test_fits_take_turns_and_keep_their_curves(data, here, monkeypatch):
    makers = {dip.OURS: partial(dip.with_fastsr, TINY), dip.PLAIN: partial(dip.plain, TINY)}
    monkeypatch.setattr(dip, "MAKERS", makers)
    monkeypatch.setattr(dip, "BETWEEN_LOOKS", 0.0)
    monkeypatch.setattr(dip, "WARM_UP_SIDE", 16)
    threads = threading.active_count()
    report = dip.measure(data, tuple(makers), pictures=("img_005",), side=32, budget=3.0, turn=0.25)
    assert threading.active_count() == threads
    ours, plain = report["rows"]
    assert len(ours["curve"]) >= 2
    assert ours["ended"] == ours["curve"][-1][0]  # after three steps
    assert plain["ended"] is None
    assert plain["curve"][-1][0] >= 3
    for row in report["rows"]:
        seconds = [spent for spent, _ in row["curve"]]
        assert seconds == sorted(seconds)
        assert all(5 < psnr < 60 for _, psnr in row["curve"])
    assert 15 < report["bicubic"]["img_005"] < 40


def test_a_fit_that_fails_says_so():
    def work(small, size, report):
        raise ValueError("no")

    fit = dip.Fit(work, torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match="no"):
        fit.go_on(1.0)


def test_parts_are_kept_beside_one_another(tmp_path, monkeypatch):
    path = tmp_path / "peers.json"
    for name in ("metrics", "dip"):
        monkeypatch.setitem(run.PARTS, name, lambda data, name=name: {"rows": [name]})
        run.measure(name, tmp_path, path)
    parts = json.loads(path.read_text())["parts"]
    assert {name: part["rows"] for name, part in parts.items()} == {"metrics": ["metrics"], "dip": ["dip"]}
    assert len(parts["dip"]["load"]) == 2
    assert parts["dip"]["torch"] == torch.__version__


def test_the_command_knows_all_parts():
    assert tuple(run.PARTS) == command.PARTS


def test_packages_are_said_with_their_versions_or_the_reason():
    found = packages.state(["pillow", "no-such-package", "refused"], {"refused": "no wheel"})
    assert found["pillow"][0].isdigit()
    assert found["no-such-package"] == "cannot be imported: ModuleNotFoundError: No module named 'no-such-package'"
    assert found["refused"] == "cannot be installed: no wheel"


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for Python is a shell script")
def test_what_pip_refuses_is_kept_with_the_environment(tmp_path, monkeypatch):
    monkeypatch.setattr(venv, "requirements", lambda: ["good", "bad"])
    monkeypatch.setattr(venv.subprocess, "run", stand_in(tmp_path))
    assert venv.ready(tmp_path / "env") == tmp_path / "env" / "bin" / "python"
    assert venv.missing(tmp_path / "env") == {"bad": "No matching distribution found for bad"}
    monkeypatch.setattr(venv.subprocess, "run", None)  # a second call installs nothing
    venv.ready(tmp_path / "env")


def stand_in(folder):
    """What takes the place of subprocess.run: it makes the folder, and refuses the package "bad"."""

    def done(command, **_):
        (folder / "env").mkdir(exist_ok=True)
        failed = command[-1] == "bad"
        error = "WARNING: much\nERROR: No matching distribution found for bad\n" if failed else ""
        return venv.subprocess.CompletedProcess(command, int(failed), "", error)

    return done


def test_the_requirements_are_names():
    names = venv.requirements()
    assert {"kornia", "deepinv", "spandrel", "torchmetrics"} <= set(names)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz-") for name in names)
