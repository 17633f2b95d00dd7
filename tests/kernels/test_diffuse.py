import math

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from fastsr_kernels import noise
from fastsr_kernels.noise import DTYPES, diffuse
from fastsr_kernels.philox import generator_seed, philox4x32, philox_normals
from tests.kernels.checks import half_precision, need_gpu_memory, on_gpu
from tests.kernels.diffusion_cases import (
    KERNEL_LAYOUTS,
    SEEDS,
    STEP,
    check_sums,
    each,
    layouts,
    normals,
    strides_of_results,
)

SIGNAL, NOISE = torch.tensor([0.5, -1.5, 0.25]), torch.tensor([2.0, 0.75, 1.25])


def diffused(x, n, signal=SIGNAL, noise=NOISE):
    return each(signal, x) * x.double() + each(noise, x) * n


# The definition


@pytest.mark.parametrize("name", layouts())
def test_torch_diffuses_by_the_definition(name, poisoned):
    x = layouts()[name]
    before = x.clone()
    out = diffuse(x, SIGNAL, NOISE, SEEDS, STEP, impl="torch")
    torch.testing.assert_close(out.double(), diffused(x, normals(x)), rtol=0, atol=8e-6)
    assert torch.equal(x, before)
    assert out.stride() == strides_of_results(x, name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("impl", ["torch", None])
def test_noise_does_not_depend_on_dtype(dtype, impl):
    x = layouts()["contiguous"].to(dtype)
    precision = torch.float64 if dtype == torch.float64 else torch.float32
    signal, sigma = SIGNAL.to(precision), NOISE.to(precision)
    n = diffuse(torch.zeros(x.shape, dtype=torch.float64), SIGNAL.double(), torch.ones(3).double(), SEEDS, STEP, impl)
    tolerance = max(4 * torch.finfo(dtype).eps, 4e-6)
    out = diffuse(x, signal, sigma, SEEDS, STEP, impl)
    assert out.dtype == dtype
    torch.testing.assert_close(out.double(), diffused(x, n), rtol=tolerance, atol=tolerance)


# What both implementations of the CPU have in common, and the kernels


def check_that_a_sample_is_the_same_in_any_batch(device, impl):
    x = layouts()["channels_last"].to(device)
    arguments = [values.to(device) for values in (SIGNAL, NOISE, SEEDS)]
    whole = diffuse(x, *arguments, STEP, impl)
    for b in range(3):
        one = slice(b, b + 1)
        assert torch.equal(diffuse(x[one], *(values[one] for values in arguments), STEP, impl), whole[one])


def check_that_step_may_come_from_a_tensor(device, impl):
    x = layouts()["contiguous"].to(device)
    signal, sigma, seeds = (t.to(device) for t in (SIGNAL, NOISE, SEEDS))
    for number, dtype in ((STEP, torch.int64), (-1, torch.int64), (7, torch.int32)):
        step = torch.tensor([number], dtype=dtype, device=device)
        expected = diffuse(x, signal, sigma, seeds, number, impl)
        assert torch.equal(diffuse(x, signal, sigma, seeds, step, impl), expected)


CHECKS = {
    "a sample is the same in any batch": check_that_a_sample_is_the_same_in_any_batch,
    "step may come from a tensor": check_that_step_may_come_from_a_tensor,
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


def test_the_generator_of_each_sample_is_seeded_by_its_seed_and_the_step():
    x = layouts()["contiguous"]
    n = diffuse(x, torch.zeros(3), torch.ones(3), SEEDS, 5)
    for number, seed in zip(n, SEEDS.tolist(), strict=True):
        generator = torch.Generator().manual_seed(generator_seed(seed, 5))
        assert torch.equal(number, torch.randn(3, 5, 7, generator=generator))


def test_the_generator_draws_only_what_is_used(monkeypatch):
    seeded = []
    monkeypatch.setattr(noise, "generator_seed", lambda *numbers: seeded.append(numbers) or generator_seed(*numbers))
    diffuse(layouts()["contiguous"], SIGNAL, torch.tensor([0, 1.0, 0]), SEEDS, 6)
    assert seeded == [(int(SEEDS[1]), 6)]


X = torch.zeros(2, 3, 4, 4)
ARGUMENTS = {"x": X, "signal": torch.ones(2), "noise": torch.ones(2), "seeds": torch.zeros(2).long(), "step": 0}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"x": X.int()}, TypeError, "x must be float16, .*, not torch.int32"),
        ({"x": torch.tensor(1.0)}, ValueError, "x has no dimensions; the first must count the samples"),
        ({"signal": torch.ones(3)}, ValueError, r"signal has shape \(3,\); .* it must be \(2,\)"),
        ({"noise": torch.ones(2).half()}, TypeError, "noise has dtype torch.float16; .* be torch.float32"),
        ({"x": X.double()}, TypeError, "signal has dtype torch.float32; .* be torch.float64"),
        ({"seeds": torch.ones(2)}, TypeError, "seeds has dtype torch.float32; .* be torch.int64"),
        ({"noise": torch.ones(2, device="meta")}, ValueError, "noise is on meta, but x is on cpu"),
        ({"step": 0.5}, TypeError, "step=0.5 is not an integer"),
        ({"step": torch.tensor(0, device="meta")}, ValueError, "step is on meta, but x is on cpu"),
        ({"impl": "cuda"}, ValueError, "impl='cuda'"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        diffuse(**{**ARGUMENTS, **arguments})


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


# The operator


@pytest.mark.parametrize("impl", ["torch", "generator"])
@pytest.mark.parametrize("name", ["channels_last", "part of a larger one", "samples expanded", "numbers"])
def test_operator_is_registered_rightly(impl, name):
    for step in ((4, None), (0, torch.tensor(4))):
        torch.library.opcheck(torch.ops.fastsr.diffuse.default, (layouts()[name], SIGNAL, NOISE, SEEDS, *step, impl))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
@pytest.mark.parametrize("impl", ["torch", None])
def test_compiles_once_for_every_step(impl):
    def train(x, signal, sigma, seeds, step):
        return diffuse(x * 2, signal, sigma, seeds, step, impl) * 3

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(train, backend=counter, fullgraph=True)
    for number in range(3):
        x = layouts()["channels_last"].clone().requires_grad_()
        out = compiled(x, SIGNAL, NOISE, SEEDS, torch.tensor(number))
        torch.testing.assert_close(out, train(x, SIGNAL, NOISE, SEEDS, number))
        (gradient,) = torch.autograd.grad(out.sum(), x)
        torch.testing.assert_close(gradient, each(SIGNAL, x).float().expand(x.shape) * 6)
    assert counter.frame_count == 1


# The kernels: in the interpreter, or on a GPU


@pytest.mark.triton
@pytest.mark.parametrize("name", KERNEL_LAYOUTS)
def test_kernel_diffuses_by_the_definition(name, kernel_device, poisoned):
    x = KERNEL_LAYOUTS[name]
    signal, sigma, seeds = (values.to(kernel_device) for values in (SIGNAL, NOISE, SEEDS))
    out = diffuse(x.to(kernel_device), signal, sigma, seeds, STEP, impl="triton")
    check_sums(out, diffused(x, normals(x)), NOISE, 4)
    assert out.stride() == strides_of_results(x, name)


@pytest.mark.triton
@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
def test_of_the_kernels(check, kernel_device):
    check(kernel_device, "triton")


@pytest.mark.triton
@half_precision
@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_kernels_round_once(dtype, name, kernel_device):
    x = layouts()[name].to(kernel_device, dtype)
    signal, sigma, seeds = (t.to(kernel_device) for t in (SIGNAL, NOISE, SEEDS))
    out = diffuse(x, signal, sigma, seeds, STEP, impl="triton")
    assert torch.equal(out, diffuse(x.float(), signal, sigma, seeds, STEP, impl="triton").to(dtype))


@pytest.mark.triton
def test_operator_of_the_kernels_is_registered_rightly(kernel_device):
    x = layouts()["channels_last"].to(kernel_device)
    signal, sigma, seeds = (t.to(kernel_device) for t in (SIGNAL, NOISE, SEEDS))
    step = torch.tensor(4, device=kernel_device)
    torch.library.opcheck(torch.ops.fastsr.diffuse.default, (x, signal, sigma, seeds, 0, step, "triton"))


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    x = layouts()["contiguous"].double().to(kernel_device)
    signal, sigma = (t.double().to(kernel_device) for t in (SIGNAL, NOISE))
    out = diffuse(x, signal, sigma, SEEDS.to(kernel_device), STEP, impl="triton")
    torch.testing.assert_close(out.cpu(), diffused(x.cpu(), normals(x.cpu())), rtol=0, atol=1e-12)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_graph_takes_what_its_tensors_hold_at_the_replay(name):
    x = layouts()[name].cuda()
    seeds, step = SEEDS.cuda(), torch.zeros((), dtype=torch.int64, device="cuda")
    signal, sigma = SIGNAL.cuda(), NOISE.cuda()
    diffuse(x, signal, sigma, seeds, step)  # compiles the kernel before the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = diffuse(x, signal, sigma, seeds, step)
    for number in range(3):
        step.fill_(number)
        for values in (seeds, signal, sigma):
            values.add_(1)
        graph.replay()
        assert torch.equal(out, diffuse(x, signal, sigma, seeds, number))


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3])
def test_more_elements_than_an_int32_counts(memory_format, batch):
    shape = (batch, 2, 2**15, 2**15 // batch + 8)
    needed = 2 * 2 * math.prod(shape)
    need_gpu_memory(needed + 2**32)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda").contiguous(memory_format=memory_format)
    n = diffuse(x, torch.zeros(batch, device="cuda"), torch.ones(batch, device="cuda"), SEEDS[:batch].cuda(), STEP)
    last = four_normals(math.prod(shape[1:]) // 4 - 1, int(SEEDS[batch - 1]))
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
