"""PSNR and SSIM on luma and NIQE: how close packages come to published values, and how long they take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch

import fastsr
from fastsr import metrics
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import find_protocol
from fastsr.images import read

from .packages import load
from .turns import rivals, take_turns

FACTOR = 4
ROUNDS = 7
SECONDS = 30.0
PUBLISHED = {"psnr": 28.42, "ssim": 0.8104}
"""Of bicubic on Set5 x4: the means that papers on networks have printed since 2015, made with MATLAB."""
LIVE = {"image1.bmp": 5.0290, "image2.bmp": 17.8659}
"""NIQE of two pictures of the authors' release, in MATLAB."""
TIMED = "img_009"
"""Of Set14: the picture whose scores are timed."""

Compare = Callable[[Any, Any], float]


@dataclass(frozen=True)
class Scorer:
    """How a package scores.

    Attributes:
        about: which luma it takes.
        take: from uint8 (H, W, 3) to what it works on.
        psnr, ssim: of a result and the reference, without the `FACTOR` pixels at each edge; None where it has none.
        niqe: likewise, of one whole picture.
    """

    about: str
    take: Callable[[np.ndarray], Any]
    psnr: Compare | None = None
    ssim: Compare | None = None
    niqe: Callable[[Any], float] | None = None


def cut(picture: Any) -> Any:
    """Return an array (H, W) or (H, W, 3) without its edge."""
    return picture[FACTOR:-FACTOR, FACTOR:-FACTOR]


def tensor(picture: np.ndarray) -> torch.Tensor:
    """Return uint8 (H, W, 3) as float32 (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(picture).permute(2, 0, 1)[None].contiguous().float() / 255


def cut_tensor(x: torch.Tensor) -> torch.Tensor:
    """Return a tensor (..., H, W) without its edge."""
    return x[..., FACTOR:-FACTOR, FACTOR:-FACTOR]


def _fastsr(niqe_parameters: Path) -> Scorer:
    return Scorer(
        "BT.601, 16 to 235",
        lambda picture: picture,
        lambda a, b: float(metrics.psnr(a, b, shave=FACTOR)),  # type: ignore[arg-type]  # one picture, one float
        lambda a, b: float(metrics.ssim(a, b, shave=FACTOR)),  # type: ignore[arg-type]
        lambda a: float(metrics.niqe(a)),  # type: ignore[arg-type]
    )


def _basicsr(niqe_parameters: Path) -> Scorer:
    package = load("basicsr.metrics")
    options = {"crop_border": FACTOR, "test_y_channel": True}
    return Scorer(
        "BT.601, 16 to 235",
        lambda picture: np.ascontiguousarray(picture[..., ::-1]),
        lambda a, b: float(package.calculate_psnr(a, b, **options)),
        lambda a, b: float(package.calculate_ssim(a, b, **options)),
        lambda a: float(package.calculate_niqe(a, crop_border=0, convert_to="gray")),
    )


def _pyiqa(niqe_parameters: Path) -> Scorer:
    create = load("pyiqa").create_metric
    device = torch.device("cpu")
    psnr = create("psnry", device=device, crop_border=FACTOR)
    ssim = create("ssim", device=device, crop_border=FACTOR, color_space="ycbcr")
    niqe = create("niqe", device=device, pretrained_model_path=str(niqe_parameters))
    return Scorer(
        "its own, of 0 to 255; for SSIM BT.601, 16 to 235",
        tensor,
        lambda a, b: float(psnr(a, b)),
        lambda a, b: float(ssim(a, b)),
        lambda a: float(niqe(a)),
    )


def _piq(niqe_parameters: Path) -> Scorer:
    piq, luma = load("piq"), _skimage_luma()
    return Scorer(
        "scikit-image's, for PSNR its own, of 0 to 255",
        lambda picture: picture,
        lambda a, b: float(piq.psnr(*(cut_tensor(tensor(x)) for x in (a, b)), convert_to_greyscale=True)),
        lambda a, b: float(piq.ssim(*(luma(x) for x in (a, b)), data_range=255, downsample=False)),
    )


def _torchmetrics(niqe_parameters: Path) -> Scorer:
    functional, luma = load("torchmetrics.functional.image"), _skimage_luma()
    ssim = functional.structural_similarity_index_measure
    return Scorer(
        "scikit-image's",
        lambda picture: picture,
        lambda a, b: float(functional.peak_signal_noise_ratio(luma(a), luma(b), data_range=255.0)),
        lambda a, b: float(ssim(luma(a), luma(b), data_range=255.0)),
    )


def _skimage_luma() -> Callable[[np.ndarray], torch.Tensor]:
    """Return what makes luma (1, 1, H, W) from 16 to 235 of a picture, without its edge."""
    colours = load("skimage.color")
    return lambda picture: torch.from_numpy(cut(colours.rgb2ycbcr(picture)[..., 0]).astype(np.float32))[None, None]


def _skimage(gaussian: bool) -> Scorer:
    colours, package = load("skimage.color"), load("skimage.metrics")
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False} if gaussian else {}

    def luma(picture: np.ndarray) -> Any:
        return cut(colours.rgb2ycbcr(picture)[..., 0])

    return Scorer(
        "BT.601, 16 to 235",
        lambda picture: picture,
        lambda a, b: float(package.peak_signal_noise_ratio(luma(b), luma(a), data_range=255)),
        lambda a, b: float(package.structural_similarity(luma(a), luma(b), data_range=255, **options)),
    )


def _kornia(niqe_parameters: Path) -> Scorer:
    colour, package = load("kornia.color"), load("kornia.metrics")

    def luma(x: torch.Tensor) -> Any:
        return cut_tensor(colour.rgb_to_y(x))

    return Scorer(
        "its own, of 0 to 255",
        tensor,
        lambda a, b: float(package.psnr(luma(a), luma(b), 1.0)),
        lambda a, b: float(package.ssim(luma(a), luma(b), 11, padding="valid").mean()),
    )


def _opencv(niqe_parameters: Path) -> Scorer:
    cv2 = load("cv2")
    cv2.setNumThreads(torch.get_num_threads())

    def luma(picture: np.ndarray) -> Any:
        return cut(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)[..., 0])

    return Scorer("its own, of 0 to 255", lambda picture: picture, lambda a, b: float(cv2.PSNR(luma(a), luma(b))))


MAKERS: dict[str, Callable[[Path], Scorer]] = {
    "fastsr": _fastsr,
    "BasicSR": _basicsr,
    "pyiqa": _pyiqa,
    "piq": _piq,
    "torchmetrics": _torchmetrics,
    "scikit-image": lambda niqe_parameters: _skimage(False),
    "scikit-image, Gaussian window": lambda niqe_parameters: _skimage(True),
    "kornia": _kornia,
    "OpenCV": _opencv,
}


@dataclass(frozen=True)
class Maker:
    """Makes scorers, in their processes.

    Attributes:
        niqe_parameters: LIVE's file of them, for a package that would load its copy from the web.
    """

    niqe_parameters: Path

    def __call__(self, name: str) -> Scorer:
        """Return the scorer called `name`."""
        return MAKERS[name](self.niqe_parameters)


def set5_means(work: Scorer, folder: Path) -> dict[str, float | None]:
    """Return the means of PSNR and SSIM of bicubic over a benchmark, all of whose pictures are in colour."""
    pairs = []
    for sample in find_benchmark(folder, FACTOR).samples:
        case = find_protocol("rgb8").prepare(sample, FACTOR)
        large = fastsr.resize(case.lr, FACTOR)
        pairs.append([work.take(x.permute(1, 2, 0).contiguous().numpy()) for x in (large, case.hr)])
    return {
        name: None if compare is None else fmean(compare(*pair) for pair in pairs)
        for name, compare in (("psnr", work.psnr), ("ssim", work.ssim))
    }


def niqe_values(work: Scorer, folder: Path) -> dict[str, float | None]:
    """Return NIQE of the pictures in `folder` that MATLAB's values are known of."""
    if work.niqe is None:
        return dict.fromkeys(LIVE)
    return {name: work.niqe(work.take(_colours(folder / name))) for name in LIVE}


def has(work: Scorer, metric: str) -> bool:
    """Return whether there is such a metric."""
    return getattr(work, metric) is not None


def ready(work: Scorer, metric: str, path: Path) -> Callable[[], float]:
    """Return the call that compares the picture in a file with itself made small and large again, or scores it."""
    picture = _colours(path)
    if metric == "niqe":
        assert work.niqe is not None
        niqe, one = work.niqe, work.take(picture)
        return lambda: niqe(one)
    compare: Compare = getattr(work, metric)
    height, width = picture.shape[:2]
    small = fastsr.resize(picture, size=(height // FACTOR, width // FACTOR))
    pair = [work.take(x) for x in (fastsr.resize(small, size=(height, width)), picture)]
    return lambda: compare(*pair)


def measure(
    data: Path, names: tuple[str, ...] = tuple(MAKERS), rounds: int = ROUNDS, seconds: float = SECONDS
) -> dict[str, Any]:
    """Score Set5 and the two pictures of LIVE, and time the scores of one picture; return a row for each rival.

    Args:
        data: the folder that holds Set5, Set14 and LIVE's files.
        names: of `MAKERS`.
        rounds, seconds: see `turns.take_turns`.
    """
    path = data / "Set14" / f"image_SRF_{FACTOR}" / f"{TIMED}_SRF_{FACTOR}_HR.png"
    niqe = data / "niqe"
    with rivals(Maker(niqe / "modelparameters.mat"), names) as (found, failures):
        rows: dict[str, dict[str, Any]] = {}
        for name, rival in found.items():
            values = {**rival.ask(set5_means, data / "Set5"), "niqe": rival.ask(niqe_values, niqe)}
            rows[name] = {"rival": name, "about": rival.ask(_about), **values, "costs": {}}
        for metric in ("psnr", "ssim", "niqe"):
            able = {name: rival for name, rival in found.items() if rival.ask(has, metric)}
            for name, costs in take_turns(able, ready, metric, path, rounds=rounds, seconds=seconds).items():
                rows[name]["costs"][metric] = costs
    return {"rows": list(rows.values()), "failures": failures}


def _about(work: Scorer) -> str:
    return work.about


def _colours(path: Path) -> np.ndarray:
    pixels = read(path).pixels[0].expand(3, -1, -1)
    return (pixels.permute(1, 2, 0) * 255).round().to(torch.uint8).contiguous().numpy()
