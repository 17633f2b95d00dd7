import math

import pytest
import torch

from fastsr.errors import FastsrError, InputError, InputTypeError
from fastsr.pulse.arguments import check_options, check_size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"factor": 1}, "factor=1 does not enlarge"),
        ({"weights": "nowhere.safetensors"}, "weights='nowhere.safetensors' is not there"),
        ({"steps": 0}, "steps=0 is out of range; give a whole number from 1"),
        ({"steps": 2.5}, "steps=2.5 is a float"),
        ({"eps": 0}, "eps=0 is out of range"),
        ({"eps": math.inf}, "eps=inf is out of range"),
        ({"seed": -1}, "seed=-1 is out of range"),
        ({"seed": 2**63 - 1, "restarts": 2}, "seed=9223372036854775808 is out of range"),
        ({"restarts": 0}, "restarts=0 is out of range"),
        ({"optimizer": "lion"}, "optimizer='lion' is unknown; use one of adam, adamw, adamax, sgd"),
        ({"learning_rate": -0.4}, "learning_rate=-0.4 is out of range"),
        ({"schedule": "cosine"}, "schedule='cosine' is unknown; use one of fixed, linear1cycle, linear1cycledrop"),
        ({"loss": "L7"}, "'L7' is no term"),
        ({"tile_latent": 1}, "tile_latent=1 is a int"),
        ({"noise": "some"}, "noise='some' is unknown; use one of zero, fixed, trainable"),
        ({"trainable_noise": -1}, "trainable_noise=-1 is out of range; give a whole number of at least 0"),
        ({"consistency": "yes"}, "consistency='yes' is a str"),
        ({"batch": 0}, "batch=0 is out of range"),
        ({"device": "tpu"}, "device='tpu'"),
        ({"dtype": "int8"}, "dtype='int8'"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(change, message, small):
    with pytest.raises(FastsrError, match=message):
        check_options(**{"weights": small(), **change})


def test_types_are_told_from_values(small):
    with pytest.raises(InputTypeError):
        check_options(weights=small(), steps="many")
    with pytest.raises(InputTypeError):
        check_options(weights=3)


@pytest.mark.parametrize(
    ("size", "factor", "message"),
    [
        ((4, 5), None, "img is 5x4 pixels, and a face is searched for in a square; crop .* --align"),
        (
            (16, 16),
            None,
            r"img is 16x16 pixels, and weights='small' makes 16x16; .*size=\(2, 2\)\) makes it, .* --align` finds",
        ),
        ((20, 20), None, "or give weights of a higher resolution"),
        (
            (4, 4),
            8,
            "factor=8 makes 32 of 4 pixels a side, but weights='small' makes 16; give factor=4, or leave it out",
        ),
    ],
)
def test_pictures_that_do_not_fit_are_refused(size, factor, message, small):
    with pytest.raises(InputError, match=message):
        check_size(torch.zeros(1, 3, *size), check_options(factor, weights=small()))


@pytest.mark.parametrize(("side", "factor"), [(4, 4), (5, 3.2), (7, 16 / 7), (15, None), (1, 16)])
def test_any_smaller_square_fits(side, factor, small):
    check_size(torch.zeros(1, 3, side, side), check_options(factor, weights=small()))
