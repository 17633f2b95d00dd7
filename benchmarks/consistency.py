"""What it is worth that a result agrees with its input.

    FASTSR_DATA=... python -m benchmarks.consistency  # writes benchmarks/results/consistency.json, docs/consistency.md

Set5 and Set14 x4, by bicubic and by SRGAN with the weights of $FASTSR_DATA/weights/leftthomas-srgan-x4.pth in float32,
each as it is and made to agree; then SRGAN for inputs of Set5 that were not made by the kernel with which the results
agree, or not by it alone. PSNR is by the protocol rgb8.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import fastsr
from benchmarks.report import FORMAT, RESULTS, ROOT, data_folder, environment, save, write_between_marks
from fastsr.consistency import agree
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import Case, eight_bits, find_protocol
from fastsr.imresize import imresize
from fastsr.srgan.formats import load
from fastsr.srgan.inference import Enlarger

FACTOR = 4
WEIGHTS = "leftthomas-srgan-x4.pth"
PROTOCOL = find_protocol("rgb8")
AGREEMENT_MARKS = ("<!-- agreement -->", "<!-- end of agreement -->")
INPUTS_MARKS = ("<!-- inputs -->", "<!-- end of inputs -->")

Enlarge = Callable[[Tensor], Tensor]
"""From (1, C, h, w) to (1, C, H, W), both in [0, 1]."""


def both(enlarge: Enlarge, lr: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `enlarge` makes of `lr`, as it is and made to agree; all are uint8 (C, height, width)."""
    pixels = lr[None].float() / 255
    large = enlarge(pixels)
    return eight_bits(large[0]), eight_bits(agree(large, pixels)[0])


def disagreement(result: Tensor, lr: Tensor) -> dict[str, float]:
    """Return by how much the downscale of an 8-bit result, which nothing rounds between its passes, is not `lr`.

    In levels, the most of a pixel and of the mean of a colour; and the percentage of pixels that differ in 8 bits.
    """
    again = imresize(result.double(), size=lr.shape[-2:])
    off = again - lr
    differ = (again.add(0.5).floor().clamp(0, 255) != lr).any(0)
    return {
        "off": off.abs().max().item(),
        "shift": off.mean((1, 2)).abs().max().item(),
        "percent": 100 * differ.double().mean().item(),
    }


def psnr(result: Tensor, case: Case) -> float:
    """Return the PSNR on Y."""
    return PROTOCOL.score(result, case, FACTOR).psnr_y


def agreement_rows(name: str, method: str, enlarge: Enlarge, cases: Iterable[Case]) -> list[dict[str, Any]]:
    """Return the rows of a method on a set, as it is and made to agree; off and shift are of the worst picture."""
    pairs = [(case, both(enlarge, case.lr)) for case in cases]
    rows = []
    for index, what in enumerate((method, "made to agree")):
        found = [disagreement(results[index], case.lr) for case, results in pairs]
        score = fmean(psnr(results[index], case) for case, results in pairs)
        off, shift = (max(one[key] for one in found) for key in ("off", "shift"))
        percent = fmean(one["percent"] for one in found)
        rows.append({"set": name, "what": what, "psnr_y": score, "off": off, "shift": shift, "percent": percent})
    return rows


def inputs(case: Case) -> dict[str, Tensor]:
    """Return the input of a case and others of its size, uint8 (3, h, w). JPEG is as Pillow writes it by default."""

    def jpeg(quality: int) -> Tensor:
        file = io.BytesIO()
        _pil(case.lr).save(file, "JPEG", quality=quality)
        return eight_bits(Image.open(file))

    def noisy(levels: float) -> Tensor:
        noise = torch.randn(case.lr.shape, generator=torch.Generator().manual_seed(0))
        return (case.lr + levels * noise).round().clamp(0, 255).to(torch.uint8)

    def pillow(kernel: Image.Resampling) -> Tensor:
        return eight_bits(_pil(case.hr).resize((case.lr.shape[-1], case.lr.shape[-2]), kernel))

    return {
        "MATLAB's bicubic": case.lr,
        "then JPEG of quality 95": jpeg(95),
        "then JPEG of quality 75": jpeg(75),
        "then noise of 2 levels": noisy(2),
        "then noise of 5 levels": noisy(5),
        "Pillow's Lanczos": pillow(Image.Resampling.LANCZOS),
        "Pillow's box": pillow(Image.Resampling.BOX),
    }


def input_rows(enlarge: Enlarge, cases: Iterable[Case]) -> list[dict[str, Any]]:
    """Return a row for each kind of input, with the means of PSNR as it is and made to agree."""
    scores: dict[str, list[list[float]]] = {}
    for case in cases:
        for name, lr in inputs(case).items():
            scores.setdefault(name, []).append([psnr(result, case) for result in both(enlarge, lr)])
    means = {name: [fmean(column) for column in zip(*pairs, strict=True)] for name, pairs in scores.items()}
    return [{"input": name, "psnr_y": plain, "psnr_y_agreed": agreed} for name, (plain, agreed) in means.items()]


def agreement_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of `agreement_rows` as a Markdown table."""
    lines = ["| | | PSNR | off | shift | pixels that differ in 8 bits |", "|---|---|---|---|---|---|"]
    for row in rows:
        percent = f"{row['percent']:.1f} %" if row["percent"] else "none"
        figures = f"{row['psnr_y']:.2f} | {row['off']:.2f} | {row['shift']:.3f} | {percent}"
        lines.append(f"| {row['set']} | {row['what']} | {figures} |")
    return "\n".join(lines)


def input_table(rows: list[dict[str, Any]]) -> str:
    """Return the rows of `input_rows` as a Markdown table."""
    lines = [f"| {row['input']} | {row['psnr_y']:.2f} | {row['psnr_y_agreed']:.2f} |" for row in rows]
    return "\n".join(["| input | SRGAN | made to agree |", "|---|---|---|", *lines])


def main() -> None:
    """Measure; the tables go to docs/consistency.md too."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    data = data_folder()
    cases = {name: _cases(data / name) for name in ("Set5", "Set14")}
    srgan = Enlarger(load(data / "weights" / WEIGHTS), torch.device("cpu"), torch.float32)
    methods: dict[str, Enlarge] = {"bicubic": lambda pixels: fastsr.resize(pixels, FACTOR), "SRGAN": srgan}
    rows = [
        row
        for name, some in cases.items()
        for method, enlarge in methods.items()
        for row in agreement_rows(name, method, enlarge, some)
    ]
    kinds = input_rows(srgan, cases["Set5"])
    parts = {AGREEMENT_MARKS: agreement_table(rows), INPUTS_MARKS: input_table(kinds)}
    print("\n\n".join(parts.values()))
    facts = {"weights": WEIGHTS, "rows": rows, "inputs": kinds}
    save(RESULTS / "consistency.json", {"format": FORMAT, **environment(torch.device("cpu")), **facts})
    for marks, text in parts.items():
        write_between_marks(ROOT / "docs" / "consistency.md", marks, text)


def _cases(folder: Path) -> list[Case]:
    return [PROTOCOL.prepare(sample, FACTOR) for sample in find_benchmark(folder, FACTOR).samples]


def _pil(picture: Tensor) -> Image.Image:
    return Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy())


if __name__ == "__main__":
    main()
