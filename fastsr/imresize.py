"""MATLAB's imresize of tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

from torch import Tensor

from fastsr_kernels.resample import AxisTable, axis_table, resample

from .device import require_memory
from .errors import InputError, InputTypeError

KERNELS = {"bicubic": "cubic", "lanczos2": "lanczos2", "lanczos3": "lanczos3", "linear": "linear", "box": "box"}
BORDERS = ("symmetric", "replicate", "reflect")
# The output size is rounded up, but a side of less than this many pixels is a mistake, not a pixel.
LEAST_SIDE = 0.01
LARGEST_SIDE = 2**31 - 1


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

    A linear map, differentiable any number of times, and nothing is clipped, unless `levels` is given.

    Args:
        x: (..., H, W), float16, bfloat16, float32 or float64.
        scale: As for `resize`.
        size: As for `resize`.
        kernel: As for `resize`.
        antialias: As for `resize`.
        border: As for `resize`.
        levels: The values are integers from 0 to `levels` (255 or 65535), and every pass clips to that range and
            rounds to the nearest, halves up, as MATLAB does with integer images. float64 is exact.

    Returns:
        (..., height, width), of the dtype of `x`.

    Raises:
        InputError: `scale`, `size`, `kernel` or `border` cannot be used.
        NotEnoughMemoryError: The result would not fit into memory.
    """
    if x.ndim < 2:
        raise InputError(f"x has shape {tuple(x.shape)}; give (..., height, width)")
    check_options(scale, size, kernel, border)
    in_size = (x.shape[-2], x.shape[-1])
    scales, out_size = _target(in_size, scale, size)
    # The result, what lies between the two passes, and a copy of either.
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
    if scales[1] < scales[0]:  # MATLAB begins with the axis that shrinks more, rows where both are alike
        passes.reverse()
    for tables in passes:
        x = resample(x, *tables).add_(0.5).floor_().clamp_(0, levels)
    return x


def check_options(scale: float | Sequence[float] | None, size: Sequence[int] | None, kernel: str, border: str) -> None:
    """Raise what `resize` raises for arguments that no picture can make right."""
    if kernel not in tuple(KERNELS):
        raise InputError(f"kernel={kernel!r} is unknown; choose one of {', '.join(KERNELS)}")
    if border not in BORDERS:
        raise InputError(f"border={border!r} is unknown; choose one of {', '.join(BORDERS)}")
    if (scale is None) == (size is None):
        raise InputError(f"scale={scale!r} and size={size!r}: give one of the two")
    _pair(*(("scale", scale) if size is None else ("size", size)))


def _target(
    in_size: tuple[int, int], scale: float | Sequence[float] | None, size: Sequence[int] | None
) -> tuple[tuple[float, float], tuple[int, int]]:
    """The scale and the output size along each axis."""
    if size is not None:
        height, width = _pair("size", size)
        return (height / in_size[0], width / in_size[1]), (int(height), int(width))
    scales = _pair("scale", scale)
    exact = [ratio * side for ratio, side in zip(scales, in_size, strict=True)]
    if min(exact) < LEAST_SIDE:
        raise InputError(f"scale={scale!r} leaves nothing of a picture of {in_size[1]}x{in_size[0]} pixels")
    if max(exact) > LARGEST_SIDE:
        raise InputError(f"scale={scale!r} of {in_size[1]}x{in_size[0]} pixels is beyond {LARGEST_SIDE} a side")
    return scales, scaled_size(in_size, scales)


def scaled_size(size: tuple[int, int], scales: tuple[float, float]) -> tuple[int, int]:
    """Return (height, width) times a scale for each, rounded up, as MATLAB's imresize does."""
    return math.ceil(scales[0] * size[0]), math.ceil(scales[1] * size[1])


PAIRS: dict[str, tuple[type, str]] = {
    "scale": (Real, "one positive number or two, (for the height, for the width)"),
    "size": (Integral, "(height, width), two integers of at least 1"),
}


def _pair(name: str, values: Any) -> tuple[Any, Any]:
    """The two values of `scale` or `size`, checked."""
    kind, right = PAIRS[name]
    wrong = f"{name}={values!r} cannot be used; give {right}"
    try:
        first, second = (values, values) if kind is Real and isinstance(values, Real) else values
    except (TypeError, ValueError):
        raise InputTypeError(wrong) from None
    pair: tuple[Any, Any] = (first, second)
    if not all(isinstance(value, kind) and not isinstance(value, bool) for value in pair):
        raise InputTypeError(wrong)
    if not all(0 < value <= LARGEST_SIDE for value in pair):
        raise InputError(wrong)
    return pair
