"""The cases of `benchmarks.kernels` for StyleGAN's enlargement with a blur and its shrinking with one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch

from benchmarks.measure import COMPILED, EAGER, Call, Case, Check, agrees_with, random
from fastsr_kernels.upsample_blur import blur_downsample, down_definition, up_definition, upsample_blur

SHAPES = {
    "the finest scale": (4, 32, 512, 512),
    "the middle": (16, 512, 32, 32),
}
"""Of the smaller picture."""
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield the cases; the backward pass of each op is a forward pass of the other one."""
    for shape in [(2, 8, 4, 6)] if smoke else SHAPES.values():
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
                check = agrees_with(plain, ALLOWED[dtype], device.type)
                compiled: Callable[..., Any] = plain if smoke else torch.compile(plain, dynamic=False)
                rivals: dict[str, tuple[Call, Check]] = {
                    op: (ours, check),
                    EAGER: (plain, check),
                    COMPILED: (compiled, check),
                }
                yield Case(
                    f"{op}, {'x'.join(map(str, size))}, {name}",
                    5 * dtype.itemsize * torch.Size(shape).numel(),
                    partial(random, device, dtype, memory_format, size),
                    rivals,
                )
