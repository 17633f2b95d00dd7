import math

import pytest
import torch
from torch.nn import functional

from fastsr_kernels import backend, reflect_conv, reflect_conv_kernels
from fastsr_kernels.reflect_conv import reflect_conv2d
from fastsr_kernels.reflect_conv_kernels import Problem

CASES = {  # N, C, H, W, O, kh, kw
    "3x3": (2, 3, 7, 9, 5, 3, 3),
    "1x1": (1, 4, 6, 5, 3, 1, 1),
    "2x2": (1, 2, 5, 4, 3, 2, 2),
    "4x6": (1, 2, 7, 6, 3, 4, 6),
    "5x2": (1, 4, 8, 6, 3, 5, 2),
    "1x7": (1, 3, 2, 8, 2, 1, 7),
    "9x9 of the smallest": (1, 3, 5, 5, 4, 9, 9),
    "3x3 of the smallest": (2, 3, 2, 2, 4, 3, 3),
    "one pixel": (2, 3, 1, 1, 2, 1, 1),
    "several tiles": (1, 4, 9, 11, 3, 3, 3),
}
WIDE = {"32 channels": (1, 32, 6, 9, 32, 3, 3), "128 and 132": (1, 132, 3, 5, 128, 3, 3)}
INTERIOR = {  # with tiles away from the border, which are 8x8
    "3x1": (2, 4, 18, 8, 4, 3, 1),
    "1x4": (1, 4, 8, 21, 8, 1, 4),
    "1x1": (1, 8, 8, 9, 4, 1, 1),
    "3x3": (1, 4, 18, 18, 4, 3, 3),
}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def tensors(case, dtype=torch.float64, device="cpu"):
    """x, w and b, with gradients; w scaled so that the output is about as large as x."""
    n, c, h, w, o, kh, kw = case
    values = random(n, c, h, w, dtype=dtype), random(o, c, kh, kw, seed=1) / math.sqrt(c * kh * kw), random(o, seed=2)
    return [value.to(device, dtype).requires_grad_() for value in values]


def definition(x, w, b=None, stride=1, pad=None):
    rows, columns = pad or (w.shape[2] // 2, w.shape[3] // 2)
    return functional.conv2d(functional.pad(x, (columns, columns, rows, rows), mode="reflect"), w, b, stride)


def double(values):
    return [value.detach().double().cpu().requires_grad_() for value in values]


def check(y, expected, dtype, scale=1.0):
    """`scale`: how large the terms of the longest sum are together, where that is much more than 1."""
    eps = {torch.float64: 1e-14, torch.float32: 1e-6}.get(dtype, torch.finfo(dtype).eps)
    y, expected = y.detach().double().cpu(), expected.detach()
    torch.testing.assert_close(y, expected, rtol=2 * eps, atol=4 * eps * scale)


def check_gradients(case, stride, dtype, device, impl, second_order=True, pad=None):
    """The output, all gradients, and their gradients, against those of the definition in float64."""
    x, w, b = values = tensors(case, dtype, device)
    y = reflect_conv2d(x, w, b, stride, impl, pad)
    expected_values = double(values)
    expected = definition(*expected_values, stride, pad)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    check(y, expected, dtype, 4)

    g = random(*expected.shape, seed=3, dtype=dtype).to(device).requires_grad_()
    (g64,) = double([g])
    first = torch.autograd.grad(y, values, g, create_graph=True)
    expected_first = torch.autograd.grad(expected, expected_values, g64, create_graph=True)
    terms = 4 * math.sqrt(g.numel() / g.shape[1])
    for value, right, scale in zip(first, expected_first, (8, terms, terms), strict=True):
        assert value.dtype == dtype
        check(value, right, dtype, scale)

    for index in (0, 1) if second_order else ():
        v = random(*first[index].shape, seed=4, dtype=dtype).to(device)
        others = (w, g) if index == 0 else (x, g)
        others64 = (expected_values[1 - index], g64)
        second = torch.autograd.grad(first[index], others, v, retain_graph=True)
        expected_second = torch.autograd.grad(expected_first[index], others64, v.double().cpu(), retain_graph=True)
        for value, right in zip(second, expected_second, strict=True):
            check(value, right, dtype, 4 * math.sqrt(max(v[0].numel(), terms**2)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_torch_is_the_definition(name, stride, poisoned):
    for dtype in (torch.float64, torch.float32):
        check_gradients(CASES[name], stride, dtype, "cpu", "torch")


PADS = {  # kernel, pad
    "the border is there": ((3, 3), (0, 0)),
    "rows alone": ((3, 3), (1, 0)),
    "more than half the kernel": ((5, 4), (4, 3)),
    "less than half the kernel": ((4, 5), (1, 1)),
}


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PADS)
def test_torch_pads_as_asked(name, stride, poisoned):
    kernel, pad = PADS[name]
    check_gradients((2, 3, 7, 9, 5, *kernel), stride, torch.float64, "cpu", "torch", pad=pad)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("pixels", [1, 20, 40])
def test_bands_of_the_weights_gradient_are_summed(pixels, stride, monkeypatch):
    monkeypatch.setattr(reflect_conv, "BAND_PIXELS", pixels)
    for name in ("3x3", "4x6", "several tiles"):
        check_gradients(CASES[name], stride, torch.float64, "cpu", "torch")
        check_gradients(CASES[name], stride, torch.bfloat16, "cpu", "torch", False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_takes_half_precision(dtype):
    x, w, b = tensors(CASES["3x3"], dtype)
    y = reflect_conv2d(x, w, b)
    expected = double([x, w, b])
    check(y, definition(*expected), dtype, 2)
    for value, right in zip(
        torch.autograd.grad(y.sum(), (x, w, b)), torch.autograd.grad(definition(*expected).sum(), expected), strict=True
    ):
        assert value.dtype == dtype
        check(value, right, dtype, 16)


def check_layout(layout, dtype, device, impl):
    x, w, b = (value.detach() for value in tensors(CASES["3x3"], dtype))
    g = random(*definition(x, w).shape, seed=3, dtype=dtype)
    x, w, g = (layout(value.to(device)) for value in (x, w, g))
    b = b.repeat_interleave(2).to(device)[::2]
    before = [value.clone() for value in (x, w, g)]
    values = [value.requires_grad_() for value in (x, w, b)]
    y = reflect_conv2d(*values, impl=impl)
    gradients = torch.autograd.grad(y, values, g)
    expected_values = double(values)
    expected = definition(*expected_values)
    check(y, expected, dtype, 4)
    expected_gradients = torch.autograd.grad(expected, expected_values, g.double().cpu())
    for value, right in zip(gradients, expected_gradients, strict=True):
        check(value, right, dtype, 64)
    assert all(torch.equal(value, old) for value, old in zip((x, w, g), before, strict=True))


def test_torch_takes_any_strides(layout):
    check_layout(layout, torch.float64, "cpu", "torch")


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", ["2x2", "3x3 of the smallest", "5x2"])
def test_gradients_of_any_order(name, stride):
    values = tensors(CASES[name])
    values[0] = values[0].detach()[:1].requires_grad_()

    def function(x, w, b):
        return reflect_conv2d(x, w, b, stride)

    assert torch.autograd.gradcheck(function, values, fast_mode=True)
    assert torch.autograd.gradgradcheck(function, values, fast_mode=True)

    def slope(x, w, b):
        return torch.autograd.grad((function(x, w, b) ** 3).sum(), (x, w), create_graph=True)

    assert torch.autograd.gradgradcheck(slope, values, fast_mode=True)


def test_computes_only_the_gradients_asked_for(monkeypatch):
    called = []
    for name in ("_Dgrad", "_Wgrad"):
        function = getattr(reflect_conv, name)
        monkeypatch.setattr(
            function, "forward", lambda *a, name=name, run=function.forward: called.append(name) or run(*a)
        )
    for index, expected in enumerate((["_Dgrad"], ["_Wgrad"], [])):
        values = [value.detach().requires_grad_(i == index) for i, value in enumerate(tensors(CASES["3x3"]))]
        called.clear()
        reflect_conv2d(*values).sum().backward()
        assert called == expected


def check_operators(case, stride, dtype, device, impl):
    x, w, b = (value.detach() for value in tensors(case, dtype, device))
    g = torch.randn_like(reflect_conv2d(x, w, None, stride))
    operators = torch.ops.fastsr
    pad = w.shape[2] // 2, w.shape[3] // 2
    for bias in (b, None):
        torch.library.opcheck(operators.reflect_conv2d.default, (x, w, bias, stride, *pad, impl))
    torch.library.opcheck(operators.reflect_conv2d_dgrad.default, (g, w, *x.shape[2:], stride, *pad, impl))
    torch.library.opcheck(operators.reflect_conv2d_wgrad.default, (x, g, *w.shape[2:], stride, *pad, impl))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("case", [*CASES.values(), (2, 1, 4, 5, 1, 3, 3), (0, 3, 4, 5, 2, 3, 3)], ids=str)
def test_operators_are_registered_rightly(case, stride):
    check_operators(case, stride, torch.float32, "cpu", "torch")


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_without_a_break(dynamic):
    def function(x, w, b):
        return (reflect_conv2d(x * 2, w, b, 2) ** 2).sum()

    values = tensors(CASES["3x3"])
    compiled = torch.compile(function, backend="aot_eager", fullgraph=True, dynamic=dynamic)
    torch.testing.assert_close(compiled(*values), function(*values))
    for value, expected in zip(
        torch.autograd.grad(compiled(*values), values), torch.autograd.grad(function(*values), values), strict=True
    ):
        torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_casts_like_torch(dtype):
    x, w, b = tensors(CASES["3x3"], torch.float32)
    w16 = w.detach().to(dtype)
    with torch.autocast("cpu", dtype):
        y = reflect_conv2d(x, w16, b)
        gradients = torch.autograd.grad(y.float().sum(), (x, b))
    assert y.dtype == definition_under_autocast(x, w, b, dtype).dtype == dtype
    assert [gradient.dtype for gradient in gradients] == [torch.float32] * 2
    torch.testing.assert_close(y, reflect_conv2d(x.to(dtype), w16, b.to(dtype)), rtol=0, atol=0)
    check(y, definition(*double([x, w, b])), dtype, 4)


def definition_under_autocast(x, w, b, dtype):
    with torch.autocast("cpu", dtype):
        return definition(x, w, b)


def test_autocast_leaves_float64():
    values = tensors(CASES["3x3"])
    with torch.autocast("cpu", torch.bfloat16):
        y = reflect_conv2d(*values)
    assert torch.equal(y, reflect_conv2d(*values))


def check_nothing(empty, device, impl):
    n, c, o = (0 if name == empty else 2 for name in ("batch", "inputs", "outputs"))
    shapes = (n, c, 4, 5), (o, c, 3, 3), (o,)
    values = [torch.ones(shape, device=device, requires_grad=True) for shape in shapes]
    y = reflect_conv2d(*values, impl=impl)
    assert y.shape == (n, o, 4, 5)
    assert y.eq(1).all()  # the bias
    x, w, b = torch.autograd.grad(y.sum(), values)
    assert (x.shape, w.shape) == shapes[:2]
    assert not x.any()
    assert not w.any()
    assert b.eq(n * 4 * 5).all()


@pytest.mark.parametrize("empty", ["batch", "inputs", "outputs"])
def test_torch_takes_nothing(empty):
    check_nothing(empty, "cpu", "torch")


X, W, B = torch.zeros(2, 3, 4, 5), torch.zeros(6, 3, 3, 3), torch.zeros(6)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X.int(), W), TypeError, "x must be float16, .*, not torch.int32"),
        ((X, W.half()), TypeError, "w is torch.float16, but x is torch.float32"),
        ((X, W, B.double()), TypeError, "b is torch.float64, but x is torch.float32"),
        ((X, W.to("meta")), ValueError, "w is on meta, but x is on cpu"),
        ((X, W, B.to("meta")), ValueError, "b is on meta, but x is on cpu"),
        ((X[0], W), ValueError, r"x must be \(N, C, H, W\), not of shape \(3, 4, 5\)"),
        ((X, W[:, :2]), ValueError, r"w must be \(O, 3, kh, kw\) for x .*, not \(6, 2, 3, 3\)"),
        ((X, W[0]), ValueError, r"w must be \(O, 3, kh, kw\) for x .*, not \(3, 3, 3\)"),
        ((X, W, B[:5]), ValueError, r"b must be \(6,\) for w .*, not \(5,\)"),
        ((X, W, None, 3), ValueError, "stride must be 1 or 2, not 3"),
        ((X, W, None, True), ValueError, "stride must be 1 or 2, not True"),
        ((X, torch.zeros(6, 3, 10, 3)), ValueError, r"w must be 1 to 9 pixels high and wide, not \(10, 3\)"),
        ((X, torch.zeros(6, 3, 3, 0)), ValueError, r"w must be 1 to 9 pixels high and wide, not \(3, 0\)"),
        ((X, torch.zeros(6, 3, 8, 3)), ValueError, r"x must be more than 4 pixels high .*\(4, 1\).*\(2, 3, 4, 5\)"),
        ((X[..., :1], W), ValueError, r"x must be more than 1 pixels wide .*\(1, 1\).*\(2, 3, 4, 1\)"),
        ((X, W, B, 1, None, (1, 3)), ValueError, r"pad must be from 0 to 2 for a kernel of \(3, 3\), not \(1, 3\)"),
        ((X, W, B, 1, None, (-1, 1)), ValueError, r"pad must be from 0 to 2 .* not \(-1, 1\)"),
        ((X[:, :, :2], W, B, 1, None, (0, 0)), ValueError, r"x must be at least 3 pixels high .* \(2, 3, 2, 5\)"),
        ((X, W, B, 1, None, 1), TypeError, r"pad must be two whole numbers, \(rows, columns\), not 1"),
        ((X, W, B, 1, None, (1.0, 1)), TypeError, r"pad must be two whole numbers, .*, not \(1.0, 1\)"),
        ((X, W, B, 2.0), ValueError, "stride must be 1 or 2, not 2.0"),
        ((X, W, B, 1, "cudnn"), ValueError, "impl='cudnn' .* one of auto, triton, torch, padded, gather, descriptor"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        reflect_conv2d(*arguments)


@pytest.mark.skipif(backend.interpreted(), reason="the interpreter takes tensors on the CPU")
@pytest.mark.parametrize("impl", ["triton", "padded", "gather", "descriptor"])
def test_kernels_are_refused_where_they_cannot_run(impl):
    with pytest.raises(ValueError, match="Triton kernels were asked for"):
        reflect_conv2d(X, W, impl=impl)


ROW = {"pass": "dgrad", "kernel": [3, 3], "stride": 1, "pad": [1, 1], "in": 3, "out": 6, "dtype": "float32"}


@pytest.fixture
def measured(monkeypatch):
    rows = [
        ROW | {"pixels": 100, "impl": "gather"},
        ROW | {"pixels": 10000, "impl": "padded"},
        ROW | {"pixels": 1000, "stride": 2, "impl": "descriptor"},
    ]
    monkeypatch.setattr(reflect_conv, "_table", lambda: {"some GPU": rows})
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "some GPU")
    reflect_conv._measured.cache_clear()
    yield
    reflect_conv._measured.cache_clear()


@pytest.mark.parametrize(
    ("pass_", "batch", "stride", "expected"),
    [
        ("dgrad", 1, 1, "gather"),
        ("dgrad", 45, 1, "gather"),
        ("dgrad", 55, 1, "padded"),
        ("dgrad", 10**6, 1, "padded"),
        ("dgrad", 1, 2, "descriptor"),
        ("forward", 1, 1, "torch"),
        ("wgrad", 1, 1, "torch"),
    ],
)
def test_auto_is_what_was_measured(pass_, batch, stride, expected, measured):
    problem = Problem.of((batch, 3, 4, 5), W.shape, stride, (1, 1))
    assert reflect_conv._look_up("auto", pass_, problem, X) == expected


def test_what_was_not_measured_runs_in_torch(measured):
    problem = Problem.of((1, 3, 4, 5), (7, 3, 3, 3), 1, (1, 1))
    assert reflect_conv._look_up("auto", "dgrad", problem, X) == "torch"
    assert reflect_conv._look_up("auto", "dgrad", problem, X.half()) == "torch"
    problem = Problem.of((1, 3, 6, 7), W.shape, 1, (0, 0))
    assert reflect_conv._look_up("auto", "dgrad", problem, X) == "torch"


def test_the_table_has_what_is_looked_up():
    for rows in reflect_conv._table().values():
        for row in rows:
            assert row.keys() == {*ROW, "pixels", "impl"}
            assert row["pass"] in ("forward", "dgrad", "wgrad")
            assert row["impl"] in reflect_conv.RIVALS


@pytest.mark.parametrize(
    ("environment", "impl", "expected"),
    [
        ("auto", None, "auto"),
        ("auto", "auto", "auto"),
        ("auto", "triton", "gather"),
        ("auto", "padded", "padded"),
        ("triton", None, "gather"),
        ("torch", None, "torch"),
        ("torch", "descriptor", "descriptor"),
    ],
)
def test_environment_stands_in_for_auto(environment, impl, expected, monkeypatch):
    monkeypatch.setenv(backend.ENVIRONMENT_VARIABLE, environment)
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(reflect_conv, "choose", lambda x, impl: backend.explain(gpu, impl)[0])
    monkeypatch.setattr(backend, "triton_problem", lambda: None)
    assert reflect_conv._choose(X, impl) == expected
    assert reflect_conv._choose(X.double(), impl) == "torch"


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


# The kernels: in the interpreter, or on a GPU


@pytest.mark.triton
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_kernels_are_the_definition(name, stride, kernel_device, poisoned):
    second_order = name not in ("several tiles", "9x9 of the smallest")  # which take long enough in the interpreter
    check_gradients(CASES[name], stride, torch.float32, kernel_device, "gather", second_order)


@pytest.mark.triton
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", PADS)
def test_kernels_pad_as_asked(name, stride, kernel_device, poisoned):
    kernel, pad = PADS[name]
    check_gradients((2, 3, 7, 9, 5, *kernel), stride, torch.float32, kernel_device, "gather", False, pad)


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
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kernels_take_half_precision(dtype, impl, kernel_device, poisoned):
    if dtype == torch.bfloat16 and backend.interpreted():
        pytest.skip("bfloat16 arithmetic is wrong in Triton's interpreter")
    check_gradients((1, 32, 6, 9, 16, 3, 3), 1, dtype, kernel_device, impl, impl != "padded")
    check_gradients((1, 8, 9, 8, 8, 1, 1), 1, dtype, kernel_device, impl)


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    check_layout(layout, torch.float32, kernel_device, "gather")


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


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


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
    if torch.cuda.mem_get_info()[0] < needed + 2**30:
        pytest.skip(f"needs {needed / 2**30:.0f} GiB of GPU memory")
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda").to(memory_format=torch.channels_last)
    x[-1, :, -4:, -4:] = random(16, 4, 4)
    w = (random(16, 16, 3, 3) / 12).to("cuda", torch.bfloat16).requires_grad_()
    y = reflect_conv2d(x.requires_grad_(), w, impl=impl)
    assert not y[0].any()
    corner = [x.detach()[-1:, :, -8:, -8:].double().cpu().requires_grad_(), *double([w])]
    expected = definition(*corner)
    check(y[-1:, :, -6:, -6:], expected[:, :, -6:, -6:], torch.bfloat16, 4)
    dx, dw = torch.autograd.grad(y, (x, w), y.detach())
    expected_dx, expected_dw = torch.autograd.grad(expected, corner, expected.detach())
    assert not dx[0].any()
    check(dx[-1:, :, -5:, -5:], expected_dx[:, :, -5:, -5:], torch.bfloat16, 16)
    check(dw, expected_dw, torch.bfloat16, 32)
