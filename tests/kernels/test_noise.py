import functools
import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch._dynamo.testing import CompileCounterWithBackend

from fastsr_kernels import backend, noise, noise_kernels, philox
from fastsr_kernels.backend import jit, tl
from fastsr_kernels.noise import add_noise
from fastsr_kernels.philox import generator_seed, philox4x32, philox_normals, stream
from tests.kernels.checks import half_precision, need_gpu_memory, on_gpu

# Random123's kat_vectors for philox4x32 with 10 rounds: counter, key, words.
KNOWN_ANSWERS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
COUNTERS, KEYS, WORDS = (
    torch.tensor([[int(word, 16) for word in row[column].split()] for row in KNOWN_ANSWERS]) for column in range(3)
)
SEEDS_AND_STEPS = [(0, 0), (3, 4), (-3, 2**62 + 5), (2**63 - 1, -(2**63)), (2**40 + 1, 2**33)]


def definition(first, count, seed, step):
    """n_first ... in float64, from the words: the module's text, written down once more."""
    index = torch.arange(first // 4, (first + count + 3) // 4)
    split = [torch.tensor([value % 2**64 % 2**32, value % 2**64 // 2**32]) for value in (step, seed)]
    words = philox4x32((index % 2**32, index // 2**32, *split[0]), tuple(split[1]))
    w = np.stack([word.numpy() for word in words], axis=1).astype(np.float64)
    radius = np.sqrt(-2 * np.log((w[:, 0::2] + 0.5) / 2**32))
    angle = 2 * np.pi * w[:, 1::2] / 2**32
    normals = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=2).reshape(-1)
    return torch.from_numpy(normals)[first % 4 :][:count]


def tensor(value):
    return torch.tensor(value)


# The definition


def test_torch_words_are_the_known_answers():
    words = philox4x32(tuple(COUNTERS.T), tuple(KEYS.T))
    assert torch.equal(torch.stack(words, dim=1), WORDS)


@pytest.mark.parametrize(("seed", "step"), SEEDS_AND_STEPS)
@pytest.mark.parametrize("count", [1, 6, 1000])
def test_normals_are_the_definition(seed, step, count):
    normals = philox_normals(count, tensor(seed), tensor(step), torch.float64)
    torch.testing.assert_close(normals, definition(0, count, seed, step), rtol=0, atol=1e-12)
    single = philox_normals(count, tensor(seed), tensor(step))
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), normals, rtol=0, atol=2e-6)


@functools.cache
def sample(seed, step):
    return philox_normals(2**18, tensor(seed), tensor(step)).numpy()


@pytest.mark.parametrize("draw", [sample, lambda *numbers: add_noise(torch.zeros(2**18), 1, *numbers).numpy()])
def test_distribution(draw):
    n = np.concatenate([draw(0, 0), draw(0, 1), draw(1, 0), draw(2**32, 2**32)]).astype(np.float64)
    count = len(n)
    for power, expected, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs(np.mean(n**power) - expected) < 4 * math.sqrt(variance / count)
    assert stats.kstest(n, "norm").pvalue > 0.01
    tail = 2 * stats.norm.sf(4) * count
    assert abs(np.count_nonzero(np.abs(n) > 4) - tail) < 4 * math.sqrt(tail)


def test_elements_are_independent_of_each_other():
    n = sample(0, 0).astype(np.float64)
    for series in (n, n**2 - 1):
        for lag in [*range(1, 9), 512, 4096]:
            assert abs(np.corrcoef(series[:-lag], series[lag:])[0, 1]) < 4 / math.sqrt(len(n))


@pytest.mark.parametrize("draw", [sample, lambda *numbers: add_noise(torch.zeros(2**18), 1, *numbers).numpy()])
def test_steps_and_seeds_are_independent_of_each_other(draw):
    numbers = [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2**32), (2**32, 0), (0, -1)]
    draws = np.stack([draw(*pair) for pair in numbers]).astype(np.float64)
    for series in (draws, draws**2 - 1):
        correlations = np.corrcoef(series) - np.eye(len(numbers))
        assert np.abs(correlations).max() < 4.5 / math.sqrt(draws.shape[1])


def test_no_counter_is_used_twice():
    index = torch.arange(2**12)
    words = [
        philox4x32((index, tensor(0), tensor(step % 2**32), tensor(step // 2**32)), (tensor(seed), tensor(0)))
        for seed in range(4)
        for step in (0, 1, 2**32)
    ]
    pairs = torch.cat([(w[0] << 32) + w[1] for w in words])
    assert len(pairs.unique()) == len(pairs)


def test_element_depends_on_its_number_alone():
    assert torch.equal(philox_normals(5, tensor(1), tensor(2)), philox_normals(999, tensor(1), tensor(2))[:5])


# The op on the CPU


def layouts():
    x = torch.linspace(-1, 1, 2 * 3 * 5 * 7)
    return {
        "contiguous": x.view(2, 3, 5, 7),
        "channels_last": x.view(2, 5, 7, 3).permute(0, 3, 1, 2),
        "channels_last, sides even": torch.linspace(-1, 1, 2 * 6 * 4 * 18).view(2, 4, 18, 6).permute(0, 3, 1, 2),
        "one channel": x[:70].view(2, 1, 5, 7),
        "transposed": x.view(15, 14).t(),
        "expanded": x[:35].view(5, 7, 1).expand(5, 7, 4),
        "every other": x[::2],
        "one": x[:1],
        "number": x[0],
        "empty": x[:0].view(0, 3),
    }


@pytest.mark.parametrize("name", layouts())
def test_torch_adds_the_definition(name, poisoned):
    z = layouts()[name]
    before = z.clone()
    out = add_noise(z, 0.5, 3, 4, impl="torch")
    expected = z.double() + 0.5 * definition(0, z.numel(), 3, 4).view(z.shape)
    torch.testing.assert_close(out.double(), expected, rtol=0, atol=2e-6)
    assert torch.equal(z, before)
    memory_format = torch.channels_last if "channels_last" in name else torch.contiguous_format
    assert out.stride() == torch.empty(z.shape, memory_format=memory_format).stride()


@pytest.mark.parametrize("dtype", noise.DTYPES)
@pytest.mark.parametrize("impl", ["torch", None])
def test_noise_does_not_depend_on_dtype(dtype, impl):
    z = torch.linspace(-1, 1, 99).to(dtype)
    out = add_noise(z, 0.5, 3, 4, impl)
    assert out.dtype == dtype
    expected = z.double() + add_noise(torch.zeros(99, dtype=torch.float64), 0.5, 3, 4, impl)
    tolerance = max(torch.finfo(dtype).eps, 1e-6)
    torch.testing.assert_close(out.double(), expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("impl", ["torch", None])
@pytest.mark.parametrize(("seed", "step"), SEEDS_AND_STEPS)
def test_numbers_may_come_from_tensors(impl, seed, step):
    z = torch.zeros(9)
    expected = add_noise(z, 1, seed, step, impl)
    assert torch.equal(add_noise(z, 1, tensor(seed), tensor([step]), impl), expected)
    assert torch.equal(add_noise(z, 1, seed, tensor([[step]]), impl), expected)
    if abs(step) < 2**31:
        assert torch.equal(add_noise(z, 1, seed, tensor(step).int(), impl), expected)


@pytest.mark.parametrize("impl", ["torch", None])
def test_sigma_zero_gives_a_copy(impl):
    z = torch.linspace(-1, 1, 99)
    out = add_noise(z, 0, 3, 4, impl)
    assert torch.equal(out, z)
    assert out.data_ptr() != z.data_ptr()


def test_same_numbers_same_noise_and_torch_is_left_alone():
    z = torch.zeros(1000)
    state = torch.get_rng_state()
    assert torch.equal(add_noise(z, 1, 3, 4), add_noise(z, 1, 3, 4))
    assert torch.equal(torch.get_rng_state(), state)


def test_stream_says_what_a_seed_names(monkeypatch):
    z = torch.zeros(64)
    philox = philox_normals(64, tensor(3), tensor(4))
    mt19937 = torch.randn(64, generator=torch.Generator().manual_seed(generator_seed(3, 4)))
    assert stream(z) == "mt19937"
    assert torch.equal(add_noise(z, 1, 3, 4), mt19937)
    assert stream(z, "torch") == "philox"
    assert torch.equal(add_noise(z, 1, 3, 4, "torch"), philox)
    monkeypatch.setenv(backend.ENVIRONMENT_VARIABLE, "torch")
    assert stream(z) == "philox"
    assert torch.equal(add_noise(z, 1, 3, 4), philox)
    assert stream(torch.empty(1, device="meta")) == "philox"


def test_generator_seeds_do_not_meet():
    seeds = {generator_seed(7, step) for step in range(20000)}
    assert len(seeds) == 20000
    assert len({generator_seed(seed, 0) for seed in [*range(-50, 50), *(2**32 * k for k in range(1, 50))]}) == 149


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"z": torch.zeros(3, dtype=torch.int32)}, TypeError, "z must be float16, .*, not torch.int32"),
        ({"sigma": -1}, ValueError, "sigma=-1.0"),
        ({"sigma": math.nan}, ValueError, "sigma=nan"),
        ({"sigma": math.inf}, ValueError, "sigma=inf"),
        ({"seed": 2**63}, ValueError, "seed=9223372036854775808 does not fit"),
        ({"step": 1.0}, TypeError, "step=1.0 is not an integer"),
        ({"step": True}, TypeError, "step=True is not an integer"),
        ({"step": torch.zeros(2, dtype=torch.int64)}, TypeError, r"step is a torch.int64 tensor of shape \(2,\)"),
        ({"seed": torch.tensor(1.0)}, TypeError, "seed is a torch.float32 tensor"),
        ({"step": torch.zeros(1, dtype=torch.int64, device="meta")}, ValueError, "step is on meta, but z is on cpu"),
        ({"impl": "cuda"}, ValueError, "impl='cuda'"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        add_noise(**{"z": torch.zeros(3), "sigma": 1, "seed": 0, "step": 0, **arguments})


@pytest.mark.parametrize("impl", ["torch", None])
def test_gradient_is_the_identity(impl):
    z = torch.linspace(-1, 1, 12, dtype=torch.float64).view(3, 4).requires_grad_()
    out = add_noise(z, 0.5, 3, 4, impl)
    assert not out.grad_fn.saved_tensors
    gradient = torch.randn(4, 3, dtype=torch.float64).t()
    assert torch.autograd.grad(out, z, gradient)[0] is gradient
    assert torch.autograd.gradcheck(lambda z: add_noise(z, 0.5, 3, 4, impl), z)
    assert torch.autograd.gradgradcheck(lambda z: add_noise(z, 0.5, 3, 4, impl) ** 2, z)


@pytest.mark.parametrize("impl", ["torch", "generator"])
@pytest.mark.parametrize("name", layouts())
def test_operator_is_registered_rightly(impl, name):
    z = layouts()[name]
    torch.library.opcheck(torch.ops.fastsr.add_noise.default, (z, 0.5, 3, None, 4, None, impl))
    torch.library.opcheck(torch.ops.fastsr.add_noise.default, (z, 0.5, 0, tensor(3), 0, tensor(4), impl))


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own compiler does
@pytest.mark.parametrize("impl", ["torch", None])
def test_compiles_once_for_every_step(impl):
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(lambda z, step: add_noise(z * 2, 0.5, 3, step, impl) * 3, backend=counter, fullgraph=True)
    for number in range(3):
        z = torch.linspace(-1, 1, 12, requires_grad=True)
        out = compiled(z, tensor(number))
        torch.testing.assert_close(out, add_noise(z * 2, 0.5, 3, number, impl) * 3)
        assert torch.autograd.grad(out.sum(), z)[0].eq(6).all()
    assert counter.frame_count == 1


# The kernels: in the interpreter, or on a GPU


@jit
def words_kernel(counters: tl.tensor, keys: tl.tensor, words: tl.tensor) -> None:
    row = tl.arange(0, 4)
    w0, w1, w2, w3 = philox.triton_philox4x32(
        tl.load(counters + row * 4),
        tl.load(counters + row * 4 + 1),
        tl.load(counters + row * 4 + 2),
        tl.load(counters + row * 4 + 3),
        tl.load(keys + row * 2),
        tl.load(keys + row * 2 + 1),
    )
    tl.store(words + row * 4, w0)
    tl.store(words + row * 4 + 1, w1)
    tl.store(words + row * 4 + 2, w2)
    tl.store(words + row * 4 + 3, w3)


@pytest.mark.triton
def test_kernel_words_are_the_known_answers(kernel_device):
    rows = torch.tensor([0, 1, 2, 2])
    counters, keys = (table[rows].to(torch.uint32).to(kernel_device) for table in (COUNTERS, KEYS))
    words = torch.empty_like(counters)
    words_kernel[(1,)](counters, keys, words)
    assert torch.equal(words.cpu().to(torch.int64), WORDS[rows])


def check(out, z, sigma, seed, step):
    expected = z.double().cpu() + sigma * definition(0, z.numel(), seed, step).view(z.shape)
    error = (out.double().cpu() - expected).abs()
    rounding = torch.finfo(z.dtype).eps * (1 + expected.abs())
    # Where the radius is near 0, a logarithm that is right to 2^-22 leaves it right to 6e-4.
    assert (error <= 1e-3 * sigma + rounding).all()
    assert (error - rounding).sum() <= 2e-6 * sigma * z.numel()


@pytest.mark.triton
@pytest.mark.parametrize("name", [*layouts(), "three programs", "more channels than a block"])
def test_kernel_adds_the_definition(name, kernel_device, poisoned):
    larger = {
        "three programs": torch.linspace(-1, 1, 2 * noise_kernels.BLOCK + 5),
        "more channels than a block": torch.ones(2, 3, 5, 130).permute(0, 3, 1, 2),
    }
    z = {**layouts(), **larger}[name].to(kernel_device)
    out = add_noise(z, 0.5, 3, 4, impl="triton")
    check(out, z, 0.5, 3, 4)
    assert out.stride() == add_noise(z.cpu(), 0.5, 3, 4, impl="torch").stride()


@pytest.mark.triton
@pytest.mark.parametrize(("seed", "step"), SEEDS_AND_STEPS)
def test_kernel_reads_all_64_bits(seed, step, kernel_device):
    z = torch.zeros(9, device=kernel_device)
    out = add_noise(z, 1, seed, step, impl="triton")
    check(out, z, 1, seed, step)
    numbers = tensor(seed).to(kernel_device), tensor([step]).to(kernel_device)
    assert torch.equal(add_noise(z, 1, *numbers, impl="triton"), out)
    if abs(step) < 2**31:
        assert torch.equal(add_noise(z, 1, seed, numbers[1].int(), impl="triton"), out)


@pytest.mark.triton
@half_precision
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_kernel_rounds_once(dtype, memory_format, kernel_device):
    z = torch.linspace(-1, 1, 240, dtype=dtype, device=kernel_device).view(2, 5, 4, 6)
    z = z.contiguous(memory_format=memory_format)
    out = add_noise(z, 0.5, 3, 4, impl="triton")
    assert out.dtype == dtype
    single = add_noise(z.float(), 0.5, 3, 4, impl="triton")
    assert torch.equal(out, single.to(dtype))


@pytest.mark.triton
def test_operator_of_the_kernel_is_registered_rightly(kernel_device):
    z = torch.zeros(2, 3, 5, 7, device=kernel_device).contiguous(memory_format=torch.channels_last)
    step = tensor(4).to(kernel_device)
    torch.library.opcheck(torch.ops.fastsr.add_noise.default, (z, 0.5, 3, None, 0, step, "triton"))


@pytest.mark.triton
def test_kernel_gradient_is_the_identity(kernel_device):
    z = torch.zeros(3, 4, device=kernel_device, requires_grad=True)
    gradient = torch.randn(4, 3, device=kernel_device).t()
    assert torch.autograd.grad(add_noise(z, 0.5, 3, 4, impl="triton"), z, gradient)[0] is gradient


@pytest.mark.triton
def test_float64_runs_in_torch(kernel_device):
    z = torch.zeros(9, dtype=torch.float64, device=kernel_device)
    out = add_noise(z, 1, 3, 4, impl="triton")
    torch.testing.assert_close(out.cpu(), definition(0, 9, 3, 4), rtol=0, atol=1e-12)


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_graph_draws_fresh_noise_at_every_replay(memory_format):
    z = torch.zeros(2, 4, 32, 32, device="cuda").contiguous(memory_format=memory_format)
    step = torch.zeros((), dtype=torch.int64, device="cuda")
    add_noise(z, 1, 3, step)  # compiles the kernel before the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = add_noise(z, 1, 3, step)
        step += 1
    step.zero_()
    for number in range(3):
        graph.replay()
        assert torch.equal(out, add_noise(z, 1, 3, number))


@pytest.mark.triton
@on_gpu
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_more_elements_than_an_int32_counts(memory_format):
    shape = (1, 2, 2**15, 2**15 + 8)
    needed = 2 * 2 * math.prod(shape)
    need_gpu_memory(needed + 2**30)
    z = torch.zeros(shape, dtype=torch.bfloat16, device="cuda").contiguous(memory_format=memory_format)
    out = add_noise(z, 1, 3, 4)
    for first in (0, 2**31 - 8, 2**31, math.prod(shape) - 16):
        channel, pixel = divmod(first, math.prod(shape[2:]))
        row, column = divmod(pixel, shape[3])
        end = min(16, shape[3] - column)
        part = out[0, channel, row, column : column + end].double().cpu()
        torch.testing.assert_close(part, definition(first, end, 3, 4), rtol=0.01, atol=0.01)


@pytest.mark.triton
@on_gpu
def test_kernel_distribution():
    n = add_noise(torch.zeros(2**22, device="cuda"), 1, 0, 0).cpu().double().numpy()
    assert abs(n.mean()) < 4 / math.sqrt(len(n))
    assert abs(n.var() - 1) < 4 * math.sqrt(2 / len(n))
    assert stats.kstest(n, "norm").pvalue > 0.01
