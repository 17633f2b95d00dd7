import pytest
import torch
from torch.nn import functional

from fastsr_kernels import channel_statistics, tiles, upsample_norm_pad
from fastsr_kernels.arguments import DTYPES
from tests.kernels.checks import (
    LARGE_MEAN,
    check_autocast,
    check_compiled,
    check_same_bits,
    check_second_gradients,
    close,
    exact,
    half_precision,
    on_gpu,
    random,
)

CASES = {  # height and width of deep, pad
    "odd": ((5, 3), 2),
    "no pad": ((3, 4), 0),
    "wide border": ((3, 4), 4),
    "one pixel": ((1, 1), 1),
    "one pixel, no pad": ((1, 1), 0),
    "as far as it goes": ((2, 2), 3),
    "a line": ((1, 4), 1),
    "a column": ((3, 1), 1),
}
CHANNELS = {  # of skip and deep
    "one each": (1, 1),
    "4 and 3": (4, 3),
    "4 and 32": (4, 32),
    "4 and 128": (4, 128),
    "4 and 132": (4, 132),
}


def pictures(size, channels=(2, 3), batch=2, dtype=torch.float64, device="cpu"):
    height, width = size
    skip = random(batch, channels[0], 2 * height, 2 * width, seed=1, dtype=dtype)
    deep = random(batch, channels[1], height, width, seed=2, dtype=dtype)
    return skip.to(device), deep.to(device)


def parameters(channels, dtype=torch.float32, device="cpu"):
    """Weights of either sign, and biases."""
    dtype = torch.float64 if dtype == torch.float64 else torch.float32
    return [random(channels, seed=seed, dtype=dtype).to(device).requires_grad_() for seed in (3, 4)]


def with_parameters(skip, deep):
    skip, deep = skip.requires_grad_(), deep.requires_grad_()
    return [skip, deep, *parameters(skip.shape[1] + deep.shape[1], skip.dtype, skip.device)]


def definition(skip, deep, weight, bias, pad, eps=1e-5):
    larger = functional.interpolate(deep, scale_factor=2, mode="bilinear", align_corners=False)
    both = torch.cat([skip, larger], dim=1)
    normal = functional.batch_norm(both, None, None, weight, bias, training=True, eps=eps)
    return functional.pad(normal, (pad,) * 4, mode="reflect")


def expectation(inputs, g, pad):
    """Output and gradients of the definition in float64."""
    inputs = exact(inputs)
    y = definition(*inputs, pad)
    return y.detach(), *torch.autograd.grad(y, inputs, g.double().cpu())


def check(skip, deep, pad, impl=None, arrange=lambda g: g, roundings=32):
    """Compare output and gradients with the definition; nothing that comes in may change."""
    inputs = with_parameters(skip, deep)
    y = upsample_norm_pad.upsample_norm_pad(*inputs, pad, impl=impl)
    g = arrange(random(*y.shape, dtype=skip.dtype).to(skip.device))
    before = [tensor.detach().clone() for tensor in (*inputs, g)]
    found = torch.autograd.grad(y, inputs, g)
    assert y.dtype == skip.dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    for actual, expected in zip((y, *found), expectation(inputs, g, pad), strict=True):
        close(actual, expected, skip.dtype, roundings)
    assert [gradient.dtype for gradient in found] == [tensor.dtype for tensor in inputs]
    assert all(gradient.is_contiguous(memory_format=torch.channels_last) for gradient in found[:2])
    for tensor, copy in zip((*inputs, g), before, strict=True):
        assert torch.equal(tensor, copy)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "pad"), CASES.values(), ids=CASES)
def test_torch_is_the_definition(size, pad, dtype, poisoned):
    check(*pictures(size, batch=3, dtype=dtype), pad, "torch")


@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
def test_torch_takes_any_number_of_channels(channels, poisoned):
    check(*pictures((3, 2), channels), 2, "torch")


def test_torch_takes_any_strides(layout, poisoned):
    skip, deep = pictures((4, 3))
    check(layout(skip), deep, 2, arrange=layout)
    check(skip, layout(deep), 1, arrange=layout)


def test_torch_takes_the_gradient_of_a_sum(poisoned):
    check(*pictures((4, 3)), 1, arrange=lambda g: g[0, 0, 0, 0].expand(g.shape))


def test_torch_takes_strided_parameters():
    check_strided_parameters("torch", "cpu")


def check_strided_parameters(impl, device):
    skip, deep = pictures((3, 2), dtype=torch.float32, device=device)
    weight, bias = random(5, 2, dtype=torch.float32).to(device).T
    y = upsample_norm_pad.upsample_norm_pad(skip, deep, weight, bias, 1, impl=impl)
    assert torch.equal(y, upsample_norm_pad.upsample_norm_pad(skip, deep, weight.clone(), bias.clone(), 1, impl=impl))


def test_torch_uses_eps():
    check_eps("torch", "cpu")


def check_eps(impl, device):
    inputs = with_parameters(*pictures((3, 2), dtype=torch.float32, device=device))
    y = upsample_norm_pad.upsample_norm_pad(*inputs, 1, eps=0.5, impl=impl)
    expected = definition(*(tensor.detach().double().cpu() for tensor in inputs), 1, eps=0.5)
    close(y, expected, torch.float32)


def test_torch_keeps_small_variations_of_a_large_mean():
    skip, deep = pictures((11, 13), dtype=torch.float32)
    check(1000 + skip, 1000 + deep, 1, "torch", roundings=LARGE_MEAN)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_takes_channels_of_little_contrast(dtype):
    """The gradient has factors like 1 / variance: beyond the largest float16, though the gradient is not."""
    skip, deep = pictures((4, 3), dtype=dtype)
    check(skip, deep / 100, 1, "torch", lambda g: 100 * g)


@pytest.mark.parametrize(("size", "pad"), [((3, 2), 1), ((2, 2), 3), ((1, 2), 0)])
def test_gradients_of_any_order(size, pad):
    inputs = with_parameters(*pictures(size, (2, 1), batch=1))

    def function(*inputs):
        return upsample_norm_pad.upsample_norm_pad(*inputs, pad)

    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_inputs_that_depend_on_each_other(create_graph):
    skip = pictures((3, 2))[0].requires_grad_()

    def gradient(function, **arguments):
        deep = functional.avg_pool2d(skip, 2) ** 2
        both = torch.cat([skip, skip], dim=1).square().mean((0, 2, 3))
        return torch.autograd.grad((function(skip, deep, both, both, 1) ** 3).sum(), skip, **arguments)[0]

    found = gradient(upsample_norm_pad.upsample_norm_pad, create_graph=create_graph)
    torch.testing.assert_close(found, gradient(definition))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_one_input(index, create_graph):
    inputs = [tensor.detach() for tensor in with_parameters(*pictures((3, 2)))]
    inputs[index].requires_grad_()
    y = upsample_norm_pad.upsample_norm_pad(*inputs, 1)
    g = random(*y.shape)
    (found,) = torch.autograd.grad(y, inputs[index], g, create_graph=create_graph)
    close(found, expectation(inputs, g, 1)[1 + index], torch.float64)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_autocast_changes_nothing(dtype, create_graph):
    inputs = with_parameters(*pictures((4, 3), dtype=dtype))
    g = random(2, 5, 10, 8, dtype=dtype)

    def run():
        y = upsample_norm_pad.upsample_norm_pad(*inputs, 1)
        return y, *torch.autograd.grad(y, inputs, g, create_graph=create_graph)

    check_autocast(run)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [(1, 1), (3, 2)])
def test_operators_are_registered_rightly(channels, dtype):
    check_operators(*pictures((3, 2), channels, dtype=dtype), 1, "torch")


def check_operators(skip, deep, pad, impl):
    inputs = [tensor.detach() for tensor in with_parameters(skip, deep)]
    operators = torch.ops.fastsr
    torch.library.opcheck(operators.upsample_norm_pad.default, (*inputs, pad, 1e-5, impl))
    y, *statistics = operators.upsample_norm_pad(*inputs, pad, 1e-5, impl)
    g = random(*y.shape, dtype=y.dtype).to(y.device)
    torch.library.opcheck(operators.upsample_norm_pad_backward.default, (g, *inputs, *statistics, pad, impl))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
def test_compiles_without_a_break(compile_and_trace):
    def function(skip, *others):
        return (upsample_norm_pad.upsample_norm_pad(skip * 2, *others, 1) ** 3).sum()

    operators = torch.ops.fastsr.upsample_norm_pad.default, torch.ops.fastsr.upsample_norm_pad_backward.default
    check_compiled(compile_and_trace, function, with_parameters(*pictures((3, 2))), operators)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"skip": torch.zeros(2, 2, 6, 4, dtype=torch.uint8), "deep": torch.zeros(2, 1, 3, 2, dtype=torch.uint8)},
            *(TypeError, "skip must be float16, .*, not torch.uint8"),
        ),
        ({"deep": torch.zeros(2, 1, 3, 2).half()}, TypeError, "deep is torch.float16 on cpu, skip is torch.float32"),
        ({"deep": torch.zeros(2, 1, 3, 2, device="meta")}, TypeError, "deep is torch.float32 on meta, skip is .* cpu"),
        ({"skip": torch.zeros(4)}, ValueError, r"skip must have .*, not \(4,\)"),
        ({"deep": torch.zeros(4)}, ValueError, r"deep must have .*, not \(4,\)"),
        ({"deep": torch.zeros(())}, ValueError, r"deep must have .*, not \(\)"),
        ({"deep": torch.zeros(1, 1, 3, 2)}, ValueError, r"skip, \(2, 2, 6, 4\), not \(1, 1, 3, 2\)"),
        ({"deep": torch.zeros(2, 1, 3, 3)}, ValueError, r"skip, \(2, 2, 6, 4\), not \(2, 1, 3, 3\)"),
        ({"skip": torch.zeros(2, 2, 7, 4)}, ValueError, r"skip, \(2, 2, 7, 4\), not \(2, 1, 3, 2\)"),
        (
            {"skip": torch.zeros(0, 2, 6, 4), "deep": torch.zeros(0, 1, 3, 2)},
            *(ValueError, r"skip must have .* none of them 0, not \(0, 2, 6, 4\)"),
        ),
        ({"skip": torch.zeros(2, 0, 6, 4)}, ValueError, r"skip must have .* none of them 0"),
        ({"eps": float("nan")}, ValueError, "eps=nan is not a variance"),
        ({"weight": torch.ones(3).half()}, TypeError, "weight must be torch.float32 .*, not torch.float16"),
        ({"bias": torch.ones(3).double()}, TypeError, "bias must be torch.float32 .*, not torch.float64"),
        ({"weight": torch.ones(2)}, ValueError, r"weight must have the shape \(3,\) on cpu, not \(2,\) on cpu"),
        ({"bias": torch.ones(3, device="meta")}, ValueError, r"bias .* \(3,\) on cpu, not \(3,\) on meta"),
        ({"pad": -1}, ValueError, r"pad=\(-1, -1\) is negative"),
        ({"pad": 4}, ValueError, "6x4 pixels .* 4 rows and 4 columns; each pad must be less than the side"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    skip, deep = torch.zeros(2, 2, 6, 4), torch.zeros(2, 1, 3, 2)
    arguments = {"skip": skip, "deep": deep, "weight": torch.ones(3), "bias": torch.ones(3), "pad": 1}
    with pytest.raises(error, match=message):
        upsample_norm_pad.upsample_norm_pad(**arguments | changes)


# The kernels: in the interpreter, or on a GPU


@pytest.mark.triton
@pytest.mark.parametrize(("size", "pad"), CASES.values(), ids=CASES)
def test_kernels_are_the_definition(size, pad, kernel_device, poisoned):
    check(*pictures(size, (4, 4), batch=3, dtype=torch.float32, device=kernel_device), pad, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("channels", CHANNELS.values(), ids=CHANNELS)
def test_kernels_take_any_number_of_channels(channels, kernel_device, poisoned):
    check(*pictures((3, 2), channels, dtype=torch.float32, device=kernel_device), 0, "triton")


@pytest.mark.triton
def test_kernels_take_any_strides(layout, kernel_device, poisoned):
    skip, deep = pictures((4, 3), (4, 4), dtype=torch.float32, device=kernel_device)
    check(layout(skip), layout(deep), 0, "triton", layout)


@pytest.mark.triton
@pytest.mark.parametrize("axis", [0, 2, 3])
def test_kernels_take_strides_beyond_an_int32(axis, far_apart):
    batch, height, width = (3 if i == axis else 2 for i in (0, 2, 3))
    skip, deep = pictures((height, width), batch=batch, dtype=torch.float16)
    deep = far_apart(deep, axis)
    check(skip.to(deep.device), deep, 0, "triton")


@pytest.mark.triton
def test_kernels_take_the_gradient_of_a_sum(kernel_device, poisoned):
    skip, deep = pictures((4, 3), (4, 4), dtype=torch.float32, device=kernel_device)
    check(skip, deep, 1, "triton", lambda g: g[0, 0, 0, 0].expand(g.shape))


@pytest.mark.triton
def test_kernels_take_strided_parameters(kernel_device):
    check_strided_parameters("triton", kernel_device)


@pytest.mark.triton
def test_kernels_use_eps(kernel_device):
    check_eps("triton", kernel_device)


@pytest.mark.triton
@half_precision
def test_kernels_take_half_precision(dtype, kernel_device, poisoned):
    check(*pictures((5, 4), (4, 32), dtype=dtype, device=kernel_device), 2, "triton")


@pytest.mark.triton
@pytest.mark.parametrize(("channels", "block", "programs"), [((4, 16), 512, 1), ((4, 16), 512, 512), ((3, 5), 1024, 2)])
def test_reductions_of_several_programs(channels, block, programs, kernel_device, poisoned, monkeypatch):
    """Programs of several blocks, or one block each; the last block is not full, and the last program has fewer."""
    monkeypatch.setattr(channel_statistics, "PROGRAMS", programs)
    monkeypatch.setattr(tiles, "BLOCK", block)
    skip, deep = pictures((7, 3), channels, batch=3, dtype=torch.float32, device=kernel_device)
    for picture in (skip, deep):
        height = picture.shape[2]
        picture *= torch.linspace(0.5, 3, height, device=kernel_device)[:, None]
        picture += torch.linspace(-4, 4, height, device=kernel_device)[:, None]  # what the programs see differs
    check(skip, deep, 0, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("size", [(1, 4), (4, 1)])
def test_programs_of_one_pixel_near_one_edge(size, kernel_device, poisoned, monkeypatch):
    """What lies next to the outermost pixel gets a share of the border too, in programs that see no other pixel."""
    monkeypatch.setattr(tiles, "BLOCK", 32)
    check(*pictures(size, (4, 32), batch=1, dtype=torch.float32, device=kernel_device), 1, "triton")


@pytest.mark.triton
def test_enough_pixels_for_several_programs(kernel_device, poisoned):
    check(*pictures((13, 11), (4, 8), dtype=torch.float32, device=kernel_device), 2, "triton")


@pytest.mark.triton
def test_kernels_keep_small_variations_of_a_large_mean(kernel_device):
    skip, deep = pictures((11, 13), (4, 4), dtype=torch.float32, device=kernel_device)
    check(1000 + skip, 1000 + deep, 1, "triton", roundings=LARGE_MEAN)


@pytest.mark.triton
def test_kernels_take_channels_of_little_contrast(kernel_device):
    skip, deep = pictures((4, 3), (4, 4), dtype=torch.float16, device=kernel_device)
    check(skip, deep / 100, 1, "triton", lambda g: 100 * g)


@pytest.mark.triton
def test_kernel_gradients_of_any_order(kernel_device):
    inputs = with_parameters(*pictures((3, 2), dtype=torch.float32, device=kernel_device))
    g = random(2, 5, 8, 6, dtype=torch.float32).to(kernel_device).requires_grad_()
    check_second_gradients(
        lambda *inputs: upsample_norm_pad.upsample_norm_pad(*inputs, 1, impl="triton"),
        lambda *inputs: definition(*inputs, 1),
        inputs,
        g,
    )


@pytest.mark.triton
def test_operators_of_the_kernels_are_registered_rightly(kernel_device):
    check_operators(*pictures((2, 1), (1, 4), dtype=torch.float32, device=kernel_device), 0, "triton")


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    check(*pictures((3, 2), device=kernel_device), 1, "triton")


@pytest.mark.triton
@on_gpu
def test_the_same_call_gives_the_same_bits():
    skip = torch.randn(2, 4, 256, 384, device="cuda", requires_grad=True)
    deep = torch.randn(2, 128, 128, 192, device="cuda", requires_grad=True)
    inputs = [skip, deep, *parameters(132, device="cuda")]
    check_same_bits(lambda *inputs: upsample_norm_pad.upsample_norm_pad(*inputs, 1), inputs)
