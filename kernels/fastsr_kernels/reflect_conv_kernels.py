"""The launchers of `reflect_conv`'s kernels: matrix products that read each pixel from where the reflection puts it.

Tiles and splits are functions of the sizes alone, the same on every GPU; chosen by counting (`python -m benchmarks.aot`
shows registers and shared memory), not tuned on a GPU.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .backend import AotCase, device_guard, float32_products, triton
from .memory import empty_nhwc
from .reflect_conv_dgrad_kernels import dgrad_kernel
from .reflect_conv_forward_kernels import forward_kernel
from .reflect_conv_tile_kernels import SIZES
from .reflect_conv_wgrad_kernels import sum_kernel, wgrad_kernel

if triton is not None:
    from triton.tools.tensor_descriptor import TensorDescriptor

__all__ = ["Problem", "aot_cases", "launch_dgrad", "launch_forward", "launch_wgrad"]

PROGRAMS = 264
"""As many programs as should run at least: two for each multiprocessor of an H200."""
SUM_BLOCK = 1024
SCRATCH_BYTES = 2**26
"""The most memory that the parts of a `wgrad` may take, unless one part takes more."""


class Problem(NamedTuple):
    """The sizes of the convolution that an operation belongs to."""

    batch: int
    inputs: int
    outputs: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: int
    pad: tuple[int, int]

    @classmethod
    def of(cls, x: Sequence[int], w: Sequence[int], stride: int, pad: tuple[int, int]) -> Problem:
        """Return the problem for the shapes of x and w."""
        return cls(x[0], x[1], w[0], x[2], x[3], (w[2], w[3]), stride, pad)

    @property
    def padded(self) -> tuple[int, int]:
        """Height and width with the border."""
        return self.height + 2 * self.pad[0], self.width + 2 * self.pad[1]

    @property
    def out_height(self) -> int:
        """Height of the result."""
        return (self.padded[0] - self.kernel[0]) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Width of the result."""
        return (self.padded[1] - self.kernel[1]) // self.stride + 1


def _unit(channels: int) -> int:
    """The largest power of two up to 16 that divides `channels`."""
    return math.gcd(channels, 16)


def _block(channels: int, largest: int) -> int:
    """How many channels a block should have: 16 at the least, for a matrix product, and few that do not exist.

    A smaller block reads its other side more often: hence the eighth that is added.
    """
    sizes = [size for size in (128, 64, 32, 16) if size <= largest]
    return min(sizes, key=lambda size: -(-channels // size) * (size + largest / 8))


def _tile(pixels: int, width: int) -> tuple[int, int]:
    """The height and the width of a tile of so many pixels: about square, and no wider than the picture needs."""
    columns = 2 ** math.ceil(math.log2(pixels) / 2)
    while columns > 1 and columns >= 2 * width:
        columns //= 2
    return pixels // columns, columns


def _generation(device: torch.device) -> str:
    """The kind of GPU that the tiles are for: "hip", "hopper" (and its like for data centres), or "ampere"."""
    if torch.version.hip is not None:
        return "hip"
    if device.type == "cuda" and torch.cuda.get_device_capability(device)[0] not in (9, 10):
        return "ampere"  # sm_120 too, which has no more shared memory than that
    return "hopper"


class _Launch(NamedTuple):
    """The compile-time arguments of a kernel, and how it is launched."""

    constants: dict[str, Any]
    options: dict[str, Any]


def _product_launch(
    problem: Problem, adjoint: bool, itemsize: int, precision: str, descriptor: bool, generation: str
) -> _Launch:
    """How the convolution (or `dgrad`, its adjoint) is launched."""
    summed, made = (problem.outputs, problem.inputs) if adjoint else (problem.inputs, problem.outputs)
    height, width = (problem.height, problem.width) if adjoint else (problem.out_height, problem.out_width)
    classes = problem.stride if adjoint else 1  # the pixels of a tile are every other one
    height, width = -(-height // classes), -(-width // classes)
    for pixels, largest in ((128, 128), (128, 64), (64, 64), (64, 32)):
        block_n = _block(made, largest if itemsize == 2 else largest // 2)
        block_h, block_w = _tile(pixels, width)
        tiles = problem.batch * classes**2 * -(-height // block_h) * -(-width // block_w)
        if tiles * -(-made // block_n) >= PROGRAMS:
            break
    block_k = _block(summed, 64 if itemsize == 2 else 16 if generation == "ampere" else 32)
    constants = _common_constants(problem, precision) | {
        "DESCRIPTOR": descriptor,
        "CHUNKS": -(-summed // block_k),
        "EVEN": summed % block_k == 0,
        "BLOCK_H": block_h,
        "BLOCK_W": block_w,
        "BLOCK_N": block_n,
        "BLOCK_K": block_k,
    }
    return _Launch(
        constants,
        {"num_warps": 8 if pixels * block_n * itemsize >= 2**15 else 4, "num_stages": 2 if generation == "hip" else 3},
    )


def _common_constants(problem: Problem, precision: str) -> dict[str, Any]:
    return {
        "KERNEL_H": problem.kernel[0],
        "KERNEL_W": problem.kernel[1],
        "PAD_H": problem.pad[0],
        "PAD_W": problem.pad[1],
        "STRIDE": problem.stride,
        "INPUTS_UNIT": _unit(problem.inputs),
        "OUTPUTS_UNIT": _unit(problem.outputs),
        "PRECISION": precision,
    }


def _wgrad_launch(problem: Problem, itemsize: int, precision: str, generation: str) -> _Launch:
    # On Ampere both sides of a product pass through registers: hence fewer sums, and more threads for them.
    block_n = _block(problem.inputs, 64 if itemsize == 2 and generation != "ampere" else 32)
    block_k = _block(problem.outputs, 128 if itemsize == 2 else 64)
    block_h, block_w = _tile(64 if itemsize == 2 else 32, problem.out_width)
    constants = _common_constants(problem, precision) | {
        "TAPS": -(-problem.kernel[1] // -(-problem.kernel[1] // 3)),
        "INPUTS_EVEN": problem.inputs % block_n == 0,
        "OUTPUTS_EVEN": problem.outputs % block_k == 0,
        "BLOCK_H": block_h,
        "BLOCK_W": block_w,
        "BLOCK_N": block_n,
        "BLOCK_K": block_k,
    }
    return _Launch(
        constants,
        {
            "num_warps": 8 if block_n * block_k * itemsize >= (2**13 if generation == "ampere" else 2**14) else 4,
            "num_stages": 2 if generation == "hip" else 3,
        },
    )


def _nhwc(x: Tensor) -> Tensor:
    """The memory of `x` in the order (N, H, W, C), copied where it is not in that order."""
    return x.permute(0, 2, 3, 1).contiguous()


def _conv_precision(device: torch.device) -> str:
    """How float32 products are made: like those of cuDNN's convolutions where that is TF32, else like float32."""
    precision = float32_products(device)
    # Unlike `allow_tf32`, this may always be read, and it knows of all the ways to ask for TF32.
    if precision == "tf32x3" and torch.backends.cudnn.conv.fp32_precision == "tf32":  # type: ignore[attr-defined]
        return "tf32"
    return precision


def _sizes(problem: Problem) -> tuple[int, ...]:
    return (
        problem.inputs // _unit(problem.inputs),
        problem.outputs // _unit(problem.outputs),
        problem.height,
        problem.width,
        problem.out_height,
        problem.out_width,
    )


def _can_describe(problem: Problem, *tensors: Tensor) -> bool:
    """Whether the tiles of such tensors can be read through descriptors."""
    if problem.stride != 1 or _generation(tensors[0].device) != "hopper":
        return False
    return all(tensor.shape[-1] * tensor.element_size() % 16 == 0 and tensor.data_ptr() % 16 == 0 for tensor in tensors)


def launch_forward(x: Tensor, w: Tensor, b: Tensor | None, problem: Problem, impl: str) -> Tensor:
    """Return the convolution of `x` with `w`, and `b` added."""
    y = empty_nhwc(x, problem.batch, problem.outputs, problem.out_height, problem.out_width)
    pixels, weights = _nhwc(x), _nhwc(w)
    precision = _conv_precision(x.device)
    descriptor = impl == "descriptor" and _can_describe(problem, pixels, weights)
    constants, options = _product_launch(problem, False, x.element_size(), precision, descriptor, _generation(x.device))
    tiles: tuple[Any, Any] = None, None
    if descriptor:
        block = [constants["BLOCK_N"], 1, constants["BLOCK_K"]]
        tiles = _describe_pixels(pixels, constants), _describe(weights.flatten(1, 2), block)
    count = problem.batch * _tiles(problem.out_height, problem.out_width, 1, constants)
    with device_guard(x):
        forward_kernel[(count * -(-problem.outputs // constants["BLOCK_N"]),)](
            pixels,
            weights,
            None if b is None else b.contiguous(),
            y,
            *tiles,
            *_sizes(problem),
            BIAS=b is not None,
            **constants,
            **options,
            enable_fp_fusion=True,
        )
    return y


def launch_dgrad(g: Tensor, w: Tensor, problem: Problem, impl: str) -> Tensor:
    """Return the gradient for x, from that of the result, `g`."""
    dx = empty_nhwc(g, problem.batch, problem.inputs, problem.height, problem.width)
    pixels, weights = _nhwc(g), _nhwc(w)
    precision = _conv_precision(g.device)
    descriptor = impl == "descriptor" and _can_describe(problem, pixels, weights)
    constants, options = _product_launch(problem, True, g.element_size(), precision, descriptor, _generation(g.device))
    tiles: tuple[Any, Any] = None, None
    if descriptor:
        block = [constants["BLOCK_K"], 1, constants["BLOCK_N"]]
        tiles = _describe_pixels(pixels, constants), _describe(weights.flatten(1, 2), block)
    count = problem.batch * problem.stride**2 * _tiles(problem.height, problem.width, problem.stride, constants)
    with device_guard(g):
        dgrad_kernel[(count * -(-problem.inputs // constants["BLOCK_N"]),)](
            pixels, weights, dx, *tiles, *_sizes(problem), **constants, **options, enable_fp_fusion=True
        )
    return dx


def launch_wgrad(x: Tensor, g: Tensor, problem: Problem) -> Tensor:
    """Return the gradient for w, from that of the result, `g`."""
    dw = empty_nhwc(x, problem.outputs, problem.inputs, problem.kernel[0], problem.kernel[1])
    constants, options = _wgrad_launch(problem, x.element_size(), _conv_precision(x.device), _generation(x.device))
    programs = -(-problem.inputs // constants["BLOCK_N"]) * -(-problem.outputs // constants["BLOCK_K"])
    programs *= problem.kernel[0] * -(-problem.kernel[1] // constants["TAPS"])
    tiles = problem.batch * _tiles(problem.out_height, problem.out_width, 1, constants)
    tiles_of_part = -(-tiles // _count_parts(programs, tiles, dw.numel()))
    count = -(-tiles // tiles_of_part)
    parts = dw if count == 1 else x.new_empty(count, dw.numel(), dtype=torch.float32)
    with device_guard(x):
        wgrad_kernel[(count * programs,)](
            _nhwc(x),
            _nhwc(g),
            parts,
            *_sizes(problem),
            tiles,
            tiles_of_part,
            **constants,
            **options,
            enable_fp_fusion=True,
        )
        if count > 1:
            sum_kernel[(-(-dw.numel() // SUM_BLOCK),)](
                parts, dw, dw.numel(), count, BLOCK=SUM_BLOCK, num_warps=4, enable_fp_fusion=True
            )
    return dw


def _count_parts(programs: int, tiles: int, size: int) -> int:
    """In how many parts `wgrad` is made: enough to fill a GPU, within the scratch memory, of a few tiles each."""
    return max(1, min(PROGRAMS // programs, -(-tiles // 4), SCRATCH_BYTES // (4 * size)))


def _tiles(height: int, width: int, step: int, constants: Mapping[str, Any]) -> int:
    return -(-height // (step * constants["BLOCK_H"])) * -(-width // (step * constants["BLOCK_W"]))


def _describe_pixels(pixels: Tensor, constants: Mapping[str, Any]) -> Any:
    return _describe(pixels, [1, constants["BLOCK_H"], constants["BLOCK_W"], constants["BLOCK_K"]])


def _describe(x: Tensor, block: list[int]) -> Any:
    """A descriptor of blocks of a dense tensor."""
    strides = [math.prod(x.shape[axis + 1 :]) for axis in range(x.ndim)]
    return TensorDescriptor(x, list(x.shape), strides, block)


def _layer(x: tuple[int, ...], w: tuple[int, ...], stride: int) -> Problem:
    return Problem.of(x, w, stride, (w[2] // 2, w[3] // 2))


def aot_cases() -> list[AotCase]:
    """The launches that matter: layers of Deep Image Prior, and a wide first layer in float32."""
    layers = [
        ("bf16", _layer((1, 128, 512, 512), (128, 128, 3, 3), 1)),
        ("bf16", _layer((1, 132, 512, 512), (128, 132, 3, 3), 1)),
        ("bf16", _layer((1, 128, 32, 32), (128, 128, 3, 3), 1)),
        ("fp16", _layer((1, 32, 256, 256), (32, 32, 3, 3), 1)),
        ("fp32", _layer((1, 3, 256, 256), (64, 3, 9, 9), 1)),
        ("bf16", _layer((1, 128, 512, 512), (128, 128, 1, 1), 1)),
        ("bf16", _layer((1, 128, 512, 512), (128, 128, 3, 3), 2)),
        ("fp32", _layer((1, 128, 256, 256), (128, 128, 3, 3), 1)),
    ]
    targets = {"hip": ("hip",), "ampere": ("sm_80",), "hopper": ("sm_90", "sm_100")}
    return [
        _aot_case(pass_, dtype, problem, precision, generation, backends, descriptor)
        for descriptor in (False, True)
        for dtype, problem in ((layers[0], layers[-1]) if descriptor else layers)
        for pass_ in (("forward", "dgrad") if descriptor else ("forward", "dgrad", "wgrad"))
        for generation, backends in targets.items()
        if generation == "hopper" or not descriptor
        for precision in (("ieee",) if dtype != "fp32" or generation == "hip" else ("tf32", "tf32x3"))
    ] + [
        AotCase(
            "sum of the parts of wgrad",
            sum_kernel,
            {"parts": "*fp32", "dw": "*bf16", "size": "i32", "count": "i32"},
            {"BLOCK": SUM_BLOCK},
            divisible=("size",),
        )
    ]


def _aot_case(
    pass_: str,
    dtype: str,
    problem: Problem,
    precision: str,
    generation: str,
    backends: tuple[str, ...],
    descriptor: bool,
) -> AotCase:
    itemsize = 4 if dtype == "fp32" else 2
    if pass_ == "wgrad":
        launch = _wgrad_launch(problem, itemsize, precision, generation)
        pointers = {"x": f"*{dtype}", "g": f"*{dtype}", "parts": "*fp32"}
    else:
        launch = _product_launch(problem, pass_ == "dgrad", itemsize, precision, descriptor, generation)
        pointers = dict.fromkeys(("x", "w", "b", "y", "g", "dx"), f"*{dtype}")
    kernel = {"forward": forward_kernel, "dgrad": dgrad_kernel, "wgrad": wgrad_kernel}[pass_]
    constants = launch.constants | ({"BIAS": True} if pass_ == "forward" else {})
    tiles: dict[str, str] = {}
    if descriptor:
        sides = constants["BLOCK_N"], constants["BLOCK_K"]
        weights = [sides[0], 1, sides[1]] if pass_ == "forward" else [sides[1], 1, sides[0]]
        pixels = [1, constants["BLOCK_H"], constants["BLOCK_W"], constants["BLOCK_K"]]
        names = ("x_tiles" if pass_ == "forward" else "g_tiles"), "w_tiles"
        tiles = {name: f"tensordesc<{dtype}{block}>" for name, block in zip(names, (pixels, weights), strict=True)}
    elif pass_ != "wgrad":
        constants |= {("x_tiles" if pass_ == "forward" else "g_tiles"): None, "w_tiles": None}
    name = f"{pass_} {problem.kernel[0]}x{problem.kernel[1]}, {problem.inputs} to {problem.outputs}, {problem.height}"
    rows = constants["BLOCK_K"] if pass_ == "wgrad" else constants["BLOCK_H"] * constants["BLOCK_W"]
    return AotCase(
        f"{name}, stride {problem.stride}, {precision if dtype == 'fp32' else dtype}"
        + (", descriptor" if descriptor else ""),
        kernel,
        pointers | tiles | dict.fromkeys(SIZES, "i32"),
        constants,
        **launch.options,
        matrix=True,
        warpgroups=rows >= 64,
        backends=backends,
    )
