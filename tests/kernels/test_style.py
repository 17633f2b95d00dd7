import pytest
import torch
from torch.nn import functional

from fastsr_kernels import backend, channel_statistics, norm_act_pad
from fastsr_kernels import style as module
from fastsr_kernels import style_kernels as kernels
from fastsr_kernels.style import style_epilogue

CASES = {  # channels, height, width
    "odd sides": (5, 9, 7),
    "one channel": (1, 6, 4),
    "a line": (3, 1, 8),
    "a column": (2, 7, 1),
}
FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
NOISES = {"no noise": 0, "the same noise": 1, "noises": 2}


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def others(x, noises=2, narrow=False):
    """Bias, style, and noises with their weights; float32, or `narrow`: of the dtype of x."""
    pictures, channels, height, width = x.shape
    dtype = x.dtype if narrow else torch.promote_types(x.dtype, torch.float32)
    shapes = [(channels,), (pictures, 2, channels)]
    if noises:
        shapes += [(pictures if noises == 2 else 1, 1, height, width), (channels,)]
    return [random(*shape, seed=3 + i, dtype=dtype).to(x.device).requires_grad_() for i, shape in enumerate(shapes)]


def call(inputs, **arguments):
    x, bias, style, *noises = inputs
    noise, weight = noises or (None, None)
    return style_epilogue(x, noise, weight, bias, style, **arguments)


def formula(inputs, blur=False, slope=0.2, eps=1e-5):
    x, bias, style, *noises = inputs
    channels = x.shape[1]
    if blur:
        taps = torch.tensor([1, 2, 1], dtype=x.dtype) / 4
        x = functional.conv2d(x, taps.outer(taps).expand(channels, 1, 3, 3), padding=1, groups=channels)
    p = x + bias.view(-1, 1, 1)
    if noises:
        p = p + noises[0] * noises[1].view(-1, 1, 1)
    normal = functional.instance_norm(functional.leaky_relu(p, slope), eps=eps)
    return normal * (style[:, 0, :, None, None] + 1) + style[:, 1, :, None, None]


def expectation(inputs, g, **arguments):
    """Output and gradients of the formula in float64."""
    inputs = [x.detach().double().cpu().contiguous().requires_grad_() for x in inputs]
    y = formula(inputs, **arguments)
    return y.detach(), *torch.autograd.grad(y, inputs, g.double().cpu())


def close(actual, expected, dtype, roundings=32, scale=1.0):
    """Equal up to so many eps of the dtype, relative to the largest number."""
    if dtype in (torch.float16, torch.bfloat16):
        roundings = 4
    atol = roundings * torch.finfo(dtype).eps * max(scale, expected.abs().max().item())
    torch.testing.assert_close(actual.detach().double().cpu(), expected, rtol=0, atol=atol)


def check(x, impl=None, arrange=lambda g: g, roundings=32, noises=2, narrow=False, **arguments):
    """Compare output and gradients with the formula; nothing that comes in may change."""
    inputs = [x.requires_grad_(), *others(x, noises, narrow)]
    y = call(inputs, impl=impl, **arguments)
    g = arrange(random(*y.shape, seed=1, dtype=x.dtype).to(x.device))
    before = [tensor.detach().clone() for tensor in (*inputs, g)]
    found = torch.autograd.grad(y, inputs, g)
    expected = expectation(inputs, g, **arguments)
    # What the gradients for bias, noise and its weight add up cancels: its errors are those of what is summed.
    summed = max(1.0, expected[1].abs().sum().item())
    for i, (actual, right) in enumerate(zip((y, *found), expected, strict=True)):
        close(actual, right, x.dtype, roundings, scale=summed if i in (2, 4, 5) else 1.0)
    assert y.dtype == x.dtype
    assert [gradient.dtype for gradient in found] == [tensor.dtype for tensor in inputs]
    assert [gradient.shape for gradient in found] == [tensor.shape for tensor in inputs]
    for tensor in (y, found[0]):
        assert tensor.is_contiguous(memory_format=module.memory_order(x))
    for tensor, copy in zip((*inputs, g), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("blur", [False, True])
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("shape", CASES.values(), ids=CASES)
def test_torch_is_the_formula(shape, order, blur, poisoned):
    check(random(2, *shape, dtype=torch.float32).contiguous(memory_format=order), "torch", blur=blur)


@pytest.mark.parametrize("dtype", norm_act_pad.DTYPES)
@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("noises", NOISES.values(), ids=NOISES)
def test_torch_takes_each_of_its_arguments(noises, narrow, dtype, poisoned):
    x = random(2, 3, 6, 5, dtype=dtype)
    check(x, "torch", noises=noises, narrow=narrow, blur=True, slope=0.1, eps=0.5)


@pytest.mark.parametrize("slope", [0, 1])
def test_torch_takes_any_slope(slope):
    check(random(2, 3, 6, 5), slope=slope)


def test_torch_takes_any_strides(layout, poisoned):
    check(layout(random(2, 3, 7, 6)), arrange=layout, blur=True)


def test_torch_takes_an_expanded_gradient(poisoned):
    check(random(2, 3, 7, 6), arrange=lambda g: g[:1, :1, :, :1].expand(g.shape))


@pytest.mark.parametrize(("blur", "noises"), [(False, 2), (True, 1), (True, 0)])
def test_gradients_of_any_order(blur, noises):
    x = random(2, 2, 2, 3).requires_grad_()
    inputs = x, *others(x, noises)

    def function(*inputs):
        return call(inputs, blur=blur)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_inputs_that_depend_on_each_other(create_graph):
    x = random(2, 4, 5, 4).requires_grad_()

    def gradient(function, **arguments):
        both = x.square().mean((0, 2, 3))
        style, noise = torch.stack((x, x**2), 1).mean((3, 4)), x.mean(1, keepdim=True)
        return torch.autograd.grad((function([x, both, style, noise, both]) ** 3).sum(), x, **arguments)[0]

    torch.testing.assert_close(gradient(call, create_graph=create_graph), gradient(formula))


@pytest.mark.parametrize("wanted", range(5))
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_one_input(wanted, create_graph):
    check_one_gradient(wanted, create_graph, random(2, 3, 5, 4), "torch")


def check_one_gradient(wanted, create_graph, x, impl):
    inputs = [x, *(tensor.detach() for tensor in others(x))]
    inputs[wanted].requires_grad_()
    y = call(inputs, impl=impl)
    g = random(*y.shape, seed=1, dtype=x.dtype).to(x.device)
    (found,) = torch.autograd.grad(y, inputs[wanted], g, create_graph=create_graph)
    close(found, expectation(inputs, g)[1 + wanted], x.dtype, scale=10)


def test_only_the_sums_that_are_wanted_are_made():
    check_wanted_sums(random(2, 3, 5, 4, dtype=torch.float32), "torch")


def check_wanted_sums(x, impl):
    tensors = [x, *(tensor.detach() for tensor in others(x, noises=1))]
    _, *statistics = torch.ops.fastsr.style_epilogue(*tensors, False, 0.2, 1e-5, impl)
    g = random(*x.shape, seed=1, dtype=x.dtype).to(x.device)
    for sums in (False, True):
        for noise in (False, True):
            arguments = g, *tensors, *statistics, False, 0.2, sums, noise, impl
            _, dbias, _, dnoise, dweight = torch.ops.fastsr.style_epilogue_backward(*arguments)
            assert (dbias.shape, dweight.shape) == ((3,), (3,)) if sums else ((0,), (0,))
            assert dnoise.shape == ((1, 1, 5, 4) if noise else (0,))


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_autocast_changes_nothing(dtype, create_graph):
    x = random(2, 4, 6, 5, dtype=dtype).requires_grad_()
    inputs = [x, *others(x)]
    g = random(2, 4, 6, 5, seed=1, dtype=dtype)

    def run():
        y = call(inputs, blur=True)
        return y, *torch.autograd.grad(y, inputs, g, create_graph=create_graph)

    expected = run()
    with torch.autocast("cpu", torch.bfloat16):
        found = run()
    for actual, wanted in zip(found, expected, strict=True):
        assert actual.dtype == wanted.dtype
        assert torch.equal(actual, wanted)


@pytest.mark.parametrize("noises", [0, 1])
def test_operators_are_registered_rightly(noises):
    x = random(2, 3, 6, 5, dtype=torch.bfloat16).contiguous(memory_format=torch.channels_last)
    check_operators(x, noises, "torch")


def check_operators(x, noises, impl):
    tensors = [x, *(tensor.detach() for tensor in others(x, noises))]
    tensors += [None] * (5 - len(tensors))
    torch.library.opcheck(torch.ops.fastsr.style_epilogue.default, (*tensors, True, 0.2, 1e-5, impl))
    _, *statistics = torch.ops.fastsr.style_epilogue(*tensors, True, 0.2, 1e-5, impl)
    g = random(*x.shape, seed=1, dtype=x.dtype).to(x.device)
    arguments = g, *tensors, *statistics, True, 0.2, True, bool(noises), impl
    torch.library.opcheck(torch.ops.fastsr.style_epilogue_backward.default, arguments)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(x, *others):
        return (call((x * 2, *others), blur=True) ** 3).sum()

    compiled, graphs = compile_and_trace(function)
    x = random(2, 3, 5, 4).requires_grad_()
    inputs = x, *others(x)
    torch.testing.assert_close(compiled(*inputs), function(*inputs))
    torch.testing.assert_close(
        torch.autograd.grad(compiled(*inputs), inputs), torch.autograd.grad(function(*inputs), inputs)
    )
    forward, backward = graphs
    assert forward.count(torch.ops.fastsr.style_epilogue.default) == 1
    assert backward.count(torch.ops.fastsr.style_epilogue_backward.default) == 1


def test_torch_keeps_small_variations_of_a_large_mean():
    check_large_mean("torch", "cpu")


def check_large_mean(impl, device):
    x = 1000 + random(1, 3, 20, 30, dtype=torch.float32).to(device)
    # Roundings relative to deviations about 1, where the mean is 1000: 16 of its own.
    check(x, impl, roundings=16_000)


X = torch.zeros(2, 4, 5, 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"x": X.to(torch.uint8)}, TypeError, "x must be float16, .*, not torch.uint8"),
        ({"x": X[0]}, ValueError, r"x must have the shape \(N, C, H, W\).*, not \(4, 5, 3\)"),
        ({"x": X[:, :, :1, :1]}, ValueError, r"single pixel .* has the shape \(2, 4, 1, 1\)"),
        ({"slope": -0.1}, ValueError, "slope=-0.1 is negative"),
        ({"eps": float("nan")}, ValueError, "eps=nan is not a variance"),
        ({"noise_weight": None}, ValueError, "noise_weight is None, but there is noise"),
        ({"noise": X[:, :1, :3]}, ValueError, r"noise must have the shape \(2, 1, 5, 3\) on cpu, not \(2, 1, 3, 3\)"),
        ({"noise": X[:1, :2]}, ValueError, r"noise must have the shape \(1, 1, 5, 3\) on cpu, not \(1, 2, 5, 3\)"),
        ({"noise": X[0, 0, 0, 0]}, ValueError, r"noise must have the shape \(2, 1, 5, 3\) on cpu, not \(\)"),
        ({"noise_weight": torch.ones(5)}, ValueError, r"noise_weight must have the shape \(4,\)"),
        ({"bias": torch.ones(4).half()}, TypeError, "bias must be torch.float32 for .*, not torch.float16"),
        ({"bias": torch.ones(4, device="meta")}, ValueError, r"bias .* \(4,\) on cpu, not \(4,\) on meta"),
        ({"style": torch.ones(2, 8)}, ValueError, r"style must have the shape \(2, 2, 4\) on cpu, not \(2, 8\)"),
        ({"impl": "cuda"}, ValueError, "impl='cuda' is not an implementation"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    arguments = {
        "x": X,
        "noise": X[:, :1],
        "noise_weight": torch.ones(4),
        "bias": torch.ones(4),
        "style": torch.ones(2, 2, 4),
    }
    with pytest.raises(error, match=message):
        style_epilogue(**arguments | changes)


# The kernels: in the interpreter, or on a GPU

FITTING = {"one pass": 4096, "two passes": 0}


@pytest.fixture(params=FITTING.values(), ids=FITTING)
def passes(request, monkeypatch):
    """Whether a program takes a whole plane, as it does with so few numbers, or some of its pixels."""
    monkeypatch.setattr(kernels, "FITTING", request.param)


@pytest.mark.triton
@pytest.mark.parametrize(
    ("case", "order", "blur"),
    [
        ("odd sides", "contiguous", False),
        ("odd sides", "contiguous", True),
        ("odd sides", "channels_last", False),
        ("odd sides", "channels_last", True),
        ("one channel", "contiguous", True),
        ("a line", "channels_last", True),
        ("a column", "contiguous", True),
    ],
)
def test_kernels_are_the_formula(case, order, blur, passes, kernel_device, poisoned):
    x = random(2, *CASES[case], dtype=torch.float32).to(kernel_device).contiguous(memory_format=FORMATS[order])
    check(x, "triton", blur=blur)


@pytest.mark.triton
@pytest.mark.parametrize(("noises", "narrow"), [(0, True), (1, False), (2, True)])
def test_kernels_take_each_of_their_arguments(noises, narrow, passes, kernel_device, poisoned):
    x = random(2, 3, 6, 5, dtype=torch.float16).to(kernel_device)
    check(x, "triton", noises=noises, narrow=narrow, slope=0.1, eps=0.5)


@pytest.mark.triton
@pytest.mark.parametrize("order", FORMATS.values(), ids=FORMATS)
def test_kernels_take_any_number_of_channels(order, passes, kernel_device, poisoned):
    x = random(1, 132, 3, 4, dtype=torch.float32).to(kernel_device).contiguous(memory_format=order)
    check(x, "triton")


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    check(layout(random(2, 3, 7, 6, dtype=torch.float32).to(kernel_device)), "triton", layout, blur=True)


@pytest.mark.triton
@pytest.mark.parametrize("axis", [0, 1])
def test_kernels_take_strides_beyond_an_int32(axis, passes, far_apart):
    x = far_apart(random(*(3 if i == axis else 2 for i in range(4)), dtype=torch.float16), axis)
    check(x, "triton", blur=True)


@pytest.mark.triton
def test_kernels_take_an_expanded_gradient(passes, kernel_device, poisoned):
    x = random(2, 3, 7, 6, dtype=torch.float32).to(kernel_device)
    check(x, "triton", lambda g: g[:1, :1, :, :1].expand(g.shape))


@pytest.mark.triton
def test_kernels_take_strided_vectors(passes, kernel_device):
    x = random(2, 3, 7, 6, dtype=torch.float32).to(kernel_device).requires_grad_()
    dense = [x, *(tensor.detach() for tensor in others(x))]
    strided = [x, *(torch.stack((tensor, tensor), -1)[..., 0] for tensor in dense[1:])]
    found, expected = [
        torch.autograd.grad(call(inputs, impl="triton")[0, 0, 0, 0], x)[0] for inputs in (strided, dense)
    ]
    assert torch.equal(found, expected)


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kernels_round_once(dtype, passes, kernel_device, poisoned):
    if dtype == torch.bfloat16 and backend.interpreted():
        pytest.skip("bfloat16 arithmetic is wrong in Triton's interpreter")
    x = random(2, 4, 9, 8, dtype=dtype).to(kernel_device)
    inputs = [x.requires_grad_(), *others(x)]
    y = call(inputs, impl="triton", blur=True)
    g = random(*y.shape, seed=1, dtype=dtype).to(kernel_device)
    found = y, *torch.autograd.grad(y, inputs, g)
    for actual, expected in zip(found, expectation(inputs, g, blur=True), strict=True):
        rounding = torch.finfo(actual.dtype).eps / 2 * expected.abs()
        assert ((actual.detach().double().cpu() - expected).abs() <= rounding + 4e-5).all()


@pytest.mark.triton
@pytest.mark.parametrize(
    ("channels", "block", "programs", "order"),
    [(2, 32, 4, "contiguous"), (1, 32, 512, "contiguous"), (20, 512, 2, "channels_last")],
)
def test_reductions_of_several_programs(channels, block, programs, order, kernel_device, poisoned, monkeypatch):
    """Programs of several blocks, or one block each; the last block is not full, and the last program has fewer."""
    monkeypatch.setattr(kernels, "FITTING", 0)
    monkeypatch.setattr(kernels, "BLOCK", block)
    monkeypatch.setattr(channel_statistics, "PROGRAMS", programs)
    x = random(2, channels, 11, 7, dtype=torch.float32).to(kernel_device)
    x += torch.linspace(-4, 4, 11, device=kernel_device)[:, None]  # what the programs see differs
    check(x.contiguous(memory_format=FORMATS[order]), "triton")


@pytest.mark.triton
def test_larger_planes_take_two_passes(kernel_device, poisoned, monkeypatch):
    monkeypatch.setattr(kernels, "plane_kernel", None)
    check(random(1, 2, 65, 64, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
def test_kernels_keep_small_variations_of_a_large_mean(passes, kernel_device):
    check_large_mean("triton", kernel_device)


@pytest.mark.triton
@pytest.mark.parametrize("wanted", [1, 3])
def test_kernels_give_the_gradient_of_one_input(wanted, passes, kernel_device, poisoned):
    x = random(2, 3, 5, 4, dtype=torch.float32).to(kernel_device)
    check_one_gradient(wanted, False, x, "triton")


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    x = random(2, 3, 3, 4, dtype=torch.float32).to(kernel_device).requires_grad_()
    inputs = [x, *others(x)]
    g = random(2, 3, 3, 4, seed=1, dtype=torch.float32).to(kernel_device).requires_grad_()

    def second(function, inputs, g):
        first = torch.autograd.grad(function(inputs, blur=True), inputs, g, create_graph=True)
        return torch.autograd.grad(sum((gradient**2).sum() for gradient in first), (*inputs, g))

    found = second(lambda *a, **k: call(*a, **k, impl="triton"), inputs, g)
    exact = [tensor.detach().double().cpu().requires_grad_() for tensor in (*inputs, g)]
    for actual, expected in zip(found, second(formula, exact[:-1], exact[-1]), strict=True):
        close(actual, expected, torch.float32)


@pytest.mark.triton
def test_operators_of_the_kernels_are_registered_rightly(kernel_device):
    x = random(2, 3, 3, 4, dtype=torch.float32).to(kernel_device).contiguous(memory_format=torch.channels_last)
    check_operators(x, 1, "triton")


@pytest.mark.triton
def test_kernels_make_only_the_sums_that_are_wanted(passes, kernel_device):
    check_wanted_sums(random(2, 3, 5, 4, dtype=torch.float32).to(kernel_device), "triton")


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check(random(2, 3, 5, 4).to(kernel_device), "triton")


@pytest.mark.triton
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("shape", [(2, 64, 200, 300), (4, 512, 16, 16)])
def test_the_same_call_gives_the_same_bits(shape):
    x = torch.randn(shape, device="cuda").requires_grad_()
    inputs = [x, *others(x)]
    y = call(inputs, blur=True)
    g = torch.randn_like(y)
    first = torch.autograd.grad(y, inputs, g, retain_graph=True)
    for _ in range(3):
        assert torch.equal(call(inputs, blur=True), y)
        again = torch.autograd.grad(y, inputs, g, retain_graph=True)
        assert all(torch.equal(a, b) for a, b in zip(again, first, strict=True))
