"""Cases of `benchmarks.kernels`: the ops of diffusion models, of SR3's U-Net and of StyleGAN."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.harness import (
    TORCH,
    TORCH_COMPILED,
    Call,
    Case,
    Check,
    agrees_with,
    compiled,
    excess_of_moments,
    forward,
    forward_and_backward,
    normal_tensors,
    relative_error,
)
from fastsr_kernels import group_norm, style
from fastsr_kernels.noise import diffuse, reverse_step
from fastsr_kernels.philox import stream
from fastsr_kernels.upsample_blur import blur_downsample, down_definition, up_definition, upsample_blur

STEP = 4
COEFFICIENTS = (1.25, -0.75, 0.5, 0.25, -0.25, 0.5)
"""Magnitudes as in a sampler: about half of the x0 of normal numbers are beyond the clamp."""
DIFFUSION_ERROR = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def diffusion_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield `diffuse` and `reverse_step` on images of 512x512."""
    side, batch = (16, 4) if smoke else (512, 16)
    for dtype, memory_format, name in (
        (torch.float32, torch.contiguous_format, "float32"),
        (torch.float32, torch.channels_last, "float32, channels_last"),
        (torch.bfloat16, torch.contiguous_format, "bfloat16"),
    ):
        yield _diffuse_case((batch, 3, side, side), name, device, dtype, memory_format, smoke)
    for count, memory_format, name in (
        (batch, torch.contiguous_format, "float32"),
        (batch, torch.channels_last, "float32, channels_last"),
        (1, torch.contiguous_format, "float32"),
    ):
        for with_previous in (False, True):
            yield _step_case((count, 3, side, side), name, with_previous, device, memory_format, smoke)


def _diffuse_case(
    shape: tuple[int, ...],
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    smoke: bool,
) -> Case:
    signal = torch.linspace(0.9, 0.1, shape[0], device=device)
    noise = (1 - signal**2).sqrt()
    seeds, step = torch.arange(shape[0], device=device), torch.tensor(STEP, device=device)

    def plain(x: Tensor) -> Tensor:
        return (_each(signal) * x + _each(noise) * torch.randn_like(x)).to(x.dtype)

    def by_definition(result: Tensor, x: Tensor) -> float:
        expected = diffuse(x.double(), signal.double(), noise.double(), seeds, step)
        return relative_error(result, expected) / DIFFUSION_ERROR[dtype]

    def by_moments(result: Tensor, x: Tensor) -> float:
        return excess_of_moments((result.float() - _each(signal) * x) / _each(noise))

    rivals: dict[str, tuple[Call, Check]] = {
        "diffuse": (
            lambda x: diffuse(x, signal, noise, seeds, step),
            by_definition if stream(torch.empty(0, device=device)) == "philox" else by_moments,
        ),
        TORCH: (plain, by_moments),
        TORCH_COMPILED: (compiled(plain, smoke), by_moments),
    }
    inputs = partial(normal_tensors, device, dtype, memory_format, shape)
    return Case(f"diffuse, {_sizes(shape)}, {name}", 2 * dtype.itemsize * torch.Size(shape).numel(), inputs, rivals)


def _step_case(
    shape: tuple[int, ...],
    name: str,
    with_previous: bool,
    device: torch.device,
    memory_format: torch.memory_format,
    smoke: bool,
) -> Case:
    """A step in float32 by a prediction in bfloat16."""
    coefficients = torch.tensor(COEFFICIENTS, device=device)
    seeds, step = torch.arange(shape[0], device=device), torch.tensor(STEP, device=device)

    def inputs() -> tuple[Tensor, ...]:
        x, prediction, *others = normal_tensors(device, torch.float32, memory_format, *(shape,) * (2 + with_previous))
        return x, prediction.bfloat16(), *others

    def ours(x: Tensor, prediction: Tensor, previous: Tensor | None = None) -> Any:
        return reverse_step(x, prediction, previous, coefficients, seeds, step)

    def without_noise(x: Tensor, prediction: Tensor, previous: Tensor | None = None) -> tuple[Tensor, Tensor]:
        k0, k1, k2, k3, k4, _ = coefficients.to(x.dtype)
        x0 = (k0 * x + k1 * prediction.to(x.dtype)).clamp(-1, 1)
        mean = k2 * x + k3 * x0
        return (mean if previous is None else mean + k4 * previous), x0

    def plain(*tensors: Tensor) -> Any:
        mean, x0 = without_noise(*tensors)
        return mean + coefficients[5] * torch.randn_like(mean), x0

    def by_definition(results: tuple[Tensor, Tensor], *tensors: Tensor) -> float:
        x, prediction, *others = (tensor.double() for tensor in tensors)
        previous = others[0] if others else None
        expected = reverse_step(x, prediction, previous, coefficients.double(), seeds, step)
        errors = (relative_error(*pair) for pair in zip(results, expected, strict=True))
        return max(errors) / DIFFUSION_ERROR[torch.float32]

    def by_moments(results: tuple[Tensor, Tensor], *tensors: Tensor) -> float:
        mean, x0 = without_noise(*(tensor.double() for tensor in tensors))
        moments = excess_of_moments(((results[0] - mean) / COEFFICIENTS[5]).float())
        return max(moments, relative_error(results[1], x0) / DIFFUSION_ERROR[torch.float32])

    rivals: dict[str, tuple[Call, Check]] = {
        "reverse_step": (ours, by_definition if stream(torch.empty(0, device=device)) == "philox" else by_moments),
        TORCH: (plain, by_moments),
        TORCH_COMPILED: (compiled(plain, smoke), by_moments),
    }
    which = " with previous" if with_previous else ""
    count = (14 + 4 * with_previous) * torch.Size(shape).numel()
    return Case(f"reverse_step{which}, {_sizes(shape)}, {name}", count, inputs, rivals)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


GROUPS = 32
GROUP_NORM_SHAPES = {
    "the finest scale": (1, 64, 512, 512),
    "behind a concatenation": (4, 192, 256, 256),
    "the middle": (16, 512, 32, 32),
    "the coarsest scale": (16, 512, 16, 16),
}
ONE_PASS = "the coarsest scale"
"""Where a group is so small that a program reads it once."""
GROUP_NORM_ERROR = 2e-2


def group_norm_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield SR3's group norm with Swish and shift, forward alone and with backward, in bfloat16 and channels_last."""
    for name, shape in GROUP_NORM_SHAPES.items():
        if smoke:
            shape = (min(shape[0], 2), 64, 8, 8)
        yield from _group_norm_cases(shape, name == ONE_PASS, device, smoke)


def _group_norm_cases(shape: tuple[int, ...], one_pass: bool, device: torch.device, smoke: bool) -> Iterator[Case]:
    channels = shape[1]
    weight = torch.linspace(0.5, 1.5, channels, device=device)
    bias = torch.linspace(-1, 1, channels, device=device)

    def inputs() -> tuple[Tensor, ...]:
        x, g = normal_tensors(device, torch.bfloat16, torch.channels_last, shape, shape)
        return x, torch.randn(shape[:2], device=device, dtype=torch.bfloat16), g

    def ours(x: Tensor, shift: Tensor) -> Tensor:
        return group_norm.group_norm(x, GROUPS, weight, bias, shift=shift)

    def plain(x: Tensor, shift: Tensor) -> Tensor:
        # On a GPU torch's group norm takes parameters of the dtype of x only.
        return F.silu(F.group_norm(x + shift[:, :, None, None], GROUPS, weight.to(x.dtype), bias.to(x.dtype)))

    def right(x: Tensor, shift: Tensor) -> Tensor:
        return group_norm.definition(x, GROUPS, weight.to(x), bias.to(x), shift=shift)

    calls = {"group_norm": ours, TORCH: plain, TORCH_COMPILED: compiled(plain, smoke)}
    # Statistics, or the sums of the backward pass, read once and the rest again; or both at once.
    passes = (2, 3) if one_pass else (3, 5)
    name = f"{'x'.join(map(str, shape))}, {GROUPS} groups, bfloat16"
    for direction, use, count in (
        ("", forward, passes[0]),
        (" and backward", partial(forward_and_backward, wanted=(0, 1)), sum(passes)),
    ):
        check = agrees_with(use(right), GROUP_NORM_ERROR, device.type)
        rivals = {rival: (use(call), check) for rival, call in calls.items()}
        yield Case(f"group_norm{direction}, {name}", count * 2 * torch.Size(shape).numel(), inputs, rivals)


STYLE_SHAPES = {  # and whether a program takes a whole plane, which is then read once
    (1, 16, 1024, 1024): False,
    (4, 64, 256, 256): False,
    (4, 256, 64, 64): True,
    (16, 512, 16, 16): True,
}
STYLE_ERROR = 2e-3
"""On a GPU the convolution that blurs for torch may round to TF32."""


def style_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield StyleGAN's epilogue of a convolution, forward alone and with backward, with and without a blur."""
    for shape, one_pass in STYLE_SHAPES.items():
        for blur in (False, True):
            yield from _style_cases((shape[0], 4, 8, 8) if smoke else shape, blur, one_pass, device, smoke)


def _style_cases(
    shape: tuple[int, int, int, int], blur: bool, one_pass: bool, device: torch.device, smoke: bool
) -> Iterator[Case]:
    images, channels, height, width = shape
    weight = torch.linspace(0.5, 1.5, channels, device=device)
    bias = torch.linspace(-1, 1, channels, device=device)
    taps = torch.tensor([0.25, 0.5, 0.25], device=device)
    kernel = taps.outer(taps).expand(channels, 1, 3, 3)

    def inputs() -> tuple[Tensor, ...]:
        noise, codes = (images, 1, height, width), (images, 2, channels)
        return normal_tensors(device, torch.float32, torch.contiguous_format, shape, noise, codes, shape)

    def ours(x: Tensor, noise: Tensor, codes: Tensor) -> Tensor:
        return style.style_epilogue(x, noise, weight, bias, codes, blur=blur)

    def plain(x: Tensor, noise: Tensor, codes: Tensor) -> Tensor:
        if blur:
            x = F.conv2d(x, kernel, padding=1, groups=channels)
        x = F.leaky_relu(x + bias[:, None, None] + noise * weight[:, None, None], 0.2)
        return F.instance_norm(x) * (codes[:, 0, :, None, None] + 1) + codes[:, 1, :, None, None]

    def right(x: Tensor, noise: Tensor, codes: Tensor) -> Tensor:
        return style.definition(x, bias.to(x), codes, noise, weight.to(x), blur=blur)

    calls = {"style_epilogue": ours, TORCH: plain, TORCH_COMPILED: compiled(plain, smoke)}
    # x and the noise are read by the statistics, or by the sums of the backward pass, which read the gradient too, and
    # again by what writes the result; or once, by what does both. What the kernels write between, behind a blur, is not
    # counted: it could be made anew.
    image_bytes, noise_bytes = 4 * torch.Size(shape).numel(), 4 * images * height * width
    reads = 1 if one_pass else 2
    forward_bytes = reads * (image_bytes + noise_bytes) + image_bytes
    both_bytes = forward_bytes + reads * (2 * image_bytes + noise_bytes) + image_bytes
    name = f"{'x'.join(map(str, shape))}{', blurred' if blur else ''}, float32"
    # The backward pass is what a search for the style needs: the noise has no gradient.
    for direction, use, count in (
        ("", forward, forward_bytes),
        (" and backward", partial(forward_and_backward, wanted=(0, 2)), both_bytes),
    ):
        check = agrees_with(use(right), STYLE_ERROR, device.type)
        rivals = {rival: (use(call), check) for rival, call in calls.items()}
        yield Case(f"style_epilogue{direction}, {name}", count, inputs, rivals)


BLUR_SHAPES = {
    "the finest scale": (4, 32, 512, 512),
    "the middle": (16, 512, 32, 32),
}
"""Shapes of the smaller image."""
BLUR_ERROR = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def blur_cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield StyleGAN's blurred up- and downsampling; the backward pass of each op is a forward pass of the other."""
    for shape in [(2, 8, 4, 6)] if smoke else BLUR_SHAPES.values():
        for dtype, memory_format, name in (
            (torch.float32, torch.contiguous_format, "float32"),
            (torch.bfloat16, torch.contiguous_format, "bfloat16"),
            (torch.bfloat16, torch.channels_last, "bfloat16, channels_last"),
        ):
            for op, ours, plain in (
                ("upsample_blur", upsample_blur, up_definition),
                ("blur_downsample", blur_downsample, down_definition),
            ):
                scale = 2 if op == "blur_downsample" else 1
                size = *shape[:2], *(scale * side for side in shape[2:])
                check = agrees_with(plain, BLUR_ERROR[dtype], device.type)
                calls = {op: ours, TORCH: plain, TORCH_COMPILED: compiled(plain, smoke)}
                rivals = {rival: (call, check) for rival, call in calls.items()}
                yield Case(
                    f"{op}, {'x'.join(map(str, size))}, {name}",
                    5 * dtype.itemsize * torch.Size(shape).numel(),
                    partial(normal_tensors, device, dtype, memory_format, size),
                    rivals,
                )
