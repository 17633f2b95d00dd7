"""Which implementation of `reflect_conv2d` runs: the one asked for, or what was measured to be fastest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .backend import choose as choose_kernels
from .backend import explain as explain_kernels
from .backend import no_override
from .reflect_conv_kernels import Problem

VENDOR = ("torch", "padded")
"""Those by torch's libraries (cuDNN, oneDNN)."""
RIVALS = (*VENDOR, "gather", "descriptor")
"""The implementations as the operators take them, beside "auto"."""
CHOICES = ("auto", "triton", *RIVALS)
TABLE = Path(__file__).with_name("reflect_conv_table.json")


def choose(x: Tensor, impl: str | None) -> str:
    """Return the implementation as the operators take it. They look "auto" up themselves, each for its own shape.

    Raises:
        ValueError: `impl` is unknown, or kernels were asked for where they cannot run.
    """
    if impl is not None and impl not in CHOICES:
        raise ValueError(f"impl={impl!r} is not an implementation; choose one of {', '.join(CHOICES)}")
    chosen = choose_kernels(x, "triton" if impl in ("padded", "gather", "descriptor") else impl)
    if chosen == "torch":
        return "torch"
    if impl in (None, "auto"):
        return "auto" if no_override() else "gather"
    return "gather" if impl == "triton" else impl


def explain(device: torch.device) -> tuple[str, str]:
    """Return the implementation that runs on `device`, and the reason in words."""
    chosen, reason = explain_kernels(device)
    if chosen == "torch" or not no_override():
        return "gather" if chosen == "triton" else chosen, reason
    name = torch.cuda.get_device_name(device)
    if name in _table():
        return "table", f"for each shape what was measured to be fastest on {name}"
    return "torch", f"nothing was measured on {name}"


def look_up(impl: str, pass_: str, problem: Problem, x: Tensor) -> str:
    """Return the implementation of a pass ("forward", "dgrad", "wgrad") that an operator's `impl` stands for.

    Raises:
        ValueError: `impl` is unknown.
    """
    if impl == "auto":
        impl = _measured(torch.cuda.get_device_name(x.device), pass_, problem, str(x.dtype).removeprefix("torch."))
    if impl not in RIVALS:
        raise ValueError(f"impl={impl!r} is not an implementation; choose one of {', '.join(RIVALS)}")
    return impl


def describe(pass_: str, problem: Problem, dtype: str) -> dict[str, Any]:
    """Return what the table says of a measurement, but for its outcome; "pixels" are the outputs of the whole batch."""
    return {
        "pass": pass_,
        "kernel": list(problem.kernel),
        "stride": problem.stride,
        "pad": list(problem.pad),
        "in": problem.inputs,
        "out": problem.outputs,
        "pixels": problem.batch * problem.out_height * problem.out_width,
        "dtype": dtype,
    }


@cache
def _measured(device_name: str, pass_: str, problem: Problem, dtype: str) -> str:
    """Return the fastest implementation of a pass at the nearest size that was measured; torch where none was."""
    wanted = describe(pass_, problem, dtype)
    pixels = wanted.pop("pixels")
    rows = [row for row in _table().get(device_name, []) if all(row[name] == wanted[name] for name in wanted)]
    if not rows:
        return "torch"
    nearest = min(rows, key=lambda row: abs(math.log(row["pixels"] / pixels)))
    return str(nearest["impl"])


@cache
def _table() -> Mapping[str, list[dict[str, Any]]]:
    table: dict[str, list[dict[str, Any]]] = json.loads(TABLE.read_text(encoding="utf-8"))
    return table
