"""Super-resolve a picture that ships with scikit-image: ``make demo``."""

from __future__ import annotations

import time
from pathlib import Path

from PIL import Image
from skimage import data

import fastsr
from fastsr.sheets import side_by_side

FACTOR = 4
FACE = (96, 0, 352, 256)
FOLDER = Path("demo")


def main() -> None:
    """Write the low-resolution input, the result and a comparison to demo/, and print what was gained."""
    original = Image.fromarray(data.astronaut()).crop(FACE)
    small = fastsr.resize(original, 1 / FACTOR)
    bicubic = fastsr.resize(small, FACTOR)
    start = time.perf_counter()
    result = fastsr.dip(small, factor=FACTOR)
    seconds = time.perf_counter() - start

    scores = {
        title: fastsr.metrics.psnr(picture, original, channel="y", shave=FACTOR)
        for title, picture in (("bicubic", bicubic), ("fastsr.dip", result))
    }
    titles = [f"{title} {score:.2f} dB" for title, score in scores.items()]
    enlarged = small.resize(original.size, Image.Resampling.NEAREST)
    columns = zip(("input", *titles, "original"), (enlarged, bicubic, result, original), strict=True)
    FOLDER.mkdir(exist_ok=True)
    for name, picture in (("input", small), ("result", result), ("comparison", side_by_side(list(columns)))):
        fastsr.save(picture, FOLDER / f"{name}.png")

    print(f"x{FACTOR} of {small.width}x{small.height} in {seconds:.0f} s; PSNR on Y, {FACTOR} pixels shaved:")
    for title, score in scores.items():
        print(f"  {title:<10} {score:.2f} dB")
    print(f"Look at {FOLDER}/comparison.png")


if __name__ == "__main__":
    main()
