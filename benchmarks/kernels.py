"""Microbenchmarks of the kernels against what PyTorch offers: ``python -m benchmarks.kernels [op ...]``.

No speed is reported of a call whose result is wrong. On a machine without a GPU the same calls are timed on the CPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import blur_cases, conv_cases, diffusion_cases, group_norm_cases, style_cases
from benchmarks.measure import EAGER, Call, Case, Check, agrees_with, excess_of_moments, measure, random, relative_error
from fastsr.device import deterministic_convolutions
from fastsr_kernels import norm_act_pad, upsample_norm_pad
from fastsr_kernels.noise import add_noise
from fastsr_kernels.philox import philox_normals, stream
from fastsr_kernels.reflect_conv_choice import RIVALS
from fastsr_kernels.resample import axis_table, resample

SEED, STEP, SIGMA = 3, 4, 1.0
FACTOR = 8


def noise_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """z + sigma * n on the input of Deep Image Prior at 512x512."""
    shape = (1, 32, 16, 16) if smoke else (1, 32, 512, 512)
    step = torch.tensor(STEP, device=device)
    for name, dtype, memory_format, allowed in [
        ("float32", torch.float32, torch.contiguous_format, 1e-5),
        ("float32, channels_last", torch.float32, torch.channels_last, 1e-5),
        ("bfloat16", torch.bfloat16, torch.contiguous_format, 1e-2),
        ("bfloat16, channels_last", torch.bfloat16, torch.channels_last, 1e-2),
    ]:
        inputs = partial(random, device, dtype, memory_format, shape)
        (z,) = inputs()
        is_philox = partial(_is_philox, allowed)
        rivals: dict[str, tuple[Call, Check]] = {
            "add_noise": (
                lambda z: add_noise(z, SIGMA, SEED, step),
                is_philox if stream(z) == "philox" else _is_normal,
            ),
            "z + sigma * randn_like": (lambda z: z + SIGMA * torch.randn_like(z), _is_normal),
            "add_noise, torch": (lambda z: add_noise(z, SIGMA, SEED, step, impl="torch"), is_philox),
        }
        yield Case(f"noise, {'x'.join(map(str, shape))}, {name}", 2 * z.nbytes, inputs, rivals)


def _is_philox(allowed: float, result: Tensor, z: Tensor) -> float:
    return relative_error(result, z.double().cpu() + SIGMA * _definition(z.numel()).view(z.shape)) / allowed


@cache
def _definition(count: int) -> Tensor:
    return philox_normals(count, torch.tensor(SEED), torch.tensor(STEP), torch.float64)


def _is_normal(result: Tensor, z: Tensor) -> float:
    return excess_of_moments((result.float() - z.float()) / SIGMA)


def resample_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """The downsampler of Deep Image Prior at x8, and its gradient."""
    torch.backends.cudnn.allow_tf32 = False  # every rival is asked for a float32 result
    for batch, side in ((1, 48), (2, 64)) if smoke else ((1, 512), (16, 1024)):
        small = side // FACTOR
        table = axis_table(side, small, kernel="lanczos2", border="replicate")
        inner = table.dense()[small // 2]
        taps = inner[inner != 0]
        kernel = taps.outer(taps).expand(3, 1, -1, -1).to(device, torch.float32)
        ours = partial(resample, rows=table, columns=table)
        convolve = partial(_pad_and_convolve, kernel=kernel, pad=(len(taps) - FACTOR) // 2)
        interpolate = partial(F.interpolate, size=(small, small), mode="bicubic", antialias=True)

        shapes = (batch, 3, side, side), (batch, 3, small, small)
        inputs = partial(random, device, torch.float32, torch.contiguous_format, *shapes)
        traffic = sum(x.nbytes for x in inputs())
        for name, count, use in (("resample", traffic, _forward), ("resample, gradient", 2 * traffic, _gradient)):
            yield Case(
                f"{name}, {batch}x3x{side}x{side} to {small}x{small}, float32",
                count,
                inputs,
                {
                    "resample": (use(ours), agrees_with(use(ours))),
                    "pad + conv2d": (use(convolve), agrees_with(use(ours))),
                    "bicubic interpolate(antialias)": (use(interpolate), agrees_with(use(interpolate))),
                },
            )


def _pad_and_convolve(x: Tensor, kernel: Tensor, pad: int) -> Tensor:
    return F.conv2d(F.pad(x, (pad,) * 4, mode="replicate"), kernel, stride=FACTOR, groups=3)


def _forward(function: Call) -> Call:
    return lambda x, gradient: function(x)


def _gradient(function: Call) -> Call:
    """Forward and backward: the result is the gradient for x."""

    def call(x: Tensor, gradient: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(function(x), x, gradient)[0]

    return call


def norm_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """What stands between the convolutions of Deep Image Prior's finest scale at 512x512."""
    side = 16 if smoke else 512
    for channels in (8,) if smoke else (128, 32):
        plain = (1, channels, side, side)
        yield from _fused_cases(
            "norm_act_pad",
            partial(norm_act_pad.norm_act_pad, slope=0.2, pad=1),
            partial(norm_act_pad.definition, slope=0.2, pad=1),
            (plain,),
            channels,
            device,
        )
        yield from _fused_cases(
            "upsample_norm_pad",
            partial(upsample_norm_pad.upsample_norm_pad, pad=1),
            partial(upsample_norm_pad.definition, pad=1),
            ((1, 4, side, side), (1, channels, side // 2, side // 2)),
            4 + channels,
            device,
        )


def _fused_cases(
    name: str,
    ours: Call,
    theirs: Call,
    shapes: tuple[tuple[int, ...], ...],
    channels: int,
    device: torch.device,
) -> Iterator[Case]:
    """Forward, and forward with backward: the gradient for the last input counts as the result."""
    side = shapes[0][-1]
    parameters = torch.linspace(0.5, 1.5, channels, device=device), torch.linspace(-1, 1, channels, device=device)
    result = 1, channels, side + 2, side + 2

    def inputs() -> tuple[Tensor, ...]:
        return random(device, torch.bfloat16, torch.channels_last, *shapes, result)

    def bound(function: Call) -> Call:
        # The parameters are in float64 where the check makes its reference.
        return lambda *xs: function(*xs, *(p.to(xs[0].device, _parameter_dtype(xs[0])) for p in parameters))

    def forward(function: Call) -> Call:
        return lambda *tensors: bound(function)(*tensors[:-1])

    def both(function: Call) -> Call:
        def call(*tensors: Tensor) -> Tensor:
            xs = [x.detach().requires_grad_() for x in tensors[:-1]]
            return torch.autograd.grad(bound(function)(*xs), xs, tensors[-1])[-1]

        return call

    *xs, y = inputs()
    read = sum(x.nbytes for x in xs)
    # Forward, the statistics read once and the rest again. Backward, the sums read all, and the rest again; with
    # upsampling the rest needs instead of the gradient only what the sums have made of it, as large as `deep`.
    forward_bytes = 2 * read + y.nbytes
    again = y.nbytes if name == "norm_act_pad" else 2 * xs[-1].nbytes
    both_bytes = forward_bytes + 3 * read + y.nbytes + again
    for direction, use, count in (("", forward, forward_bytes), (" and backward", both, both_bytes)):
        check = agrees_with(use(theirs), 2e-2, device.type)
        rivals = {name: (use(ours), check), EAGER: (use(theirs), check)}
        yield Case(f"{name}{direction}, {channels}x{side}x{side}, bfloat16", count, inputs, rivals)


def _parameter_dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)


CASES = {
    "noise": noise_cases,
    "diffusion": diffusion_cases.cases,
    "resample": resample_cases,
    "norm": norm_cases,
    "group_norm": group_norm_cases.cases,
    "style": style_cases.cases,
    "blur": blur_cases.cases,
    "conv": conv_cases.cases,
}


@dataclass(frozen=True)
class Target:
    """What the best of some rivals is to reach in every case whose name begins so."""

    case: str
    rivals: tuple[str, ...]
    figure: str
    """A field of `Row`."""
    least: float


TARGETS = {
    "noise": [Target("noise", ("add_noise",), "of_copy", 0.85)],
    "diffusion": [
        Target("diffuse, 16x", ("diffuse",), "of_copy", 0.80),
        Target("reverse_step, 16x", ("reverse_step",), "of_copy", 0.80),
        Target("reverse_step with previous, 16x", ("reverse_step",), "of_copy", 0.80),
    ],
    "resample": [Target("resample, 16x3x1024x1024", ("resample",), "of_copy", 0.70)],
    "norm": [Target("norm_act_pad, ", ("norm_act_pad",), "of_copy", 0.80)],
    "group_norm": [Target("group_norm, 4x192x256x256", ("group_norm",), "of_copy", 0.80)],
    "style": [Target("style_epilogue, 1x16x1024x1024", ("style_epilogue",), "of_copy", 0.80)],
    "blur": [
        Target("upsample_blur, 4x32x512x512, float32", ("upsample_blur",), "of_copy", 0.80),
        Target("blur_downsample, 4x32x1024x1024, float32", ("blur_downsample",), "of_copy", 0.70),
    ],
    "conv": [
        Target(f"{pass_} 128->128 3x3 stride 1 at 512x512", RIVALS, "of_matrix", 0.60) for pass_ in conv_cases.PASSES
    ],
}


def against_targets(op: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return for each case with a target the best figure of its rivals, and whether it is reached."""
    found = []
    for target in TARGETS[op]:
        cases = sorted({row["case"] for row in rows if row["case"].startswith(target.case)})
        for case in cases:
            best = max(row[target.figure] for row in rows if row["case"] == case and row["rival"] in target.rivals)
            found.append(
                {
                    "case": case,
                    "figure": target.figure,
                    "target": target.least,
                    "best": best,
                    "met": best >= target.least,
                }
            )
    if op == "conv":
        for case in sorted({row["case"] for row in rows if row["rival"] == conv_cases.FPAD}):
            times = {row["rival"]: row["microseconds"] for row in rows if row["case"] == case}
            best = times[conv_cases.FPAD] / min(times[rival] for rival in times if rival in RIVALS)
            figure = f"speed over {conv_cases.FPAD}"
            found.append({"case": case, "figure": figure, "target": 0.98, "best": best, "met": best >= 0.98})
    return found


def run(op: str, device: torch.device, smoke: bool = False) -> dict[str, Any]:
    """Measure one op; with `smoke`, check every call on small inputs and time none."""
    result = measure(list(CASES[op](device, smoke)), device, timed=not smoke)
    if not smoke:
        result["targets"] = against_targets(op, result["rows"])
        for target in result["targets"]:
            verdict = "met" if target["met"] else "MISSED"
            print(f"{target['case']}: {target['figure']} {target['best']:.2f}, target {target['target']}: {verdict}")
    return result


def noise() -> dict[str, Any]:
    """The noise op on the GPU, for the queue."""
    return run("noise", torch.device("cuda"))


def diffusion() -> dict[str, Any]:
    """The noise ops of diffusion models on the GPU, for the queue."""
    return run("diffusion", torch.device("cuda"))


def resample_op() -> dict[str, Any]:
    """The resample op on the GPU, for the queue."""
    return run("resample", torch.device("cuda"))


def norms() -> dict[str, Any]:
    """The fused norms on the GPU, for the queue."""
    return run("norm", torch.device("cuda"))


def group_norms() -> dict[str, Any]:
    """The group norm of SR3 on the GPU, for the queue."""
    return run("group_norm", torch.device("cuda"))


def styles() -> dict[str, Any]:
    """The epilogue of StyleGAN on the GPU, for the queue."""
    return run("style", torch.device("cuda"))


def blurs() -> dict[str, Any]:
    """StyleGAN's enlargement and shrinking with a blur on the GPU, for the queue."""
    return run("blur", torch.device("cuda"))


def convolutions() -> dict[str, Any]:
    """The convolutions on the GPU, for the queue; as in `fastsr.dip`, by cuDNN's deterministic algorithms."""
    with deterministic_convolutions():
        return run("conv", torch.device("cuda"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("op", nargs="*", choices=[*CASES, []], help="which ops (default: all)")
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    for op in arguments.op or CASES:
        run(op, device)


if __name__ == "__main__":
    main()
