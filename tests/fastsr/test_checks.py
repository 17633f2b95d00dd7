"""Numbers and yes and no as arguments."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from fastsr.checks import check_callback, choice, enlargement, flag, meant, number, whole_number
from fastsr.errors import InputError, InputTypeError
from fastsr.history import History


def test_returns_plain_numbers():
    assert type(whole_number("steps", np.int64(3), "a whole number")) is int
    assert type(number("sigma", np.float32(2.5), "a number")) is float
    assert number("sigma", Fraction(1, 4), "a number") == 0.25


@pytest.mark.parametrize("value", [True, None, "3", 3.0, 1j])
def test_whole_number_names_what_came(value):
    with pytest.raises(InputTypeError) as failure:
        whole_number("steps", value, "a whole number")
    assert str(failure.value) == f"steps={value!r} is a {type(value).__name__}; give a whole number"


@pytest.mark.parametrize("value", [False, None, "3", 1j])
def test_number_takes_no_other_type(value):
    with pytest.raises(InputTypeError, match="sigma="):
        number("sigma", value, "a number")


def test_number_beyond_floats_is_infinite():
    assert number("sigma", 10**400, "a number") == math.inf
    assert number("sigma", -(10**400), "a number") == -math.inf


@pytest.mark.parametrize("factor", [1, 0.5, -2, math.inf, math.nan, pytest.param(10**400, id="beyond floats")])
def test_enlargement_is_finite_and_above_1(factor):
    with pytest.raises(InputError, match="does not enlarge a picture; give 4"):
        enlargement(factor, "4")
    assert enlargement(1.5, "4") == 1.5


def test_flag_takes_only_bools():
    assert flag("consistency", True) is True
    with pytest.raises(InputTypeError, match="consistency=1 is a int; give True or False"):
        flag("consistency", 1)


@pytest.mark.parametrize("value", ["rgb", None, ["y"]])
def test_choice_names_what_there_is(value):
    assert choice("channel", "y", {"y": 1, "grey": 2}) == "y"
    with pytest.raises(InputError) as failure:
        choice("channel", value, {"y": 1, "grey": 2})
    assert str(failure.value) == f"channel={value!r} is unknown; use one of y, grey"


def test_a_slip_is_recognised():
    assert meant("SRGAN4x", ["faces-64", "srgan-x4"]) == " (did you mean 'srgan-x4'?)"
    assert meant("model.pth", ["faces-64", "srgan-x4"]) == ""


def test_a_class_is_no_callback():
    with pytest.raises(InputTypeError, match=r"callback=History is a class; give one of its objects: History\(\)"):
        check_callback(History)
    check_callback(History())
    check_callback(None)
