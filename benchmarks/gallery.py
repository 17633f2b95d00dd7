"""Make the pictures of docs/gallery: what each method makes of pictures that no weights were trained on.

    FASTSR_DATA=... python -m benchmarks.gallery [NAME...]    # such as srgan; without a name, all

FASTSR_DATA is the folder that holds faces/val; dip and dip_repairs need none.

Small pictures are made by MATLAB's bicubic imresize. Titles give the mean PSNR of Y (protocol rgb8, nothing shaved) of
a column.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

import fastsr
from benchmarks.gallery_sources import ASTRONAUT, CAT, PHOTOS, SIDE, enlarged, faces, small_faces
from benchmarks.report import ROOT
from benchmarks.scores import psnr
from fastsr.sheets import in_columns
from fastsr.sr3.process import Process

FOLDER = ROOT / "docs" / "gallery"
FACES = 4
SAMPLES = 8
SEEDS = 3
SIGMA = 25
STEPS_SHOWN = 8
ENLARGED = 2
"""How much larger faces of 64x64 are shown; no pixel is blurred by that."""


def srgan() -> Image.Image:
    """Return photos and a face at x4: SRResNet beside SRGAN."""
    return _enlarged_photos(4, "srresnet-x4", "srgan-x4")


def srresnet_x2() -> Image.Image:
    """Return the same at x2."""
    return _enlarged_photos(2, "srresnet-x2")


def sr3_faces() -> Image.Image:
    """Return three samples of faces, and the mean of eight."""
    high = small_faces(FACES)
    low = [fastsr.resize(face, 1 / 8) for face in high]
    several = [fastsr.sr3(face, weights="sr3-faces-x8", samples=SAMPLES, progress=False) for face in low]
    made = {f"sample {index + 1}": [one[index] for one in several] for index in range(SEEDS)}
    return _beside_bicubic(high, low, {**made, f"mean of {SAMPLES}": [one.mean for one in several]})


def sr3_process() -> Image.Image:
    """Return how a sample comes about; the animation is written beside it."""
    (face,) = small_faces(1)
    process = Process()
    fastsr.sr3(fastsr.resize(face, 1 / 8), weights="sr3-faces-x8", callback=process, progress=False)
    process.animation(FOLDER / "sr3_process.gif")
    last = len(process.frames) - 1
    chosen = [process.frames[place * last // (STEPS_SHOWN - 1)] for place in range(STEPS_SHOWN)]
    return in_columns([(f"noise {frame.noise:.2f}", [_doubled(frame.noisy), _doubled(frame.seen)]) for frame in chosen])


def pulse_faces() -> Image.Image:
    """Return what PULSE finds from three seeds."""
    high = small_faces(FACES)
    low = [fastsr.resize(face, 1 / 8) for face in high]
    made = {f"seed {seed}": fastsr.pulse(low, weights="faces-64", seed=seed, progress=False) for seed in range(SEEDS)}
    return _beside_bicubic(high, low, made)


def dip() -> Image.Image:
    """Return photos enlarged by networks that saw nothing but the small picture."""
    high = [photo.read() for photo in (ASTRONAUT, CAT)]
    low = [fastsr.resize(one, 1 / 4) for one in high]
    return in_columns(_columns(high, low, {"fastsr.dip": fastsr.dip(low, factor=4, progress=False)}))


def dip_repairs() -> Image.Image:
    """Return a picture without noise, and one without text, likewise."""
    astronaut, cat = ASTRONAUT.read(), CAT.read()
    noise = torch.randn(cat.shape, generator=torch.Generator().manual_seed(0))
    noisy = (cat + SIGMA * noise).round().clamp(0, 255).byte()
    mask = _text()
    covered = torch.where(mask > 0, mask, astronaut)
    made = [
        fastsr.dip(noisy, task="denoise", sigma=SIGMA, progress=False),
        fastsr.dip(covered, task="inpaint", mask=mask, progress=False),
    ]
    shown, high = {"input": [noisy, covered], "fastsr.dip": made}, [cat, astronaut]
    columns = [(f"{title} {_mean_psnr(column, high):.1f} dB", column) for title, column in shown.items()]
    return in_columns([*columns, ("original", high)])


PICTURES: dict[str, tuple[str, Callable[[], Image.Image]]] = {
    "srgan": ("srgan.jpg", srgan),
    "srresnet_x2": ("srresnet_x2.jpg", srresnet_x2),
    "sr3_faces": ("sr3_faces.png", sr3_faces),
    "sr3_process": ("sr3_process.png", sr3_process),
    "pulse_faces": ("pulse_faces.png", pulse_faces),
    "dip": ("dip.jpg", dip),
    "dip_repairs": ("dip_repairs.jpg", dip_repairs),
}
"""For each name the file and what makes it; photos are JPEG, of the highest quality that `fastsr.save` has."""


def _enlarged_photos(factor: int, *names: str) -> Image.Image:
    """Return photos and a face beside what weights by name make of them."""
    (face,) = faces(1)
    edge = (face.shape[-1] - SIDE) // 2
    high = [*(photo.read() for photo in PHOTOS), face[:, edge : edge + SIDE, edge : edge + SIDE]]
    low = [fastsr.resize(one, 1 / factor) for one in high]
    made = {name: fastsr.srgan(low, factor, weights=name, progress=False) for name in names}
    return in_columns(_columns(high, low, made))


def _beside_bicubic(high: Sequence[Tensor], low: Sequence[Tensor], made: dict[str, Sequence[Tensor]]) -> Image.Image:
    """Return small faces, `_columns` of them enlarged for the eye."""
    columns = _columns(high, low, made)
    return in_columns([(title, [enlarged(one, ENLARGED) for one in column]) for title, column in columns])


def _columns(
    high: Sequence[Tensor], low: Sequence[Tensor], made: dict[str, Sequence[Tensor]]
) -> list[tuple[str, Sequence[Tensor]]]:
    """Return input, bicubic, results and originals under titles."""
    factor = high[0].shape[-1] // low[0].shape[-1]
    results = {"bicubic": [fastsr.resize(one, factor) for one in low], **made}
    return [
        ("input", [enlarged(one, factor) for one in low]),
        *((f"{title} {_mean_psnr(column, high):.1f} dB", column) for title, column in results.items()),
        ("original", high),
    ]


def _mean_psnr(made: Sequence[Tensor], high: Sequence[Tensor]) -> float:
    return fmean(psnr(one, true) for one, true in zip(made, high, strict=True))


def _doubled(picture: Image.Image) -> Image.Image:
    return picture.resize((ENLARGED * picture.width, ENLARGED * picture.height), Image.Resampling.NEAREST)


def _text() -> Tensor:
    """Return a mask of letters, uint8 (1, SIDE, SIDE), 255 where they are."""
    page = Image.new("L", (SIDE, SIDE))
    draw = ImageDraw.Draw(page)
    for line, top in enumerate(range(4, SIDE, 24)):
        draw.text((4 - 6 * line, top), "Deep Image Prior fills in letters", fill=255, font=ImageFont.load_default(18))
    return torch.frombuffer(bytearray(page.tobytes()), dtype=torch.uint8).view(1, SIDE, SIDE).gt(127).byte() * 255


def main() -> None:
    """Make those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args().names or list(PICTURES)
    unknown = [name for name in names if name not in PICTURES]
    if unknown:
        parser.error(f"{', '.join(unknown)} is not in the gallery, which has {', '.join(PICTURES)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names:
        file, make = PICTURES[name]
        fastsr.save(make(), FOLDER / file)
        print(f"{_shown(FOLDER / file)}: {(FOLDER / file).stat().st_size / 1024:.0f} KiB", flush=True)


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    main()
