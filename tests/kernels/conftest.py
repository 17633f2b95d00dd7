"""Where the kernel tests run: on a GPU when there is one, else in Triton's interpreter, in a process of its own.

The rule for a test that launches a Triton kernel:

- mark it ``@pytest.mark.triton`` (a module may set ``pytestmark``), in the ordinary ``test_<op>.py`` beside the tests
  of the torch reference;
- take the fixture `kernel_device` and put the tensors there; ask the op for ``impl="triton"``; compare with the
  float64 reference.

With a GPU such tests run like any other. Without one they are deselected, and `test_interpreter.py` runs
``pytest -m triton`` on each file that has any, in a subprocess with ``TRITON_INTERPRET=1`` (interpreted and compiled
kernels cannot share a process). There, a program costs about 33 us and each `tl` operation 0.2 ms: few, big blocks.
To run them by hand: ``TRITON_INTERPRET=1 pytest -m triton tests/kernels``.

What compiles ahead of time is declared by each op file in ``aot_cases()`` (see `fastsr_kernels.backend.AotCase`);
`test_aot.py` goes over all of them.
"""

import pytest
import torch

from fastsr_kernels import backend


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


@pytest.fixture
def kernel_device():
    """The device on which Triton kernels run in this process."""
    return torch.device("cpu" if backend.interpreted() else "cuda")
