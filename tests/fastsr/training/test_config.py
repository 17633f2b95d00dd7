import os
from dataclasses import dataclass

import pytest

from fastsr.errors import InputError, MissingFileError
from fastsr.training.config import read_settings, write_settings
from fastsr.training.settings import Settings, changes, setting


@dataclass(frozen=True)
class Own(Settings):
    rate: float = setting(1e-4, "Rate.")
    late: int = setting(10, "First step of the second stage.")
    flip: bool = setting(True, "Whether to.")

    def matters_from(self):
        return {"late": self.late}


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "config.yaml").write_text(text)
        return tmp_path / "config.yaml"

    return write


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(file):
    path = file("batch: 8\nseed: 5\ndata: [a, b]\n")
    found = read_settings(Own, path, {"seed": 7})
    assert found == Own(data=("a", "b"), batch=8, seed=7)


def test_what_is_written_is_read(tmp_path):
    settings = Own(data=("a", "b c"), val="ü", rate=1e-5, flip=False, ema=0.0)
    write_settings(settings, tmp_path / "config.yaml")
    assert read_settings(Own, tmp_path / "config.yaml", {}) == settings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rate: 1e-5", Own(rate=1e-5)),  # text to YAML
        ("rate: 1", Own(rate=1.0)),
        ("data: a", Own(data=("a",))),
        ("log-every: 5", Own(log_every=5)),
        ("val: null", Own()),
        ('{"batch": 4}', Own(batch=4)),  # JSON
        ("", Own()),
    ],
)
def test_values_are_taken_as_people_write_them(text, expected, file):
    found = read_settings(Own, file(text), {})
    assert found == expected
    assert type(found.rate) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bacth: 8", "has 'bacth', which is no setting; did you mean 'batch'"),
        ("batch: many", "has batch: 'many'; give a whole number"),
        ("batch: 1.5", "has batch: 1.5; give a whole number"),
        ("batch: true", "has batch: True; give a whole number"),
        ("batch: null", "has batch: None; give a whole number"),
        ("rate: fast", "has rate: 'fast'; give a number"),
        ("flip: 1", "has flip: 1; give true or false"),
        ("data: [1]", "has data: 1; give text"),
        ("[1, 2]", "holds list; give lines such as 'batch: 16'"),
        ("a: [", "cannot be read as YAML"),
        ("!!python/object/apply:os.getcwd []", "cannot be read as YAML"),
    ],
)
def test_what_cannot_be_used_is_named(text, message, file):
    with pytest.raises(InputError, match=message.replace("[", r"\[")) as caught:
        read_settings(Own, file(text), {})
    assert "config.yaml" in str(caught.value)


def test_a_file_must_be_there(tmp_path):
    with pytest.raises(MissingFileError, match=r"config='.*none.yaml' is not there"):
        read_settings(Own, tmp_path / "none.yaml", {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"data": ()}, "data: no folder"),
        ({"batch": 0}, "batch=0 cannot be used; give at least 1"),
        ({"log_every": 0}, "log_every=0 cannot be used"),
        ({"workers": -1}, "workers=-1 cannot be used; give at least 0"),
        ({"ema": 1.0}, "ema=1.0 cannot be used"),
        ({"ema": float("nan")}, "ema=nan cannot be used"),
        ({"precision": "no"}, "precision='no' is unknown; use one of float32, bfloat16, float16"),
        ({"device": "cuda:1"}, "device='cuda:1' is unknown; use one of cpu, cuda"),
        ({"logger": "paper"}, "logger='paper' is unknown; use one of tensorboard, wandb"),
    ],
)
def test_settings_are_checked(changed, message):
    Own(data=("a",)).check()
    with pytest.raises(InputError, match=message):
        Own(**{"data": ("a",), **changed}).check()


def test_a_setting_that_mattered_keeps_a_run_from_going_on():
    before = Own(data=("a",))
    assert changes(before, Own(data=("a",), log_every=1, val="b", workers=9, device="cpu"), 5) == []
    assert changes(before, Own(data=("b",), batch=8), 5) == ["data", "batch"]
    assert changes(before, Own(data=("a",), late=12), 10) == []
    assert changes(before, Own(data=("a",), late=12), 11) == ["late"]
    assert changes(before, Own(data=("a",), late=5), 6) == ["late"]


@pytest.mark.parametrize(("processors", "ranks", "readers"), [(2, 1, 2), (64, 1, 4), (8, 4, 2), (2, 4, 1)])
def test_readers_share_the_processors(processors, ranks, readers, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(processors)), raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(ranks))
    assert Own().readers == readers
    assert Own(workers=0).readers == 0
