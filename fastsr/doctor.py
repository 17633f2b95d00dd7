"""What fastsr finds on this machine, and whether its operations compute what they should here."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from torch.nn import functional as F

from fastsr_kernels import (
    backend,
    group_norm,
    noise,
    norm_act_pad,
    philox,
    reflect_conv,
    style,
    upsample_blur,
    upsample_norm_pad,
)
from fastsr_kernels.resample import axis_table, resample

from . import __version__
from .consistency import Downscale
from .device import available_memory, has_bfloat16, resolve_dtype
from .dip.fit import Step
from .dip.network import HourglassConfig
from .dip.recipes import Recipe
from .graph import WARM_UP, Graphed

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
                if name == "reflect_conv":
                    chosen, reason = reflect_conv.explain(device)
                if name == "noise":
                    reason = f"stream {philox.stream(torch.empty(0, device=device))}; {reason}"
                error, allowed = check(device)
                passed = error <= allowed
                outcome = f"{'ok' if passed else 'WRONG'}, error {error:.1e} of {allowed:.0e} allowed"
            except Exception as problem:  # whatever a broken driver or compiler raises belongs into the report
                passed, outcome = False, f"FAILED: {type(problem).__name__}: {problem}"
            healthy &= passed
            lines.append(f"  {name:<17} {chosen:<7} {outcome}  ({reason})")
        works, chosen, reason = _dip_steps(device)
        healthy &= works
        lines.append(f"  {'dip steps':<17} {chosen:<7} {reason}")
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
    if philox.stream(z) == "philox":
        return (drawn - defined).abs().max().item(), 1e-3  # the fast hardware logarithm and sine
    return abs(drawn.square().mean().item() - 1), 5 * (2 / 2**16) ** 0.5  # five standard deviations


def _check_reflect_conv(device: torch.device) -> tuple[float, float]:
    """Compare a convolution with torch's in float64."""
    x, w = torch.rand(1, 32, 21, 18, dtype=torch.float64), torch.rand(48, 32, 3, 3, dtype=torch.float64) - 0.5
    expected = F.conv2d(F.pad(x, (1,) * 4, mode="reflect"), w)
    found = reflect_conv.reflect_conv2d(x.float().to(device), w.float().to(device))
    return _relative_error(found, expected), 2e-3  # TF32 may be allowed


def _check_norm_act_pad(device: torch.device) -> tuple[float, float]:
    """Compare a norm, an activation and a border with torch's in float64."""
    x, weight, bias = (torch.rand(shape, dtype=torch.float64) for shape in ((1, 32, 21, 18), (32,), (32,)))
    expected = norm_act_pad.definition(x, weight, bias, slope=0.2, pad=1)
    x, weight, bias = (tensor.float().to(device) for tensor in (x, weight, bias))
    return _relative_error(norm_act_pad.norm_act_pad(x, weight, bias, slope=0.2, pad=1), expected), 1e-5


def _check_upsample_norm_pad(device: torch.device) -> tuple[float, float]:
    """Compare upsampling, a norm and a border with torch's in float64."""
    shapes = (1, 4, 20, 18), (1, 32, 10, 9), (36,), (36,)
    skip, deep, weight, bias = (torch.rand(shape, dtype=torch.float64) for shape in shapes)
    expected = upsample_norm_pad.definition(skip, deep, weight, bias, pad=1)
    skip, deep, weight, bias = (tensor.float().to(device) for tensor in (skip, deep, weight, bias))
    return _relative_error(upsample_norm_pad.upsample_norm_pad(skip, deep, weight, bias, pad=1), expected), 1e-5


def _check_group_norm(device: torch.device) -> tuple[float, float]:
    """Compare a group norm with shift and Swish with torch's in float64."""
    x, weight, bias, shift = (torch.rand(size, dtype=torch.float64) for size in ((2, 32, 9, 7), (32,), (32,), (2, 32)))
    expected = group_norm.definition(x, 8, weight, bias, shift=shift)
    x, weight, bias, shift = (tensor.float().to(device) for tensor in (x, weight, bias, shift))
    return _relative_error(group_norm.group_norm(x, 8, weight, bias, shift=shift), expected), 1e-5


def _check_diffusion(device: torch.device) -> tuple[float, float]:
    """Compare a step of a sampler with its formula, of the noise that `diffuse` draws."""
    x, said = (torch.rand(2, 3, 9, 7).to(device) for _ in range(2))
    seeds, step = torch.arange(2, device=device), 3
    nothing, all_noise = torch.zeros(2, device=device), torch.ones(2, device=device)
    n = noise.diffuse(torch.zeros_like(x), nothing, all_noise, seeds, step)
    coefficients = torch.tensor([0.9, -0.4, 0.7, 0.2, 0.0, 0.3], device=device)
    found, seen = noise.reverse_step(x, said, None, coefficients, seeds, step)
    clean = 0.9 * x.double() - 0.4 * said.double()
    expected = torch.stack([0.7 * x.double() + 0.2 * clean + 0.3 * n.double(), clean]).cpu()
    return _relative_error(torch.stack([found, seen]), expected), 1e-5


def _check_style(device: torch.device) -> tuple[float, float]:
    """Compare StyleGAN's epilogue, with blur and noise, with torch's in float64."""
    shapes = (2, 16, 9, 7), (16,), (2, 2, 16), (2, 1, 9, 7), (16,)
    tensors = [torch.rand(shape, dtype=torch.float64) - 0.5 for shape in shapes]
    expected = style.definition(*tensors, blur=True)
    x, bias, styles, map_, weight = (tensor.float().to(device) for tensor in tensors)
    return _relative_error(style.style_epilogue(x, map_, weight, bias, styles, blur=True), expected), 1e-5


def _check_upsample_blur(device: torch.device) -> tuple[float, float]:
    """Compare enlarging and shrinking with a blur with their definitions in float64."""
    x = torch.rand(2, 4, 6, 10, dtype=torch.float64)
    expected = upsample_blur.down_definition(upsample_blur.up_definition(x))
    found = upsample_blur.blur_downsample(upsample_blur.upsample_blur(x.float().to(device)))
    return _relative_error(found, expected), 1e-6


def _relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float(torch.linalg.vector_norm(found.cpu() - expected) / torch.linalg.vector_norm(expected))


def _dip_steps(device: torch.device) -> tuple[bool, str, str]:
    """Return whether steps of `fastsr.dip` work, whether as one CUDA graph ("graph", "eager"), and why, in words."""
    if device.type != "cuda":
        return True, "eager", f"CUDA graphs need a GPU, the tensors are on {device.type}"
    recipe = Recipe(HourglassConfig(channels=(16, 16)), steps=WARM_UP + 2, optimizer="muon")
    observation, operator = torch.rand(1, 3, 8, 8, device=device), Downscale((32, 32), (8, 8))
    plain, captured = (
        Step(observation, operator, (32, 32), recipe, seed=0, dtype=resolve_dtype(None, device)) for _ in range(2)
    )
    graphed = Graphed(captured, device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said here
            for _ in range(recipe.steps):
                plain()
                graphed()
        if not torch.equal(plain.loss, captured.loss):
            return False, "WRONG", f"replayed, the loss is {captured.loss.item()}, not {plain.loss.item()}"
    except Exception as problem:
        return False, "FAILED", f"{type(problem).__name__}: {problem}"
    return True, *(("graph", "captured") if graphed.problem is None else ("eager", f"no capture: {graphed.problem}"))


CHECKS: dict[str, Callable[[torch.device], tuple[float, float]]] = {
    "resample": _check_resample,
    "noise": _check_noise,
    "reflect_conv": _check_reflect_conv,
    "norm_act_pad": _check_norm_act_pad,
    "upsample_norm_pad": _check_upsample_norm_pad,
    "group_norm": _check_group_norm,
    "diffusion": _check_diffusion,
    "style": _check_style,
    "upsample_blur": _check_upsample_blur,
}
