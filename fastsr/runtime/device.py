"""Where work runs, in which precision, and whether it fits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..checks import input_error, spell, whole_number
from ..errors import DeviceError

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
        raise input_error(
            "device", device, "is not a device", "use 'cpu', 'cuda' or 'cuda:N'", kind=DeviceError
        ) from error
    if resolved.type not in ("cpu", "cuda"):
        raise input_error("device", device, "is not supported", "use 'cpu', 'cuda' or 'cuda:N'", kind=DeviceError)
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= count:
            found = f"{count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
            raise input_error(
                "device",
                device,
                f"was asked for, but PyTorch finds {found} here",
                f"use {spell('device', 'cpu')}",
                kind=DeviceError,
            )
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
        raise input_error("dtype", dtype, "is not supported", f"use {' or '.join(map(repr, DTYPES))}")
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


def resolve_seed(seed: int) -> int:
    """Return `seed` when it can seed a generator.

    Raises:
        InputTypeError: it is not an integer.
        InputError: it is negative or needs more than 63 bits.
    """
    value = whole_number("seed", seed, "an integer")
    if not 0 <= value < 2**63:
        raise input_error("seed", seed, "is out of range", "give an integer from 0 to 2**63 - 1")
    return value
