"""A step of SR3's sampling, by the U-Nets of the two published models, against the straightforward module.

    python -m benchmarks.sr3_speed    # writes benchmarks/results/sr3_speed.json and docs/measured/sr3.md

A step asks the network once, for one picture of 128x128 (of 16x16) or of 512x512 (of 64x64) pixels, and moves the
picture on by DPM-Solver++(2M). Weights and picture are random: what they are changes no time. All rivals live in one
process, one after the other; on a GPU those of fastsr are replays of a captured graph.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import step_times
from benchmarks.report import FORMAT, RESULTS, ROOT, environment, save, write_between_marks
from benchmarks.step_times import COMPILED, COMPILED_BF16, EAGER_BF16, OURS, OURS_FLOAT32, RIVALS, timed
from benchmarks.straightforward_sr3 import straightforward
from fastsr.allocation import freed_memory_kept
from fastsr.sr3.network import PUBLISHED, UNet
from fastsr.sr3.plans import plan
from fastsr.sr3.sampling import sample
from fastsr.sr3.schedules import Schedule

ROUNDS = {128: 5, 512: 2}
"""Steps that are timed, after those that warm up; by the side of the picture."""
MARKS = ("<!-- speed -->", "<!-- end of speed -->")


def steps(rival: str, network: UNet, side: int, device: torch.device) -> Generator[None, None, None]:
    """Do one step of a rival after the other."""
    generator = torch.Generator().manual_seed(side)
    condition = (2 * torch.rand(1, 3, side, side, generator=generator) - 1).to(device)
    seeds = torch.zeros(1, dtype=torch.int64, device=device)
    course = plan(Schedule().curve(), "epsilon", "dpm-solver++", "log-snr", 20)
    if rival in (OURS, OURS_FLOAT32):
        dtype = torch.float32 if rival == OURS_FLOAT32 else torch.bfloat16
        placed = network.to(device).lower(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        with freed_memory_kept() if device.type == "cpu" else nullcontext():  # as fastsr.sr3 does
            while True:
                for _ in sample(placed, course, condition, seeds):
                    yield
    plain: nn.Module = straightforward(network).to(device)
    call = torch.compile(plain) if rival in (COMPILED, COMPILED_BF16) else plain
    yield from _plain_steps(call, course.gammas, course.coefficients, condition, rival in (EAGER_BF16, COMPILED_BF16))


@torch.no_grad()
def _plain_steps(network: Any, gammas: Tensor, coefficients: Tensor, condition: Tensor, narrow: bool) -> Iterator[None]:
    while True:
        x, before = torch.randn_like(condition), torch.zeros_like(condition)
        for gamma, (k0, k1, k2, k3, k4, _) in zip(gammas.tolist(), coefficients.tolist(), strict=True):
            level = torch.full((len(x),), gamma**0.5, device=x.device)
            with torch.autocast(x.device.type, torch.bfloat16, enabled=narrow):
                said = network(condition, x, level).float()
            seen = (k0 * x + k1 * said).clamp(-1, 1)
            x, before = k2 * x + k3 * seen + k4 * before, seen
            yield


def measure(device: torch.device, rounds: dict[int, int], rivals: tuple[str, ...] = RIVALS) -> list[dict[str, Any]]:
    """Return a row for each side and rival: the seconds of a step."""
    rows = []
    for side, count in rounds.items():
        for rival in rivals:
            torch.manual_seed(0)
            turns = steps(rival, UNet(PUBLISHED[side]).eval().requires_grad_(False), side, device)
            rows.append({"side": side, "rival": rival, **timed(turns, device, count)})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    return step_times.table(rows, "network", lambda side: f"{side // 8} to {side}")


def run() -> dict[str, Any]:
    """Measure on the GPU, for the queue."""
    rows = measure(torch.device("cuda"), {128: 50, 512: 20})
    print(table(rows))
    return {"rows": rows}


def main() -> None:
    """Measure on the CPU; the table goes to docs/measured/sr3.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rows = measure(torch.device("cpu"), ROUNDS)
    print(table(rows))
    save(RESULTS / "sr3_speed.json", {"format": FORMAT, **environment(torch.device("cpu")), "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "sr3.md", MARKS, table(rows))


if __name__ == "__main__":
    main()
