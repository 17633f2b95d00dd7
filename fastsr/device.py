"""Where work runs, in which precision, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from .cgroup import memory_left
from .checks import whole_number
from .errors import DeviceError, InputError, NotEnoughMemoryError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device asked for; None means CUDA when present, else the CPU.

    Raises:
        DeviceError: the device is unknown, or not on this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise DeviceError(f"device={device!r} is not a device; use 'cpu', 'cuda' or 'cuda:N'") from error
    if resolved.type not in ("cpu", "cuda"):
        raise DeviceError(f"device={device!r} is not supported; use 'cpu', 'cuda' or 'cuda:N'")
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= count:
            found = f"{count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
            raise DeviceError(f"device={device!r} was asked for, but PyTorch finds {found} here; use device='cpu'")
    return resolved


def resolve_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """Return the precision of activations; None means bfloat16 where `device` computes in it, else float32.

    Raises:
        InputError: `dtype` is neither float32 nor bfloat16.
    """
    if dtype is None:
        return torch.bfloat16 if has_bfloat16(device) else torch.float32
    resolved = DTYPES.get(dtype) if isinstance(dtype, str) else dtype
    if resolved is None or resolved not in DTYPES.values():
        raise InputError(f"dtype={dtype!r} is not supported; use {' or '.join(map(repr, DTYPES))}")
    return resolved


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` has bfloat16 arithmetic in hardware; emulated bfloat16 is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


@contextmanager
def deterministic_convolutions() -> Iterator[None]:
    """Let cuDNN choose only among algorithms that give the same bits every time."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def default_float32() -> Iterator[None]:
    """Make what is made without a dtype in float32, whatever the caller's default is."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def available_memory(device: torch.device) -> int | None:
    """Bytes that an allocation on `device` can still get; None where the system does not say."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return free + reserved
    found = (_unused_memory(), memory_left())
    return min((number for number in found if number is not None), default=None)


def _unused_memory() -> int | None:
    """Bytes that nothing on this machine uses; in a container it is the host's."""
    try:
        with open("/proc/meminfo", encoding="ascii") as meminfo:
            fields = dict(line.split(":", 1) for line in meminfo)
    except OSError:
        return None
    return int(fields["MemAvailable"].split()[0]) * 1024


def require_memory(needed: int, device: torch.device, what: str) -> None:
    """Refuse work that cannot fit, before it starts.

    Raises:
        NotEnoughMemoryError: `needed` bytes are more than `device` has left.
    """
    available = available_memory(device)
    if available is not None and needed > available:
        raise NotEnoughMemoryError(
            f"{what} needs about {needed / 2**30:.1f} GiB and {device} has {available / 2**30:.1f} GiB left; "
            "make it smaller"
        )


def resolve_seed(seed: int) -> int:
    """Return `seed` when it can seed a generator.

    Raises:
        InputTypeError: it is not an integer.
        InputError: it is negative or needs more than 63 bits.
    """
    value = whole_number("seed", seed, "an integer")
    if not 0 <= value < 2**63:
        raise InputError(f"seed={seed} is out of range; give an integer from 0 to 2**63 - 1")
    return value
