"""Measure the detail and the colour shift of the images of an evaluation, which PSNR does not show.

    python -m benchmarks.sharpness FOLDER    # an evaluation of `fastsr evaluate`; writes sharpness.json there

Detail is the mean magnitude of the gradient over that of the reference: 1 means as much detail, whether or not it is
the right detail. Colour shift is the distance of the mean of the worst channel from that of the reference, and from
that of the bicubic upscale of the input, of 255. NIQE is that of `fastsr.metrics.niqe`, without images that are too
small for it. All are means over the images.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.report import command_parser, save
from benchmarks.sr3.samplers import gradient
from fastsr.errors import InputError
from fastsr.evaluate.folder import BICUBIC, REFERENCE
from fastsr.images import load
from fastsr.metrics.niqe_model import PristineModel
from fastsr.metrics.niqe_model import load as load_model
from fastsr.metrics.niqe_score import niqe

SHARPNESS = "sharpness.json"


def measure(folder: Path, model: PristineModel) -> dict[str, float]:
    """Return the means over the images of an evaluation.

    Raises:
        InputError: there are none.
    """
    pictures = folder / "pictures"
    names = sorted(path.stem for path in (folder / "rows").glob("*.json"))
    if not names:
        raise InputError(f"folder {str(folder)!r} has no images of an evaluation; give one of fastsr evaluate")
    rows = []
    for name in names:
        result, bicubic, reference = (
            load(pictures / f"{name}{kind}.png") for kind in ("", f"_{BICUBIC}", f"_{REFERENCE}")
        )
        row = {
            "detail": (gradient(result) / gradient(reference)).item(),
            "shift_hr": shift(result, reference),
            "shift_lr": shift(result, bicubic),
        }
        with suppress(InputError):  # too small
            row["niqe"] = float(niqe(result, model=model))  # type: ignore[arg-type]
        rows.append(row)
    shared = [key for key in rows[0] if all(key in row for row in rows)]
    return {key: fmean(row[key] for row in rows) for key in shared}


def shift(image: Tensor, other: Tensor) -> float:
    """Return how far the mean colours of (C, H, W) in [0, 1] are apart in the worst channel, of 255."""
    return 255 * torch.stack([one.double().mean((1, 2)) for one in (image, other)]).diff(dim=0).abs().max().item()


def main() -> None:
    """Measure, and write it beside the results."""
    parser = command_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder of an evaluation")
    folder = parser.parse_args().folder
    found = measure(folder, load_model())
    save(folder / SHARPNESS, found)
    print(", ".join(f"{key} {value:.3f}" for key, value in found.items()))


if __name__ == "__main__":
    main()
