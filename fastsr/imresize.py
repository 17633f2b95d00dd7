"""MATLAB's imresize for tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from torch import Tensor

from fastsr_kernels.resample import AxisTable, axis_table, resample

from .checks import choice, input_error, spell
from .errors import FastsrError, InputError, InputTypeError
from .runtime.memory import require_memory

KERNELS = {"bicubic": "cubic", "lanczos2": "lanczos2", "lanczos3": "lanczos3", "linear": "linear", "box": "box"}
"""Names of kernels in arguments, and in `fastsr_kernels.resample`."""
BORDERS = ("symmetric", "replicate", "reflect")
LEAST_SIDE = 0.01
"""The output size is rounded up, but a side of fewer pixels than this is a mistake and not a pixel."""
LARGEST_SIDE = 2**31 - 1
"""The most pixels a side of a result."""
PAIRS: dict[str, tuple[type, str]] = {
    "scale": (Real, "one positive number or two, (for the height, for the width)"),
    "size": (Integral, "(height, width), two integers of at least 1"),
}
"""For each argument that is a pair, the type of its numbers and what to give."""


def imresize(
    x: Tensor,
    scale: float | Sequence[float] | None = None,
    *,
    size: Sequence[int] | None = None,
    kernel: str = "bicubic",
    antialias: bool = True,
    border: str = "symmetric",
    levels: int | None = None,
) -> Tensor:
    """Resize the last two dimensions of a tensor as MATLAB's imresize does; the arguments are those of `resize`.

    The map is linear and differentiable any number of times, and nothing is clipped, unless `levels` is given.

    Args:
        x: (..., H, W), float16, bfloat16, float32 or float64.
        scale: as for `resize`.
        size: as for `resize`.
        kernel: as for `resize`.
        antialias: as for `resize`.
        border: as for `resize`.
        levels: if given, the values are integers from 0 to `levels` (255 or 65535), and both passes clip to that range
            and round to the nearest, halves up, as MATLAB does with integer images. float64 is exact.

    Returns:
        (..., height, width), of the dtype of `x`.

    Raises:
        InputError: `scale`, `size`, `kernel` or `border` cannot be used.
        NotEnoughMemoryError: the result would not fit into memory.
    """
    if x.ndim < 2:
        raise InputError(f"x has shape {tuple(x.shape)}; give (..., height, width)")
    check_options(scale, size, kernel, border)
    in_size = (x.shape[-2], x.shape[-1])
    scales, out_size = _target(in_size, scale, size)
    # The result, the tensor between the two passes, and a copy of either.
    planes = math.prod(x.shape[:-2])
    needed = 2 * planes * x.element_size() * (math.prod(out_size) + max(out_size[0], in_size[0]) * out_size[1])
    require_memory(needed, x.device, f"a result of {out_size[1]}x{out_size[0]} pixels")
    rows, columns = (
        axis_table(*sizes, scale=ratio, kernel=KERNELS[kernel], antialias=bool(antialias), border=border)
        for *sizes, ratio in zip(in_size, out_size, scales, strict=True)
    )
    if levels is None:
        return resample(x, rows, columns)
    passes: list[tuple[AxisTable | None, AxisTable | None]] = [(rows, None), (None, columns)]
    if scales[1] < scales[0]:  # MATLAB begins with the axis that shrinks more; with the rows if both are alike
        passes.reverse()
    for tables in passes:
        x = resample(x, *tables).add_(0.5).floor_().clamp_(0, levels)
    return x


def check_options(scale: float | Sequence[float] | None, size: Sequence[int] | None, kernel: str, border: str) -> None:
    """Check the arguments of `resize` that do not depend on the image.

    Raises:
        InputError, InputTypeError: an argument cannot be used.
    """
    choice("kernel", kernel, KERNELS)
    choice("border", border, BORDERS)
    if (scale is None) == (size is None):
        raise InputError(f"{spell('scale', scale)} and {spell('size', size)}: give one of the two")
    _pair(*(("scale", scale) if size is None else ("size", size)))


def _target(
    in_size: tuple[int, int], scale: float | Sequence[float] | None, size: Sequence[int] | None
) -> tuple[tuple[float, float], tuple[int, int]]:
    """Return the scales and the output size, (height, width) each."""
    if size is not None:
        height, width = _pair("size", size)
        return (height / in_size[0], width / in_size[1]), (int(height), int(width))
    scales = _pair("scale", scale)
    exact = [ratio * side for ratio, side in zip(scales, in_size, strict=True)]
    if min(exact) < LEAST_SIDE:
        raise input_error("scale", scale, f"leaves no pixel of an image of {in_size[1]}x{in_size[0]} pixels")
    if max(exact) > LARGEST_SIDE:
        problem = f"makes more than {LARGEST_SIDE} pixels a side of {in_size[1]}x{in_size[0]} pixels"
        raise input_error("scale", scale, problem)
    return scales, scaled_size(in_size, scales)


def scaled_size(size: tuple[int, int], scales: tuple[float, float]) -> tuple[int, int]:
    """Return (height, width) times a scale for each, rounded up, as MATLAB's imresize does."""
    return math.ceil(scales[0] * size[0]), math.ceil(scales[1] * size[1])


def _pair(name: str, values: Any) -> tuple[Any, Any]:
    """Return the two values of `scale` or `size`, checked."""
    kind, right = PAIRS[name]

    def error(error_kind: type[FastsrError]) -> FastsrError:
        return input_error(name, values, "cannot be used", f"give {right}", kind=error_kind)

    try:
        first, second = (values, values) if kind is Real and isinstance(values, Real) else values
    except (TypeError, ValueError):
        raise error(InputTypeError) from None
    pair: tuple[Any, Any] = (first, second)
    if not all(isinstance(value, kind) and not isinstance(value, bool) for value in pair):
        raise error(InputTypeError)
    if not all(0 < value <= LARGEST_SIDE for value in pair):
        raise error(InputError)
    return pair
