"""The cases of `benchmarks.kernels` for what stands behind each convolution of StyleGAN's synthesis network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import COMPILED, EAGER, Call, Case, Check, agrees_with, random
from fastsr_kernels.style import definition, style_epilogue

SHAPES = {  # and whether a program takes a whole plane, which is then read once
    (1, 16, 1024, 1024): False,
    (4, 64, 256, 256): False,
    (4, 256, 64, 64): True,
    (16, 512, 16, 16): True,
}
ALLOWED = 2e-3
"""On a GPU the convolution that blurs for torch may round to TF32."""


def cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield the cases, forward, and forward with backward, with a blur and without one, in float32."""
    for shape, one_pass in SHAPES.items():
        for blur in (False, True):
            yield from _cases_of((shape[0], 4, 8, 8) if smoke else shape, blur, one_pass, device, smoke)


def _cases_of(
    shape: tuple[int, int, int, int], blur: bool, one_pass: bool, device: torch.device, smoke: bool
) -> Iterator[Case]:
    pictures, channels, height, width = shape
    weight = torch.linspace(0.5, 1.5, channels, device=device)
    bias = torch.linspace(-1, 1, channels, device=device)
    taps = torch.tensor([0.25, 0.5, 0.25], device=device)
    kernel = taps.outer(taps).expand(channels, 1, 3, 3)

    def inputs() -> tuple[Tensor, ...]:
        noise, style = (pictures, 1, height, width), (pictures, 2, channels)
        return random(device, torch.float32, torch.contiguous_format, shape, noise, style, shape)

    def ours(x: Tensor, noise: Tensor, style: Tensor) -> Tensor:
        return style_epilogue(x, noise, weight, bias, style, blur=blur)

    def plain(x: Tensor, noise: Tensor, style: Tensor) -> Tensor:
        if blur:
            x = F.conv2d(x, kernel, padding=1, groups=channels)
        x = F.leaky_relu(x + bias[:, None, None] + noise * weight[:, None, None], 0.2)
        return F.instance_norm(x) * (style[:, 0, :, None, None] + 1) + style[:, 1, :, None, None]

    def right(x: Tensor, noise: Tensor, style: Tensor) -> Tensor:
        return definition(x, bias.to(x), style, noise, weight.to(x), blur=blur)

    compiled: Callable[..., Any] = plain if smoke else torch.compile(plain, dynamic=False)
    # x and the noise are read by the statistics, or by the sums of the backward pass, which read the gradient too, and
    # again by what writes the result; or once, by what does both. What the kernels write between, behind a blur, is not
    # counted: it could be made anew.
    picture, noise_bytes = 4 * torch.Size(shape).numel(), 4 * pictures * height * width
    reads = 1 if one_pass else 2
    forward_bytes = reads * (picture + noise_bytes) + picture
    both_bytes = forward_bytes + reads * (2 * picture + noise_bytes) + picture
    name = f"{'x'.join(map(str, shape))}{', blurred' if blur else ''}, float32"
    for direction, use, count in (("", _forward, forward_bytes), (" and backward", _both, both_bytes)):
        check = agrees_with(use(right), ALLOWED, device.type)
        rivals: dict[str, tuple[Call, Check]] = {
            "style_epilogue": (use(ours), check),
            EAGER: (use(plain), check),
            COMPILED: (use(compiled), check),
        }
        yield Case(f"style_epilogue{direction}, {name}", count, inputs, rivals)


def _forward(function: Call) -> Call:
    return lambda x, noise, style, g: function(x, noise, style)


def _both(function: Call) -> Call:
    """Forward and backward, as a search for the style needs it: the gradient for x counts as the result."""

    def call(x: Tensor, noise: Tensor, style: Tensor, g: Tensor) -> Tensor:
        x, style = x.detach().requires_grad_(), style.detach().requires_grad_()
        return torch.autograd.grad(function(x, noise, style), (x, style), g)[0]

    return call
