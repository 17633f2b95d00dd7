"""How long a step of a search or a sampler takes, by rivals one after the other in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from statistics import median
from typing import Any

import torch

EAGER = "straightforward module"
EAGER_BF16 = "straightforward module, bfloat16 by autocast"
COMPILED = "straightforward module, torch.compile"
COMPILED_BF16 = "straightforward module, bfloat16 by autocast, torch.compile"
OURS_FLOAT32 = "fastsr, float32"
OURS = "fastsr, bfloat16"
RIVALS = (EAGER, COMPILED, EAGER_BF16, COMPILED_BF16, OURS_FLOAT32, OURS)
WARM_UP = {"cpu": 1, "cuda": 5}
"""Steps that are not timed."""


def timed(turns: Generator[None, None, None], device: torch.device, count: int) -> dict[str, float]:
    """Return the median, the least and the most seconds of `count` steps, each of which is a turn."""
    taken = []
    for number in range(WARM_UP[device.type] + count):
        start = time.perf_counter()
        next(turns)
        if device.type == "cuda":
            torch.cuda.synchronize()
        if number >= WARM_UP[device.type]:
            taken.append(time.perf_counter() - start)
    turns.close()
    gc.collect()
    return {"seconds": median(taken), "fastest": min(taken), "slowest": max(taken)}


def table(rows: list[dict[str, Any]], title: str, label: Callable[[int], str]) -> str:
    """Return the rows as a Markdown table, each beside the straightforward module for the same side.

    Args:
        rows: with "side", "rival" and what `timed` gives.
        title: of the first column.
        label: what it says of a side.
    """
    plain = {row["side"]: row["seconds"] for row in rows if row["rival"] == EAGER}
    lines = [f"| {title} | | seconds a step | spread | times faster |", "|---|---|---|---|---|"]
    for row in rows:
        side = row["side"]
        ratio = f"{plain[side] / row['seconds']:.2f}" if side in plain else ""
        lines.append(
            f"| {label(side)} | {row['rival']} | {row['seconds']:.4g} "
            f"| {row['fastest']:.4g} to {row['slowest']:.4g} | {ratio} |"
        )
    return "\n".join(lines)
