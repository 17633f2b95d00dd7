"""A step of PULSE's search in StyleGANs of several sizes, against the straightforward module.

    python -m benchmarks.pulse_speed    # writes benchmarks/results/pulse_speed.json and docs/measured/pulse.md

A step makes one picture, compares its downscale with a picture of 16x16, and moves latents and noise maps. At 1024x1024
the network has the published shape; the smaller ones are that one without its last layers. Weights and picture are
random: what they are changes no time. All rivals live in one process, one after the other; on a GPU those of fastsr are
replays of a captured graph.
"""

from __future__ import annotations

import argparse
from collections.abc import Generator
from contextlib import nullcontext
from typing import Any

import torch

from benchmarks import step_times
from benchmarks.report import FORMAT, RESULTS, ROOT, environment, save, write_between_marks
from benchmarks.step_times import COMPILED, COMPILED_BF16, EAGER_BF16, OURS, OURS_FLOAT32, RIVALS, timed
from benchmarks.straightforward_stylegan import plain_steps, straightforward
from fastsr.allocation import freed_memory_kept
from fastsr.graph import Graphed
from fastsr.pulse.gaussian_fit import GaussianFit
from fastsr.pulse.goals import Goal
from fastsr.pulse.losses import parse
from fastsr.pulse.network import Architecture, StyleGAN
from fastsr.pulse.placing import placed
from fastsr.pulse.search import Settings, Step
from fastsr.pulse.starts import draw

ROUNDS = {64: 20, 256: 5, 1024: 2}
"""Steps that are timed, after those that warm up; by the side of the picture."""
LOW = 16
MARKS = ("<!-- speed -->", "<!-- end of speed -->")


def steps(rival: str, architecture: Architecture, device: torch.device) -> Generator[None, None, None]:
    """Do one step of a rival after the other."""
    torch.manual_seed(0)
    network = StyleGAN(architecture).eval().requires_grad_(False)
    fit = GaussianFit(torch.zeros(network.latent), torch.ones(network.latent)).to(device)
    low = torch.rand(1, 3, LOW, LOW).to(device)
    start = draw(network, [0], tile_latent=False, noise="trainable", trainable_noise=5).to(device)
    if rival in (OURS, OURS_FLOAT32):
        generator = placed(network, device, torch.float32 if rival == OURS_FLOAT32 else torch.bfloat16)
        settings = Settings(10_000, 0.0, "adam", 0.4, "fixed", parse("100*L2+0.05*GEOCROSS"))
        step = Step(generator, fit, Goal(low, None, network.resolution), start, settings)
        run = Graphed(step, device) if device.type == "cuda" else step
        with freed_memory_kept() if device.type == "cpu" else nullcontext():  # as fastsr.pulse does
            while True:
                run()
                yield
    plain = straightforward(network).to(device)
    call: Any = torch.compile(plain) if rival in (COMPILED, COMPILED_BF16) else plain
    narrow = rival in (EAGER_BF16, COMPILED_BF16)
    for _ in plain_steps(call, fit, start.z, start.noises, low, trainable=start.trainable, narrow=narrow):
        yield


def measure(
    device: torch.device,
    rounds: dict[int, int],
    rivals: tuple[str, ...] = RIVALS,
    shape: Architecture = Architecture(),  # noqa: B008  # frozen
) -> list[dict[str, Any]]:
    """Return a row for each side and rival: the seconds of a step."""
    rows = []
    for side, count in rounds.items():
        for rival in rivals:
            turns = steps(rival, Architecture(side, shape.latent, shape.mapping_layers, shape.fmap_base), device)
            rows.append({"side": side, "rival": rival, **timed(turns, device, count)})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    return step_times.table(rows, "pixels", lambda side: f"{side}x{side}")


def run() -> dict[str, Any]:
    """Measure on the GPU, for the queue."""
    rows = measure(torch.device("cuda"), {64: 50, 256: 50, 1024: 20})
    print(table(rows))
    return {"rows": rows}


def main() -> None:
    """Measure on the CPU; the table goes to docs/measured/pulse.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rows = measure(torch.device("cpu"), ROUNDS)
    print(table(rows))
    save(RESULTS / "pulse_speed.json", {"format": FORMAT, **environment(torch.device("cpu")), "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "pulse.md", MARKS, table(rows))


if __name__ == "__main__":
    main()
