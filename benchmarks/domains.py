"""How many pictures are warned of: faces that weights were not trained on, such faces changed, and other pictures.

    FASTSR_DATA=... python -m benchmarks.domains --weights FILE --faces DIR --others DIR...

writes benchmarks/results/domains.json and the table of docs/measured/sr3.md.

FILE says what it was trained on, as one by `benchmarks.bundle --domain` does. DIR are folders in FASTSR_DATA. Faces are
square. Of other pictures the
middle square is judged, and two squares cut out at random, of 64 pixels a side or more.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.bundle import kind_of, pictures_of
from benchmarks.report import FORMAT, RESULTS, ROOT, data_folder, environment, save, write_between_marks
from fastsr.checkpoints.sources import locate
from fastsr.data.squares import middle
from fastsr.domain import Domain

CROPS, SMALLEST = 2, 64
LUMA = (0.299, 0.587, 0.114)
MARKS = ("<!-- domains -->", "<!-- end of domains -->")


def moved(picture: Tensor, down: float, right: float) -> Tensor:
    """Move a picture (3, H, W) by parts of its side; what comes in is mirrored."""
    side = picture.shape[-1]
    low, wide = round(down * side), round(right * side)
    return F.pad(picture[None], (wide, 0, low, 0), mode="reflect")[0, :, :side, :side]


def inner(picture: Tensor, part: float) -> Tensor:
    """Return the middle of a picture (3, H, W), with so large a part of its sides."""
    side = picture.shape[-1]
    edge = round(side * (1 - part) / 2)
    return picture[:, edge : side - edge, edge : side - edge]


def wider(picture: Tensor, part: float) -> Tensor:
    """Return a picture (3, H, W) with a mirrored frame, as wide as a part of its side."""
    frame = round(picture.shape[-1] * part)
    return F.pad(picture[None], (frame,) * 4, mode="reflect")[0]


def grey(picture: Tensor) -> Tensor:
    """Return a picture (3, H, W) in grey, (1, H, W)."""
    return (torch.tensor(LUMA)[:, None, None] * picture).sum(0, keepdim=True).clamp(0, 1)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "faces, not trained on": lambda picture: picture,
    "mirrored left to right": lambda picture: picture.flip(-1),
    "half as bright": lambda picture: picture / 2,
    "in grey": grey,
    "moved right by 1/16": lambda picture: moved(picture, 0, 1 / 16),
    "moved right by 1/8": lambda picture: moved(picture, 0, 1 / 8),
    "moved down by 1/16": lambda picture: moved(picture, 1 / 16, 0),
    "moved down by 1/8": lambda picture: moved(picture, 1 / 8, 0),
    "the middle 0.9 of the side": lambda picture: inner(picture, 0.9),
    "the middle 0.8": lambda picture: inner(picture, 0.8),
    "the middle 0.7": lambda picture: inner(picture, 0.7),
    "with a frame of 0.1 of the side": lambda picture: wider(picture, 0.1),
    "with a frame of 0.25": lambda picture: wider(picture, 0.25),
    "a quarter turn": lambda picture: picture.rot90(1, (1, 2)),
    "upside down": lambda picture: picture.flip(-2),
    "negative": lambda picture: 1 - picture,
}


def crops(picture: Tensor, random: torch.Generator) -> list[Tensor]:
    """Return squares out of a picture (3, H, W)."""
    found = []
    for _ in range(CROPS):
        side = _drawn(SMALLEST, min(picture.shape[1:]), random)
        top, left = (_drawn(0, whole - side, random) for whole in picture.shape[1:])
        found.append(picture[:, top : top + side, left : left + side])
    return found


def _drawn(low: int, high: int, random: torch.Generator) -> int:
    return int(torch.randint(low, high + 1, (), generator=random))


def row(what: str, pictures: Sequence[Tensor], domain: Domain) -> dict[str, Any]:
    """Return how many of the pictures are warned of."""
    return {
        "what": what,
        "warned": sum(domain.outside(picture[None]) for picture in pictures),
        "pictures": len(pictures),
    }


def measure(domain: Domain, faces: Sequence[Tensor], others: dict[str, Sequence[Tensor]]) -> list[dict[str, Any]]:
    """Return a row for each change of the faces, and two for the pictures of each name, all (3, H, W) in [0, 1]."""
    rows = [row(what, [change(face) for face in faces], domain) for what, change in CHANGES.items()]
    random = torch.Generator().manual_seed(0)
    for name, pictures in others.items():
        rows.append(row(f"{name}, middle squares", [middle(picture) for picture in pictures], domain))
        cut = [one for picture in pictures for one in crops(picture, random)]
        rows.append(row(f"{name}, random squares", cut, domain))
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| pictures | warned of |", "|---|---|"]
    return "\n".join(lines + [f"| {row['what']} | {row['warned']} of {row['pictures']} |" for row in rows])


def main() -> None:
    """Measure; the table goes to docs/measured/sr3.md too."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="of SR3 or a StyleGAN, with a domain")
    parser.add_argument("--faces", required=True, metavar="DIR", help="pictures of faces that it was not trained on")
    parser.add_argument("--others", required=True, metavar="DIR", nargs="+", help="pictures of other kinds")
    given = parser.parse_args()
    domain = kind_of(given.weights).load(locate(given.weights)).domain
    if domain is None:
        raise SystemExit(f"{given.weights} does not say what it was trained on")
    others: dict[str, Sequence[Tensor]] = {one: pictures_of(data_folder() / one) for one in given.others}
    rows = measure(domain, pictures_of(data_folder() / given.faces), others)
    print(table(rows))
    save(RESULTS / "domains.json", {"format": FORMAT, **environment(torch.device("cpu")), "rows": rows})
    write_between_marks(ROOT / "docs" / "measured" / "sr3.md", MARKS, table(rows))


if __name__ == "__main__":
    main()
