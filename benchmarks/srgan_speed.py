"""SRResNet x4 (16 blocks, the paper's) against the same module called in the straightforward way.

    FASTSR_DATA=... python -m benchmarks.srgan_speed  # writes results/srgan_speed.json, docs/measured/srgan.md

Seconds and the peak of memory for whole pictures of 256x256 and 1024x1024 pixels, and, of fastsr alone, of larger ones:
its memory beside the picture and the result should not grow. Each rival lives in a process of its own, and they take
turns. PSNR is that of Set5 x4 (protocol rgb8) with the weights of $FASTSR_DATA/weights/leftthomas-srgan-x4.pth.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

from benchmarks.memory import peak_bytes, reset_peak_bytes
from benchmarks.report import FORMAT, RESULTS, ROOT, data_folder, environment, save, write_between_marks
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import eight_bits, find_protocol
from fastsr.images import read
from fastsr.srgan.checkpoint import Checkpoint
from fastsr.srgan.formats import load
from fastsr.srgan.inference import Enlarger
from fastsr.srgan.network import SRResNet, SRResNetConfig

FACTOR = 4
SIDES = {256: 5, 1024: 2}
"""Of the pictures, with the rounds that are timed."""
LARGER = (2048,)
EAGER = "straightforward module"
COMPILED = "straightforward module, torch.compile"
EAGER_BF16 = "straightforward module, bfloat16 by autocast"
COMPILED_BF16 = "straightforward module, bfloat16 by autocast, torch.compile"
OURS_FLOAT32 = "fastsr, float32"
OURS = "fastsr, bfloat16"
MARKS = ("<!-- speed -->", "<!-- end of speed -->")
RIVALS = (EAGER, COMPILED, EAGER_BF16, COMPILED_BF16, OURS_FLOAT32, OURS)

Enlarge = Callable[[Tensor], Tensor]
_device = torch.device("cpu")
_rival = EAGER
_enlarge: Enlarge


def prepare(rival: str, device: str, threads: int, cache: str) -> None:
    """Build a rival in this process, which does nothing else; what it compiles goes to the folder `cache`."""
    global _device, _rival, _enlarge
    torch.set_num_threads(threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    _device, _rival = torch.device(device), rival
    torch.manual_seed(0)
    network = SRResNet(SRResNetConfig()).eval().requires_grad_(False)
    _enlarge = make(Checkpoint(network, "fastsr", "unit", "unit", "the paper's SRResNet"))


def make(checkpoint: Checkpoint) -> Enlarge:
    """Return what enlarges a picture (1, 3, H, W) in [0, 1] in the way of this process's rival, on its device."""
    if _rival in (OURS, OURS_FLOAT32):
        enlarger = Enlarger(checkpoint, _device, torch.float32 if _rival == OURS_FLOAT32 else torch.bfloat16)
        return lambda pixels: enlarger(pixels.cpu())
    network = checkpoint.network.to(_device)
    call = torch.compile(network) if _rival in (COMPILED, COMPILED_BF16) else network
    narrow = _rival in (EAGER_BF16, COMPILED_BF16)

    @torch.inference_mode()
    def enlarge(pixels: Tensor) -> Tensor:
        with torch.autocast(_device.type, torch.bfloat16, enabled=narrow):
            large = call(checkpoint.to_input(pixels.to(_device)))
        return checkpoint.to_colours(large.float()).cpu()

    return enlarge


def time_once(side: int) -> dict[str, float]:
    """Enlarge a picture; return the seconds, and by how many bytes the peak of this process's memory has grown."""
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(side))
    before = _reset_peak()
    start = time.perf_counter()
    _enlarge(pixels)
    return {"seconds": time.perf_counter() - start, "peak_bytes": _peak() - before}


def score(data: Path) -> float:
    """Return the mean PSNR on Y over Set5 with trained weights."""
    enlarge = make(load(data / "weights" / "leftthomas-srgan-x4.pth"))
    protocol = find_protocol("rgb8")
    scores = []
    for sample in find_benchmark(data / "Set5", FACTOR).samples:
        case = protocol.prepare(sample, FACTOR)
        result = eight_bits(enlarge(read(case.lr).pixels))
        scores.append(protocol.score(result, case, FACTOR).psnr_y)
    return fmean(scores)


def _reset_peak() -> int:
    """Forget the peak so far; return the bytes in use now."""
    if _device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    return reset_peak_bytes()


def _peak() -> int:
    return torch.cuda.max_memory_allocated() if _device.type == "cuda" else peak_bytes()


def measure(
    device: str, data: Path | None, sides: dict[int, int], larger: tuple[int, ...], rivals: tuple[str, ...] = RIVALS
) -> list[dict[str, Any]]:
    """Return a row for each side and rival; the `larger` ones are for fastsr alone.

    Args:
        device: "cpu" or "cuda".
        data: the folder of Set5 and of the trained weights; None leaves PSNR out.
        sides: of the pictures, with the rounds that are timed.
        larger: sides of further pictures.
        rivals: of `RIVALS`, with `OURS` where there are larger pictures.
    """
    spawn = multiprocessing.get_context("spawn")  # a forked process would inherit threads that do not run in it
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        processes = {}
        for rival in rivals:
            # An empty cache for each: what a user's first call pays is a compilation.
            cache = stack.enter_context(tempfile.TemporaryDirectory())
            arguments = rival, device, torch.get_num_threads(), cache
            process = ProcessPoolExecutor(1, spawn, initializer=prepare, initargs=arguments)
            processes[rival] = stack.enter_context(process)
        for side, rounds in sides.items():
            first = {rival: process.submit(time_once, side).result() for rival, process in processes.items()}
            taken: dict[str, list[dict[str, float]]] = {rival: [] for rival in processes}
            for _ in range(rounds):
                for rival, process in processes.items():
                    taken[rival].append(process.submit(time_once, side).result())
            rows += [row(side, rival, first[rival], taken[rival]) for rival in processes]
        for side in larger:
            rows.append(row(side, OURS, processes[OURS].submit(time_once, side).result(), []))
        if data is not None:
            psnr = {rival: process.submit(score, data).result() for rival, process in processes.items()}
            for one in rows:
                one["set5_psnr_y"] = psnr[one["rival"]]
    return rows


def row(side: int, rival: str, first: dict[str, float], taken: list[dict[str, float]]) -> dict[str, Any]:
    """Return the row of a rival at a side; without timed rounds the first call is the only one."""
    seconds = [one["seconds"] for one in taken or [first]]
    return {
        "side": side,
        "rival": rival,
        "seconds": median(seconds),
        "fastest": min(seconds),
        "slowest": max(seconds),
        "peak_bytes": max(one["peak_bytes"] for one in [first, *taken]),
        "seconds_of_first_call": first["seconds"],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table, each beside the straightforward module."""
    lines = [
        "| picture | | seconds | spread | times faster | peak of memory, MiB | result alone, MiB | first call, s "
        "| Set5 PSNR |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    plain = {row["side"]: row["seconds"] for row in rows if row["rival"] == EAGER}
    for one in rows:
        side = one["side"]
        ratio = f"{plain[side] / one['seconds']:.2f}" if side in plain else ""
        psnr = f"{one['set5_psnr_y']:.3f}" if "set5_psnr_y" in one else ""
        lines.append(
            f"| {side}x{side} | {one['rival']} | {one['seconds']:.2f} | {one['fastest']:.2f} to {one['slowest']:.2f} "
            f"| {ratio} | {one['peak_bytes'] / 2**20:.0f} | {12 * (FACTOR * side) ** 2 / 2**20:.0f} "
            f"| {one['seconds_of_first_call']:.1f} | {psnr} |"
        )
    return "\n".join(lines)


def run() -> dict[str, Any]:
    """Measure on the GPU, for the queue."""
    data = data_folder() if "FASTSR_DATA" in os.environ else None
    rows = measure("cuda", data, SIDES, LARGER)
    print(table(rows))
    return {"rows": rows}


def main() -> None:
    """Measure on the CPU; the table goes to docs/measured/srgan.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    rows = measure("cpu", data_folder() if "FASTSR_DATA" in os.environ else None, SIDES, LARGER)
    print(table(rows))
    save(RESULTS / "srgan_speed.json", {"format": FORMAT, **environment(torch.device("cpu")), "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "srgan.md", MARKS, table(rows))


if __name__ == "__main__":
    main()
