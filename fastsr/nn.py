"""Modules on the project's operations."""

from __future__ import annotations

from torch import Tensor, nn

from fastsr_kernels.reflect_conv import reflect_conv2d

__all__ = ["ReflectConv2d"]

Pair = int | tuple[int, int]


class ReflectConv2d(nn.Conv2d):
    """Convolution with reflection padding, by `fastsr_kernels.reflect_conv.reflect_conv2d`.

    A drop-in for ``nn.Conv2d(..., padding=kernel_size // 2, padding_mode="reflect")``: the same parameters under the
    same names, with the same initial values. Groups and dilation are not supported.

    Args:
        in_channels: of the input.
        out_channels: of the result.
        kernel_size: 1 to 9, one number or (height, width).
        stride: 1 or 2.
        padding: pixels reflected on each side, one number or (rows, columns), less than the kernel; None for half the
            kernel, 0 for an input that has its border already.
        bias: whether there is one.
        impl: see `reflect_conv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: int = 1,
        padding: Pair | None = None,
        bias: bool = True,
        *,
        impl: str | None = None,
    ):
        kernel = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
        pad = (padding, padding) if isinstance(padding, int) else padding or (kernel[0] // 2, kernel[1] // 2)
        super().__init__(in_channels, out_channels, kernel, stride, pad, bias=bias, padding_mode="reflect")
        self.pad, self.impl = pad, impl

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, out_channels, h, w), in NHWC memory."""
        return reflect_conv2d(x, self.weight, self.bias, self.stride[0], self.impl, self.pad)

    def extra_repr(self) -> str:
        """Return the arguments, for printing."""
        return super().extra_repr() if self.impl is None else f"{super().extra_repr()}, impl={self.impl!r}"
