import math

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from fastsr_kernels import noise
from fastsr_kernels.noise import DTYPES, diffuse, reverse_step
from fastsr_kernels.philox import generator_seed
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

COEFFICIENTS = torch.tensor(
    [[1.5, -0.5, 0.25, 0.5, -0.75, 0.5], [0.5, 0.75, -0.5, 2.0, 0.25, 0.0], [2.0, 1.0, 0.5, -0.25, 1.0, -1.5]]
)


def stepped(x, prediction, previous, n, clip=1.0, coefficients=COEFFICIENTS):
    k = [each(values, x) for values in coefficients.T]
    x0 = k[0] * x.double() + k[1] * prediction.double()
    x0 = torch.maximum(torch.minimum(x0, torch.tensor(clip)), torch.tensor(-clip))
    kept = 0 if previous is None else k[4] * previous.double()
    return k[2] * x.double() + k[3] * x0 + kept + k[5] * n, x0


def beside(x):
    """What comes with a state: a prediction and the x0 of the step before."""
    return x.flip(-1) * 0.75 + 0.1, x.flip(0) * 0.5 - 0.2


# The definition


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
    coefficients = COEFFICIENTS.to(torch.float64 if dtype == torch.float64 else torch.float32)
    zero, one = torch.zeros(3).double(), torch.ones(3).double()
    n = diffuse(torch.zeros(x.shape, dtype=torch.float64), zero, one, SEEDS, STEP, impl)
    tolerance = max(4 * torch.finfo(dtype).eps, 4e-6)
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
    coefficients, seeds = COEFFICIENTS.to(device), SEEDS.to(device)
    prediction, previous = beside(x)
    steps = reverse_step(x, prediction, previous, coefficients, seeds, STEP, impl=impl)
    for b in range(3):
        one = slice(b, b + 1)
        batch = x[one], prediction[one], previous[one], coefficients[one], seeds[one]
        for alone, together in zip(reverse_step(*batch, STEP, impl=impl), steps, strict=True):
            assert torch.equal(alone, together[one])


def check_that_it_draws_what_diffuse_does(device, impl, step):
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
    seeds, coefficients = SEEDS.to(device), COEFFICIENTS.to(device)
    for number, dtype in ((STEP, torch.int64), (-1, torch.int64), (7, torch.int32)):
        step = torch.tensor([number], dtype=dtype, device=device)
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
    "it draws what diffuse does": lambda device, impl: check_that_it_draws_what_diffuse_does(device, impl, STEP),
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
    results = reverse_step(x, x, x, torch.zeros(0, 6), torch.zeros(0).long(), 0, impl=impl)
    assert [result.shape for result in results] == [x.shape, x.shape]


def test_the_generator_draws_only_what_is_used(monkeypatch):
    seeded = []
    monkeypatch.setattr(noise, "generator_seed", lambda *numbers: seeded.append(numbers) or generator_seed(*numbers))
    x = layouts()["contiguous"]
    reverse_step(x, x, None, COEFFICIENTS, SEEDS, 5)
    assert seeded == [(int(SEEDS[0]), 5), (int(SEEDS[2]), 5)]


X = torch.zeros(2, 3, 4, 4)
ARGUMENTS = {"x": X, "prediction": X, "previous": None, "coefficients": torch.ones(6), "seeds": torch.zeros(2).long()}
ARGUMENTS["step"] = 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"prediction": X.long()}, TypeError, "prediction must be float16, .*, not torch.int64"),
        ({"prediction": X[:1]}, ValueError, r"prediction has shape \(1, 3, 4, 4\)"),
        ({"previous": X.half()}, TypeError, "previous has dtype torch.float16; .* be torch.float32"),
        ({"previous": X[:, :1]}, ValueError, r"previous has shape \(2, 1, 4, 4\)"),
        ({"coefficients": torch.ones(2)}, ValueError, r"it must be \(2, 6\) or \(6,\)"),
        ({"coefficients": torch.ones(6).double()}, TypeError, "coefficients has dtype torch.float64"),
        ({"seeds": torch.zeros(1).long()}, ValueError, r"seeds has shape \(1,\)"),
        ({"step": True}, TypeError, "step=True is not an integer"),
        ({"clip": 0}, ValueError, r"clip=0.0 is not above 0; give None"),
        ({"clip": math.nan}, ValueError, "clip=nan is not above 0"),
        ({"prediction": X.clone().requires_grad_()}, ValueError, "prediction requires a gradient"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        reverse_step(**{**ARGUMENTS, **arguments})


def test_a_step_without_gradients_takes_what_has_one():
    x = layouts()["contiguous"]
    with torch.no_grad():
        results = reverse_step(x, x.clone().requires_grad_(), None, COEFFICIENTS, SEEDS, STEP)
    assert [result.requires_grad for result in results] == [False, False]


# The operator


@pytest.mark.parametrize("impl", ["torch", "generator"])
@pytest.mark.parametrize("name", ["channels_last", "part of a larger one", "samples expanded", "numbers"])
def test_operator_is_registered_rightly(impl, name):
    x = layouts()[name]
    prediction, previous = beside(x)
    for arguments in ((prediction, previous, COEFFICIENTS), (prediction.half(), None, COEFFICIENTS[0])):
        call = x, *arguments, SEEDS, 4, None, 1.0, impl
        torch.library.opcheck(torch.ops.fastsr.reverse_step.default, call)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
@pytest.mark.parametrize("impl", ["torch", None])
def test_compiles_once_for_every_step(impl):
    def sample(x, prediction, previous, coefficients, seeds, step):
        return reverse_step(x * 2, prediction, previous, coefficients, seeds, step, impl=impl)

    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(sample, backend=counter, fullgraph=True)
    for number in range(3):
        batch = layouts()["contiguous"], layouts()["channels_last"], None, COEFFICIENTS * (number + 1), SEEDS
        for found, expected in zip(compiled(*batch, torch.tensor(number)), sample(*batch, number), strict=True):
            torch.testing.assert_close(found, expected)
    assert counter.frame_count == 1


# The kernels: in the interpreter, or on a GPU


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
@half_precision
@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_kernels_round_once(dtype, name, kernel_device):
    x = layouts()[name].to(kernel_device, dtype)
    prediction, previous = (tensor.to(dtype) for tensor in beside(x))
    seeds, coefficients = SEEDS.to(kernel_device), COEFFICIENTS.to(kernel_device)
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
def test_operator_of_the_kernels_is_registered_rightly(kernel_device):
    x = layouts()["channels_last"].to(kernel_device)
    seeds, coefficients = SEEDS.to(kernel_device), COEFFICIENTS.to(kernel_device)
    call = x, x.half(), None, coefficients, seeds, 0, torch.tensor(4, device=kernel_device), 1.0, "triton"
    torch.library.opcheck(torch.ops.fastsr.reverse_step.default, call)


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    x = layouts()["contiguous"].double().to(kernel_device)
    coefficients = COEFFICIENTS.double().to(kernel_device)
    x_next, _ = reverse_step(x, x.half(), x, coefficients, SEEDS.to(kernel_device), STEP, impl="triton")
    expected, _ = stepped(x.cpu(), x.half().cpu(), x.cpu(), normals(x.cpu()))
    torch.testing.assert_close(x_next.cpu(), expected, rtol=0, atol=1e-12)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("name", ["contiguous", "channels_last"])
def test_graph_takes_what_its_tensors_hold_at_the_replay(name):
    x = layouts()[name].cuda()
    seeds, step = SEEDS.cuda(), torch.zeros((), dtype=torch.int64, device="cuda")
    coefficients = COEFFICIENTS.cuda()
    reverse_step(x, x, None, coefficients, seeds, step)  # compiles the kernel before the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        x_next, x0 = reverse_step(x, x, None, coefficients, seeds, step)
    for number in range(3):
        step.fill_(number)
        seeds.add_(1)
        coefficients.add_(0.25)
        graph.replay()
        expected = reverse_step(x, x, None, coefficients, seeds, number)
        assert torch.equal(x_next, expected[0])
        assert torch.equal(x0, expected[1])


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 3])
def test_more_elements_than_an_int32_counts(memory_format, batch):
    shape = (batch, 2, 2**15, 2**15 // batch + 8)
    needed = 2 * 4 * math.prod(shape)
    need_gpu_memory(needed + 2**32)
    x = torch.zeros(shape, dtype=torch.bfloat16, device="cuda").contiguous(memory_format=memory_format)
    seeds = SEEDS[:batch].cuda()
    n = diffuse(x, torch.zeros(batch, device="cuda"), torch.ones(batch, device="cuda"), seeds, STEP)
    only_noise = torch.tensor([0, 0, 0, 0, 0, 1.0], device="cuda")
    x_next, x0 = reverse_step(x, x, None, only_noise, seeds, STEP)
    assert torch.equal(x_next, n)
    assert not x0.any()
