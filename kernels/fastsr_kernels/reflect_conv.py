"""Convolution with reflected borders, without a padded copy in memory, and its two gradients.

Three bilinear operations, each the derivative of the other two, so that gradients of every order are made of them:

- the convolution y = x * w;
- `dgrad`, its adjoint in x: the gradient with respect to x, from that of y and w;
- `wgrad`, its adjoint in w: the gradient with respect to w, from x and that of y.

All are matrix products in disguise. Their kernels read every pixel from where the reflection puts it (`dgrad`: from
the one to nine places that see it), so that nothing is padded and nothing folded back. Memory is channels_last.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .arguments import check_dtype
from .backend import LIBRARY, better_plain, no_autocast
from .memory import empty_nhwc
from .reflect_conv_choice import VENDOR, choose, describe, explain, look_up
from .reflect_conv_kernels import Problem, launch_dgrad, launch_forward, launch_wgrad
from .reflect_pad import reflect_pad

__all__ = ["describe", "explain", "reflect_conv2d"]

LARGEST_KERNEL = 9


def reflect_conv2d(
    x: Tensor,
    w: Tensor,
    b: Tensor | None = None,
    stride: int = 1,
    impl: str | None = None,
    pad: tuple[int, int] | None = None,
) -> Tensor:
    """Correlate `x` with `w`, x reflected by k // 2 pixels over every border: `nn.Conv2d(padding_mode="reflect")`.

    Accumulates in float32; float64 in float64, always by the torch implementation. The products of float32 are TF32
    where `torch.backends.cudnn.conv.fp32_precision` is "tf32" and the GPU has it, else as accurate as float32. Under
    `torch.autocast` all three tensors are cast to its dtype first, as by `torch.nn.functional.conv2d`. Differentiable
    any number of times. The kernels write every element once, by one program: a rerun is bitwise the same. That of
    cuDNN's gradients is up to `torch.backends.cudnn.deterministic`.

    Args:
        x: (N, C, H, W), float16, bfloat16, float32 or float64, of any strides; copied where it is not dense and
            channels_last. H > pad[0] and W > pad[1], for a reflection reaches no further.
        w: (O, C, kh, kw) of the dtype of `x`, kh and kw from 1 to 9; best channels_last too.
        b: (O,) of the same dtype, or None.
        stride: 1 or 2.
        impl: How it is computed:
            "torch": a padded copy, and torch's convolution; what runs where there is no GPU.
            "padded": the same with the Triton kernels for the padding and its adjoint.
            "gather" or "triton": one Triton kernel, which reflects the index of each pixel that it reads.
            "descriptor": the same, but tiles away from the border are read through tensor descriptors (TMA). For
            the convolution and `dgrad` of stride 1, from compute capability 9.0 on, where the channels of both sides
            take multiples of 16 bytes; "gather" elsewhere.
            "auto" (None): for each of the three operations what was measured to be fastest for the shape
            (`reflect_conv_table.json`), "torch" where nothing was.
        pad: Rows and columns reflected on each side; None for (kh // 2, kw // 2), (0, 0) for an `x` that has its
            border already.

    Returns:
        (N, O, (H + 2 * pad[0] - kh) // stride + 1, likewise) of the dtype of `x`, channels_last.

    Raises:
        TypeError: A dtype is none of those above or differs between the tensors.
        ValueError: A shape, device, stride or `impl` that cannot be used; the message names it.
    """
    x, w, b = _autocast(x, w, b)
    _check(x, w, b, stride)
    if pad is None:
        pad = w.shape[2] // 2, w.shape[3] // 2
    _check_pad(x, w, pad)
    chosen = choose(x, impl)
    if any(pad) and _pads_first(x, w, stride, pad, chosen):
        # As a step of its own the padded copy is kept for the gradient of w, which would make it again.
        x = reflect_pad(x, pad, "triton" if chosen == "padded" else "torch")
        pad = 0, 0
    if better_plain(x, chosen):
        with no_autocast(x.device):
            return _nhwc(functional.conv2d(x, w, b, stride))
    result: Tensor = _Conv.apply(x, w, b, stride, pad, chosen)
    return result


def _autocast(x: Tensor, w: Tensor, b: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    kind = x.device.type
    if not torch.is_autocast_enabled(kind):
        return x, w, b
    dtype = torch.get_autocast_dtype(kind)

    def cast(tensor: Tensor) -> Tensor:
        # Autocast leaves float64 alone, here as in torch.
        return tensor.to(dtype) if tensor.is_floating_point() and tensor.dtype != torch.float64 else tensor

    return cast(x), cast(w), None if b is None else cast(b)


def _check(x: Tensor, w: Tensor, b: Tensor | None, stride: int) -> None:
    check_dtype("x", x)
    for name, tensor in (("w", w), ("b", b)):
        if tensor is None:
            continue
        if tensor.dtype != x.dtype:
            raise TypeError(f"{name} is {tensor.dtype}, but x is {x.dtype}; they must be the same")
        if tensor.device != x.device:
            raise ValueError(f"{name} is on {tensor.device}, but x is on {x.device}; they must be the same")
    if x.ndim != 4:
        raise ValueError(f"x must be (N, C, H, W), not of shape {tuple(x.shape)}")
    if w.ndim != 4 or w.shape[1] != x.shape[1]:
        raise ValueError(f"w must be (O, {x.shape[1]}, kh, kw) for x of shape {tuple(x.shape)}, not {tuple(w.shape)}")
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(f"b must be ({w.shape[0]},) for w of shape {tuple(w.shape)}, not {tuple(b.shape)}")
    if type(stride) is not int or stride not in (1, 2):
        raise ValueError(f"stride must be 1 or 2, not {stride!r}")
    if not all(1 <= size <= LARGEST_KERNEL for size in w.shape[2:]):
        raise ValueError(f"the kernel w must be 1 to {LARGEST_KERNEL} pixels high and wide, not {tuple(w.shape[2:])}")


def _check_pad(x: Tensor, w: Tensor, pad: tuple[int, int]) -> None:
    if not isinstance(pad, tuple) or [type(n) for n in pad] != [int, int]:
        raise TypeError(f"pad must be two whole numbers, (rows, columns), not {pad!r}")
    for name, side, size, reflected in zip(("high", "wide"), x.shape[2:], w.shape[2:], pad, strict=True):
        if not 0 <= reflected < size:
            raise ValueError(f"pad must be from 0 to {size - 1} for a kernel of {tuple(w.shape[2:])}, not {pad}")
        if side <= reflected:
            raise ValueError(
                f"x must be more than {reflected} pixels {name} to be reflected by {pad}, not of shape {tuple(x.shape)}"
            )
        if side + 2 * reflected < size:
            raise ValueError(
                f"x must be at least {size - 2 * reflected} pixels {name} for a kernel of {tuple(w.shape[2:])},"
                f" not of shape {tuple(x.shape)}"
            )


def _pads_first(x: Tensor, w: Tensor, stride: int, pad: tuple[int, int], chosen: str) -> bool:
    """Whether the convolution is to work on a padded copy of `x`."""
    if chosen == "auto" and not torch.compiler.is_compiling():  # a compiled call leaves the choice to the operator
        chosen = look_up(chosen, "forward", Problem.of(x.shape, w.shape, stride, pad), x)
    return chosen in VENDOR and x.numel() > 0


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, b: Tensor | None, stride: int, pad: tuple[int, int], impl: str
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.arguments = stride, pad, impl
        y: Tensor = torch.ops.fastsr.reflect_conv2d(x, w, b, stride, *pad, impl)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (x, w) = gradients, ctx.saved_tensors
        dx = _Dgrad.apply(g, w, *x.shape[2:], *ctx.arguments) if ctx.needs_input_grad[0] else None
        dw = _Wgrad.apply(x, g, *w.shape[2:], *ctx.arguments) if ctx.needs_input_grad[1] else None
        db = g.sum((0, 2, 3)) if ctx.needs_input_grad[2] else None
        return dx, dw, db, None, None, None


class _Dgrad(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, g: Tensor, w: Tensor, height: int, width: int, stride: int, pad: tuple[int, int], impl: str
    ) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.arguments = stride, pad, impl
        dx: Tensor = torch.ops.fastsr.reflect_conv2d_dgrad(g, w, height, width, stride, *pad, impl)
        return dx

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (v,), (g, w) = gradients, ctx.saved_tensors
        dg = _Conv.apply(v, w, None, *ctx.arguments) if ctx.needs_input_grad[0] else None
        dw = _Wgrad.apply(v, g, *w.shape[2:], *ctx.arguments) if ctx.needs_input_grad[1] else None
        return dg, dw, None, None, None, None, None


class _Wgrad(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, g: Tensor, height: int, width: int, stride: int, pad: tuple[int, int], impl: str
    ) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.arguments = stride, pad, impl
        dw: Tensor = torch.ops.fastsr.reflect_conv2d_wgrad(x, g, height, width, stride, *pad, impl)
        return dw

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (v,), (x, g) = gradients, ctx.saved_tensors
        dx = _Dgrad.apply(g, v, *x.shape[2:], *ctx.arguments) if ctx.needs_input_grad[0] else None
        dg = _Conv.apply(x, v, None, *ctx.arguments) if ctx.needs_input_grad[1] else None
        return dx, dg, None, None, None, None, None


# The operators

LIBRARY.define(
    "reflect_conv2d(Tensor x, Tensor w, Tensor? b, int stride, SymInt rows, SymInt columns, str impl) -> Tensor"
)
LIBRARY.define(
    "reflect_conv2d_dgrad(Tensor g, Tensor w, SymInt height, SymInt width, int stride, SymInt rows, SymInt columns,"
    " str impl) -> Tensor"
)
LIBRARY.define(
    "reflect_conv2d_wgrad(Tensor x, Tensor g, SymInt height, SymInt width, int stride, SymInt rows, SymInt columns,"
    " str impl) -> Tensor"
)


@torch.library.register_fake("fastsr::reflect_conv2d", lib=LIBRARY)
def _forward_fake(
    x: Tensor, w: Tensor, b: Tensor | None, stride: int, rows: int, columns: int, impl: str = ""
) -> Tensor:
    problem = Problem.of(x.shape, w.shape, stride, (rows, columns))
    return empty_nhwc(x, problem.batch, problem.outputs, problem.out_height, problem.out_width)


@torch.library.register_fake("fastsr::reflect_conv2d_dgrad", lib=LIBRARY)
def _dgrad_fake(
    g: Tensor, w: Tensor, height: int, width: int, stride: int, rows: int, columns: int, impl: str = ""
) -> Tensor:
    return empty_nhwc(g, g.shape[0], w.shape[1], height, width)


@torch.library.register_fake("fastsr::reflect_conv2d_wgrad", lib=LIBRARY)
def _wgrad_fake(
    x: Tensor, g: Tensor, height: int, width: int, stride: int, rows: int, columns: int, impl: str = ""
) -> Tensor:
    return empty_nhwc(x, g.shape[1], x.shape[1], height, width)


@torch.library.impl("fastsr::reflect_conv2d", "CompositeExplicitAutograd", lib=LIBRARY)
def _forward(x: Tensor, w: Tensor, b: Tensor | None, stride: int, rows: int, columns: int, impl: str) -> Tensor:
    problem = Problem.of(x.shape, w.shape, stride, (rows, columns))
    if x.numel() == 0 or w.numel() == 0:
        y = _forward_fake(x, w, b, stride, rows, columns).zero_()
        return y if b is None else y.add_(b[:, None, None])
    chosen = look_up(impl, "forward", problem, x)
    if chosen not in VENDOR:
        return launch_forward(x, w, b, problem, chosen)
    with no_autocast(x.device):
        return _nhwc(functional.conv2d(_pad(x, problem, chosen), _nhwc(w), b, stride))


@torch.library.impl("fastsr::reflect_conv2d_dgrad", "CompositeExplicitAutograd", lib=LIBRARY)
def _dgrad(g: Tensor, w: Tensor, height: int, width: int, stride: int, rows: int, columns: int, impl: str) -> Tensor:
    problem = Problem.of((g.shape[0], w.shape[1], height, width), w.shape, stride, (rows, columns))
    if g.numel() == 0 or w.numel() == 0:
        return _dgrad_fake(g, w, height, width, stride, rows, columns).zero_()
    chosen = look_up(impl, "dgrad", problem, g)
    if chosen not in VENDOR:
        return launch_dgrad(g, w, problem, chosen)
    with no_autocast(g.device):
        x = empty_nhwc(g, problem.batch, problem.inputs, *problem.padded)  # nothing but its shape is read
        return _fold(_nhwc(_backward(_nhwc(g), x, _nhwc(w), stride, X)), problem, chosen)


@torch.library.impl("fastsr::reflect_conv2d_wgrad", "CompositeExplicitAutograd", lib=LIBRARY)
def _wgrad(x: Tensor, g: Tensor, height: int, width: int, stride: int, rows: int, columns: int, impl: str) -> Tensor:
    problem = Problem.of(x.shape, (g.shape[1], x.shape[1], height, width), stride, (rows, columns))
    if x.numel() == 0 or g.numel() == 0:
        return _wgrad_fake(x, g, height, width, stride, rows, columns).zero_()
    chosen = look_up(impl, "wgrad", problem, x)
    if chosen not in VENDOR:
        return launch_wgrad(x, g, problem)
    with no_autocast(x.device):
        return _nhwc(_weight_gradient(_nhwc(g), _pad(x, problem, chosen), problem))


# The implementations by torch's libraries (cuDNN, oneDNN): a padded copy, and a convolution of it without padding.

X, W = 0, 1
BAND_PIXELS = 2**14
"""Outputs of a band of the weight's gradient on a CPU: oneDNN is slower, by the pixel, on larger pictures."""


def _pad(x: Tensor, problem: Problem, impl: str) -> Tensor:
    if problem.pad == (0, 0):
        return _nhwc(x)
    padded: Tensor = torch.ops.fastsr.reflect_pad(x, *problem.pad, "triton" if impl == "padded" else "torch")
    return padded


def _fold(g: Tensor, problem: Problem, impl: str) -> Tensor:
    if problem.pad == (0, 0):
        return g
    folded: Tensor = torch.ops.fastsr.reflect_fold(g, *problem.pad, "triton" if impl == "padded" else "torch")
    return folded


def _weight_gradient(g: Tensor, x: Tensor, problem: Problem) -> Tensor:
    """The gradient for w from `x` with its border; on a CPU in bands of rows, summed in float32 at the least."""
    kernel_h, stride = problem.kernel[0], problem.stride
    w = empty_nhwc(g, problem.outputs, problem.inputs, *problem.kernel)  # nothing but its shape is read
    rows = max(1, BAND_PIXELS // (problem.batch * problem.out_width))
    if g.device.type != "cpu" or problem.out_height <= rows:
        return _backward(g, x, w, stride, W)
    total = torch.zeros_like(w, dtype=torch.promote_types(g.dtype, torch.float32))
    for first in range(0, problem.out_height, rows):
        band = g[:, :, first : first + rows]
        seen = x[:, :, first * stride : (first + band.shape[2] - 1) * stride + kernel_h]
        total += _backward(band, seen, w, stride, W)
    return total.to(g.dtype)


def _backward(g: Tensor, x: Tensor, w: Tensor, stride: int, wanted: int) -> Tensor:
    """The gradient for `x` or for `w` (X or W) of a convolution without padding."""
    mask = [wanted == X, wanted == W, False]
    gradients = torch.ops.aten.convolution_backward(
        g, x, w, None, (stride, stride), (0, 0), (1, 1), False, (0, 0), 1, mask
    )
    gradient: Tensor = gradients[wanted]
    return gradient


def _nhwc(x: Tensor) -> Tensor:
    """`x` in channels_last, its strides those of `empty_nhwc` also where a side of 1 leaves a choice."""
    c, h, w = x.shape[1:]
    strides = (h * w * c, 1, w * c, c)
    if x.stride() == strides:
        return x
    return x.contiguous(memory_format=torch.channels_last).as_strided(x.shape, strides)
