"""Whether a generator makes up faces or repeats those that it was trained on: the nearest training picture of each.

    python -m benchmarks.nearest_faces WEIGHTS TRAIN_FOLDER UNSEEN_FOLDER [-o PNG]

writes benchmarks/results/nearest_faces.json and a sheet. All pictures are brought to the generator's resolution, and
training pictures are there mirrored as well, as they were in the training.

Two distances, each a root mean square. "picture" is of all colours, in levels of 255: a copy is near in it, background
and all. "face" is of the brightness of the middle, from the brows to the chin, where the faces of FFHQ's alignment have
these; it has mean 0 and deviation 1, so that it does not see light and colour: sqrt(2 - 2 r) of a correlation r.

What a distance means is told by two other sets. Pictures of UNSEEN_FOLDER, which the generator never saw, are as far
from the training pictures as people are from each other. Copies are training pictures made half as large and large
again, which is what remembering them roughly would give. Ratio is that of the distance to the nearest training picture
to that of the next one: near 1 for a new face, far below for a copy. Rows give the least value, the 5 % that are
nearest, and the median.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

import fastsr
from benchmarks.gallery_sources import enlarged
from benchmarks.pulse_faces import colours
from benchmarks.report import FORMAT, RESULTS, ROOT, environment, save
from fastsr.data.protocols import eight_bits
from fastsr.data.squares import middle
from fastsr.files import find_images
from fastsr.planes import luma
from fastsr.pulse.formats import load
from fastsr.pulse.network import StyleGAN
from fastsr.pulse.train_parts import drawn
from fastsr.sheets import in_columns

SAMPLES, PART = 512, 32
SHOWN, ENLARGED = 8, 2
"""Samples in a row of the sheet, of which there are two."""
BROWS, CHIN, LEFT, RIGHT = 0.34, 0.88, 0.25, 0.75
"""Where the face is, of the side."""
SHEET = ROOT / "docs" / "gallery" / "nearest_faces.png"


@dataclass(frozen=True, eq=False)
class Nearest:
    """For each of some pictures, in one distance, (N,).

    Attributes:
        distance: to the nearest training picture.
        ratio: of that to the distance of the next training picture; its own mirror image is none.
        index: of the nearest one; those behind the last are mirrored.
    """

    distance: Tensor
    ratio: Tensor
    index: Tensor


def whole(pictures: Tensor) -> Tensor:
    """Return what "picture" compares of uint8 (N, 3, S, S): (N, D), of which the root mean square counts."""
    return pictures.flatten(1).double()


def face(pictures: Tensor) -> Tensor:
    """Return what "face" compares, likewise."""
    side = pictures.shape[-1]
    top, bottom, left, right = (round(part * side) for part in (BROWS, CHIN, LEFT, RIGHT))
    grey = torch.cat([luma(one.double()) for one in pictures])[:, top:bottom, left:right].flatten(1)
    centred = grey - grey.mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt().clamp_min(1e-9)


DISTANCES = {"picture": whole, "face": face}


def nearest(pictures: Tensor, training: Tensor, kind: str) -> Nearest:
    """Return the nearest of `training` for each of `pictures`, all uint8 (N, 3, S, S), in a distance by name."""
    features = DISTANCES[kind]
    own = features(pictures)
    both = torch.stack([torch.cdist(own, features(known)) for known in (training, training.flip(-1))])
    distances, mirrored = (both / own.shape[1] ** 0.5).min(0)
    two, indices = distances.topk(2, largest=False)
    index = indices[:, 0]
    mirrored_too = mirrored.gather(1, index[:, None])[:, 0]
    return Nearest(two[:, 0], two[:, 0] / two[:, 1].clamp_min(1e-9), index + len(training) * mirrored_too)


def measure(samples: Tensor, unseen: Tensor, training: Tensor) -> tuple[list[dict[str, Any]], Mapping[str, Nearest]]:
    """Return a row for each set and distance, and the nearest of the samples in each distance."""
    half = fastsr.resize(training, 1 / 2)
    sets = {"made up": samples, "never seen": unseen, "copies": fastsr.resize(half, 2)}
    rows, found = [], {}
    for kind in DISTANCES:
        for name, pictures in sets.items():
            one = nearest(pictures, training, kind)
            if name == "made up":
                found[kind] = one
            rows.append(
                {
                    "distance": kind,
                    "pictures": name,
                    "count": len(pictures),
                    "least": one.distance.min().item(),
                    "near": one.distance.quantile(0.05).item(),
                    "median": one.distance.median().item(),
                    "least_ratio": one.ratio.min().item(),
                    "near_ratio": one.ratio.quantile(0.05).item(),
                    "median_ratio": one.ratio.median().item(),
                }
            )
    return rows, found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| distance | pictures | number | least | nearest 5 % | median | ratio: least | nearest 5 % | median |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        digits = 1 if row["distance"] == "picture" else 2
        values = " | ".join(f"{row[key]:.{digits}f}" for key in ("least", "near", "median"))
        ratios = " | ".join(f"{row[f'{key}_ratio']:.2f}" for key in ("least", "near", "median"))
        lines.append(f"| {row['distance']} | {row['pictures']} | {row['count']} | {values} | {ratios} |")
    return "\n".join(lines)


def sheet(samples: Tensor, training: Tensor, found: Nearest) -> Image.Image:
    """Return samples above their nearest training pictures: the first ones, and those that are nearest of all."""
    known = torch.cat([training, training.flip(-1)])
    closest = found.distance.argsort()[:SHOWN]
    columns: list[tuple[str, list[Tensor]]] = []
    for place in range(SHOWN):
        chosen = [torch.tensor(place), closest[place]]
        pictures = [one for index in chosen for one in (samples[index], known[found.index[index]])]
        title = " ".join(f"{found.distance[index]:.2f}" for index in chosen)
        columns.append((title, [enlarged(one, ENLARGED) for one in pictures]))
    return in_columns(columns)


def pictures_in(folder: Path, side: int) -> Tensor:
    """Return the middle squares of the pictures in a folder, uint8 (N, 3, side, side)."""
    return torch.stack([fastsr.resize(middle(colours(path)), size=(side, side)) for path in find_images([folder])])


def main() -> None:
    """Measure; the table is also in the model card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", help="of fastsr train stylegan")
    parser.add_argument("training", type=Path, help="the folder that the weights were trained on")
    parser.add_argument("unseen", type=Path, help="a folder of pictures of the same kind")
    parser.add_argument("-o", "--output", type=Path, default=SHEET, help="the sheet (default: %(default)s)")
    arguments = parser.parse_args()
    checkpoint = load(arguments.weights)
    network = checkpoint.network
    if not isinstance(network, StyleGAN):
        raise SystemExit(f"{arguments.weights} is not of fastsr train stylegan")
    made = torch.cat(list(drawn(network, SAMPLES, PART)))
    samples = torch.stack([eight_bits(one) for one in ((made + 1) / 2).clamp(0, 1)])
    training, unseen = (pictures_in(folder, network.resolution) for folder in (arguments.training, arguments.unseen))
    rows, found = measure(samples, unseen, training)
    print(table(rows))
    facts = {"weights": str(checkpoint), "training": len(training)}
    save(RESULTS / "nearest_faces.json", {"format": FORMAT, **environment(torch.device("cpu")), **facts, "rows": rows})
    fastsr.save(sheet(samples, training, found["face"]), arguments.output)


if __name__ == "__main__":
    main()
