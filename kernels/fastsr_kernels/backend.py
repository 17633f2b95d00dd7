"""Which implementation of an op runs: the Triton kernels or the torch reference.

The environment variable ``FASTSR_KERNELS`` (auto, triton or torch) overrides every ``impl="auto"``.
Importing this file imports Triton where it is installed, but touches no GPU driver.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

MINIMUM_TRITON = (3, 6)
ENVIRONMENT_VARIABLE = "FASTSR_KERNELS"
IMPLEMENTATIONS = ("auto", "triton", "torch")

try:
    import triton
    import triton.language as tl
except ImportError:  # no wheel for this platform: every op has its torch reference
    triton = tl = None

F = TypeVar("F", bound=Callable[..., Any])

LIBRARY = torch.library.Library("fastsr", "DEF")


def constant_result(function: F) -> F:
    """Mark a function whose result `torch.compile` may take for a constant.

    It is `torch.compiler.assume_constant_result` without the import of the compiler, which takes seconds.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def jit(kernel: Callable[..., Any] | None = None, **options: Any) -> Any:
    """`triton.jit` where Triton is installed; elsewhere the plain function, which is then never launched."""
    if kernel is None:
        return lambda function: jit(function, **options)
    return kernel if triton is None else triton.jit(kernel, **options)


def interpreted() -> bool:
    """Whether kernels run in Triton's interpreter (TRITON_INTERPRET=1 before the import), on CPU tensors."""
    return triton is not None and os.environ.get("TRITON_INTERPRET") == "1"


@dataclass(frozen=True)
class AotCase:
    """One specialisation of a kernel, to be compiled ahead of time by ``python -m benchmarks.aot``.

    Each op file has a function ``aot_cases() -> list[AotCase]`` with what its launcher really launches: the harness
    finds it by that name, compiles every case for every target and checks spills, shared memory and time.
    """

    name: str
    """What the case is, for the table and the test: for example "x8 down, float32"."""
    kernel: Any
    """The function returned by `jit`."""
    signature: Mapping[str, str]
    """Run-time argument -> Triton type: "*fp32" (a pointer, taken as 16-byte aligned), "i32", "i64", "fp32"."""
    constants: Mapping[str, Any]
    """`tl.constexpr` argument -> value. `signature` and `constants` together name every argument, in any order."""
    num_warps: int = 4
    num_stages: int = 3
    enable_fp_fusion: bool = True
    divisible: tuple[str, ...] = ()
    """Integer arguments that are multiples of 16 in this case, as the launcher would specialise them."""
    matrix: bool = False
    """Whether the kernel has matrix products, which must run on the tensor cores of every target."""
    warpgroups: bool = False
    """Whether they are large enough for those of a whole warp group on sm_90 (HGMMA): 64 rows or more."""
    backends: tuple[str, ...] = ("cuda", "hip")
    """For which kinds of GPU this case is, or for which targets of `benchmarks.aot`."""


@cache
def triton_problem() -> str | None:
    """Why Triton kernels cannot be used in this installation; None when they can."""
    if triton is None:
        return "Triton is not installed"
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    if version < MINIMUM_TRITON:
        wanted = ".".join(map(str, MINIMUM_TRITON))
        return f"Triton {triton.__version__} is older than {wanted}"
    return None


def explain(device: torch.device, impl: str | None = None) -> tuple[str, str]:
    """Return the implementation ("triton" or "torch") that runs on `device`, and the reason in words.

    Raises:
        ValueError: `impl` or the environment variable is not one of auto, triton, torch.
    """
    override = os.environ.get(ENVIRONMENT_VARIABLE, "auto")
    source = f"{ENVIRONMENT_VARIABLE}={override}"
    if impl not in (None, "auto"):
        override, source = str(impl), f"impl={impl!r}"
    if override not in IMPLEMENTATIONS:
        raise ValueError(f"{source} is not an implementation; choose one of {', '.join(IMPLEMENTATIONS)}")
    if override != "auto":
        return override, f"asked for by {source}"
    if device.type != "cuda":
        return "torch", f"Triton kernels need a GPU, the tensors are on {device.type}"
    problem = triton_problem()
    if problem is not None:
        return "torch", problem
    return "triton", "the tensors are on a GPU"


def choose(x: Tensor, impl: str | None = None) -> str:
    """Return "triton" or "torch": the implementation that an op uses for a tensor like `x`.

    float64, in which the definitions are checked, is torch's alone.

    Raises:
        ValueError: `impl` is unknown, or "triton" was asked for where it cannot run.
    """
    chosen = _resolve(x.device, impl)
    return "torch" if x.dtype == torch.float64 else chosen


@constant_result
def _resolve(device: torch.device, impl: str | None) -> str:
    chosen, reason = explain(device, impl)
    if chosen == "triton":
        problem = triton_problem()
        if problem is None and device.type != "cuda" and not interpreted():
            problem = f"the tensor is on {device.type}, and Triton kernels need a GPU"
        if problem is not None:
            raise ValueError(f"Triton kernels were {reason}, but {problem}; ask for torch instead")
    elif device.type == "cuda" and triton_problem() is not None:
        _warn_once(f"fastsr runs its torch implementations on the GPU: {reason}")
    return chosen


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=5)


@constant_result
def no_override() -> bool:
    """Whether the environment variable leaves the choice to the op."""
    return os.environ.get(ENVIRONMENT_VARIABLE, "auto") == "auto"


FEW = 2**18
"""Elements below which, on a CPU, the Python of an operation of our own costs more than it saves."""


def better_plain(x: Tensor, chosen: str) -> bool:
    """Whether torch's own functions, one after the other, are the faster implementation for `x`."""
    return chosen == "torch" and x.device.type == "cpu" and x.numel() < FEW


@cache
def float32_products(device: torch.device) -> str:
    """How kernels make float32 products: of three TF32 ones where the GPU has TF32, exactly elsewhere."""
    if device.type != "cuda" or torch.version.hip is not None or torch.cuda.get_device_capability(device) < (8, 0):
        return "ieee"
    return "tf32x3"


def no_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Leave dtypes as they are where autocast is on."""
    on = torch.is_autocast_enabled(device.type)
    return torch.autocast(device.type, enabled=False) if on else nullcontext()


def device_guard(x: Tensor) -> AbstractContextManager[object]:
    """Make the GPU of `x` the current one, as a launch requires; nothing for a tensor elsewhere."""
    return torch.cuda.device(x.device) if x.is_cuda else nullcontext()
