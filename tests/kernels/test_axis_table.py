"""The tables of resampling against the formula of imresize, written down once more with loops."""

import math

import numpy as np
import pytest
import torch

from fastsr_kernels.axis_table import BORDERS, KERNELS, axis_table

SUPPORT = {"cubic": 4, "lanczos2": 4, "lanczos3": 6, "linear": 2, "box": 1, "gaussian": 4}
SIZES = [(7, 5), (5, 7), (1, 1), (1, 4), (4, 1), (2, 3), (12, 3), (3, 12), (33, 32), (40, 5), (5, 40)]


def value(kernel, x):
    a = abs(x)
    if kernel == "cubic":
        if a <= 1:
            return 1.5 * a**3 - 2.5 * a**2 + 1
        return -0.5 * a**3 + 2.5 * a**2 - 4 * a + 2 if a <= 2 else 0
    if kernel == "linear":
        return max(1 - a, 0)
    if kernel == "box":
        return float(-0.5 <= x < 0.5)
    if kernel == "gaussian":
        return math.exp(-(x**2) / (2 * 0.5**2)) if a < 2 else 0
    lobes = int(kernel[-1])
    if a >= lobes:
        return 0
    return 1 if x == 0 else lobes * math.sin(math.pi * x) * math.sin(math.pi * x / lobes) / (math.pi * x) ** 2


def definition(in_size, out_size, scale, kernel, antialias, border):
    """Row by row, on a signal that NumPy has continued beyond its ends."""
    stretch = 1 / scale if antialias and scale < 1 else 1
    reach = math.ceil(SUPPORT[kernel] * stretch / 2) + math.ceil(1 / scale) + 3
    mode = {"symmetric": "symmetric", "replicate": "edge", "reflect": "reflect"}[border]
    stands_for = np.pad(np.arange(in_size), reach, mode=mode)
    matrix = np.zeros((out_size, in_size))
    for x in range(1, out_size + 1):
        u = x / scale + 0.5 * (1 - 1 / scale)
        taps = range(math.floor(u - SUPPORT[kernel] * stretch / 2), math.ceil(u + SUPPORT[kernel] * stretch / 2) + 1)
        weights = [value(kernel, (u - tap) / stretch) for tap in taps]
        for tap, weight in zip(taps, weights, strict=True):
            matrix[x - 1, stands_for[tap - 1 + reach]] += weight / sum(weights)
    return torch.from_numpy(matrix)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("border", BORDERS)
@pytest.mark.parametrize("antialias", [True, False])
def test_table_is_the_formula(kernel, border, antialias):
    for in_size, out_size in SIZES:
        table = axis_table(in_size, out_size, kernel=kernel, antialias=antialias, border=border)
        expected = definition(in_size, out_size, out_size / in_size, kernel, antialias, border)
        torch.testing.assert_close(table.dense(), expected, rtol=0, atol=1e-13)


def test_scale_need_not_be_the_ratio_of_the_sizes():
    # ceil(0.3 * 11) = 4 outputs lie 1 / 0.3 apart, not 11 / 4.
    expected = definition(11, 4, 0.3, "cubic", True, "symmetric")
    torch.testing.assert_close(axis_table(11, 4, scale=0.3).dense(), expected, rtol=0, atol=1e-13)
    assert not torch.allclose(axis_table(11, 4).dense(), expected, atol=1e-3)


@pytest.mark.parametrize(("in_size", "out_size"), SIZES)
def test_constants_stay_constant(in_size, out_size):
    table = axis_table(in_size, out_size, kernel="lanczos3")
    torch.testing.assert_close(table.weights.sum(1), torch.ones(out_size, dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("in_size", "out_size"), SIZES)
def test_transpose_has_the_same_numbers(in_size, out_size):
    table = axis_table(in_size, out_size, kernel="lanczos2", border="replicate")
    assert torch.equal(table.transpose().dense(), table.dense().T)
    assert torch.equal(table.transpose().transpose().dense(), table.dense())
    assert table.transpose() is table.transpose()


@pytest.mark.parametrize(("in_size", "out_size"), SIZES)
@pytest.mark.parametrize("size", [1, 3, 16])
@pytest.mark.parametrize(("span_multiple", "start_multiple"), [(1, 1), (16, 1), (32, 8)])
def test_blocks_are_the_table(in_size, out_size, size, span_multiple, start_multiple):
    table = axis_table(in_size, out_size)
    start, weights = table.blocks(size, span_multiple, start_multiple)
    count, rows, span = weights.shape
    assert (count, rows) == (-(-out_size // size), size)
    assert span % span_multiple == 0
    assert (start >= 0).all()
    assert (start % start_multiple == 0).all()
    if span_multiple == start_multiple == 1:
        assert (start + span <= in_size).all()
    matrix = torch.zeros(count * size, in_size + span, dtype=torch.float64)
    for block in range(count):
        matrix[block * size : (block + 1) * size, start[block] : start[block] + span] = weights[block]
    assert torch.equal(matrix[:out_size, :in_size], table.dense())
    assert not matrix[out_size:].any()
    assert not matrix[:, in_size:].any()


def test_the_same_arguments_give_the_same_table():
    assert axis_table(8, 4, kernel="linear") is axis_table(8, 4, kernel="linear")


def test_a_default_device_is_not_used():
    with torch.device("meta"):
        table = axis_table(9, 3, kernel="gaussian")
        dense = table.dense()
    assert dense.device.type == table.transpose().blocks(4)[1].device.type == "cpu"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"in_size": 0}, "in_size and out_size must be at least 1, not 0 and 4"),
        ({"out_size": -1}, "in_size and out_size must be at least 1, not 8 and -1"),
        ({"scale": 0.0}, r"scale must be a positive number, not 0\.0"),
        ({"scale": math.nan}, "scale must be a positive number, not nan"),
        ({"kernel": "bicubic"}, "kernel must be one of cubic, .*, not 'bicubic'"),
        ({"border": "zeros"}, "border must be one of symmetric, replicate, reflect, not 'zeros'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        axis_table(**{"in_size": 8, "out_size": 4, **arguments})
