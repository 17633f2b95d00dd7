import math

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from fastsr_kernels import backend, noise, noise_kernels
from fastsr_kernels.noise import DTYPES, diffuse, reverse_step
from fastsr_kernels.philox import generator_seed, philox4x32, philox_normals

SEEDS = torch.tensor([3, -(2**40) - 1, 2**63 - 1])
SIGNAL, NOISE = torch.tensor([0.5, -1.5, 0.25]), torch.tensor([2.0, 0.75, 1.25])
COEFFICIENTS = torch.tensor(
    [[1.5, -0.5, 0.25, 0.5, -0.75, 0.5], [0.5, 0.75, -0.5, 2.0, 0.25, 0.0], [2.0, 1.0, 0.5, -0.25, 1.0, -1.5]]
)
STEP = 2**33 + 4


def layouts():
    """Batches of three."""
    x = torch.linspace(-1, 1, 3 * 3 * 5 * 7)
    even = torch.linspace(-1, 1, 3 * 6 * 4 * 18)
    return {
        "contiguous": x.view(3, 3, 5, 7),
        "channels_last": x.view(3, 5, 7, 3).permute(0, 3, 1, 2),
        "channels_last, sides even": even.view(3, 4, 18, 6).permute(0, 3, 1, 2),
        "one channel": x[:105].view(3, 1, 5, 7),
        "one pixel": x[:9].view(3, 3, 1, 1),
        "part of a larger one": even.view(3, 6, 4, 18)[:, 1:4, ::2, 5:-2],
        "transposed": x.view(105, 3).t(),
        "samples expanded": x[:35].view(1, 5, 7).expand(3, 5, 7),
        "numbers": x[:3],
        "volumes": x.view(3, 1, 3, 5, 7),
    }


def normals(x, step=STEP, seeds=SEEDS):
    """n for a batch like `x`, in float64: sample by sample."""
    alone = [philox_normals(x[0].numel(), seed, torch.tensor(step), torch.float64) for seed in seeds[: len(x)]]
    return torch.stack(alone).view(x.shape)


def each(values, x):
    return values.double().view(-1, *(1,) * (x.dim() - 1))


def diffused(x, n, signal=SIGNAL, noise=NOISE):
    return each(signal, x) * x.double() + each(noise, x) * n


def stepped(x, prediction, previous, n, clip=1.0, coefficients=COEFFICIENTS):
    k = [each(values, x) for values in coefficients.T]
    x0 = k[0] * x.double() + k[1] * prediction.double()
    x0 = torch.maximum(torch.minimum(x0, torch.tensor(clip)), torch.tensor(-clip))
    kept = 0 if previous is None else k[4] * previous.double()
    return k[2] * x.double() + k[3] * x0 + kept + k[5] * n, x0


def beside(x):
    """What comes with a state: a prediction and the x0 of the step before."""
    return x.flip(-1) * 0.75 + 0.1, x.flip(0) * 0.5 - 0.2


def strides_of_results(x, name):
    memory_format = torch.channels_last if "channels_last" in name else torch.contiguous_format
    return torch.empty(x.shape, memory_format=memory_format).stride()


# The definition


@pytest.mark.parametrize("name", layouts())
def test_torch_diffuses_by_the_definition(name, poisoned):
    x = layouts()[name]
    before = x.clone()
    out = diffuse(x, SIGNAL, NOISE, SEEDS, STEP, impl="torch")
    torch.testing.assert_close(out.double(), diffused(x, normals(x)), rtol=0, atol=8e-6)
    assert torch.equal(x, before)
    assert out.stride() == strides_of_results(x, name)


@pytest.mark.parametrize("name", layouts())
@pytest.mark.parametrize("with_previous", [False, True])
def test_torch_steps_by_the_definition(name, with_previous, poisoned):
    x = layouts()[name]
    prediction, previous = beside(x)
    previous = previous if with_previous else None
    results = reverse_step(x, prediction, previous, COEFFICIENTS, SEEDS, STEP, impl="torch")
    for result, expected in zip(results, stepped(x, prediction, previous, normals(x)), strict=True):
        torch.testing.assert_close(result.double(), expected, rtol=0, atol=8e-6)
        assert result.stride() == strides_of_results(x, name)
    assert 0 < results[1].abs().eq(1).sum() < x.numel() or x.numel() < 10


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("impl", ["torch", None])
def test_noise_does_not_depend_on_dtype(dtype, impl):
    x = layouts()["contiguous"].to(dtype)
    precision = torch.float64 if dtype == torch.float64 else torch.float32
    signal, sigma, coefficients = (values.to(precision) for values in (SIGNAL, NOISE, COEFFICIENTS))
    n = diffuse(torch.zeros(x.shape, dtype=torch.float64), SIGNAL.double(), torch.ones(3).double(), SEEDS, STEP, impl)
    tolerance = max(4 * torch.finfo(dtype).eps, 4e-6)

    out = diffuse(x, signal, sigma, SEEDS, STEP, impl)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), diffused(x, n), rtol=tolerance, atol=tolerance)

    prediction, previous = beside(x)
    for predicted in (torch.bfloat16, torch.float64):
        arguments = x, prediction.to(predicted), previous
        results = reverse_step(*arguments, coefficients, SEEDS, STEP, impl=impl)
        for result, expected in zip(results, stepped(*arguments, n), strict=True):
            assert result.dtype == dtype
            torch.testing.assert_close(result.double(), expected, rtol=tolerance, atol=tolerance)


# What both implementations of the CPU have in common, and the kernels


def check_that_a_sample_is_the_same_in_any_batch(device, impl):
    x = layouts()["channels_last"].to(device)
    arguments = [values.to(device) for values in (SIGNAL, NOISE, SEEDS)]
    coefficients, seeds = COEFFICIENTS.to(device), SEEDS.to(device)
    prediction, previous = beside(x)
    whole = diffuse(x, *arguments, STEP, impl)
    steps = reverse_step(x, prediction, previous, coefficients, seeds, STEP, impl=impl)
    for b in range(3):
        one = slice(b, b + 1)
        assert torch.equal(diffuse(x[one], *(values[one] for values in arguments), STEP, impl), whole[one])
        batch = x[one], prediction[one], previous[one], coefficients[one], seeds[one]
        for alone, together in zip(reverse_step(*batch, STEP, impl=impl), steps, strict=True):
            assert torch.equal(alone, together[one])


def check_that_both_ops_draw_the_same(device, impl, step):
    zero, one = torch.zeros(3, device=device), torch.ones(3, device=device)
    seeds = SEEDS.to(device)
    for name in ("contiguous", "channels_last", "channels_last, sides even"):
        x = layouts()[name].to(device)
        n = diffuse(x, zero, one, seeds, step, impl)
        only_noise = torch.tensor([0, 0, 0, 0, 0, 1.0], device=device)
        x_next, x0 = reverse_step(x, x, None, only_noise, seeds, step, impl=impl)
        assert torch.equal(x_next, n)
        assert not x0.any()
        assert n.std() > 0.8
        assert not torch.equal(diffuse(x, zero, one, seeds, step + 1, impl), n)


def check_that_step_may_come_from_a_tensor(device, impl):
    x = layouts()["contiguous"].to(device)
    signal, sigma, seeds, coefficients = (t.to(device) for t in (SIGNAL, NOISE, SEEDS, COEFFICIENTS))
    for number, dtype in ((STEP, torch.int64), (-1, torch.int64), (7, torch.int32)):
        step = torch.tensor([number], dtype=dtype, device=device)
        expected = diffuse(x, signal, sigma, seeds, number, impl)
        assert torch.equal(diffuse(x, signal, sigma, seeds, step, impl), expected)
        expected, _ = reverse_step(x, x, x, coefficients, seeds, number, impl=impl)
        assert torch.equal(reverse_step(x, x, x, coefficients, seeds, step, impl=impl)[0], expected)


def check_the_clamp(device, impl):
    x = torch.tensor([[-3.0, -1.0, math.nan, 0.25, 1.0, 3.0]], device=device)
    nothing = torch.zeros_like(x)
    prediction = torch.tensor([[0, 0, 0, 0, 0, math.nan]], device=device)
    coefficients = torch.tensor([1.0, 0, 0, 1, 0, 0], device=device)
    seeds = SEEDS[:1].to(device)
    for clip, limit in ((1.0, 1.0), (2, 2.0), (None, math.inf), (math.inf, math.inf)):
        x_next, x0 = reverse_step(x, nothing, None, coefficients, seeds, 0, clip, impl)
        assert torch.equal(x0[:, x0[0].isfinite()], x[:, [0, 1, 3, 4, 5]].clamp(-limit, limit))
        assert x0[0].isnan().tolist() == [False, False, True, False, False, False]
        torch.testing.assert_close(x_next, x0, rtol=0, atol=0, equal_nan=True)
    coefficients[1] = 1
    _, x0 = reverse_step(x, prediction, None, coefficients, seeds, 0, 1.0, impl)
    assert x0[0].isnan().tolist() == [False, False, True, False, False, True]


def check_that_nothing_is_drawn_for_0(device, impl):
    x = layouts()["channels_last"].to(device)
    coefficients, seeds = COEFFICIENTS.to(device), SEEDS.to(device)
    x_next, _ = reverse_step(x, x, None, coefficients, seeds, STEP, impl=impl)
    other, _ = reverse_step(x, x, None, coefficients, seeds + 1, STEP, impl=impl)
    assert [torch.equal(a, b) for a, b in zip(x_next, other, strict=True)] == [False, True, False]
    expected, _ = stepped(x.cpu(), x.cpu(), None, 0)
    torch.testing.assert_close(x_next[1].double().cpu(), expected[1], rtol=0, atol=2e-6)


def check_that_coefficients_may_be_those_of_all(device, impl):
    x = layouts()["contiguous"].to(device)
    seeds = SEEDS.to(device)
    prediction, previous = beside(x)
    row = COEFFICIENTS[2].to(device)
    expected = reverse_step(x, prediction, previous, row.repeat(3, 1), seeds, STEP, impl=impl)
    column = torch.full((6, 3), math.nan, device=device).copy_(row[:, None])
    for form in (row, row.expand(3, 6), column.t(), column[:, 0]):
        results = reverse_step(x, prediction, previous, form, seeds, STEP, impl=impl)
        assert torch.equal(results[0], expected[0])
        assert torch.equal(results[1], expected[1])


CHECKS = {
    "a sample is the same in any batch": check_that_a_sample_is_the_same_in_any_batch,
    "both ops draw the same": lambda device, impl: check_that_both_ops_draw_the_same(device, impl, STEP),
    "step may come from a tensor": check_that_step_may_come_from_a_tensor,
    "clamp": check_the_clamp,
    "nothing is drawn for 0": check_that_nothing_is_drawn_for_0,
    "coefficients may be those of all": check_that_coefficients_may_be_those_of_all,
}


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
@pytest.mark.parametrize("impl", ["torch", None])
def test_on_the_cpu(check, impl):
    check("cpu", impl)


@pytest.mark.parametrize("impl", ["torch", None])
def test_an_empty_batch_gives_an_empty_one(impl):
    x = torch.zeros(0, 3, 4, 4)
    none = torch.zeros(0)
    assert diffuse(x, none, none, none.long(), 0, impl).shape == x.shape
    results = reverse_step(x, x, x, torch.zeros(0, 6), none.long(), 0, impl=impl)
    assert [result.shape for result in results] == [x.shape, x.shape]


def test_the_generator_of_each_sample_is_seeded_by_its_seed_and_the_step():
    x = layouts()["contiguous"]
    n = diffuse(x, torch.zeros(3), torch.ones(3), SEEDS, 5)
    for number, seed in zip(n, SEEDS.tolist(), strict=True):
        generator = torch.Generator().manual_seed(generator_seed(seed, 5))
        assert torch.equal(number, torch.randn(3, 5, 7, generator=generator))


def test_the_generator_draws_only_what_is_used(monkeypatch):
    seeded = []
    monkeypatch.setattr(noise, "generator_seed", lambda *numbers: seeded.append(numbers) or generator_seed(*numbers))
    x = layouts()["contiguous"]
    reverse_step(x, x, None, COEFFICIENTS, SEEDS, 5)
    diffuse(x, SIGNAL, torch.tensor([0, 1.0, 0]), SEEDS, 6)
    assert seeded == [(int(SEEDS[0]), 5), (int(SEEDS[2]), 5), (int(SEEDS[1]), 6)]


X = torch.zeros(2, 3, 4, 4)
DIFFUSE = {"x": X, "signal": torch.ones(2), "noise": torch.ones(2), "seeds": torch.zeros(2).long(), "step": 0}
REVERSE = {"x": X, "prediction": X, "previous": None, "coefficients": torch.ones(6), "seeds": DIFFUSE["seeds"]}
REVERSE["step"] = 0


@pytest.mark.parametrize(
    ("op", "arguments", "error", "message"),
    [
        (diffuse, {"x": X.int()}, TypeError, "x has dtype torch.int32"),
        (diffuse, {"x": torch.tensor(1.0)}, ValueError, "x has no dimensions; the first must count the samples"),
        (diffuse, {"signal": torch.ones(3)}, ValueError, r"signal has shape \(3,\); .* it must be \(2,\)"),
        (diffuse, {"noise": torch.ones(2).half()}, TypeError, "noise has dtype torch.float16; .* be torch.float32"),
        (diffuse, {"x": X.double()}, TypeError, "signal has dtype torch.float32; .* be torch.float64"),
        (diffuse, {"seeds": torch.ones(2)}, TypeError, "seeds has dtype torch.float32; .* be torch.int64"),
        (diffuse, {"noise": torch.ones(2, device="meta")}, ValueError, "noise is on meta, but x is on cpu"),
        (diffuse, {"step": 0.5}, TypeError, "step=0.5 is not an integer"),
        (diffuse, {"step": torch.tensor(0, device="meta")}, ValueError, "step is on meta, but x is on cpu"),
        (diffuse, {"impl": "cuda"}, ValueError, "impl='cuda'"),
        (reverse_step, {"prediction": X.long()}, TypeError, "prediction has dtype torch.int64"),
        (reverse_step, {"prediction": X[:1]}, ValueError, r"prediction has shape \(1, 3, 4, 4\)"),
        (reverse_step, {"previous": X.half()}, TypeError, "previous has dtype torch.float16; .* be torch.float32"),
        (reverse_step, {"previous": X[:, :1]}, ValueError, r"previous has shape \(2, 1, 4, 4\)"),
        (reverse_step, {"coefficients": torch.ones(2)}, ValueError, r"it must be \(2, 6\) or \(6,\)"),
        (reverse_step, {"coefficients": torch.ones(6).double()}, TypeError, "coefficients has dtype torch.float64"),
        (reverse_step, {"seeds": torch.zeros(1).long()}, ValueError, r"seeds has shape \(1,\)"),
        (reverse_step, {"step": True}, TypeError, "step=True is not an integer"),
        (reverse_step, {"clip": 0}, ValueError, r"clip=0.0 is not above 0; give None"),
        (reverse_step, {"clip": math.nan}, ValueError, "clip=nan is not above 0"),
        (reverse_step, {"prediction": X.clone().requires_grad_()}, ValueError, "prediction requires a gradient"),
    ],
)
def test_bad_arguments_are_named(op, arguments, error, message):
    with pytest.raises(error, match=message):
        op(**{**(DIFFUSE if op is diffuse else REVERSE), **arguments})


def test_a_step_without_gradients_takes_what_has_one():
    x = layouts()["contiguous"]
    with torch.no_grad():
        results = reverse_step(x, x.clone().requires_grad_(), None, COEFFICIENTS, SEEDS, STEP)
    assert [result.requires_grad for result in results] == [False, False]


# The gradient


@pytest.mark.parametrize("impl", ["torch", None])
def test_gradient_is_signal_times_that_of_the_result(impl):
    signal, sigma = SIGNAL.double(), NOISE.double()
    x = layouts()["channels_last"][:, :2, :2, :3].double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: diffuse(x, signal, sigma, SEEDS, STEP, impl), x)
    assert torch.autograd.gradgradcheck(lambda x: diffuse(x, signal, sigma, SEEDS, STEP, impl) ** 2, x)
    (found,) = torch.autograd.grad(diffuse(x, signal, sigma, SEEDS, STEP, impl).sum(), x)
    assert torch.equal(found, each(signal, x).expand(x.shape))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradient_is_rounded_once(dtype):
    x = layouts()["contiguous"].to(dtype).requires_grad_()
    signal = torch.tensor([0.3, 0.7, 1.1])
    out = diffuse(x, signal, NOISE, SEEDS, STEP)
    assert [saved.shape for saved in out.grad_fn.saved_tensors] == [signal.shape]
    gradient = torch.linspace(1, 2, x.numel(), dtype=dtype).view(x.shape)
    (found,) = torch.autograd.grad(out, x, gradient)
    assert found.dtype == dtype
    assert torch.equal(found, (signal.view(3, 1, 1, 1) * gradient.float()).to(dtype))


# The operators


@pytest.mark.parametrize("impl", ["torch", "generator"])
@pytest.mark.parametrize("name", ["channels_last", "part of a larger one", "samples expanded", "numbers"])
def test_operators_are_registered_rightly(impl, name):
    x = layouts()[name]
    prediction, previous = beside(x)
    for step in ((4, None), (0, torch.tensor(4))):
        torch.library.opcheck(torch.ops.fastsr.diffuse.default, (x, SIGNAL, NOISE, SEEDS, *step, impl))
    for arguments in ((prediction, previous, COEFFICIENTS), (prediction.half(), None, COEFFICIENTS[0])):
        call = x, *arguments, SEEDS, 4, None, 1.0, impl
        torch.library.opcheck(torch.ops.fastsr.reverse_step.default, call)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
@pytest.mark.parametrize("impl", ["torch", None])
def test_compiles_once_for_every_step(impl):
    def train(x, signal, sigma, seeds, step):
        return diffuse(x * 2, signal, sigma, seeds, step, impl) * 3

    def sample(x, prediction, previous, coefficients, seeds, step):
        return reverse_step(x * 2, prediction, previous, coefficients, seeds, step, impl=impl)

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(train, backend=counter, fullgraph=True)
    for number in range(3):
        x = layouts()["channels_last"].clone().requires_grad_()
        out = compiled(x, SIGNAL, NOISE, SEEDS, torch.tensor(number))
        torch.testing.assert_close(out, train(x, SIGNAL, NOISE, SEEDS, number))
        (gradient,) = torch.autograd.grad(out.sum(), x)
        torch.testing.assert_close(gradient, each(SIGNAL, x).float().expand(x.shape) * 6)
    assert counter.frame_count == 1

    compiled = torch.compile(sample, backend=counter, fullgraph=True)
    for number in range(3):
        batch = layouts()["contiguous"], layouts()["channels_last"], None, COEFFICIENTS * (number + 1), SEEDS
        for found, expected in zip(compiled(*batch, torch.tensor(number)), sample(*batch, number), strict=True):
            torch.testing.assert_close(found, expected)
    assert counter.frame_count == 2


# The kernels: in the interpreter, or on a GPU


def check_sums(out, expected, scale, size):
    """Compare with float64; `scale` is what each sample's noise was multiplied by, `size` bounds the summands."""
    error = (out.double().cpu() - expected).abs()
    rounding = torch.finfo(out.dtype).eps * (size + expected.abs())
    scale = each(scale.abs(), expected)
    # Where the radius is near 0, a logarithm that is right to 2^-22 leaves it right to 6e-4.
    assert (error <= 1e-3 * scale + rounding).all()
    assert (error - rounding).sum() <= (2e-6 * scale).expand(error.shape).sum()


KERNEL_LAYOUTS = {
    **layouts(),
    "two programs": torch.linspace(-1, 1, 3 * (noise_kernels.BLOCK + 5)).view(3, -1),
    "channels_last, two programs": torch.linspace(-1, 1, 9 * 33 * 17).view(3, 33, 17, 3).permute(0, 3, 1, 2),
    "channels_last, more channels than a block": torch.ones(3, 2, 3, 130).permute(0, 3, 1, 2),
}


@pytest.mark.triton
@pytest.mark.parametrize("name", KERNEL_LAYOUTS)
def test_kernel_diffuses_by_the_definition(name, kernel_device, poisoned):
    x = KERNEL_LAYOUTS[name]
    signal, sigma, seeds = (values.to(kernel_device) for values in (SIGNAL, NOISE, SEEDS))
    out = diffuse(x.to(kernel_device), signal, sigma, seeds, STEP, impl="triton")
    check_sums(out, diffused(x, normals(x)), NOISE, 4)
    assert out.stride() == strides_of_results(x, name)


@pytest.mark.triton
@pytest.mark.parametrize("name", KERNEL_LAYOUTS)
@pytest.mark.parametrize("with_previous", [False, True])
def test_kernel_steps_by_the_definition(name, with_previous, kernel_device, poisoned):
    x = KERNEL_LAYOUTS[name]
    prediction, previous = beside(x)
    previous = previous if with_previous else None
    moved = [None if tensor is None else tensor.to(kernel_device) for tensor in (x, prediction, previous)]
    coefficients, seeds = COEFFICIENTS.to(kernel_device), SEEDS.to(kernel_device)
    x_next, x0 = reverse_step(*moved, coefficients, seeds, STEP, impl="triton")
    expected = stepped(x, prediction, previous, normals(x))
    check_sums(x_next, expected[0], COEFFICIENTS[:, 5], 8)
    check_sums(x0, expected[1], torch.zeros(3), 4)
    assert x_next.stride() == x0.stride() == strides_of_results(x, name)


@pytest.mark.triton
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_of_the_kernels(check, kernel_device):
    check(kernel_device, "triton")


@pytest.mark.triton
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_kernels_round_once(dtype, name, kernel_device):
    if dtype == torch.bfloat16 and backend.interpreted():
        pytest.skip("bfloat16 arithmetic is wrong in Triton's interpreter")
    x = layouts()[name].to(kernel_device, dtype)
    prediction, previous = (tensor.to(dtype) for tensor in beside(x))
    signal, sigma, seeds, coefficients = (t.to(kernel_device) for t in (SIGNAL, NOISE, SEEDS, COEFFICIENTS))
    out = diffuse(x, signal, sigma, seeds, STEP, impl="triton")
    assert torch.equal(out, diffuse(x.float(), signal, sigma, seeds, STEP, impl="triton").to(dtype))
    for predicted in (torch.float32, torch.float64, dtype):
        batch = x, prediction.to(predicted), previous
        wide = tuple(tensor.float() for tensor in batch)
        results = reverse_step(*batch, coefficients, seeds, STEP, impl="triton")
        for result, single in zip(results, reverse_step(*wide, coefficients, seeds, STEP, impl="triton"), strict=True):
            assert result.dtype == dtype
            assert torch.equal(result, single.to(dtype))


@pytest.mark.triton
def test_what_is_laid_out_otherwise_is_copied(kernel_device):
    x = layouts()["contiguous"].to(kernel_device)
    prediction, previous = beside(x)
    coefficients, seeds = COEFFICIENTS.to(kernel_device), SEEDS.to(kernel_device)
    expected = reverse_step(x, prediction, previous, coefficients, seeds, STEP, impl="triton")
    rows = torch.stack([seeds, seeds + 1], dim=1)[:, 0]
    for first in (torch.contiguous_format, torch.channels_last):
        batch = (
            x.contiguous(memory_format=first),
            prediction.contiguous(memory_format=torch.channels_last),
            previous.mT.contiguous().mT,
        )
        results = reverse_step(*batch, coefficients, rows, STEP, impl="triton")
        assert torch.equal(results[0], expected[0])
        assert torch.equal(results[1], expected[1])
        assert results[0].is_contiguous(memory_format=first)


@pytest.mark.triton
def test_operators_of_the_kernels_are_registered_rightly(kernel_device):
    x = layouts()["channels_last"].to(kernel_device)
    signal, sigma, seeds, coefficients = (t.to(kernel_device) for t in (SIGNAL, NOISE, SEEDS, COEFFICIENTS))
    step = torch.tensor(4, device=kernel_device)
    torch.library.opcheck(torch.ops.fastsr.diffuse.default, (x, signal, sigma, seeds, 0, step, "triton"))
    call = x, x.half(), None, coefficients, seeds, 0, step, 1.0, "triton"
    torch.library.opcheck(torch.ops.fastsr.reverse_step.default, call)


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    x = layouts()["contiguous"].double().to(kernel_device)
    signal, sigma, coefficients = (t.double().to(kernel_device) for t in (SIGNAL, NOISE, COEFFICIENTS))
    seeds = SEEDS.to(kernel_device)
    out = diffuse(x, signal, sigma, seeds, STEP, impl="triton")
    torch.testing.assert_close(out.cpu(), diffused(x.cpu(), normals(x.cpu())), rtol=0, atol=1e-12)
    x_next, _ = reverse_step(x, x.half(), x, coefficients, seeds, STEP, impl="triton")
    expected, _ = stepped(x.cpu(), x.half().cpu(), x.cpu(), normals(x.cpu()))
    torch.testing.assert_close(x_next.cpu(), expected, rtol=0, atol=1e-12)


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_graph_takes_what_its_tensors_hold_at_the_replay(name):
    x = layouts()[name].cuda()
    seeds, step = SEEDS.cuda(), torch.zeros((), dtype=torch.int64, device="cuda")
    coefficients = COEFFICIENTS.cuda()
    reverse_step(x, x, None, coefficients, seeds, step)  # compiles the kernel before the capture
    diffuse(x, coefficients[:, 0], coefficients[:, 1], seeds, step)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        x_next, x0 = reverse_step(x, x, None, coefficients, seeds, step)
        out = diffuse(x, coefficients[:, 0], coefficients[:, 1], seeds, step)
    for number in range(3):
        step.fill_(number)
        seeds.add_(1)
        coefficients.add_(0.25)
        graph.replay()
        expected = reverse_step(x, x, None, coefficients, seeds, number)
        assert torch.equal(x_next, expected[0])
        assert torch.equal(x0, expected[1])
        assert torch.equal(out, diffuse(x, coefficients[:, 0], coefficients[:, 1], seeds, number))


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3])
def test_more_elements_than_an_int32_counts(memory_format, batch):
    shape = (batch, 2, 2**15, 2**15 // batch + 8)
    needed = 2 * 4 * math.prod(shape)
    if torch.cuda.mem_get_info()[0] < needed + 2**32:
        pytest.skip(f"needs {needed / 2**30:.0f} GiB of GPU memory")
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda").contiguous(memory_format=memory_format)
    seeds = SEEDS[:batch].cuda()
    n = diffuse(x, torch.zeros(batch, device="cuda"), torch.ones(batch, device="cuda"), seeds, STEP)
    only_noise = torch.tensor([0, 0, 0, 0, 0, 1.0], device="cuda")
    x_next, x0 = reverse_step(x, x, None, only_noise, seeds, STEP)
    assert torch.equal(x_next, n)
    assert not x0.any()
    last = four_normals(math.prod(shape[1:]) // 4 - 1, int(seeds[-1]))
    torch.testing.assert_close(n[-1, -1, -1, -4:].double().cpu(), last, rtol=0.01, atol=0.01)


def four_normals(group, seed):
    counter, key = ((value % 2**32, value // 2**32 % 2**32) for value in (STEP, seed))
    numbers = group % 2**32, group // 2**32, *counter
    w = torch.stack(philox4x32(tuple(map(torch.tensor, numbers)), tuple(map(torch.tensor, key)))).double()
    radius = (-2 * ((w[0::2] + 0.5) / 2**32).log()).sqrt()
    angle = 2 * math.pi * w[1::2] / 2**32
    return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1).flatten()


def test_the_normals_of_a_group_are_those_of_the_stream():
    """They are what the largest tensors are compared with."""
    for seed in SEEDS:
        stream = philox_normals(400, seed, torch.tensor(STEP), torch.float64)
        torch.testing.assert_close(four_normals(99, int(seed)), stream[-4:], rtol=0, atol=1e-12)
