"""The pristine model that NIQE compares images with: mean and covariance of the features of good photographs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..checkpoints.layouts import read_metadata, unknown_error, write_fastsr
from ..checkpoints.reading import Contents
from ..checks import input_error, spell
from ..errors import InputError, InputTypeError, MissingFileError
from ..images import read
from ..io.downloads import Checksum, cache_folder, difference, fetch_needed
from ..io.files import atomic_write, exists
from ..runtime.progress import progress_bar
from .color import grey8, levels8, size_of
from .niqe_features import BLOCK, FEATURES, count_blocks, measure

ARCHITECTURE = "NIQE"
"""The name of the architecture in the metadata of a model's file."""
LIVE = "LIVE"
"""The name of the model of NIQE's authors, of the Laboratory for Image and Video Engineering."""
ADDRESS = "https://raw.githubusercontent.com/utlive/niqe/HEAD/modelparameters.mat"
CHECKSUM = Checksum("sha256", "fa2aa4d12dd9595c3fb6bf8b4e1a15c79d5d1469238d0901c88dead195be578d")
FILE = Path("niqe", "modelparameters.mat")
"""The path of LIVE's model in FASTSR_DATA and in the cache."""
NOTICE = "NOTICE.txt"
"""The name of the file with LIVE's notice, beside the model in the cache."""
MATLAB_MEAN, MATLAB_COVARIANCE = "mu_prisparam", "cov_prisparam"
"""The names of mean and covariance in the .mat file of the authors' code."""
LEAST_BLOCKS = 2
"""One block has no covariance."""
SHARP = 0.75
"""A model is fitted on the blocks sharper than this times the sharpness of the image's sharpest block."""


@dataclass(frozen=True, eq=False)
class PristineModel:
    """A multivariate Gaussian fitted to the features of the sharp blocks of good photographs.

    Attributes:
        mean: (36,) float64.
        covariance: (36, 36) float64.
        name: "LIVE" for the model of NIQE's authors, whose scores are called NIQE; else the name of the file.
        fitted_on: the images that it was fitted on, as text.
    """

    mean: Tensor
    covariance: Tensor
    name: str
    fitted_on: str

    def __str__(self) -> str:
        return f"{self.name}, fitted on {self.fitted_on}"

    def distance(self, features: Tensor) -> float:
        """Return the distance of the Gaussian of `features`, (n, 36) with one row per block, from the model.

        It is sqrt(d^T ((S_model + S) / 2)^+ d), where d is the difference of the means and S the covariance.

        Raises:
            InputError: fewer than two blocks have all features, so there is no covariance.
        """
        mean, covariance, complete = gaussian(features.double().cpu())
        if complete < LEAST_BLOCKS:
            raise InputError(
                f"NIQE needs at least {LEAST_BLOCKS} blocks of {BLOCK}x{BLOCK} pixels that are not flat; "
                f"of {len(features)} there are {complete}"
            )
        difference = self.mean - mean
        inverse = torch.linalg.pinv((self.covariance + covariance) / 2)
        return float((difference @ inverse @ difference).sqrt())


def gaussian(features: Tensor) -> tuple[Tensor, Tensor, int]:
    """Return the mean (36,) and covariance (36, 36) of features (n, 36), and the number of rows without NaN.

    The mean ignores NaN, and the covariance ignores rows with NaN, as MATLAB's nanmean and nancov do. With fewer than
    two complete rows the covariance is meaningless.
    """
    complete = features[~features.isnan().any(1)]
    centred = complete - complete.mean(0)
    return features.nanmean(0), centred.T @ centred / max(len(complete) - 1, 1), len(complete)


def fit(
    paths: Sequence[Path], *, name: str, source: str, max_pixels: int | None = None, progress: bool = True
) -> PristineModel:
    """Fit a model as NIQE's authors did: mean and covariance of the features of the sharp blocks of all images.

    Args:
        paths: image files of good photographs.
        name: name of the model in the names of scores, such as the name of its file.
        source: where the images are from; the model records it.
        max_pixels: the largest image to read, width x height; None keeps Pillow's limit.
        progress: whether to show a progress bar.

    Raises:
        MissingFileError: an image does not exist.
        InputError: an image cannot be read or has no whole block, or all of them have too few sharp blocks for a
            covariance of full rank.
    """
    sharp = []
    with progress_bar("niqe-fit", "image", shown=progress) as bar:
        bar.reset(len(paths))
        for path in paths:
            plane = grey8(levels8(read(path, "DIR", max_pixels=max_pixels).pixels[0]))[0]
            if not count_blocks(*plane.shape):
                raise InputError(
                    f"{str(path)!r} is {size_of(plane)} pixels; an image to fit NIQE on needs at least {BLOCK}x{BLOCK}"
                )
            blocks = measure(plane)
            sharp.append(blocks.features[blocks.sharpness > SHARP * blocks.sharpness.max()])
            bar.update()
    features = torch.cat(sharp)
    mean, covariance, complete = gaussian(features)
    if complete <= FEATURES:
        raise InputError(
            f"{len(paths)} images of {source!r} have {complete} sharp blocks that are not flat; a covariance of "
            f"{FEATURES} features needs at least {FEATURES + 1}: give more or larger images"
        )
    return PristineModel(mean, covariance, name, f"{complete} blocks of {len(paths)} images of {source!r}")


def load(model: str | os.PathLike[str] | PristineModel | None = None) -> PristineModel:
    """Load a pristine model.

    Args:
        model: a file of `fastsr niqe-fit` (.safetensors) or of the authors' MATLAB code (.mat); a model that is loaded
            already; None for LIVE's, from FASTSR_DATA/niqe, the cache or the web.

    Raises:
        InputTypeError: `model` is of another type.
        MissingFileError: the file does not exist, or LIVE's cannot be downloaded.
        InputError: the file cannot be accessed or is not a model, or LIVE's does not match its checksum.
        OutputError: the cache cannot be written to.
    """
    if isinstance(model, PristineModel):
        return model
    if model is None:
        return _read(live_path())
    if not isinstance(model, (str, os.PathLike)):
        raise InputTypeError(f"model is a {type(model).__name__}; give a path, or None for LIVE's")
    return _read(Path(model))


def save(model: PristineModel, path: str | os.PathLike[str]) -> None:
    """Write a model as safetensors, with what it was fitted on in the metadata.

    Raises:
        InputError: the suffix is not .safetensors.
        OutputError: the file cannot be written.
    """
    facts = {"architecture": ARCHITECTURE, "fitted_on": model.fitted_on}
    write_fastsr(path, facts, {"mean": model.mean, "covariance": model.covariance})


def _read(path: Path) -> PristineModel:
    """Read the file of a model and check its values."""
    what = spell("model", str(path))
    if path.suffix.lower() not in READERS:
        raise input_error("model", str(path), f"does not end in {' or '.join(READERS)}")
    if not (exists(path, what) and path.is_file()):
        advice = "give a file of fastsr niqe-fit or of the authors' MATLAB code"
        raise input_error("model", str(path), "does not exist", advice, kind=MissingFileError)
    mean, covariance, fitted_on = READERS[path.suffix.lower()](path, what)
    shapes = tuple(mean.shape), tuple(covariance.shape)
    if shapes != ((FEATURES,), (FEATURES, FEATURES)):
        advice = f"a model has the mean of {FEATURES} features and their covariance"
        raise input_error("model", str(path), f"has shapes {shapes}", advice)
    if not bool(mean.isfinite().all() and covariance.isfinite().all()):
        raise input_error("model", str(path), "contains NaN or infinite values")
    if is_live(path):
        return PristineModel(mean, covariance, LIVE, "125 photographs, by LIVE")
    return PristineModel(mean, covariance, path.name, fitted_on)


def _read_matlab(path: Path, what: str) -> tuple[Tensor, Tensor, str]:
    """Return mean, covariance and what the model was fitted on, from a .mat file of the authors' code."""
    from scipy.io import loadmat

    try:
        arrays: dict[str, Any] = loadmat(path, variable_names=[MATLAB_MEAN, MATLAB_COVARIANCE])
        mean, covariance = (torch.from_numpy(arrays[key]).double() for key in (MATLAB_MEAN, MATLAB_COVARIANCE))
    except KeyError as error:
        raise InputError(f"{what} has no {error}; a model has {MATLAB_MEAN} and {MATLAB_COVARIANCE}") from error
    except Exception as error:  # the parser raises almost anything for a broken file
        raise InputError(f"{what} cannot be read as a MATLAB file: {error}") from error
    return mean.flatten(), covariance, "images that its file does not state"


def _read_safetensors(path: Path, what: str) -> tuple[Tensor, Tensor, str]:
    """Return mean, covariance and what the model was fitted on, from a file of `save`."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            contents = Contents(tensors, file.metadata() or {}, what)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{what} cannot be read as safetensors: {error}") from error
    facts = read_metadata(contents)
    if facts is None:
        raise InputError(f"{what} is not a model of fastsr niqe-fit; it contains {contents.listing()}")
    try:
        if facts["architecture"] != ARCHITECTURE:
            raise KeyError(facts["architecture"])
        return tensors["mean"].double(), tensors["covariance"].double(), str(facts["fitted_on"])
    except KeyError as error:
        raise unknown_error(contents, error) from error


READERS = {".mat": _read_matlab, ".safetensors": _read_safetensors}
"""The function that reads a model's file, by suffix."""


def live_path() -> Path:
    """Return the path of LIVE's model: FASTSR_DATA/niqe/modelparameters.mat, or in the cache, downloaded once.

    The file is verified each time. In the cache LIVE's notice is written beside it.

    Raises:
        InputError: the file does not match its checksum.
        MissingFileError: the file cannot be downloaded.
        OutputError: the cache cannot be written to.
    """
    data = os.environ.get("FASTSR_DATA")
    if data and (Path(data) / FILE).exists():
        path = Path(data) / FILE
        differs = difference(path, CHECKSUM)
        if differs:
            raise InputError(f"{str(path)!r} is not LIVE's model: it has {differs}; give it as model= to use it")
        return path
    path = cache_folder() / FILE
    fetch_needed(ADDRESS, path, CHECKSUM, "LIVE's model for NIQE")
    notice = path.with_name(NOTICE)
    if not notice.exists():
        with atomic_write(notice) as file:
            file.write(notice_text().encode())
    return path


def is_live(path: Path) -> bool:
    """Whether a file is LIVE's model, by its checksum."""
    return difference(path, CHECKSUM) is None


def notice_text() -> str:
    """Return the notice under which LIVE publishes the model."""
    return (files(__package__) / "live_notice.txt").read_text(encoding="utf-8")
