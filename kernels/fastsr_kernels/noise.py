"""Operations that add Gaussian noise as they pass over memory: none is stored, and none is seeded.

Each number is a function of (seed, step, element) alone; `philox` says which. A gradient is the same whatever was
drawn, so that nothing is kept for it.

- `add_noise`: z + sigma * n, for any z.
- `diffuse`: signal * x + noise * n for a batch, each sample with coefficients and a stream of its own: how a diffusion
  model makes what it is trained on, and its targets.
- `reverse_step`: the step of a diffusion sampler, from the prediction of its network to the next state.

The kernels are in `noise_kernels`.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .arguments import DTYPES, check_dtype
from .backend import LIBRARY
from .noise_kernels import launch_add_noise, launch_diffuse, launch_reverse_step, memory_format
from .philox import generator_seed, implementation, philox_normals

__all__ = ["DTYPES", "add_noise", "diffuse", "reverse_step"]

COEFFICIENTS = 6


# The public ops


def add_noise(z: Tensor, sigma: float, seed: int | Tensor, step: int | Tensor, impl: str | None = None) -> Tensor:
    """Return z + sigma * n with n standard normal, a function of (seed, step, element) alone.

    Read `step` (and `seed`) from a device tensor inside a captured CUDA graph: each replay sees the tensor's value of
    that moment, and so draws fresh noise. The same arguments on the same device give bitwise the same result.

    Args:
        z: any shape; float32, float16, bfloat16 or float64. Elements are numbered in the order of `z.flatten()`,
            whatever its strides.
        sigma: standard deviation, finite and not negative.
        seed: names the stream; an int of 64 bits (signed) or an integer tensor of one element on the device of `z`.
        step: names the noise within the stream; like `seed`.
        impl: "auto" (None), "triton" or "torch"; see `philox.stream` for what that means for the numbers. float64
            always runs a torch implementation.

    Returns:
        A new tensor like `z`; channels_last where `z` is, else contiguous. Computed in float32 (float64 for float64).
        One read and one write of memory. The gradient for `z` is that of the output; nothing is stored for it.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    check_dtype("z", z)
    sigma = float(sigma)
    if not 0 <= sigma < math.inf:
        raise ValueError(f"sigma={sigma} is not a standard deviation; it must be finite and at least 0")
    numbers = *_number("seed", seed, "z", z), *_number("step", step, "z", z)
    result: Tensor = _AddNoise.apply(z, sigma, *numbers, implementation(z, impl))
    return result


def diffuse(
    x: Tensor, signal: Tensor, noise: Tensor, seeds: Tensor, step: int | Tensor, impl: str | None = None
) -> Tensor:
    """Return signal[b] * x[b] + noise[b] * n[b] for each sample b, n[b] standard normal.

    n[b] is a function of (seeds[b], step, element) alone: a sample gets the same in any batch. So the same call with
    other coefficients gives other sums of the very same n, such as signal 0 and noise 1 for n itself.

    Args:
        x: (B, ...); float32, float16, bfloat16 or float64. Elements are numbered within the sample, in the order of
            `x[b].flatten()`, whatever the strides.
        signal: (B,), float32 (float64 for float64), on the device of `x`.
        noise: like `signal`.
        seeds: (B,), int64, on the device of `x`; the stream of each sample.
        step: names the noise within the streams; an int of 64 bits (signed) or an integer tensor of one element on
            the device of `x`.
        impl: "auto" (None), "triton" or "torch"; see `philox.stream` for what that means for the numbers. float64
            always runs a torch implementation.

    Returns:
        A new tensor like `x`; channels_last where `x` is, else contiguous. Computed in float32 (float64 for float64).
        One read and one write of memory. The gradient for `x` is signal times that of the output; the coefficients
        have none.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message.
    """
    _check_batch(x)
    _check_samples("signal", signal, x, _precision(x), (x.shape[:1],))
    _check_samples("noise", noise, x, _precision(x), (x.shape[:1],))
    _check_samples("seeds", seeds, x, torch.int64, (x.shape[:1],))
    number = _number("step", step, "x", x)
    result: Tensor = _Diffuse.apply(x, signal, noise, seeds, *number, implementation(x, impl))
    return result


def reverse_step(
    x: Tensor,
    prediction: Tensor,
    previous: Tensor | None,
    coefficients: Tensor,
    seeds: Tensor,
    step: int | Tensor,
    clip: float | None = 1.0,
    impl: str | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the next state of a diffusion sampler, and the clean picture that it expects.

        x0 = clamp(k0 x + k1 prediction, -clip, clip)
        x_next = k2 x + k3 x0 + k4 previous + k5 n

    with the coefficients of each sample, and the n[b] that `diffuse` has for the same (seeds[b], step). Every sampler
    that keeps at most one earlier x0 is of this form. All that changes from step to step can be read from device
    tensors, for a captured CUDA graph.

    Args:
        x: the state, (B, ...); float32, float16, bfloat16 or float64.
        prediction: what the network says of `x`, of its shape; any of these dtypes.
        previous: the x0 of the step before, of the shape and dtype of `x`; with None, k4 is not used.
        coefficients: k0 to k5: (B, 6), or (6,) for all samples; float32 (float64 for float64), on the device of `x`.
        seeds: (B,), int64, on the device of `x`; the stream of each sample.
        step: names the noise within the streams; an int of 64 bits (signed) or an integer tensor of one element on
            the device of `x`. Where k5 is 0 nothing is drawn.
        clip: the largest absolute value of x0, above 0; None for no limit. NaN stays NaN.
        impl: "auto" (None), "triton" or "torch"; see `philox.stream` for what that means for the numbers. float64
            always runs a torch implementation.

    Returns:
        x_next and x0: new tensors like `x`; channels_last where `x` is, else contiguous. Computed in float32 (float64
        for float64). Each tensor is read or written once, if it is laid out like `x`; others are copied first. There
        is no gradient.

    Raises:
        TypeError, ValueError: an argument that cannot be used, named in the message; or one that requires a gradient
            where gradients are recorded.
    """
    _check_batch(x)
    check_dtype("prediction", prediction)
    _check_samples("prediction", prediction, x, prediction.dtype, (x.shape,))
    if previous is not None:
        _check_samples("previous", previous, x, x.dtype, (x.shape,))
    of_all = torch.Size((COEFFICIENTS,))
    _check_samples("coefficients", coefficients, x, _precision(x), (x.shape[:1] + of_all, of_all))
    _check_samples("seeds", seeds, x, torch.int64, (x.shape[:1],))
    number = _number("step", step, "x", x)
    clip = math.inf if clip is None else float(clip)
    if not clip > 0:
        raise ValueError(f"clip={clip} is not above 0; give None for no limit")
    tensors = {"x": x, "prediction": prediction, "previous": previous, "coefficients": coefficients}
    for name, tensor in tensors.items():
        if tensor is not None and tensor.requires_grad and torch.is_grad_enabled():
            raise ValueError(f"{name} requires a gradient, and reverse_step has none; call it under torch.no_grad()")
    result: tuple[Tensor, Tensor] = torch.ops.fastsr.reverse_step(
        x, prediction, previous, coefficients, seeds, *number, clip, implementation(x, impl)
    )
    return result


# What the arguments must be


def _check_batch(x: Tensor) -> None:
    check_dtype("x", x)
    if x.dim() == 0:
        raise ValueError("x has no dimensions; the first must count the samples")


def _precision(x: Tensor) -> torch.dtype:
    """Return the dtype in which results like `x` are computed, which is also that of their coefficients."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _check_samples(name: str, tensor: Tensor, x: Tensor, dtype: torch.dtype, shapes: tuple[torch.Size, ...]) -> None:
    """Check what comes with the batch `x`."""
    if tensor.dtype != dtype:
        raise TypeError(f"{name} has dtype {tensor.dtype}; for x in {x.dtype} it must be {dtype}")
    if tensor.shape not in shapes:
        wanted = " or ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}; for x of shape {tuple(x.shape)} it must be {wanted}")
    if tensor.device != x.device:
        raise ValueError(f"{name} is on {tensor.device}, but x is on {x.device}; move it there")


def _number(name: str, value: int | Tensor, owner: str, x: Tensor) -> tuple[int, Tensor | None]:
    """Split `value` into the two arguments of an operator: the number, or the tensor that it is read from."""
    if isinstance(value, Tensor):
        if value.numel() != 1 or value.is_floating_point() or value.is_complex() or value.dtype == torch.bool:
            raise TypeError(f"{name} is a {value.dtype} tensor of shape {tuple(value.shape)}; give one integer")
        if value.device != x.device:
            raise ValueError(
                f"{name} is on {value.device}, but {owner} is on {x.device}; move it there, or give an int"
            )
        return 0, value
    if isinstance(value, bool) or not isinstance(value, (int, torch.SymInt)):
        raise TypeError(f"{name}={value!r} is not an integer; give an int or an integer tensor of one element")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"{name}={value} does not fit into 64 bits; it must be from -2**63 to 2**63 - 1")
    return value, None


# The gradients


class _AddNoise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor, *arguments: Any) -> Tensor:
        result: Tensor = torch.ops.fastsr.add_noise(z, *arguments)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return *gradients, None, None, None, None, None, None


class _Diffuse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, signal: Tensor, *arguments: Any) -> Tensor:
        ctx.save_for_backward(signal)
        result: Tensor = torch.ops.fastsr.diffuse(x, signal, *arguments)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        (signal,) = ctx.saved_tensors
        gradient = (_each(signal, gradients[0]) * gradients[0]).to(gradients[0].dtype)
        return gradient, None, None, None, None, None, None


# The definitions, in plain torch


def _diffused(x: Tensor, signal: Tensor, noise: Tensor, n: Tensor) -> Tensor:
    return _each(signal, x) * x + _each(noise, x) * n


def _stepped(
    x: Tensor, prediction: Tensor, previous: Tensor | None, coefficients: Tensor, n: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    k0, k1, k2, k3, k4, k5 = (_each(k, x) for k in coefficients.unbind(1))
    x0 = (k0 * x + k1 * prediction.to(coefficients.dtype)).clamp(-clip, clip)
    x_next = k2 * x + k3 * x0 + k5 * n
    return (x_next if previous is None else x_next + k4 * previous), x0


def _each(values: Tensor, x: Tensor) -> Tensor:
    """Return the number of each sample in a shape that meets that of `x`."""
    return values.view(-1, *(1,) * (x.dim() - 1))


# The operators


LIBRARY.define(
    "add_noise(Tensor z, float sigma, SymInt seed, Tensor? seed_from, SymInt step, Tensor? step_from, str impl)"
    " -> Tensor"
)
LIBRARY.define(
    "diffuse(Tensor x, Tensor signal, Tensor noise, Tensor seeds, SymInt step, Tensor? step_from, str impl) -> Tensor"
)
LIBRARY.define(
    "reverse_step(Tensor x, Tensor prediction, Tensor? previous, Tensor coefficients, Tensor seeds, SymInt step,"
    " Tensor? step_from, float clip, str impl) -> (Tensor, Tensor)"
)


@torch.library.register_fake("fastsr::add_noise", lib=LIBRARY)
@torch.library.register_fake("fastsr::diffuse", lib=LIBRARY)
def _empty(x: Tensor, *arguments: Any) -> Tensor:
    return torch.empty_like(x, memory_format=memory_format(x))


@torch.library.register_fake("fastsr::reverse_step", lib=LIBRARY)
def _two_empty(x: Tensor, *arguments: Any) -> tuple[Tensor, Tensor]:
    return _empty(x), _empty(x)


@torch.library.impl("fastsr::add_noise", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_add_noise(
    z: Tensor, sigma: float, seed: int, seed_from: Tensor | None, step: int, step_from: Tensor | None, impl: str
) -> Tensor:
    out = _empty(z)
    if z.numel() == 0:
        return out
    if impl == "triton":
        launch_add_noise(
            z, out, sigma, seed if seed_from is None else seed_from, step if step_from is None else step_from
        )
        return out
    if impl == "torch":
        counters = _scalar(seed, seed_from, z.device), _scalar(step, step_from, z.device)
        n = philox_normals(z.numel(), *counters, _precision(z)).view(z.shape)
    else:
        numbers = (seed if seed_from is None else int(seed_from), step if step_from is None else int(step_from))
        n = torch.randn(z.shape, generator=_generator(*numbers), dtype=torch.float32)
    return torch.add(z, n, alpha=sigma, out=out)


@torch.library.impl("fastsr::diffuse", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_diffuse(
    x: Tensor,
    signal: Tensor,
    noise: Tensor,
    seeds: Tensor,
    step: int,
    step_from: Tensor | None,
    impl: str,
) -> Tensor:
    out = _empty(x)
    if x.numel() == 0:
        return out
    if impl == "triton":
        launch_diffuse(x, out, signal, noise, seeds, step if step_from is None else step_from)
        return out
    n = _draw(x, noise, seeds, step, step_from, impl)
    return out.copy_(_diffused(x, signal, noise, n))


@torch.library.impl("fastsr::reverse_step", "CompositeExplicitAutograd", lib=LIBRARY)
def _run_reverse_step(
    x: Tensor,
    prediction: Tensor,
    previous: Tensor | None,
    coefficients: Tensor,
    seeds: Tensor,
    step: int,
    step_from: Tensor | None,
    clip: float,
    impl: str,
) -> tuple[Tensor, Tensor]:
    x_next, x0 = _two_empty(x)
    if x.numel() == 0:
        return x_next, x0
    coefficients = coefficients.expand(x.shape[0], COEFFICIENTS)
    if impl == "triton":
        number = step if step_from is None else step_from
        launch_reverse_step(x, prediction, previous, x_next, x0, coefficients, seeds, number, clip)
        return x_next, x0
    n = _draw(x, coefficients[:, -1], seeds, step, step_from, impl)
    for out, result in zip((x_next, x0), _stepped(x, prediction, previous, coefficients, n, clip), strict=True):
        out.copy_(result)
    return x_next, x0


def _draw(x: Tensor, scale: Tensor, seeds: Tensor, step: int, step_from: Tensor | None, impl: str) -> Tensor:
    """Return n for a batch like `x`; from torch's generator 0 where `scale` is, for drawing takes long there."""
    if impl == "torch":
        counter = _scalar(step, step_from, x.device)
        return philox_normals(x[0].numel(), seeds, counter, _precision(x)).view(x.shape)
    number = step if step_from is None else int(step_from)
    n = torch.zeros(x.shape, dtype=torch.float32)
    for sample, seed, wanted in zip(n.unbind(), seeds.tolist(), scale.ne(0).tolist(), strict=True):
        if wanted:
            sample.normal_(generator=_generator(seed, number))
    return n


def _generator(seed: int, step: int) -> torch.Generator:
    return torch.Generator().manual_seed(generator_seed(seed, step))


def _scalar(number: int, tensor: Tensor | None, device: torch.device) -> Tensor:
    # `torch.full` rather than `torch.tensor`: a copy from the host cannot be captured in a graph.
    return torch.full((), number, dtype=torch.int64, device=device) if tensor is None else tensor.long().reshape(())
