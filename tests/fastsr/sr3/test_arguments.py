"""The arguments of fastsr.sr3: what they mean, and what is said of those that cannot be used."""

import numpy as np
import pytest
import torch

from fastsr.errors import DeviceError, FastsrError, InputError, InputTypeError, MissingFileError, NotEnoughMemoryError
from fastsr.sr3.arguments import LARGEST_TILE, check_options, target_size
from fastsr.sr3.plans import plan


def test_the_defaults(small):
    checkpoint = small()
    made = check_options(weights=checkpoint, device="cpu", dtype="float32")
    assert made.checkpoint is checkpoint
    assert (made.factor, made.samples, made.seed, made.consistency, made.tile) == (4, 1, 0, True, 32)
    assert torch.equal(made.plan.coefficients, plan(checkpoint.curve, "x0", "dpm-solver++", "log-snr", 20).coefficients)
    assert (made.device, made.dtype) == (torch.device("cpu"), torch.float32)


@pytest.mark.parametrize(("sampler", "spacing"), [("dpm-solver++", "log-snr"), ("ddim", "log-snr"), ("ddpm", "time")])
def test_each_sampler_has_a_spacing_that_suits_it(sampler, spacing, small):
    checkpoint = small()
    made = check_options(weights=checkpoint, sampler=sampler, steps=7)
    assert torch.equal(made.plan.coefficients, plan(checkpoint.curve, "x0", sampler, spacing, 7).coefficients)
    made = check_options(weights=checkpoint, sampler=sampler, spacing="karras", steps=np.int64(7))
    assert torch.equal(made.plan.coefficients, plan(checkpoint.curve, "x0", sampler, "karras", 7).coefficients)


def test_weights_that_do_not_say_take_the_factor_that_is_given(small):
    checkpoint = small(factor=None, size=None)
    for factor in (8, 2.5, np.float32(3)):
        made = check_options(factor, weights=checkpoint)
        assert (made.factor, type(made.factor)) == (factor, float)
        assert made.tile == LARGEST_TILE


def test_a_factor_that_is_said_again_is_no_other(small):
    assert check_options(4.0, weights=small()).factor == 4


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            {"steps": 1},
            InputError,
            r"steps=1 is too few; give a whole number of at least 2 with sampler='dpm-solver\+\+'",
        ),
        ({"steps": 1, "sampler": "ddpm"}, InputError, "steps=1 is too few.*at least 2 with sampler='ddpm'"),
        ({"steps": 0, "sampler": "ddim"}, InputError, "steps=0 is too few.*at least 1 with sampler='ddim'"),
        ({"steps": 2.0}, InputTypeError, r"steps=2\.0 is a float; give a whole number"),
        ({"steps": True}, InputTypeError, "steps=True is a bool"),
        ({"sampler": "euler"}, InputError, r"sampler='euler' is unknown; use one of dpm-solver\+\+, ddim, ddpm"),
        ({"sampler": ["ddim"]}, InputError, r"sampler=\['ddim'\] is unknown"),
        ({"sampler": None}, InputError, "sampler=None is unknown"),
        ({"spacing": "linear"}, InputError, "spacing='linear' is unknown; use one of log-snr, time, karras"),
        ({"spacing": ""}, InputError, "spacing='' is unknown"),
        ({"samples": 0}, InputError, "samples=0 is too few; give a whole number of at least 1"),
        ({"samples": 1001}, InputError, "samples=1001 are too many; give at most 1000"),
        ({"steps": 10**10}, InputError, "steps=10000000000 are too many; give at most 10000"),
        ({"samples": "2"}, InputTypeError, "samples='2' is a str"),
        ({"seed": -1}, InputError, "seed=-1 is out of range"),
        ({"seed": 0.5}, InputTypeError, "seed=0.5 is a float"),
        ({"seed": 2**63 - 2, "samples": 3}, InputError, f"seed={2**63} is out of range"),
        ({"consistency": 1}, InputTypeError, "consistency=1 is a int; give True or False"),
        ({"tile": 0}, InputError, "tile=0 cannot be used; give a multiple of 2, in pixels of the result, or None"),
        ({"tile": 15}, InputError, "tile=15 cannot be used"),
        ({"tile": 16.0}, InputTypeError, r"tile=16\.0 is a float"),
        ({"tile": True}, InputTypeError, "tile=True is a bool"),
        ({"device": "tpu"}, DeviceError, "device='tpu'"),
        ({"dtype": "float16"}, InputError, "dtype='float16' is not supported"),
        ({"weights": "nowhere.pth"}, MissingFileError, "weights='nowhere.pth' is not there"),
        ({"weights": 3}, InputTypeError, "weights is a int"),
        ({"factor": 1}, InputError, "factor=1 does not enlarge a picture; give a number above 1, such as 8"),
        ({"factor": float("nan")}, InputError, "factor=nan does not enlarge"),
        ({"factor": float("inf")}, InputError, "factor=inf does not enlarge"),
        ({"factor": "4"}, InputTypeError, "factor='4' is a str; give a number above 1"),
        ({"factor": True}, InputTypeError, "factor=True is a bool"),
        (
            {"factor": 2},
            InputError,
            "factor=2 is not the one that weights='small' was trained for; give factor=4, or leave it out",
        ),
    ],
)
def test_arguments_that_cannot_be_used_are_named(given, error, message, small):
    with pytest.raises(error, match=message) as raised:
        check_options(**{"weights": small(), **given})
    assert isinstance(raised.value, FastsrError)


def test_weights_that_do_not_say_need_a_factor(small):
    with pytest.raises(
        InputError, match="factor is not given, and weights='small' does not say its own; give a number"
    ):
        check_options(weights=small(factor=None, size=None))


def test_the_last_seed_there_is_can_be_used(small):
    assert check_options(weights=small(), seed=2**63 - 3, samples=3).samples == 3


def test_sizes_are_rounded_up(small):
    made = check_options(2.5, weights=small(factor=None, size=None))
    assert target_size(torch.zeros(1, 3, 3, 7), made) == (8, 18)  # 7.5 and 17.5
    assert target_size(torch.zeros(2, 1, 1, 1), made) == (3, 3)


def test_a_picture_smaller_than_half_of_those_of_the_training_is_refused(small):
    made = check_options(weights=small())
    assert target_size(torch.zeros(1, 3, 2, 9), made) == (8, 36)
    message = (
        "img is 9x1 pixels, of which weights='small' would make 36x4; it was trained to make 16x16: "
        "give a picture of at least 2 pixels a side"
    )
    with pytest.raises(InputError, match=message):
        target_size(torch.zeros(1, 3, 1, 9), made)


def test_a_result_beyond_any_file_is_refused(small):
    made = check_options(1e9, weights=small(factor=None, size=None))
    with pytest.raises(InputError, match=r"img\[3\] of 4x5 pixels enlarged 1e\+09 times is beyond"):
        target_size(torch.zeros(1, 3, 5, 4), made, "img[3]")


@pytest.mark.parametrize(("count", "samples"), [(1, 1), (4, 1), (1, 4)])
def test_a_result_that_does_not_fit_into_memory_is_refused(count, samples, small, monkeypatch):
    made = check_options(weights=small(), samples=samples)
    one = 3 * 4 * 400 * 600
    needed = (10 + 3 * count * samples) * one
    pixels = torch.zeros(count, 3, 100, 150)
    monkeypatch.setattr("fastsr.device.available_memory", lambda device: needed)
    assert target_size(pixels, made) == (400, 600)
    monkeypatch.setattr("fastsr.device.available_memory", lambda device: needed - 1)
    with pytest.raises(NotEnoughMemoryError, match="enlarging img to 600x400 needs about"):
        target_size(pixels, made)
