from dataclasses import replace

import pytest
import torch

from fastsr.errors import InputError
from fastsr.sr3.network import PUBLISHED, UNetConfig
from fastsr.sr3.schedules import Schedule
from fastsr.sr3.train_settings import TrainSettings
from fastsr.training.config import read_settings, write_settings
from fastsr.training.settings import changes


@pytest.fixture
def settings():
    """Those of a training of 4x, on 32x32."""
    return TrainSettings(
        data=("somewhere",), factor=4, crop=32, width=16, multipliers=(1, 2), attention=(16,), groups=8, blocks=1
    )


def test_defaults_are_those_of_the_paper():
    default = TrainSettings(data=("somewhere",))
    default.check()
    assert default.network == PUBLISHED[128]
    assert torch.equal(default.curve, Schedule().curve())
    assert (default.factor, default.crop, default.prediction) == (8, 128, "epsilon")
    assert (default.batch, default.steps, default.warm_up, default.rate) == (256, 10**6, 10**4, 1e-4)
    assert default.ema == 0.9999


def test_attention_is_named_by_the_sides_of_features(settings):
    assert settings.network == UNetConfig(16, (1, 2), 1, (1,), 8, 0.2)
    assert replace(settings, attention=(32, 16)).network.attention == (0, 1)
    assert replace(settings, attention=(0,)).network.attention == ()
    assert replace(settings, attention=()).network.attention == ()


def test_the_schedule_is_that_of_the_settings(settings):
    chosen = replace(settings, schedule="quad", schedule_steps=1500, schedule_start=1e-4, schedule_end=2e-2)
    assert torch.equal(chosen.curve, Schedule("quad", 1500, 1e-4, 2e-2).curve())


def test_a_file_holds_all_settings(settings, tmp_path):
    chosen = replace(settings, attention=(), multipliers=(1, 2, 2), loss="l2")
    write_settings(chosen, tmp_path / "config.yaml")
    assert read_settings(TrainSettings, tmp_path / "config.yaml", {}) == chosen


def test_more_steps_and_other_validation_change_no_step_that_was_made(settings):
    before = replace(settings, steps=10)
    assert changes(before, replace(before, steps=20, val_steps=5), 10) == []
    assert changes(before, replace(before, steps=5), 10) == ["steps"]
    assert changes(before, replace(before, warm_up=5, loss="l2"), 1) == ["loss", "warm_up"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"schedule": "sigmoid"}, "schedule='sigmoid' is unknown; use one of linear, cosine, quad"),
        ({"prediction": "noise"}, "prediction='noise' is unknown; use one of epsilon, v, x0"),
        ({"loss": "mse"}, "loss='mse' is unknown; use one of l1, l2"),
        ({"schedule_steps": 1}, "schedule_steps=1 cannot be used; give at least 2"),
        ({"schedule_steps": 100}, "schedule_steps=100 cannot be used: .* ends at gamma 0.605, .* give more steps"),
        ({"schedule_start": 0.0}, "schedule_start=0.0 and schedule_end=0.01 cannot be used; give betas"),
        ({"schedule_end": 1.0}, "schedule_start=1e-06 and schedule_end=1.0 cannot be used"),
        ({"schedule_start": 0.1}, "schedule_start=0.1 and schedule_end=0.01 cannot be used"),
        ({"factor": 1}, "factor=1 cannot be used; give at least 2"),
        ({"crop": 30}, "crop=30 cannot be used; factor=4 needs a multiple of 4"),
        (
            {"multipliers": (1, 1, 1, 1), "crop": 36, "attention": ()},
            "crop=36 cannot be used; a network with 4 multipliers needs a multiple of 8",
        ),
        ({"attention": (8,)}, "attention=8 is the side of no features; they have 32, 16"),
        ({"multipliers": ()}, r"multipliers=\(\) are not whole numbers of at least 1"),
        ({"multipliers": (1, 0)}, r"multipliers=\(1, 0\) are not whole numbers"),
        ({"width": 15}, "width=15 is odd"),
        ({"groups": 3}, "groups=3 do not divide the 16 channels"),
        ({"groups": 32, "multipliers": (2, 4)}, "groups=32 do not divide the 16 channels"),
        ({"dropout": 1.0}, "dropout=1.0 is not a part"),
        ({"rate": 0.0}, "rate=0.0 cannot be used"),
        ({"steps": 0}, "steps=0 cannot be used"),
        ({"warm_up": -1}, "warm_up=-1 cannot be used"),
        ({"val_steps": 1}, "val_steps=1 cannot be used; give at least 2"),
        ({"blocks": 0}, "blocks=0 cannot be used"),
        ({"data": ("",)}, "data='' names no folder"),
    ],
)
def test_what_cannot_be_used_is_named(changed, message, settings):
    with pytest.raises(InputError, match=message):
        replace(settings, **changed).check()
