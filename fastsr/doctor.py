"""What fastsr finds on this machine, and whether its operations compute what they should here."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch

from fastsr_kernels import backend, noise
from fastsr_kernels.resample import axis_table, resample

from . import __version__
from .device import available_memory, has_bfloat16

PACKAGES = ("torch", "triton", "numpy", "pillow", "scikit-image", "safetensors")
# The Philox stream of seed 1 and step 2, computed from its definition in Python's integers and float64.
KNOWN_NOISE = (-0.42886274, -0.14084636, 1.62367223, 0.40852761, 0.50149693, -0.64201368, 1.52972904, 0.54920572)


def report() -> tuple[list[str], bool]:
    """Return the lines that ``fastsr doctor`` prints, and whether every operation passed its check."""
    lines = [f"fastsr {__version__}, Python {platform.python_version()}, {platform.platform()}"]
    lines += [f"  {name} {_version(name)}" for name in PACKAGES]
    devices = [torch.device("cpu")]
    if torch.cuda.is_available():
        devices += [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    healthy = True
    for device in devices:
        lines += ["", _describe(device)]
        for name, check in CHECKS.items():
            chosen, reason = "-", "none could be chosen"
            try:
                chosen, reason = backend.explain(device)
                if name == "noise":
                    reason = f"stream {noise.stream(torch.empty(0, device=device))}; {reason}"
                error, allowed = check(device)
                passed = error <= allowed
                outcome = f"{'ok' if passed else 'WRONG'}, error {error:.1e} of {allowed:.0e} allowed"
            except Exception as problem:  # whatever a broken driver or compiler raises belongs into the report
                passed, outcome = False, f"FAILED: {type(problem).__name__}: {problem}"
            healthy &= passed
            lines.append(f"  {name:<10} {chosen:<7} {outcome}  ({reason})")
    if len(devices) == 1:
        lines += ["", "GPU: PyTorch finds none"]
    return lines, healthy


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _describe(device: torch.device) -> str:
    memory = available_memory(device)
    free = "" if memory is None else f", {memory / 2**30:.1f} GiB free"
    precision = "bfloat16" if has_bfloat16(device) else "no bfloat16 arithmetic, works in float32"
    if device.type == "cpu":
        return f"CPU: {torch.get_num_threads()} threads{free}, {precision}"
    return f"GPU {device.index}: {torch.cuda.get_device_name(device)}{free}, {precision}"


def _check_resample(device: torch.device) -> tuple[float, float]:
    """Compare a downscale with its definition, a dense float64 matrix product."""
    x = torch.rand(1, 3, 37, 50, dtype=torch.float64)
    rows, columns = axis_table(37, 12, kernel="lanczos2"), axis_table(50, 25, kernel="lanczos3")
    expected = rows.dense() @ x @ columns.dense().mT
    return (resample(x.float().to(device), rows, columns).cpu() - expected).abs().max().item(), 1e-5


def _check_noise(device: torch.device) -> tuple[float, float]:
    """Compare the noise with its definition or, where torch's generator draws it, its mean square with 1.

    The definition itself is compared with known numbers first.
    """
    z = torch.zeros(2**16, device=device)
    defined = noise.add_noise(z, 1.0, seed=1, step=2, impl="torch").cpu()
    known = torch.tensor(KNOWN_NOISE)
    if not torch.allclose(defined[: len(known)], known, rtol=0, atol=1e-5):
        raise ArithmeticError("the Philox stream in torch does not give its known numbers")
    drawn = noise.add_noise(z, 1.0, seed=1, step=2).cpu()
    if noise.stream(z) == "philox":
        return (drawn - defined).abs().max().item(), 1e-3  # the fast hardware logarithm and sine
    return abs(drawn.square().mean().item() - 1), 5 * (2 / 2**16) ** 0.5  # five standard deviations


CHECKS: dict[str, Callable[[torch.device], tuple[float, float]]] = {
    "resample": _check_resample,
    "noise": _check_noise,
}
