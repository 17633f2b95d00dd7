"""SRResNet x4 (16 blocks, the paper's) against the same module called in the straightforward way.

    FASTSR_DATA=... python -m benchmarks.srgan_speed  # writes results/srgan_speed.json, docs/measured/srgan.md

Seconds and the peak of memory for whole pictures of 256x256 and 1024x1024 pixels, and, of fastsr alone, of larger ones:
its memory beside the picture and the result should not grow. Each rival lives in a process of its own, and they take
turns. PSNR is that of Set5 x4 (protocol rgb8) with the weights of $FASTSR_DATA/weights/leftthomas-srgan-x4.pth.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch
from torch import Tensor

from benchmarks.harness import (
    COMPILED,
    COMPILED_BF16,
    EAGER,
    EAGER_BF16,
    OURS,
    OURS_FLOAT32,
    RIVALS,
    peak_bytes,
    processes,
    reset_peak_bytes,
)
from benchmarks.report import (
    command_parser,
    data_folder,
    publish,
)
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import find_protocol
from fastsr.data.stored_images import to_uint8
from fastsr.images import read
from fastsr.srgan.checkpoints import Checkpoint, load
from fastsr.srgan.inference import TiledUpscaler
from fastsr.srgan.networks import SRResNet, SRResNetConfig

FACTOR = 4
SIDES = {256: 5, 1024: 2}
"""Of the pictures, with the rounds that are timed."""
LARGER = (2048,)
MARKS = ("<!-- speed -->", "<!-- end of speed -->")

Enlarge = Callable[[Tensor], Tensor]
_device = torch.device("cpu")
_rival = EAGER
_enlarge: Enlarge


def prepare(rival: str, device: str, threads: int, cache: str) -> None:
    """Build a rival in this process, which does nothing else.

    What it compiles goes to a folder of its own in `cache`, which is empty: a user's first call pays a compilation.
    """
    global _device, _rival, _enlarge
    torch.set_num_threads(threads)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(cache, str(RIVALS.index(rival))))
    _device, _rival = torch.device(device), rival
    torch.manual_seed(0)
    network = SRResNet(SRResNetConfig()).eval().requires_grad_(False)
    _enlarge = make(Checkpoint(network, "fastsr", "unit", "unit", "the paper's SRResNet"))


def make(checkpoint: Checkpoint) -> Enlarge:
    """Return what enlarges a picture (1, 3, H, W) in [0, 1] in the way of this process's rival, on its device."""
    if _rival in (OURS, OURS_FLOAT32):
        enlarger = TiledUpscaler(checkpoint, _device, torch.float32 if _rival == OURS_FLOAT32 else torch.bfloat16)
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
        result = to_uint8(enlarge(read(case.lr).pixels))
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
    rows: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as cache,
        processes(rivals, prepare, device, torch.get_num_threads(), cache) as running,
    ):
        for side, rounds in sides.items():
            first = {rival: process.submit(time_once, side).result() for rival, process in running.items()}
            taken: dict[str, list[dict[str, float]]] = {rival: [] for rival in running}
            for _ in range(rounds):
                for rival, process in running.items():
                    taken[rival].append(process.submit(time_once, side).result())
            rows += [row(side, rival, first[rival], taken[rival]) for rival in running]
        for side in larger:
            rows.append(row(side, OURS, running[OURS].submit(time_once, side).result(), []))
        if data is not None:
            psnr = {rival: process.submit(score, data).result() for rival, process in running.items()}
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
        "| image | | seconds | range | speed-up | peak memory, MiB | result alone, MiB | first call, s | Set5 PSNR |",
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
    command_parser(__doc__).parse_args()
    rows = measure("cpu", data_folder() if "FASTSR_DATA" in os.environ else None, SIDES, LARGER)
    publish("srgan_speed", {"rows": rows}, {MARKS: table(rows)}, "measured/srgan.md")


if __name__ == "__main__":
    main()
