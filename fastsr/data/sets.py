"""Where data sets come from: addresses, checksums, terms. What each is, is told in docs/datasets.md."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..archives import Pick
from ..checksums import Checksum, split_hash
from ..errors import InputError
from . import self_ex_sr

DIV2K = "https://data.vision.ee.ethz.ch/cvl/DIV2K/"
BSDS500 = "https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/BSR/BSR_bsds500.tgz"
URBAN100 = (
    "https://huggingface.co/datasets/eugenesiow/Urban100/resolve/"
    "57309de03db02ac12ee09ad6127e7b815c211328/data/Urban100_HR.tar.gz"
)


@dataclass(frozen=True)
class Download:
    """A file on the web.

    Attributes:
        address: https://...
        checksum: what it is known by.
        size: in bytes, to be told before the download.
        path: for a picture, where it goes in the data set.
        picks: for an archive, which pictures are taken from it.
    """

    address: str
    checksum: Checksum
    size: int
    path: str = ""
    picks: tuple[Pick, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """A data set that can be downloaded.

    Attributes:
        name: also that of its folder.
        pictures: how many references it has.
        downloads: what it is made of.
        terms: under which it may be used, as far as its authors say.
        paper: where it was published.
        origin: who published the checksums.
        training: whether it is for training, not for `fastsr evaluate`.
    """

    name: str
    pictures: int
    downloads: tuple[Download, ...]
    terms: str
    paper: str
    origin: str
    training: bool = False

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(download.size for download in self.downloads)


def find_set(name: str) -> DataSet:
    """Return the data set called `name`, in capitals or not.

    "Urban100#sha256=..." is the set with a checksum of the caller's, where it is one download.

    Raises:
        InputError: there is none of this name, the hash is none, or the set is more than one download.
    """
    wanted, checksum = split_hash(name, f"data set {name!r}")
    entry = next((entry for entry in SETS if entry.name.lower() == wanted.lower()), None)
    if entry is None:
        raise InputError(f"data set {wanted!r} is not known; there are {', '.join(entry.name for entry in SETS)}")
    if checksum is None:
        return entry
    if len(entry.downloads) > 1:
        raise InputError(f"data set {name!r} is {len(entry.downloads)} downloads, and no hash fits all; leave it out")
    return replace(entry, downloads=(replace(entry.downloads[0], checksum=checksum),))


def _sha256(digits: str) -> Checksum:
    return Checksum("sha256", digits)


def _self_ex_sr(name: str) -> tuple[Download, ...]:
    rows = (line.split() for line in self_ex_sr.FILES.splitlines())
    return tuple(
        Download(self_ex_sr.FOLDER + path, _sha256(digits), int(size), path.removeprefix(f"{name}/"))
        for digits, size, path in rows
        if path.startswith(f"{name}/")
    )


def _div2k(archive: str, digits: str, size: int, folder: str, count: int) -> Download:
    return Download(f"{DIV2K}{archive}.zip", _sha256(digits), size, picks=(Pick(folder, folder, count),))


def _bsds500(*picks: Pick) -> Download:
    digits = "97e49d31764f3912f0c4122707d53062ac9e783ba0f095e447a4d53c1a41af8e"
    return Download(BSDS500, _sha256(digits), 70_763_455, picks=picks)


BSDS500_TERMS = "non-commercial research and education"
DIV2K_TERMS = "academic research only; the pictures belong to their owners"
DIV2K_PAPER = "Agustsson, Timofte: NTIRE 2017 challenge on single image super-resolution, CVPRW 2017"

SETS = (
    DataSet(
        name="Set5",
        pictures=5,
        downloads=_self_ex_sr("Set5"),
        terms="no licence given; used in research",
        paper="Bevilacqua et al.: Low-complexity single-image super-resolution, BMVC 2012",
        origin="computed from a copy of the files",
    ),
    DataSet(
        name="Set14",
        pictures=14,
        downloads=_self_ex_sr("Set14"),
        terms="no licence given; used in research",
        paper="Zeyde, Elad, Protter: On single image scale-up using sparse-representations, 2010",
        origin="computed from a copy of the files",
    ),
    DataSet(
        name="B100",
        pictures=100,
        downloads=(_bsds500(Pick("BSDS500/data/images/val", "", 100)),),
        terms=BSDS500_TERMS,
        paper="Martin et al.: A database of human segmented natural images, ICCV 2001",
        origin="recorded by several projects that use the archive",
    ),
    DataSet(
        name="Urban100",
        pictures=100,
        downloads=(
            Download(
                URBAN100,
                Checksum("md5", "65d9d84a34b72c6f7ca1e26a12df1e4c"),
                135_000_000,  # as its server tells it, in MB
                picks=(Pick("Urban100_HR", "", 100),),
            ),
        ),
        terms="CC BY 4.0, says the data set's card",
        paper="Huang, Singh, Ahuja: Single image super-resolution from transformed self-exemplars, CVPR 2015",
        origin="an MD5, published by DeepInverse",
    ),
    DataSet(
        name="DIV2K-val",
        pictures=100,
        downloads=(
            _div2k(
                "DIV2K_valid_HR",
                "20dd31fd84d777bc1cf5d6b7654a3f569c0aec74458ae094122ad1d0489900fc",
                448_993_893,
                "DIV2K_valid_HR",
                100,
            ),
            _div2k(
                "DIV2K_valid_LR_bicubic_X2",
                "60eed9875c697df51204aa579e2a699e1d5215095788a097ff54dd17e2664d57",
                117_763_600,
                "DIV2K_valid_LR_bicubic/X2",
                100,
            ),
            _div2k(
                "DIV2K_valid_LR_bicubic_X3",
                "04b9a2ed3b4a0715d3924d3ae8514830c3328fac8d30512ce716d6f419e052a3",
                54_513_392,
                "DIV2K_valid_LR_bicubic/X3",
                100,
            ),
            _div2k(
                "DIV2K_valid_LR_bicubic_X4",
                "a50a5d1c4b88de4e8d300d8fb2b904c52fe93b2b298a4899697760d7cbb6d553",
                31_505_881,
                "DIV2K_valid_LR_bicubic/X4",
                100,
            ),
        ),
        terms=DIV2K_TERMS,
        paper=DIV2K_PAPER,
        origin="published by TensorFlow Datasets",
    ),
    DataSet(
        name="DIV2K-train",
        pictures=800,
        downloads=(
            _div2k(
                "DIV2K_train_HR",
                "9d0b9c463f6e35b6c62cc6a930ee2224f670b34c1df841a57670f9acf0f6c335",
                3_530_603_713,
                "DIV2K_train_HR",
                800,
            ),
        ),
        terms=DIV2K_TERMS,
        paper=DIV2K_PAPER,
        origin="published by TensorFlow Datasets",
        training=True,
    ),
    DataSet(
        name="BSDS500",
        pictures=400,
        downloads=(
            _bsds500(Pick("BSDS500/data/images/train", "train", 200), Pick("BSDS500/data/images/test", "test", 200)),
        ),
        terms=BSDS500_TERMS,
        paper="Arbelaez et al.: Contour detection and hierarchical image segmentation, TPAMI 2011",
        origin="recorded by several projects that use the archive",
        training=True,
    ),
)
