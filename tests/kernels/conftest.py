"""Where the kernel tests run: on a GPU when there is one, else in Triton's interpreter, in a process of its own.

The rule for a test that launches a Triton kernel:

- mark it ``@pytest.mark.triton`` (a module may set ``pytestmark``), in the ordinary ``test_<op>.py`` beside the tests
  of the torch reference, or in ``test_<op>_kernels.py`` where that would be long;
- take the fixture `kernel_device` and put the tensors there; ask the op for ``impl="triton"``; compare with the
  float64 reference.

With a GPU such tests run like any other. Without one they are deselected, and `test_interpreter.py` runs
``pytest -m triton`` on the files that have any, in subprocesses with ``TRITON_INTERPRET=1`` (interpreted and compiled
kernels cannot share a process). There, a program costs about 33 us and each `tl` operation 0.2 ms: few, big blocks.
To run them by hand: ``TRITON_INTERPRET=1 pytest -m triton tests/kernels``.

What compiles ahead of time is declared by each op file in ``aot_cases()`` (see `fastsr_kernels.backend.AotCase`);
`test_aot.py` goes over all of them.
"""

import pytest
import torch

from fastsr_kernels import backend

CHECKING = ("checks", "diffusion_cases", "group_norm_cases", "reflect_conv_cases", "style_cases")
pytest.register_assert_rewrite(*(f"tests.kernels.{name}" for name in CHECKING))


def can_launch_kernels() -> bool:
    return backend.interpreted() or torch.cuda.is_available()


def pytest_configure(config):
    config.addinivalue_line("markers", "triton: launches a Triton kernel; needs a GPU or TRITON_INTERPRET=1")


def pytest_collection_modifyitems(config, items):
    if can_launch_kernels():
        return
    launching = [item for item in items if item.get_closest_marker("triton")]
    if launching:
        config.hook.pytest_deselected(items=launching)
        items[:] = [item for item in items if not item.get_closest_marker("triton")]


@pytest.fixture(autouse=True)
def no_short_cut(monkeypatch):
    """Pictures as small as a test's would be left to torch's own functions: these have `test_few_elements.py`."""
    monkeypatch.setattr(backend, "FEW", 0)


@pytest.fixture(autouse=True)
def exact_products(monkeypatch):
    """On a GPU, torch lets convolutions make TF32 products of float32."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.fixture
def kernel_device():
    """The device on which Triton kernels run in this process."""
    return torch.device("cpu" if backend.interpreted() else "cuda")


@pytest.fixture
def poisoned(monkeypatch):
    """Memory comes filled with NaN: an element that is not written shows."""

    def poison(allocate):
        def allocate_poisoned(*args, **kwargs):
            memory = allocate(*args, **kwargs)
            return memory.fill_(torch.nan) if memory.is_floating_point() else memory

        return allocate_poisoned

    for owner, name in ((torch, "empty"), (torch, "empty_like"), (torch.Tensor, "new_empty")):
        monkeypatch.setattr(owner, name, poison(getattr(owner, name)))


def part(x):
    n, c, h, w = x.shape
    larger = x.new_full((n, c, 2 * h, w + 3), torch.nan)
    larger[:, :, ::2, 1:-2] = x
    return larger[:, :, ::2, 1:-2]


def part_of_channels_last(x):
    n, c, h, w = x.shape
    larger = x.new_full((n, 2 * h, w + 3, c + 1), torch.nan).permute(0, 3, 1, 2)
    larger[:, 1:, ::2, 1:-2] = x
    return larger[:, 1:, ::2, 1:-2]


LAYOUTS = {
    "contiguous": lambda x: x.contiguous(),
    "channels_last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.mT.contiguous().mT,
    "channels_last, transposed": lambda x: x.mT.contiguous(memory_format=torch.channels_last).mT,
    "part of a larger one": part,
    "part of a larger one in channels_last": part_of_channels_last,
    "pictures expanded": lambda x: x[:1].contiguous(memory_format=torch.channels_last).expand(x.shape),
    "channels expanded": lambda x: x[:, :1].expand(x.shape),
}


@pytest.fixture(params=LAYOUTS.values(), ids=LAYOUTS)
def layout(request):
    """A function that puts the numbers of a batch (N, C, H, W) into memory of other strides."""
    return request.param


@pytest.fixture
def far_apart(kernel_device):
    """A function that puts the three numbers along an axis 2^30 elements apart: more than an int32 counts.

    What an int32 would make of its offset lies in this memory too: a wrong number, not a crash.
    """
    if kernel_device.type == "cuda" and torch.cuda.mem_get_info()[0] < 9 * 2**30:
        pytest.skip("needs 9 GiB of GPU memory")
    try:
        memory = torch.empty(2**32 + 2**20, dtype=torch.float16, device=kernel_device)  # of which few pages are touched
    except RuntimeError as error:
        pytest.skip(f"needs 8 GiB of address space: {error}")

    def far_apart(x, axis):
        assert x.shape[axis] == 3
        strides, step = [2**30] * 4, 1
        for other in (1, 3, 2, 0):
            if other != axis:
                strides[other] = step
                step *= x.shape[other]
        return memory[2**31 :].as_strided(x.shape, strides).copy_(x)

    return far_apart


@pytest.fixture
def compile_and_trace():
    """A function that compiles without a break, and returns beside the result the operators of each graph."""
    # Imported here: it takes longer than Triton's interpreter takes for many a file, which needs none of it.
    from functorch.compile import make_boxed_func
    from torch._dynamo.backends.common import aot_autograd

    def compile_and_trace(function):
        graphs = []

        def keep(graph, inputs):
            graphs.append([node.target for node in graph.graph.nodes if node.op == "call_function"])
            return make_boxed_func(graph.forward)

        return torch.compile(function, backend=aot_autograd(fw_compiler=keep, bw_compiler=keep), fullgraph=True), graphs

    return compile_and_trace
