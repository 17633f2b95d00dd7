"""The launchers of `upsample_norm_pad`'s kernels.

A program makes some pixels of `deep`, or of the result, and a block of the channels of `deep`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .backend import AotCase, device_guard, triton
from .channel_statistics import OPTIONS, WARPS, combine, split, total
from .memory import channels_adjacent, empty_nhwc, strides
from .norm_act_pad_kernels import apply_norm, differentiate_norm, statistics
from .tiles import nhwc_blocks
from .upsample_norm_pad_backward_kernels import adjoint_kernel, deep_gradient_kernel
from .upsample_norm_pad_forward_kernels import deep_apply_kernel, deep_statistics_kernel


def launch_forward(
    skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, y: Tensor, pad: int, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Write the result into `y`, NHWC; return it with mean and 1 / sqrt(variance + eps) of each channel."""
    beside = skip.shape[1]
    mean, rstd = (torch.cat(pair) for pair in zip(statistics(skip, eps), _deep_statistics(deep, eps), strict=True))
    apply_norm(skip, y[:, :beside], weight[:beside], bias[:beside], mean[:beside], rstd[:beside], 1.0, pad)
    deep = channels_adjacent(deep)
    pixels = y.shape[0] * y.shape[2] * y.shape[3]
    # All of y, not the view of its last channels: memory is loaded and stored several numbers at a time only if the
    # kernel knows how its address is aligned.
    blocks = nhwc_blocks(deep.shape[1], deep.stride(), y.stride(), (beside,) * 4)
    grid = triton.cdiv(pixels, blocks["BLOCK_PIXELS"]), triton.cdiv(deep.shape[1], blocks["BLOCK_CHANNELS"])
    with device_guard(deep):
        deep_apply_kernel[grid](
            deep,
            y,
            *(vector[beside:] for vector in (weight, bias, mean, rstd)),
            *deep.shape[1:],
            *strides(deep),
            beside,
            y.stride(3),
            pixels,
            PAD=pad,
            **blocks,
            **OPTIONS,
        )
    return y, mean, rstd


def _deep_statistics(deep: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    deep = channels_adjacent(deep)
    channels = deep.shape[1]
    pixels = deep.shape[0] * deep.shape[2] * deep.shape[3]
    blocks = nhwc_blocks(channels, deep.stride())
    programs, per_program = split(pixels, blocks["BLOCK_PIXELS"])
    partial = deep.new_empty(programs, 2, channels, dtype=torch.float32)
    with device_guard(deep):
        deep_statistics_kernel[programs, triton.cdiv(channels, blocks["BLOCK_CHANNELS"])](
            deep, partial, *deep.shape[1:], *strides(deep), pixels, per_program, **blocks, **OPTIONS
        )
    return combine(partial, 4 * pixels, 4 * per_program, eps)


def launch_backward(
    g: Tensor, skip: Tensor, deep: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor, pad: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients for skip, deep, weight and bias, given `g` for the result."""
    beside = skip.shape[1]
    g = channels_adjacent(g)
    dskip, *skip_sums = differentiate_norm(
        g[:, :beside], skip, weight[:beside], bias[:beside], mean[:beside], rstd[:beside], 1.0, pad
    )
    ddeep, *deep_sums = _differentiate_deep(g, beside, deep, weight[beside:], mean[beside:], rstd[beside:], pad)
    dweight, dbias = (torch.cat(pair) for pair in zip(skip_sums, deep_sums, strict=True))
    return dskip, ddeep, dweight, dbias


def _differentiate_deep(
    g: Tensor, beside: int, deep: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, pad: int
) -> tuple[Tensor, Tensor, Tensor]:
    deep = channels_adjacent(deep)
    channels = deep.shape[1]
    pixels = deep.shape[0] * deep.shape[2] * deep.shape[3]
    blocks = nhwc_blocks(channels, deep.stride(), g.stride(), (beside,) * 4)
    programs, per_program = split(pixels, blocks["BLOCK_PIXELS"])
    channel_blocks = triton.cdiv(channels, blocks["BLOCK_CHANNELS"])
    partial = deep.new_empty(programs, 2, channels, dtype=torch.float32)
    t, dx = empty_nhwc(deep, *deep.shape), empty_nhwc(deep, *deep.shape)
    sizes = beside, *deep.shape[1:], *strides(g), *strides(deep), pixels
    with device_guard(deep):
        adjoint_kernel[programs, channel_blocks](
            g, deep, mean, rstd, t, partial, *sizes, per_program, PAD=pad, **blocks, **OPTIONS
        )
        dweight, dbias = total(partial)
        deep_gradient_kernel[triton.cdiv(pixels, blocks["BLOCK_PIXELS"]), channel_blocks](
            t,
            deep,
            weight,
            mean,
            rstd,
            dweight,
            dbias,
            dx,
            *deep.shape[1:],
            *strides(deep),
            pixels,
            **blocks,
            **OPTIONS,
        )
    return dx, dweight, dbias


def aot_cases() -> list[AotCase]:
    """Return what the launchers launch for layers of Deep Image Prior, for ``python -m benchmarks.aot``."""
    vectors = dict.fromkeys(("weight", "bias", "mean", "rstd", "dweight", "dbias", "partial"), "*fp32")
    integers = (
        *("channels", "height", "width", "stride_n", "stride_h", "stride_w", "g_stride_n", "g_stride_h", "g_stride_w"),
        *("first_channel", "out_channels", "pixels", "pixels_per_program"),
    )
    return [
        AotCase(
            name=f"{name}, {channels} channels, {dtype}",
            kernel=kernel,
            signature={
                **dict.fromkeys(("g", "x", "y", "t", "dx"), f"*{dtype}"),
                **vectors,
                **dict.fromkeys(integers, "i32"),
            },
            constants={"PAD": 1} | nhwc_blocks(channels, strides_of_result) if padded else nhwc_blocks(channels),
            num_warps=WARPS,
        )
        for name, kernel, padded in (
            ("statistics", deep_statistics_kernel, False),
            ("apply", deep_apply_kernel, True),
            ("adjoint", adjoint_kernel, True),
            ("gradient", deep_gradient_kernel, False),
        )
        for channels, dtype in ((128, "bf16"), (32, "bf16"), (128, "fp32"))
        for strides_of_result in [(4, 1, 4, channels + 4)]
    ]
