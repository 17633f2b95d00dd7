"""Enlarging by two with a blur, and shrinking by two with one: linear, and each the scaled adjoint of the other.

The blur is [1, 2, 1] / 4 along both axes, with zeros outside the picture: StyleGAN's. Before a nearest neighbour's
enlargement, or behind the mean of 2 x 2 pixels, it makes of every axis the four taps [1, 3, 3, 1], at the odd or the
even ones of which the enlarged picture has something:

    upsample_blur:    y[2 i] = (x[i - 1] + 3 x[i]) / 4,    y[2 i + 1] = (3 x[i] + x[i + 1]) / 4
    blur_downsample:  x[i] = (y[2 i - 1] + 3 y[2 i] + 3 y[2 i + 1] + y[2 i + 2]) / 8
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from .backend import LIBRARY, AotCase, choose, device_guard, jit, no_autocast, tl, triton
from .group_norm import memory_order
from .reflect_pad import aligned, nhwc_blocks

__all__ = ["aot_cases", "blur", "blur_downsample", "down_definition", "up_definition", "upsample_blur"]

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)

BLOCK = 512
"""Elements of the smaller picture that a program works on in contiguous memory: they are loaded one by one."""
LONGEST = 256
"""Columns of such a tile, at most."""
WARPS = 4


def upsample_blur(x: Tensor, *, impl: str | None = None) -> Tensor:
    """Return `x` (N, C, H, W) enlarged by nearest neighbour and blurred: (N, C, 2 H, 2 W).

    Differentiable any number of times, by backward passes; the gradient is 4 `blur_downsample`.

    Args:
        x: float16, bfloat16, float32 or float64, of any strides.
        impl: auto (None), triton or torch. float64 always runs in torch.

    Returns:
        A new tensor of the dtype of `x`; channels_last where that is the order of `x`, else contiguous. The sums are
        made in float32 (float64 for float64), and their results rounded to the dtype once.

    Raises:
        TypeError: the dtype is none of those above.
        ValueError: `x` has not four dimensions, or `impl` cannot run here.
    """
    _check(x)
    result: Tensor = _Up.apply(x, 1.0, _chosen(x, impl))
    return result


def blur_downsample(x: Tensor, *, impl: str | None = None) -> Tensor:
    """Return the means of 2 x 2 pixels of the blurred `x` (N, C, 2 H, 2 W): (N, C, H, W).

    The gradient is `upsample_blur` / 4; arguments, result and errors are like those of `upsample_blur`.

    Raises:
        ValueError: a side of `x` is odd.
    """
    _check(x)
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        raise ValueError(f"x must have even sides to be halved, not {x.shape[-2]}x{x.shape[-1]} (height x width)")
    result: Tensor = _Down.apply(x, 1.0, _chosen(x, impl))
    return result


def _check(x: Tensor) -> None:
    if x.dtype not in DTYPES:
        raise TypeError(f"x must be float16, bfloat16, float32 or float64, not {x.dtype}")
    if x.ndim != 4:
        raise ValueError(f"x must have the shape (N, C, H, W), not {tuple(x.shape)}")


def _chosen(x: Tensor, impl: str | None) -> str:
    chosen = choose(x, impl)
    return "torch" if x.dtype == torch.float64 else chosen


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, impl: str) -> Tensor:
        ctx.arguments = gain, impl
        y: Tensor = torch.ops.fastsr.upsample_blur(x, gain, impl)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gain, impl = ctx.arguments
        return _Down.apply(gradients[0], 4 * gain, impl), None, None


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: float, impl: str) -> Tensor:
        ctx.arguments = gain, impl
        y: Tensor = torch.ops.fastsr.blur_downsample(x, gain, impl)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        gain, impl = ctx.arguments
        return _Up.apply(gradients[0], gain / 4, impl), None, None


# The operators: the ops times a gain, which the gradients of each other have.

LIBRARY.define("upsample_blur(Tensor x, float gain, str impl) -> Tensor")
LIBRARY.define("blur_downsample(Tensor x, float gain, str impl) -> Tensor")


@torch.library.register_fake("fastsr::upsample_blur", lib=LIBRARY)
def _empty_up(x: Tensor, gain: float, impl: str) -> Tensor:
    return _empty(x, 2 * x.shape[2], 2 * x.shape[3])


@torch.library.register_fake("fastsr::blur_downsample", lib=LIBRARY)
def _empty_down(x: Tensor, gain: float, impl: str) -> Tensor:
    return _empty(x, x.shape[2] // 2, x.shape[3] // 2)


def _empty(x: Tensor, height: int, width: int) -> Tensor:
    size = *x.shape[:2], height, width
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory_order(x))


@torch.library.impl("fastsr::upsample_blur", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_up(x: Tensor, gain: float, impl: str) -> Tensor:
    y = _empty_up(x, gain, impl)
    return _launch(_up_kernel, x, y, gain) if impl == "triton" else _run_in_torch(_up_in_torch, x, y, gain)


@torch.library.impl("fastsr::blur_downsample", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_down(x: Tensor, gain: float, impl: str) -> Tensor:
    y = _empty_down(x, gain, impl)
    return _launch(_down_kernel, x, y, gain) if impl == "triton" else _run_in_torch(_down_in_torch, x, y, gain)


# The definition


def blur(x: Tensor) -> Tensor:
    """Return `x` (N, C, H, W) blurred by [1, 2, 1] / 4 along both axes, with zeros outside."""
    taps = torch.tensor([0.25, 0.5, 0.25], dtype=x.dtype, device=x.device)
    return F.conv2d(x, taps.outer(taps).expand(x.shape[1], 1, 3, 3), padding=1, groups=x.shape[1])


def up_definition(x: Tensor) -> Tensor:
    """`upsample_blur` by torch's own functions, one after the other."""
    return blur(F.interpolate(x, scale_factor=2, mode="nearest"))


def down_definition(x: Tensor) -> Tensor:
    """`blur_downsample` by torch's own functions, one after the other."""
    return F.avg_pool2d(blur(x), 2)


# The torch implementation: of several formulas, those that a CPU makes fastest in each order of memory.


def _run_in_torch(function: Callable[[Tensor, float], Tensor], x: Tensor, y: Tensor, gain: float) -> Tensor:
    """Return what `function` makes of `x`, of the dtype and the strides of `y`."""
    if y.numel() == 0:
        return y
    with no_autocast(x.device):
        made = function(x.to(torch.promote_types(x.dtype, torch.float32)), gain)
    return made if made.dtype == y.dtype and made.stride() == y.stride() else y.copy_(made)


def _up_in_torch(x: Tensor, gain: float) -> Tensor:
    if gain != 1:
        x = x * gain
    if memory_order(x) == torch.contiguous_format:
        return _double(_double(x, 3), 2)
    # Bilinear enlargement has these weights, but repeats the edge, where here zeros are.
    y = F.interpolate(x, scale_factor=2, mode="bilinear")
    for edge in (y[:, :, 0], y[:, :, -1], y[..., 0], y[..., -1]):
        edge *= 0.75
    return y


def _double(x: Tensor, axis: int) -> Tensor:
    """Enlarge along one axis."""
    y = x.new_empty(*x.shape[: axis + 1], 2, *x.shape[axis + 1 :])
    even, odd = y.unbind(axis + 1)
    others = x.shape[axis] - 1
    head, tail = x.narrow(axis, 0, others), x.narrow(axis, 1, others)
    torch.lerp(tail, head, 0.25, out=even.narrow(axis, 1, others))
    torch.lerp(head, tail, 0.25, out=odd.narrow(axis, 0, others))
    torch.mul(x.select(axis, 0), 0.75, out=even.select(axis, 0))
    torch.mul(x.select(axis, -1), 0.75, out=odd.select(axis, -1))
    return y.flatten(axis, axis + 1)


def _down_in_torch(x: Tensor, gain: float) -> Tensor:
    taps = torch.tensor([0.125, 0.375, 0.375, 0.125], dtype=x.dtype, device=x.device)
    kernel = (gain * taps.outer(taps)).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(x, kernel, stride=2, padding=1, groups=x.shape[1])


# The kernels: a program works on a tile of one picture, the smaller one: on some lines (of any channel) and columns of
# contiguous memory, or on some pixels and channels of channels_last memory.


@jit(do_not_specialize_on_alignment=["width"])
def _up_kernel(
    x: tl.tensor,
    y: tl.tensor,
    gain: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    programs: tl.tensor,
    NHWC: tl.constexpr,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Write the 2 x 2 pixels of y that lie where a pixel of x does."""
    picture = (tl.program_id(0) // programs).to(tl.int64) * channels * height * width
    line, column, channel, step, mask = _tile(channels, height, width, programs, NHWC, ALIGN, ROWS, COLUMNS)
    x += picture + (line.to(tl.int64) * width + column) * step + channel
    y += 4 * picture + (line.to(tl.int64) * (4 * width) + 2 * column) * step + channel
    row = line % height
    before, behind = mask & (column > 0), mask & (column < width - 1)
    above, below = row > 0, row < height - 1
    left, right = _doubled(x, step, mask, before, behind)
    left, right = 0.75 * gain * left, 0.75 * gain * right
    far_left, far_right = _doubled(x - width * step, step, mask & above, before & above, behind & above)
    _store_pair(y, step, left + 0.25 * gain * far_left, right + 0.25 * gain * far_right, mask, NHWC)
    far_left, far_right = _doubled(x + width * step, step, mask & below, before & below, behind & below)
    y += 2 * width * step
    _store_pair(y, step, left + 0.25 * gain * far_left, right + 0.25 * gain * far_right, mask, NHWC)


@jit(do_not_specialize_on_alignment=["width"])
def _down_kernel(
    x: tl.tensor,
    y: tl.tensor,
    gain: tl.tensor,
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    programs: tl.tensor,
    NHWC: tl.constexpr,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Write pixels of y, which has half of the sides of x; `height` and `width` are its own."""
    picture = (tl.program_id(0) // programs).to(tl.int64) * channels * height * width
    line, column, channel, step, mask = _tile(channels, height, width, programs, NHWC, ALIGN, ROWS, COLUMNS)
    x += 4 * picture + (line.to(tl.int64) * (4 * width) + 2 * column) * step + channel
    y += picture + (line.to(tl.int64) * width + column) * step + channel
    x -= 2 * width * step
    row = line % height
    before, behind = mask & (column > 0), mask & (column < width - 1)
    total = tl.zeros(mask.shape, tl.float32)
    # Only the taps of a row are unrolled: sixteen loads at once would cost the registers of half the programs.
    for tap in range(4):
        there = ((tap > 0) | (row > 0)) & ((tap < 3) | (row < height - 1))
        outer = _load(x - step, before & there) + _load(x + 2 * step, behind & there)
        inner = _load_pair(x, step, mask & there, NHWC)
        total += tl.where((tap == 1) | (tap == 2), 0.75, 0.25) * (0.75 * inner + 0.25 * outer)
        x += 2 * width * step
    tl.store(y, (0.25 * gain * total).to(y.dtype.element_ty), mask=mask)


@jit
def _tile(
    channels: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    programs: tl.tensor,
    NHWC: tl.constexpr,
    ALIGN: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the tile's lines, columns and channels, the step from column to column, and what there is of the tile.

    A line has all columns: in contiguous memory the lines of a picture are those of all its channels.
    """
    first, beside = tl.program_id(0) % programs * ROWS, tl.program_id(1) * COLUMNS
    if NHWC:
        channels = aligned(channels, ALIGN)
        pixel = first + tl.arange(0, ROWS)[:, None]
        channel = beside + tl.arange(0, COLUMNS)[None, :]
        mask = (pixel < height * width) & (channel < channels)
        return pixel // width, pixel % width, channel, channels, mask
    else:
        # One axis, or the compiler would take pairs of samples to be next to those of the next line.
        i = tl.arange(0, ROWS * COLUMNS)[:, None]
        line, column = first + i // COLUMNS, beside + i % COLUMNS
        return line, column, 0, 1, (line < channels * height) & (column < width)


@jit
def _load(at: tl.tensor, mask: tl.tensor) -> tl.tensor:
    return tl.load(at, mask=mask, other=0).to(tl.float32)


@jit
def _load_pair(at: tl.tensor, step: tl.tensor, mask: tl.tensor, NHWC: tl.constexpr) -> tl.tensor:
    """Return the sum of two samples of a row, which are loaded at once where they are next to each other."""
    if NHWC:
        return _load(at, mask) + _load(at + step, mask)
    else:
        left, right = tl.split(_load(at[:, :, None] + tl.arange(0, 2)[None, None, :], mask[:, :, None]))
        return left + right


@jit
def _store_pair(
    at: tl.tensor, step: tl.tensor, left: tl.tensor, right: tl.tensor, mask: tl.tensor, NHWC: tl.constexpr
) -> None:
    """Store two samples of a row, at once where they are next to each other."""
    if NHWC:
        tl.store(at, left.to(at.dtype.element_ty), mask=mask)
        tl.store(at + step, right.to(at.dtype.element_ty), mask=mask)
    else:
        pair = tl.join(left, right).to(at.dtype.element_ty)
        tl.store(at[:, :, None] + tl.arange(0, 2)[None, None, :], pair, mask=mask[:, :, None])


@jit
def _doubled(
    at: tl.tensor, step: tl.tensor, mask: tl.tensor, before: tl.tensor, behind: tl.tensor
) -> tuple[tl.tensor, tl.tensor]:
    """Return the two samples along a row that lie where each of those at `at` does."""
    here = 0.75 * _load(at, mask)
    return here + 0.25 * _load(at - step, before), here + 0.25 * _load(at + step, behind)


# The launcher


def _launch(kernel: Any, x: Tensor, y: Tensor, gain: float) -> Tensor:
    if y.numel() == 0:
        return y
    layout = memory_order(x)
    _, channels, height, width = (x if kernel is _up_kernel else y).shape
    rows, columns, blocks = _blocks(channels, height, width, layout == torch.channels_last)
    programs = triton.cdiv(rows, blocks["ROWS"])
    grid = x.shape[0] * programs, triton.cdiv(columns, blocks["COLUMNS"])
    with device_guard(x):
        kernel[grid](
            x.contiguous(memory_format=layout),
            y,
            gain,
            channels,
            height,
            width,
            programs,
            **blocks,
            num_warps=WARPS,
            enable_fp_fusion=True,
        )
    return y


def _blocks(channels: int, height: int, width: int, nhwc: bool) -> tuple[int, int, dict[str, int | bool]]:
    """Return how many rows and columns a picture is cut into tiles of, and the kernel's compile-time arguments."""
    if nhwc:
        blocks = nhwc_blocks(channels)
        tile = {"ROWS": blocks["BLOCK_PIXELS"] // 2, "COLUMNS": blocks["BLOCK_CHANNELS"], "ALIGN": blocks["ALIGN"]}
        return height * width, channels, {"NHWC": True, **tile}
    block = min(triton.next_power_of_2(width), LONGEST)
    return channels * height, width, {"NHWC": False, "ROWS": BLOCK // block, "COLUMNS": block, "ALIGN": 1}


def aot_cases() -> list[AotCase]:
    """Return what the launcher launches for layers of StyleGAN, for ``python -m benchmarks.aot``."""
    cases = []
    for name, kernel in (("up", _up_kernel), ("down", _down_kernel)):
        for channels, side, dtype, nhwc in (
            (64, 128, "bf16", True),
            (64, 128, "fp32", True),
            (3, 128, "fp16", True),
            (64, 128, "bf16", False),
            (64, 128, "fp32", False),
        ):
            integers = ("channels", "height", "width", "programs")
            cases.append(
                AotCase(
                    name=f"{name}, {channels}x{side}x{side}, {dtype}, {'channels_last' if nhwc else 'contiguous'}",
                    kernel=kernel,
                    signature={"x": f"*{dtype}", "y": f"*{dtype}", "gain": "fp32", **dict.fromkeys(integers, "i32")},
                    constants=_blocks(channels, side, side, nhwc)[2],
                    num_warps=WARPS,
                    divisible=() if channels % 16 else ("channels",),
                )
            )
    return cases
