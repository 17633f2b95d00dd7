"""What PSNR does not say of the pictures of an evaluation: how much detail they have, and whether colours moved.

    python -m benchmarks.looks FOLDER    # of `fastsr evaluate`; writes looks.json in it

Detail is the mean size of the gradient over that of the reference: 1 where there is as much of it, be it the right
detail or not. Colour shift is how far the mean of the worst channel is from that of the reference, and from that of the
input enlarged by the bicubic kernel, of 255. NIQE is that of `fastsr.metrics.niqe`; it is left out where a picture is
too small for it. All are means over the pictures.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.report import save
from benchmarks.sr3_samplers import gradient
from fastsr.errors import InputError
from fastsr.evaluate.folder import BICUBIC, REFERENCE
from fastsr.images import load
from fastsr.niqe.model import PristineModel
from fastsr.niqe.model import load as load_model
from fastsr.niqe.score import niqe

LOOKS = "looks.json"


def measure(folder: Path, model: PristineModel) -> dict[str, float]:
    """Return the means over the pictures of an evaluation.

    Raises:
        InputError: there are none.
    """
    pictures = folder / "pictures"
    names = sorted(path.stem for path in (folder / "rows").glob("*.json"))
    if not names:
        raise InputError(f"folder {str(folder)!r} has no pictures of an evaluation; give one of fastsr evaluate")
    rows = []
    for name in names:
        made, enlarged, true = (load(pictures / f"{name}{kind}.png") for kind in ("", f"_{BICUBIC}", f"_{REFERENCE}"))
        row = {
            "detail": (gradient(made) / gradient(true)).item(),
            "shift_hr": shift(made, true),
            "shift_lr": shift(made, enlarged),
        }
        with suppress(InputError):  # too small
            row["niqe"] = float(niqe(made, model=model))  # type: ignore[arg-type]
        rows.append(row)
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: fmean(row[key] for row in rows) for key in shared}


def shift(made: Tensor, other: Tensor) -> float:
    """Return how far the mean colours of (C, H, W) in [0, 1] are apart in the worst channel, of 255."""
    return 255 * torch.stack([one.double().mean((1, 2)) for one in (made, other)]).diff(dim=0).abs().max().item()


def main() -> None:
    """Measure, and write it beside the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of an evaluation")
    folder = parser.parse_args().folder
    found = measure(folder, load_model())
    save(folder / LOOKS, found)
    print(", ".join(f"{key} {value:.3f}" for key, value in found.items()))


if __name__ == "__main__":
    main()
