"""The cases of `benchmarks.kernels` for the group norm of SR3's U-Net, with Swish and the shift of the noise level."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import COMPILED, EAGER, Call, Case, Check, agrees_with, random
from fastsr_kernels.group_norm import definition, group_norm

GROUPS = 32
SHAPES = {
    "the finest scale": (1, 64, 512, 512),
    "behind a concatenation": (4, 192, 256, 256),
    "the middle": (16, 512, 32, 32),
    "the coarsest scale": (16, 512, 16, 16),
}
ONE_PASS = "the coarsest scale"
"""Where a group is so small that a program reads it once."""
ALLOWED = 2e-2


def cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield the cases, forward, and forward with backward, in bfloat16 and channels_last."""
    for name, shape in SHAPES.items():
        if smoke:
            shape = (min(shape[0], 2), 64, 8, 8)
        yield from _cases_of(shape, name == ONE_PASS, device, smoke)


def _cases_of(shape: tuple[int, ...], one_pass: bool, device: torch.device, smoke: bool) -> Iterator[Case]:
    channels = shape[1]
    weight = torch.linspace(0.5, 1.5, channels, device=device)
    bias = torch.linspace(-1, 1, channels, device=device)

    def inputs() -> tuple[Tensor, ...]:
        x, g = random(device, torch.bfloat16, torch.channels_last, shape, shape)
        return x, torch.randn(shape[:2], device=device, dtype=torch.bfloat16), g

    def ours(x: Tensor, shift: Tensor) -> Tensor:
        return group_norm(x, GROUPS, weight, bias, shift=shift)

    def plain(x: Tensor, shift: Tensor) -> Tensor:
        # On a GPU torch's group norm takes parameters of the dtype of x only.
        return F.silu(F.group_norm(x + shift[:, :, None, None], GROUPS, weight.to(x.dtype), bias.to(x.dtype)))

    def right(x: Tensor, shift: Tensor) -> Tensor:
        return definition(x, GROUPS, weight.to(x), bias.to(x), shift=shift)

    compiled: Callable[..., Any] = plain if smoke else torch.compile(plain, dynamic=False)
    # Statistics, or the sums of the backward pass, read once and the rest again; or both at once.
    passes = (2, 3) if one_pass else (3, 5)
    name = f"{'x'.join(map(str, shape))}, {GROUPS} groups, bfloat16"
    for direction, use, count in (("", _forward, passes[0]), (" and backward", _both, sum(passes))):
        check = agrees_with(use(right), ALLOWED, device.type)
        rivals: dict[str, tuple[Call, Check]] = {
            "group_norm": (use(ours), check),
            EAGER: (use(plain), check),
            COMPILED: (use(compiled), check),
        }
        yield Case(f"group_norm{direction}, {name}", count * 2 * torch.Size(shape).numel(), inputs, rivals)


def _forward(function: Call) -> Call:
    return lambda x, shift, g: function(x, shift)


def _both(function: Call) -> Call:
    """Forward and backward: the gradient for x counts as the result."""

    def call(x: Tensor, shift: Tensor, g: Tensor) -> Tensor:
        x, shift = x.detach().requires_grad_(), shift.detach().requires_grad_()
        return torch.autograd.grad(function(x, shift), (x, shift), g)[0]

    return call
