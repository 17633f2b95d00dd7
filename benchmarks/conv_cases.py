"""The convolutions of Deep Image Prior, and the rivals that can do them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.measure import Call, Case, agrees_with, random
from fastsr_kernels.reflect_conv import reflect_conv2d
from fastsr_kernels.reflect_conv_choice import RIVALS, VENDOR, describe
from fastsr_kernels.reflect_conv_kernels import Problem

ALLOWED = 1e-2
FPAD = "F.pad + cuDNN"
PASSES = ("forward", "dgrad", "wgrad")


@dataclass(frozen=True)
class Layer:
    """A convolution of a picture of `side` x `side` pixels, besides its border."""

    inputs: int
    outputs: int
    kernel: int = 3
    stride: int = 1
    side: int = 512
    border_there: bool = False
    """Whether the picture comes with its border, as the layers of the network get it."""

    @property
    def problem(self) -> Problem:
        """The sizes."""
        border = self.kernel // 2
        size = self.side + 2 * border * self.border_there
        pad = (0, 0) if self.border_there else (border, border)
        return Problem(1, self.inputs, self.outputs, size, size, (self.kernel, self.kernel), self.stride, pad)


TARGET = Layer(128, 128)
LAYERS = (
    TARGET,
    Layer(64, 64, side=256),
    Layer(32, 32),
    Layer(128, 128, border_there=True),
    Layer(132, 128, border_there=True),
    Layer(136, 128, border_there=True),  # would four channels of zeros pay?
    Layer(32, 128, stride=2, border_there=True),
    Layer(128, 128, stride=2, side=256, border_there=True),
    Layer(132, 128, side=256, border_there=True),
    Layer(128, 128, kernel=1, border_there=True),
    Layer(68, 32, border_there=True),
    Layer(132, 64, side=256, border_there=True),
    Layer(132, 128, side=64, border_there=True),
    Layer(132, 128, side=16, border_there=True),
)


def cases(device: torch.device, smoke: bool) -> Iterator[Case]:
    """Each layer, forward and its two gradients, in bfloat16."""
    for layer in (Layer(8, 16, side=12), Layer(8, 16, stride=2, side=12, border_there=True)) if smoke else LAYERS:
        problem = layer.problem
        shapes = (
            (1, layer.inputs, problem.height, problem.width),
            (layer.outputs, layer.inputs, *problem.kernel),
            (1, layer.outputs, problem.out_height, problem.out_width),
        )
        inputs = partial(_inputs, device, problem, shapes)
        for pass_ in PASSES:
            reference = agrees_with(_ours(pass_, problem, "torch"), ALLOWED, device.type)
            on_cpu = {"torch": _ours(pass_, problem, "torch")}
            impls = [impl for impl in RIVALS if _is_its_own(impl, pass_, problem)]
            calls = {impl: _ours(pass_, problem, impl) for impl in impls} if device.type == "cuda" else on_cpu
            rivals = {name: (call, reference) for name, call in calls.items()}
            if problem.pad != (0, 0):
                rivals[FPAD] = (_separate(pass_, problem), reference)
            border = ", border there" if layer.border_there else ""
            yield Case(
                f"{pass_} {layer.inputs}->{layer.outputs} {layer.kernel}x{layer.kernel} stride {layer.stride} "
                f"at {layer.side}x{layer.side}{border}",
                2 * sum(_count(shape) for shape in shapes),
                inputs,
                rivals,
                flops=2 * _count(shapes[2]) * layer.inputs * layer.kernel**2,
                labels=describe(pass_, problem, "bfloat16"),
            )


def _inputs(device: torch.device, problem: Problem, shapes: tuple[tuple[int, ...], ...]) -> tuple[Tensor, ...]:
    """x, w, the gradient g for the result, and x with its border, which torch keeps from the forward pass."""
    x, w, g = random(device, torch.bfloat16, torch.channels_last, *shapes)
    return x, w, g, _pad(x, problem)


def _pad(x: Tensor, problem: Problem) -> Tensor:
    rows, columns = problem.pad
    return F.pad(x, (columns, columns, rows, rows), mode="reflect") if any(problem.pad) else x


def _is_its_own(impl: str, pass_: str, problem: Problem) -> bool:
    """Whether an implementation is not another one by a second name, for this work."""
    if impl == "padded":
        return problem.pad != (0, 0)
    return impl != "descriptor" or (problem.stride == 1 and pass_ != "wgrad")


def _count(shape: tuple[int, ...]) -> int:
    return torch.Size(shape).numel()


def _ours(pass_: str, problem: Problem, impl: str) -> Call:
    """One of the library's implementations: of x, w, the gradient g for the result, and x with its border."""
    stride, pad = problem.stride, problem.pad
    ops = torch.ops.fastsr

    def wgrad(x: Tensor, w: Tensor, g: Tensor, padded: Tensor) -> Tensor:
        # What works on a padded copy has kept it.
        of, border = (padded, (0, 0)) if impl in VENDOR else (x, pad)
        found: Tensor = ops.reflect_conv2d_wgrad(of, g, *w.shape[2:], stride, *border, impl)
        return found

    calls: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
        "forward": lambda x, w, g, padded: reflect_conv2d(x, w, None, stride, impl, pad),
        "dgrad": lambda x, w, g, padded: ops.reflect_conv2d_dgrad(g, w, *x.shape[2:], stride, *pad, impl),
        "wgrad": wgrad,
    }
    return calls[pass_]


def _separate(pass_: str, problem: Problem) -> Call:
    """What torch does for `nn.Conv2d(padding_mode="reflect")`, and its two gradients, one at a time."""
    rows, columns = problem.pad
    border = [columns, columns, rows, rows]
    aten = torch.ops.aten

    def gradient(x: Tensor, w: Tensor, g: Tensor, wanted: list[bool]) -> Tensor:
        steps = [problem.stride] * 2
        index = wanted.index(True)
        found: Tensor = aten.convolution_backward(g, x, w, None, steps, [0, 0], [1, 1], False, [0, 0], 1, wanted)[index]
        return found

    def dgrad(x: Tensor, w: Tensor, g: Tensor, padded: Tensor) -> Tensor:
        folded: Tensor = aten.reflection_pad2d_backward(gradient(padded, w, g, [True, False, False]), x, border)
        return folded

    calls: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
        "forward": lambda x, w, g, padded: F.conv2d(_pad(x, problem), w, stride=problem.stride),
        "dgrad": dgrad,
        "wgrad": lambda x, w, g, padded: gradient(padded, w, g, [False, True, False]),
    }
    return calls[pass_]
