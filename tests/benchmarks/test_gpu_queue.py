import importlib
import json
import os
import signal
import sys
import time
from dataclasses import replace

import pytest
import torch

from benchmarks import gpu_queue
from benchmarks.gpu_queue import ITEMS, Item, find_state, fingerprint, list_items, main, run_items
from benchmarks.report import environment

FUNCTIONS = """
import os, time
from pathlib import Path
HERE = Path(__file__).parent

def good():
    with open(HERE / "calls", "a") as calls:
        calls.write("good\\n")
    return {"answer": 42}

def bad():
    with open(HERE / "calls", "a") as calls:
        calls.write("bad\\n")
    print("about to divide")
    return 1 / 0

def begins():
    with open(HERE / "calls", "a") as calls:
        calls.write("begins\\n")
    return {"complete": (HERE / "calls").read_text().count("begins") > 1}

def dies():
    os._exit(0)

def hangs():
    if os.fork() == 0:
        time.sleep(2)
        (HERE / "survived").touch()
        os._exit(0)
    time.sleep(60)
"""
MADE_ON = {"device": "Some GPU 3000", "torch": "2.11", "commit": "abc", "date": "2026-01-02T03:04:05+00:00"}
DEVICE = "some-gpu-3000"


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "queue_functions.py").write_text(FUNCTIONS)
    (tmp_path / "source.py").write_text("one")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    return tmp_path


@pytest.fixture
def here(place, monkeypatch):
    """What the queue decides is the same when its items run in this process, and no time goes into starting others."""

    class Child:
        def __init__(self, command, **options):
            try:
                self.returncode = main(command[4:])
            except ArithmeticError:
                self.returncode = 1

        def wait(self, timeout):
            return self.returncode

        def poll(self):
            return self.returncode

    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(gpu_queue.subprocess, "Popen", Child)
    yield
    sys.modules.pop("queue_functions", None)


def item(function, priority=1, minutes=0.5):
    return Item(function, priority, f"why {function}", f"queue_functions:{function}", minutes, ("*.py",))


def run(place, items, minutes=2.0, folder="results"):
    return run_items(items, place / folder, MADE_ON, minutes, also=place / "also", root=place)


def report(place, name, folder="results"):
    return json.loads((place / folder / DEVICE / f"{name}.json").read_text())


def calls(place):
    return (place / "calls").read_text().split() if (place / "calls").exists() else []


def test_result_says_what_where_and_from_which_state(place):
    assert run(place, [item("good")]) == 0
    found = report(place, "good")
    assert found.pop("seconds") > 0
    assert found == {
        **MADE_ON,
        "format": 1,
        "item": "good",
        "fingerprint": fingerprint(item("good"), place),
        "status": "done",
        "result": {"answer": 42},
    }


def test_a_failure_is_recorded_and_the_queue_goes_on(place, capsys):
    assert run(place, [item("good", priority=2), item("bad", priority=1)]) == 1
    assert calls(place) == ["bad", "good"]
    assert report(place, "bad")["status"] == "failed"
    assert "about to divide" in report(place, "bad")["log"]
    assert "ZeroDivisionError" in report(place, "bad")["log"]
    assert "ZeroDivisionError" in capsys.readouterr().out


def test_what_is_done_is_not_done_again_and_what_failed_is_tried_last(place, here):
    items = [item("bad", priority=1), item("good", priority=2)]
    run(place, items[:1])
    run(place, items)
    assert calls(place) == ["bad", "good", "bad"]
    run(place, items)
    assert calls(place) == ["bad", "good", "bad", "bad"]


def test_a_result_kept_elsewhere_counts(place, here):
    run(place, [item("good")], folder="also")
    run(place, [item("good")])
    assert calls(place) == ["good"]


def test_a_result_of_another_device_does_not_count(place, here):
    run(place, [item("good")])
    run_items([item("good")], place / "results", {**MADE_ON, "device": "Other"}, 1, also=place / "also", root=place)
    assert calls(place) == ["good", "good"]


def test_what_is_not_complete_goes_on_the_next_time(place, here):
    items = [item("begins"), item("good", priority=2)]
    run(place, items)
    assert (report(place, "begins")["status"], report(place, "begins")["result"]) == ("unfinished", {"complete": False})
    state = find_state(items[0], [place / "results" / DEVICE], place)
    assert (state.name, state.owed) == ("unfinished", True)
    run(place, items)
    run(place, items)
    assert report(place, "begins")["status"] == "done"
    assert calls(place) == ["begins", "good", "begins"]


def test_of_what_is_no_measurement_a_result_of_any_device_counts(place, here):
    run(place, [item("good")])
    other = {**MADE_ON, "device": "Other"}
    run_items([replace(item("good"), anywhere=True)], place / "results", other, 1, also=place / "also", root=place)
    assert calls(place) == ["good"]
    folders = [place / "results" / DEVICE]
    states = [list_items([replace(item("good"), anywhere=each)], folders, place, "other") for each in (True, False)]
    assert ["done" in state for state in states] == [True, False]


@pytest.mark.parametrize("change", ["content", "new file", "format"])
def test_a_changed_source_makes_it_owed_again(place, here, change):
    folders = [place / "results" / DEVICE]
    assert find_state(item("good"), folders, place).name == "missing"
    run(place, [item("good")])
    state = find_state(item("good"), folders, place)
    assert (state.name, state.owed, state.where) == ("done", False, "Some GPU 3000, 2026-01-02")
    if change == "content":
        (place / "source.py").write_text("two")
    elif change == "new file":
        (place / "another.py").touch()
    else:
        path = folders[0] / "good.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "format": 0}))
    assert find_state(item("good"), folders, place).name == "outdated"
    run(place, [item("good")])
    assert calls(place) == ["good", "good"]
    assert find_state(item("good"), folders, place).name == "done"


def test_what_does_not_fit_into_the_budget_is_passed_over(place, here, capsys):
    assert run(place, [item("bad", priority=1, minutes=5), item("good", priority=2)]) == 0
    assert calls(place) == ["good"]
    assert not (place / "results" / DEVICE / "bad.json").exists()
    assert "bad: passed over, needs about 5 min" in capsys.readouterr().out


def test_an_item_that_hangs_fails_with_all_its_processes(place):
    assert run(place, [item("hangs", minutes=0.01)]) == 1
    assert report(place, "hangs")["status"] == "failed"
    assert "stopped after" in report(place, "hangs")["log"]
    time.sleep(2)
    assert not (place / "survived").exists()


def test_what_the_end_of_the_budget_interrupts_is_still_owed(place, capsys):
    assert run(place, [item("hangs", minutes=0.01), item("good", priority=2)], minutes=0.02) == 0
    assert find_state(item("hangs"), [place / "results" / DEVICE], place).name == "missing"
    assert calls(place) == []
    assert "hangs: interrupted" in capsys.readouterr().out


def test_an_item_that_dies_without_an_answer_has_failed(place):
    assert run(place, [item("dies")]) == 1
    assert report(place, "dies")["status"] == "failed"


def test_ctrl_c_ends_the_item_and_leaves_no_result(place, monkeypatch):
    children = []
    wait = gpu_queue.subprocess.Popen.wait

    def interrupted(child, timeout=None):
        if child in children:
            return wait(child, timeout)
        children.append(child)
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_queue.subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(place, [item("hangs")])
    assert children[0].returncode == -signal.SIGKILL
    assert not list((place / "results" / DEVICE).iterdir())


def test_list_is_in_order_of_priority_and_names_states(place, here):
    run(place, [item("good"), item("bad")])
    items = [item("dies", priority=9), item("good", priority=3), item("bad", priority=1)]
    lines = list_items(items, [place / "results" / DEVICE], place).splitlines()
    assert [line.split()[1:3] for line in lines] == [["bad", "failed"], ["good", "done"], ["dies", "missing"]]
    assert "Some GPU 3000, 2026-01-02" in lines[1]
    assert lines[2].endswith("why dies")


def test_a_source_that_is_not_there_is_an_error(place):
    with pytest.raises(FileNotFoundError, match=r"good: nowhere/\*\.py matches no file"):
        fingerprint(replace(item("good"), sources=("nowhere/*.py",)), place)


@pytest.mark.parametrize("declared", ITEMS, ids=lambda declared: declared.name)
def test_declared_items_can_be_run(declared):
    assert len(fingerprint(declared)) == 64
    module, function = declared.function.split(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_declared_items_have_names_and_priorities_of_their_own():
    assert len({declared.name for declared in ITEMS}) == len({declared.priority for declared in ITEMS}) == len(ITEMS)


def test_command_lists_by_default(capsys, tmp_path):
    assert main([]) == 0
    assert main(["list", "--results", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(out.count(declared.why) == 2 for declared in ITEMS)


def test_command_run_without_a_gpu_says_so(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main(["run", "--results", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "no GPU on this machine: nothing was run\n")
    assert not list(tmp_path.iterdir())


def test_environment_names_versions_and_commit():
    made_on = environment(torch.device("cpu"))
    assert made_on["torch"] == torch.__version__
    assert set(made_on) == {"device", "threads", "python", "torch", "cuda", "triton", "commit", "date"}
