"""Modules on the project's operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastsr_kernels.group_norm import group_norm
from fastsr_kernels.reflect_conv import reflect_conv2d

__all__ = ["GroupNorm", "ReflectConv2d"]


class ReflectConv2d(nn.Conv2d):
    """Convolution with reflection padding, by `fastsr_kernels.reflect_conv.reflect_conv2d`.

    Takes the place of ``nn.Conv2d(..., padding=kernel_size // 2, padding_mode="reflect")``: the same parameters under
    the same names, with the same initial values. There are no groups and no dilation, and batches only.

    Args:
        in_channels: of the input.
        out_channels: of the result.
        kernel_size: 1 to 9, one number or (height, width).
        stride: 1 or 2.
        padding: pixels reflected on each side, one number or (rows, columns), less than the kernel; None for half the
            kernel, 0 for an input that has its border already.
        bias: whether there is one.
        impl: see `reflect_conv2d`.
        device: of the parameters.
        dtype: of the parameters.

    Raises:
        TypeError: `kernel_size` or `padding` is not one whole number or two.
    """

    padding: tuple[int, int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int = 1,
        padding: int | Sequence[int] | None = None,
        *,
        bias: bool = True,
        impl: str | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
    ):
        kernel = _pair("kernel_size", kernel_size)
        pad = (kernel[0] // 2, kernel[1] // 2) if padding is None else _pair("padding", padding)
        options: dict[str, Any] = {"bias": bias, "padding_mode": "reflect", "device": device, "dtype": dtype}
        super().__init__(in_channels, out_channels, kernel, stride, pad, **options)
        if type(stride) is not int or stride not in (1, 2):
            raise ValueError(f"stride={stride!r} is not supported; give 1 or 2")
        self.impl = impl

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, h, w), in NHWC memory."""
        return reflect_conv2d(x, self.weight, self.bias, self.stride[0], self.impl, self.padding)

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return super().extra_repr() if self.impl is None else f"{super().extra_repr()}, impl={self.impl!r}"


def _pair(name: str, value: int | Sequence[int]) -> tuple[int, int]:
    numbers = (value, value) if type(value) is int else value
    if not isinstance(numbers, (tuple, list)) or [type(number) for number in numbers] != [int, int]:
        raise TypeError(f"{name}={value!r} is not supported; give a whole number, or two")
    return numbers[0], numbers[1]


class GroupNorm(nn.GroupNorm):
    """Group norm, and Swish if asked for, by `fastsr_kernels.group_norm.group_norm`.

    Takes the place of ``nn.GroupNorm``: the same parameters under the same names, with the same initial values.

    Args:
        num_groups: of the channels.
        num_channels: of the input, a multiple of `num_groups`.
        swish: whether x sigmoid(x) follows.
        impl: see `group_norm`.
    """

    def __init__(self, num_groups: int, num_channels: int, *, swish: bool, impl: str | None = None):
        super().__init__(num_groups, num_channels)
        self.swish, self.impl = swish, impl

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Normalise (N, C, H, W), after `shift`, (N, C), has been added where there is one."""
        return group_norm(
            x, self.num_groups, self.weight, self.bias, self.eps, shift=shift, swish=self.swish, impl=self.impl
        )

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return f"{super().extra_repr()}, swish={self.swish}"
