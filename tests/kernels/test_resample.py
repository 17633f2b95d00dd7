import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from fastsr_kernels import resample
from fastsr_kernels.arguments import DTYPES
from fastsr_kernels.resample import axis_table
from tests.kernels.checks import half_precision, need_gpu_memory, on_gpu, random

TABLES = {  # rows, columns
    "x4 down": (axis_table(24, 6), axis_table(36, 9)),
    "x8 down": (axis_table(40, 5, kernel="lanczos2", border="replicate"), axis_table(64, 8, kernel="lanczos2")),
    "x3 up": (axis_table(5, 15, kernel="lanczos3"), axis_table(7, 21, border="reflect")),
    "odd": (axis_table(37, 11), axis_table(13, 50)),
    "rows only": (axis_table(20, 7), None),
    "columns only": (None, axis_table(9, 31)),
    "single pixels": (axis_table(1, 3), axis_table(5, 1)),
    "several blocks": (axis_table(150, 75, kernel="box"), axis_table(70, 140, kernel="linear")),
}
SHAPES = {"a picture": (), "a batch": (2, 3), "three dimensions": (3,), "five dimensions": (2, 1, 2)}


def picture(name, leading=(), seed=0, dtype=torch.float64):
    rows, columns = TABLES[name]
    return random(*leading, rows.in_size if rows else 6, columns.in_size if columns else 10, seed=seed, dtype=dtype)


def definition(x, name):
    """A_h x A_w^T with the dense matrices, in float64."""
    rows, columns = TABLES[name]
    y = x.double().cpu()
    y = y if rows is None else rows.dense() @ y
    return y if columns is None else y @ columns.dense().T


def layouts(x):
    """The numbers of a batch (N, C, H, W) in memory of other strides."""
    n, c, h, w = x.shape
    larger = x.new_full((n, c, 2 * h, w + 3), torch.nan)
    larger[:, :, ::2, 1:-2] = x
    return {
        "contiguous": x,
        "channels_last": x.contiguous(memory_format=torch.channels_last),
        "transposed": x.mT.contiguous().mT,
        "part of a larger one": larger[:, :, ::2, 1:-2],
        "expanded": x[:1].expand(2, -1, -1, -1),
    }


def tolerance(dtype):
    return {"rtol": 0, "atol": {torch.float64: 1e-13, torch.float32: 5e-6}.get(dtype, 8 * torch.finfo(dtype).eps)}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("leading", SHAPES.values(), ids=SHAPES)
def test_torch_is_the_definition(name, leading, poisoned):
    x = picture(name, leading)
    y = resample.resample(x, *TABLES[name], impl="torch")
    assert y.is_contiguous()
    torch.testing.assert_close(y, definition(x, name), **tolerance(x.dtype))


@pytest.mark.parametrize("limit", [0, resample.DENSE_LIMIT])
@pytest.mark.parametrize("sizes", [(300, 75), (75, 300), (1, 200), (200, 1), (129, 130), (257, 100), (400, 5)])
def test_blocks_and_one_matrix_agree(limit, sizes, poisoned, monkeypatch):
    monkeypatch.setattr(resample, "DENSE_LIMIT", limit)
    axis_table.cache_clear()  # tables keep the blocks made of them
    table = axis_table(*sizes)
    expected = table.dense()
    x = random(2, sizes[0], 9)
    torch.testing.assert_close(resample.resample(x, table, None), expected @ x, **tolerance(x.dtype))
    torch.testing.assert_close(resample.resample(x.mT, None, table), x.mT @ expected.T, **tolerance(x.dtype))
    axis_table.cache_clear()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", layouts(random(1, 1, 1, 1)))
def test_torch_takes_any_strides_and_dtype(layout, dtype, poisoned):
    for name in ("x4 down", "odd"):
        x = layouts(picture(name, (2, 3), dtype=dtype))[layout]
        before = x.clone()
        y = resample.resample(x, *TABLES[name])
        assert y.dtype == dtype
        torch.testing.assert_close(y.double(), definition(x, name), **tolerance(dtype))
        assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["x4 down", "several blocks"])
def test_autocast_does_not_reach_the_products(name):
    x = picture(name, (2, 3), dtype=torch.float32).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = resample.resample(x, *TABLES[name])
        (gradient,) = torch.autograd.grad(y.sum(), x)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.detach().double(), definition(x.detach(), name), **tolerance(torch.float32))
    (expected,) = torch.autograd.grad(resample.resample(x, *TABLES[name]).sum(), x)
    assert torch.equal(gradient, expected)


def test_no_table_leaves_everything():
    x = picture("odd")
    assert resample.resample(x, None, None) is x


@pytest.mark.parametrize("name", TABLES)
def test_gradient_is_the_adjoint(name):
    x = picture(name, (2, 3)).requires_grad_()
    y = resample.resample(x, *TABLES[name])
    g = random(*y.shape, seed=1)
    (adjoint,) = torch.autograd.grad(y, x, g)
    assert (y * g).sum().item() == pytest.approx((x * adjoint).sum().item(), rel=1e-12)


@pytest.mark.parametrize("name", ["x3 up", "single pixels", "rows only"])
def test_gradients_of_any_order(name):
    x = picture(name, (1, 2)).requires_grad_()

    def slope(x):
        return torch.autograd.grad((resample.resample(x, *TABLES[name]) ** 4).sum(), x, create_graph=True)[0]

    assert torch.autograd.gradcheck(lambda x: resample.resample(x, *TABLES[name]), x)
    assert torch.autograd.gradcheck(slope, x)
    assert torch.autograd.gradgradcheck(slope, x)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_downsampler_of_deep_image_prior_is_pad_and_convolution(factor):
    """4 * factor taps of Lanczos-2, their centre between two pixels, normalised; replicated border, stride factor."""
    distance = (np.arange(4 * factor) - (4 * factor - 1) / 2) / factor
    taps = np.sinc(distance) * np.sinc(distance / 2)
    kernel = torch.from_numpy(np.outer(taps, taps) / taps.sum() ** 2).expand(3, 1, -1, -1)
    x = random(1, 3, 8 * factor, 6 * factor)
    padded = functional.pad(x, (3 * factor // 2,) * 4, mode="replicate")
    expected = functional.conv2d(padded, kernel, stride=factor, groups=3)
    tables = [axis_table(factor * side, side, kernel="lanczos2", border="replicate") for side in (8, 6)]
    torch.testing.assert_close(resample.resample(x, *tables), expected, rtol=0, atol=1e-13)
    torch.testing.assert_close(resample.resample(x.float(), *tables).double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_operator_is_registered_rightly(name, dtype):
    check_operator(picture(name, (2, 3), dtype=dtype), name, "torch")


def check_operator(x, name, impl):
    rows, columns = TABLES[name]
    factors = (resample._factor(table, axis, x, impl, False) for table, axis in ((rows, "rows"), (columns, "columns")))
    (height, *row_factor), (width, *column_factor) = factors
    torch.library.opcheck(torch.ops.fastsr.resample.default, (x, *row_factor, *column_factor, height, width, impl))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break():
    def function(x):
        return (resample.resample(x * 2, *TABLES["odd"]) ** 2).sum()

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    x = picture("odd", (2,)).requires_grad_()
    torch.testing.assert_close(compiled(x), function(x))
    torch.testing.assert_close(torch.autograd.grad(compiled(x), x), torch.autograd.grad(function(x), x))


@pytest.mark.parametrize(
    ("x", "tables", "error", "message"),
    [
        (torch.zeros(24, 36, dtype=torch.uint8), "x4 down", TypeError, "x must be float16, .*, not torch.uint8"),
        (torch.zeros(36), "x4 down", ValueError, r"at least two dimensions, not shape \(36,\)"),
        (torch.zeros(25, 36), "x4 down", ValueError, r"rows takes 24 samples, x has 25 \(shape \(25, 36\)\)"),
        (torch.zeros(24, 35), "x4 down", ValueError, r"columns takes 36 samples, x has 35 \(shape \(24, 35\)\)"),
    ],
)
def test_bad_arguments_are_named(x, tables, error, message):
    with pytest.raises(error, match=message):
        resample.resample(x, *TABLES[tables])


# The kernel: in the interpreter, or on a GPU


@pytest.mark.triton
@pytest.mark.parametrize("name", TABLES)
def test_kernel_is_the_definition(name, kernel_device, poisoned):
    x = picture(name, (2, 3), dtype=torch.float32).to(kernel_device)
    y = resample.resample(x, *TABLES[name], impl="triton")
    assert y.is_contiguous()
    torch.testing.assert_close(y.double().cpu(), definition(x, name), **tolerance(torch.float32))


@pytest.mark.triton
@pytest.mark.parametrize("leading", SHAPES.values(), ids=SHAPES)
def test_kernel_takes_any_number_of_dimensions(leading, kernel_device, poisoned):
    x = picture("odd", leading, dtype=torch.float32).to(kernel_device)
    y = resample.resample(x, *TABLES["odd"], impl="triton")
    torch.testing.assert_close(y.double().cpu(), definition(x, "odd"), **tolerance(torch.float32))


@pytest.mark.triton
@pytest.mark.parametrize("layout", layouts(random(1, 1, 1, 1)))
def test_kernel_takes_any_strides(layout, kernel_device, poisoned):
    for name in ("x4 down", "odd", "rows only", "columns only"):
        x = layouts(picture(name, (2, 3), dtype=torch.float32).to(kernel_device))[layout]
        y = resample.resample(x, *TABLES[name], impl="triton")
        torch.testing.assert_close(y.double().cpu(), definition(x, name), **tolerance(torch.float32))


@pytest.mark.triton
@half_precision
def test_kernel_rounds_once(dtype, kernel_device):
    for name in ("x8 down", "x3 up"):
        x = picture(name, (2, 3), dtype=dtype).to(kernel_device)
        y = resample.resample(x, *TABLES[name], impl="triton")
        assert y.dtype == dtype
        error = (y.double().cpu() - definition(x, name)).abs()
        assert (error <= torch.finfo(dtype).eps * definition(x, name).abs() / 2 + 5e-6).all()


@pytest.mark.triton
@pytest.mark.parametrize("name", TABLES)
def test_kernel_gradients_are_the_definition(name, kernel_device, poisoned):
    x = picture(name, (2, 2), dtype=torch.float32).to(kernel_device).requires_grad_()
    y = resample.resample(x, *TABLES[name], impl="triton")
    g = random(*y.shape, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()
    (adjoint,) = torch.autograd.grad(y, x, g, create_graph=True)
    x64 = x.detach().double().cpu().requires_grad_()
    (expected,) = torch.autograd.grad(definition(x64, name), x64, g.detach().double().cpu())
    torch.testing.assert_close(adjoint.detach().double().cpu(), expected, rtol=0, atol=2e-5)
    # The gradient is linear in g, and its gradient the operator itself.
    v = random(*x.shape, seed=2, dtype=torch.float32).to(kernel_device)
    (second,) = torch.autograd.grad(adjoint, g, v)
    torch.testing.assert_close(second.double().cpu(), definition(v, name), **tolerance(torch.float32))


@pytest.mark.triton
def test_operator_of_the_kernel_is_registered_rightly(kernel_device):
    check_operator(picture("odd", (2, 3), dtype=torch.float32).to(kernel_device), "odd", "triton")


@pytest.mark.triton
def test_kernel_takes_no_pixels(kernel_device):
    y = resample.resample(torch.zeros(0, 3, 24, 36, device=kernel_device), *TABLES["x4 down"], impl="triton")
    assert y.shape == (0, 3, 6, 9)


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    x = picture("odd").to(kernel_device)
    y = resample.resample(x, *TABLES["odd"], impl="triton")
    torch.testing.assert_close(y.cpu(), definition(x, "odd"), **tolerance(torch.float64))


@pytest.mark.triton
@on_gpu
def test_the_same_call_gives_the_same_bits():
    table = axis_table(512, 64, kernel="lanczos2")
    x = torch.randn(2, 3, 512, 512, device="cuda", requires_grad=True)
    y = resample.resample(x, table, table)
    g = torch.randn_like(y)
    (first,) = torch.autograd.grad(y, x, g, retain_graph=True)
    for _ in range(3):
        assert torch.equal(resample.resample(x, table, table), y)
        assert torch.equal(torch.autograd.grad(y, x, g, retain_graph=True)[0], first)


@pytest.mark.triton
@on_gpu
def test_more_elements_than_an_int32_counts():
    shape = (2, 2**15, 2**15 + 8)
    needed = 2 * math.prod(shape) * 1.1
    need_gpu_memory(needed + 2**30)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda")
    x[-1, -64:, -64:] = 1
    y = resample.resample(x, axis_table(shape[1], shape[1] // 8), axis_table(shape[2], shape[2] // 8))
    assert y[-1, -4:, -4:].eq(1).all()
    assert not y[0].any()
    assert not y[-1, :-16].any()
