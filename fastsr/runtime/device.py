"""Devices, dtypes, random seeds and determinism."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..checks import input_error, spell, whole_number
from ..errors import DeviceError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""The dtypes of activations, by name."""
DEVICES = "use 'cpu', 'cuda' or 'cuda:N'"
"""The advice for a device that cannot be used."""


def resolve_device(device: str | torch.device | None = None) -> torch.device:
    """Return `device` as a torch.device; None means CUDA when present, else the CPU.

    Raises:
        DeviceError: the device is unknown, or not on this machine.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise input_error("device", device, "is not a device", DEVICES, kind=DeviceError) from error
    if resolved.type not in ("cpu", "cuda"):
        raise input_error("device", device, "is not supported", DEVICES, kind=DeviceError)
    if resolved.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (resolved.index or 0) >= count:
            found = f"{count} CUDA device{'s' if count > 1 else ''}" if count else "no CUDA device"
            problem, advice = f"cannot be used: PyTorch finds {found}", f"use {spell('device', 'cpu')}"
            raise input_error("device", device, problem, advice, kind=DeviceError)
    return resolved


def resolve_dtype(dtype: str | torch.dtype | None, device: torch.device) -> torch.dtype:
    """Return the dtype of activations; None means bfloat16 where `device` has it in hardware, else float32.

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
    """Restrict cuDNN to algorithms that give the same bits at every call, while the block runs."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


@contextmanager
def default_float32() -> Iterator[None]:
    """Set the default dtype to float32, whatever the caller's is, while the block runs."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def resolve_seed(seed: int) -> int:
    """Return `seed` if it can seed a generator.

    Raises:
        InputTypeError: it is not an integer.
        InputError: it is negative or needs more than 63 bits.
    """
    value = whole_number("seed", seed, "an integer")
    if not 0 <= value < 2**63:
        raise input_error("seed", seed, "is out of range", "give an integer from 0 to 2**63 - 1")
    return value
