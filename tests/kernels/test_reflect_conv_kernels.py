"""The kernels of `reflect_conv2d`: in the interpreter, or on a GPU."""

import math

import pytest
import torch

from fastsr_kernels import backend, reflect_conv_kernels
from fastsr_kernels.reflect_conv import reflect_conv2d
from tests.kernels.checks import exact, half_precision, need_gpu_memory, on_gpu, random
from tests.kernels.reflect_conv_cases import (
    CASES,
    PADS,
    X,
    check,
    check_gradients,
    check_layout,
    check_nothing,
    check_operators,
    definition,
    tensors,
)

# In the interpreter a step of a loop, a tap, takes milliseconds: the largest kernel has its 9 taps an axis at a time.
KERNEL_CASES = {name: case for name, case in CASES.items() if name != "9x9 of the smallest"} | {
    "9x1 of the smallest": (1, 3, 5, 4, 4, 9, 1),
    "1x9 of the smallest": (1, 3, 2, 5, 4, 1, 9),
}
WIDE = {"32 channels": (1, 32, 6, 9, 32, 3, 3), "128 and 132": (1, 132, 3, 5, 128, 1, 3)}
INTERIOR = {  # with tiles away from the border, which are 8x8
    "3x1": (2, 4, 18, 8, 4, 3, 1),
    "1x4": (1, 4, 8, 21, 8, 1, 4),
    "1x1": (1, 8, 8, 9, 4, 1, 1),
    "3x3": (1, 4, 18, 18, 4, 3, 3),
}


def test_tf32_is_as_asked_of_cudnn(monkeypatch):
    precision = reflect_conv_kernels._conv_precision
    monkeypatch.setattr(reflect_conv_kernels, "float32_products", lambda device: "tf32x3")
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    assert precision(X.device) == "tf32"
    torch.backends.cudnn.allow_tf32 = False
    assert precision(X.device) == "tf32x3"
    monkeypatch.setattr(reflect_conv_kernels, "float32_products", lambda device: "ieee")
    torch.backends.cudnn.allow_tf32 = True
    assert precision(X.device) == "ieee"


@pytest.mark.parametrize(
    ("channels", "largest", "expected"),
    [(128, 128, 128), (132, 128, 64), (32, 128, 32), (3, 64, 16), (96, 64, 32), (256, 64, 64), (1, 16, 16)],
)
def test_blocks_of_channels_waste_little(channels, largest, expected):
    assert reflect_conv_kernels._block(channels, largest) == expected


def test_tiles_are_no_wider_than_needed():
    for pixels in (32, 64, 128):
        for width in range(1, 40):
            rows, columns = reflect_conv_kernels._tile(pixels, width)
            assert rows * columns == pixels
            assert columns < 2 * width


def test_scratch_memory_is_bounded():
    for size in (9, 147456, 10**9):
        parts = reflect_conv_kernels._count_parts(6, 10**5, size)
        assert parts == 1 or 4 * parts * size <= reflect_conv_kernels.SCRATCH_BYTES


@pytest.mark.triton
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", KERNEL_CASES)
def test_kernels_are_the_definition(name, stride, kernel_device, poisoned):
    second_order = name not in ("several tiles", "4x6")  # which take long enough in the interpreter
    check_gradients(KERNEL_CASES[name], stride, torch.float32, kernel_device, "gather", second_order)


@pytest.mark.triton
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PADS)
def test_kernels_pad_as_asked(name, stride, kernel_device, poisoned):
    kernel, pad = PADS[name]
    check_gradients((1, 3, 7, 9, 5, *kernel), stride, torch.float32, kernel_device, "gather", False, pad)


@pytest.mark.triton
@pytest.mark.parametrize("pad", [(0, 0), (1, 2)])
def test_descriptors_pad_as_asked(pad, kernel_device, poisoned):
    check_gradients((1, 4, 18, 18, 4, 3, 3), 1, torch.float32, kernel_device, "descriptor", False, pad)


@pytest.mark.triton
@pytest.mark.parametrize(("name", "stride"), [("32 channels", 1), ("32 channels", 2), ("128 and 132", 1)])
def test_kernels_take_many_channels(name, stride, kernel_device, poisoned, monkeypatch):
    monkeypatch.setattr(reflect_conv_kernels, "PROGRAMS", 1)  # the largest tiles
    check_gradients(WIDE[name], stride, torch.float32, kernel_device, "triton", False)


@pytest.mark.triton
@pytest.mark.parametrize("name", INTERIOR)
def test_descriptors_are_the_definition(name, kernel_device, poisoned, monkeypatch):
    described = []
    describe = reflect_conv_kernels._describe
    monkeypatch.setattr(reflect_conv_kernels, "_describe", lambda *a: described.append(a) or describe(*a))
    check_gradients(INTERIOR[name], 1, torch.float32, kernel_device, "descriptor", name != "3x3")
    can = backend.interpreted() or torch.cuda.get_device_capability() >= (9, 0)
    assert bool(described) == can


@pytest.mark.triton
@pytest.mark.parametrize(("name", "stride"), [("3x3", 1), ("1x1", 2)])  # 3 channels; a stride
def test_descriptors_leave_the_rest_to_the_gather(name, stride, kernel_device, monkeypatch):
    monkeypatch.setattr(reflect_conv_kernels, "_describe", None)
    check_gradients(CASES[name], stride, torch.float32, kernel_device, "descriptor", False)


@pytest.mark.triton
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_padding_by_kernels_is_the_definition(name, stride, kernel_device, poisoned):
    check_gradients(CASES[name], stride, torch.float32, kernel_device, "padded")


@pytest.mark.triton
@pytest.mark.parametrize("impl", ["gather", "descriptor", "padded"])
@half_precision
def test_kernels_take_half_precision(dtype, impl, kernel_device, poisoned):
    check_gradients((1, 32, 6, 9, 16, 3, 3), 1, dtype, kernel_device, impl, impl != "padded")
    check_gradients((1, 8, 9, 8, 8, 1, 1), 1, dtype, kernel_device, impl)


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    check_layout(layout, (2, 3, 5, 4, 5, 3, 1), torch.float32, kernel_device, "gather")


@pytest.mark.triton
@pytest.mark.parametrize("parts", [1, 3])
def test_parts_of_wgrad_are_summed(parts, kernel_device, poisoned, monkeypatch):
    monkeypatch.setattr(reflect_conv_kernels, "_count_parts", lambda *_: parts)
    check_gradients((3, 4, 8, 8, 3, 1, 5), 1, torch.float32, kernel_device, "gather", False)


@pytest.mark.triton
@pytest.mark.parametrize("empty", ["batch", "inputs", "outputs"])
def test_kernels_take_nothing(empty, kernel_device):
    check_nothing(empty, kernel_device, "gather")


@pytest.mark.triton
@pytest.mark.parametrize("impl", ["gather", "descriptor", "padded"])
def test_operators_of_the_kernels_are_registered_rightly(impl, kernel_device):
    check_operators((1, 4, 8, 8, 4, 1, 1), 1, torch.float32, kernel_device, impl)


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check_gradients(CASES["3x3"], 1, torch.float64, kernel_device, "gather")


def some_layer(dtype=torch.bfloat16):
    x, w, b = tensors((2, 132, 70, 65, 128, 3, 3), dtype, "cuda")
    g = torch.randn(2, 128, 70, 65, dtype=dtype, device="cuda")
    return (x, w, b), g


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("impl", ["gather", "descriptor"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_same_call_gives_the_same_bits(dtype, impl):
    values, g = some_layer(dtype)

    def run():
        y = reflect_conv2d(*values, impl=impl)
        return y, *torch.autograd.grad(y, values, g)

    first = run()
    for _ in range(3):
        assert all(torch.equal(value, old) for value, old in zip(run(), first, strict=True))


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("impl", ["auto", "gather", "padded"])
def test_runs_in_a_captured_graph(impl):
    values, g = some_layer()

    def run():
        y = reflect_conv2d(*values, impl=impl)
        return y, *torch.autograd.grad(y, values, g)

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        expected = run()
    stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = run()
    graph.replay()
    for value, right in zip(captured, expected, strict=True):
        torch.testing.assert_close(value, right)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("allowed", [False, True])
def test_tf32_is_used_only_where_allowed(allowed, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", allowed)
    values, _ = some_layer(torch.float32)
    y = reflect_conv2d(*values, impl="gather")
    error = (y.double() - definition(*(value.double() for value in values))).abs().max().item()
    assert (error < 1e-5) != (allowed and torch.version.hip is None)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("impl", ["gather", "descriptor"])
def test_more_elements_than_an_int32_counts(impl):
    shape = (2, 16, 2**13, 2**13 + 8)
    needed = 5 * math.prod(shape) * 2
    need_gpu_memory(needed + 2**30)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda").to(memory_format=torch.channels_last)
    x[-1, :, -4:, -4:] = random(16, 4, 4)
    w = (random(16, 16, 3, 3) / 12).to("cuda", torch.bfloat16).requires_grad_()
    y = reflect_conv2d(x.requires_grad_(), w, impl=impl)
    assert not y[0].any()
    corner = [x.detach()[-1:, :, -8:, -8:].double().cpu().requires_grad_(), *exact([w])]
    expected = definition(*corner)
    check(y[-1:, :, -6:, -6:], expected[:, :, -6:, -6:], torch.bfloat16, 4)
    dx, dw = torch.autograd.grad(y, (x, w), y.detach())
    expected_dx, expected_dw = torch.autograd.grad(expected, corner, expected.detach())
    assert not dx[0].any()
    check(dx[-1:, :, -5:, -5:], expected_dx[:, :, -5:, -5:], torch.bfloat16, 16)
    check(dw, expected_dw, torch.bfloat16, 32)
