"""The cases of `benchmarks.kernels` for a diffusion model: noising what it is trained on, and a step of its sampler."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import COMPILED, EAGER, Call, Case, Check, excess_of_moments, random, relative_error
from fastsr_kernels.noise import diffuse, reverse_step
from fastsr_kernels.philox import stream

STEP = 4
COEFFICIENTS = (1.25, -0.75, 0.5, 0.25, -0.25, 0.5)
"""Of magnitudes as in a sampler: of the x0 of `random` numbers, about half are beyond the clamp."""
ALLOWED = {torch.float32: 1e-5, torch.bfloat16: 1e-2}


def cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Yield the cases, for pictures of 512x512."""
    side, batch = (16, 4) if smoke else (512, 16)
    build: Callable[[Any], Any] = (lambda function: function) if smoke else partial(torch.compile, dynamic=False)
    for dtype, memory_format, name in (
        (torch.float32, torch.contiguous_format, "float32"),
        (torch.float32, torch.channels_last, "float32, channels_last"),
        (torch.bfloat16, torch.contiguous_format, "bfloat16"),
    ):
        yield _diffuse_case((batch, 3, side, side), name, device, dtype, memory_format, build)
    for count, memory_format, name in (
        (batch, torch.contiguous_format, "float32"),
        (batch, torch.channels_last, "float32, channels_last"),
        (1, torch.contiguous_format, "float32"),
    ):
        for with_previous in (False, True):
            yield _step_case((count, 3, side, side), name, with_previous, device, memory_format, build)


def _diffuse_case(
    shape: tuple[int, ...],
    name: str,
    device: torch.device,
    dtype: torch.dtype,
    memory_format: torch.memory_format,
    build: Callable[[Any], Any],
) -> Case:
    signal = torch.linspace(0.9, 0.1, shape[0], device=device)
    noise = (1 - signal**2).sqrt()
    seeds, step = torch.arange(shape[0], device=device), torch.tensor(STEP, device=device)

    def plain(x: Tensor) -> Tensor:
        return (_each(signal) * x + _each(noise) * torch.randn_like(x)).to(x.dtype)

    def by_definition(result: Tensor, x: Tensor) -> float:
        expected = diffuse(x.double(), signal.double(), noise.double(), seeds, step)
        return relative_error(result, expected) / ALLOWED[dtype]

    def by_moments(result: Tensor, x: Tensor) -> float:
        return excess_of_moments((result.float() - _each(signal) * x) / _each(noise))

    rivals: dict[str, tuple[Call, Check]] = {
        "diffuse": (
            lambda x: diffuse(x, signal, noise, seeds, step),
            by_definition if stream(torch.empty(0, device=device)) == "philox" else by_moments,
        ),
        EAGER: (plain, by_moments),
        COMPILED: (build(plain), by_moments),
    }
    inputs = partial(random, device, dtype, memory_format, shape)
    return Case(f"diffuse, {_sizes(shape)}, {name}", 2 * dtype.itemsize * torch.Size(shape).numel(), inputs, rivals)


def _step_case(
    shape: tuple[int, ...],
    name: str,
    with_previous: bool,
    device: torch.device,
    memory_format: torch.memory_format,
    build: Callable[[Any], Any],
) -> Case:
    """A step in float32 by a prediction in bfloat16."""
    coefficients = torch.tensor(COEFFICIENTS, device=device)
    seeds, step = torch.arange(shape[0], device=device), torch.tensor(STEP, device=device)

    def inputs() -> tuple[Tensor, ...]:
        x, prediction, *others = random(device, torch.float32, memory_format, *(shape,) * (2 + with_previous))
        return x, prediction.bfloat16(), *others

    def ours(x: Tensor, prediction: Tensor, previous: Tensor | None = None) -> Any:
        return reverse_step(x, prediction, previous, coefficients, seeds, step)

    def without_noise(x: Tensor, prediction: Tensor, previous: Tensor | None = None) -> tuple[Tensor, Tensor]:
        k0, k1, k2, k3, k4, _ = coefficients.to(x.dtype)
        x0 = (k0 * x + k1 * prediction.to(x.dtype)).clamp(-1, 1)
        mean = k2 * x + k3 * x0
        return (mean if previous is None else mean + k4 * previous), x0

    def plain(*tensors: Tensor) -> Any:
        mean, x0 = without_noise(*tensors)
        return mean + coefficients[5] * torch.randn_like(mean), x0

    def by_definition(results: tuple[Tensor, Tensor], *tensors: Tensor) -> float:
        x, prediction, *others = (tensor.double() for tensor in tensors)
        previous = others[0] if others else None
        expected = reverse_step(x, prediction, previous, coefficients.double(), seeds, step)
        errors = (relative_error(*pair) for pair in zip(results, expected, strict=True))
        return max(errors) / ALLOWED[torch.float32]

    def by_moments(results: tuple[Tensor, Tensor], *tensors: Tensor) -> float:
        mean, x0 = without_noise(*(tensor.double() for tensor in tensors))
        moments = excess_of_moments(((results[0] - mean) / COEFFICIENTS[5]).float())
        return max(moments, relative_error(results[1], x0) / ALLOWED[torch.float32])

    rivals: dict[str, tuple[Call, Check]] = {
        "reverse_step": (ours, by_definition if stream(torch.empty(0, device=device)) == "philox" else by_moments),
        EAGER: (plain, by_moments),
        COMPILED: (build(plain), by_moments),
    }
    which = " with previous" if with_previous else ""
    count = (14 + 4 * with_previous) * torch.Size(shape).numel()
    return Case(f"reverse_step{which}, {_sizes(shape)}, {name}", count, inputs, rivals)


def _each(values: Tensor) -> Tensor:
    return values[:, None, None, None]


def _sizes(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
