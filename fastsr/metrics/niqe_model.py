"""The model of good photographs that images are measured against: mean and covariance of the features."""

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
from ..checks import spell
from ..errors import InputError, InputTypeError, MissingFileError
from ..images import read
from ..io.downloads import Checksum, cache_folder, difference, fetch_needed
from ..io.files import atomic_write, exists
from ..runtime.progress import progress_bar
from .color import grey8, levels8, size_of
from .niqe_features import BLOCK, FEATURES, count_blocks, measure

LIVE = "LIVE"
ADDRESS = "https://raw.githubusercontent.com/utlive/niqe/HEAD/modelparameters.mat"
CHECKSUM = Checksum("sha256", "fa2aa4d12dd9595c3fb6bf8b4e1a15c79d5d1469238d0901c88dead195be578d")
FILE = Path("niqe", "modelparameters.mat")
"""In FASTSR_DATA and in the cache."""
NOTICE = "NOTICE.txt"


def live_path() -> Path:
    """Return the file of LIVE's model: FASTSR_DATA/niqe/modelparameters.mat, or that of the cache, downloaded once.

    It is checked each time. In the cache LIVE's notice is kept beside it.

    Raises:
        InputError: the file is another one.
        MissingFileError: it cannot be downloaded.
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
    """Whether a file is LIVE's model, wherever it lies."""
    return difference(path, CHECKSUM) is None


def notice_text() -> str:
    """Return the notice under which LIVE publishes the model."""
    return (files(__package__) / "live_notice.txt").read_text(encoding="utf-8")


ARCHITECTURE = "NIQE"
LEAST_BLOCKS = 2
"""Of one there is no covariance."""
MATLAB_MEAN, MATLAB_COVARIANCE = "mu_prisparam", "cov_prisparam"


@dataclass(frozen=True, eq=False)
class PristineModel:
    """A multivariate Gaussian of the features of sharp blocks of good photographs.

    Attributes:
        mean: (36,) float64.
        covariance: (36, 36) float64.
        name: "LIVE" for the model of NIQE's authors, with which results are called NIQE; else that of the file.
        fitted_on: what it was fitted on, in words.
    """

    mean: Tensor
    covariance: Tensor
    name: str
    fitted_on: str

    def __str__(self) -> str:
        return f"{self.name}, fitted on {self.fitted_on}"

    def distance(self, features: Tensor) -> float:
        """Return the distance of the Gaussian of `features`, (n, 36), one row a block.

        It is sqrt(d^T ((S_model + S) / 2)^+ d), where d is the difference of the means and S the covariances.

        Raises:
            InputError: fewer than two blocks have all features, so that there is no covariance.
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
    """Return the mean and covariance of features (n, 36), and how many rows have all of them.

    The mean is over the numbers there are, the covariance over the rows that have all features, as MATLAB's nanmean and
    nancov have them. With fewer than two such rows the covariance is of no meaning.
    """
    complete = features[~features.isnan().any(1)]
    centred = complete - complete.mean(0)
    return features.nanmean(0), centred.T @ centred / max(len(complete) - 1, 1), len(complete)


def load(model: str | os.PathLike[str] | PristineModel | None = None) -> PristineModel:
    """Return a model.

    Args:
        model: a file of `fastsr niqe-fit` (.safetensors) or of the authors' MATLAB code (.mat); what this function
            returned before; None for that of LIVE, from FASTSR_DATA/niqe, the cache or the web.

    Raises:
        InputTypeError: `model` is neither.
        MissingFileError: there is no such file, or LIVE's cannot be downloaded.
        InputError: the file cannot be looked at or holds no model, or LIVE's is not the one that is known.
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
    """Write a model as safetensors, which says what it was fitted on.

    Raises:
        InputError: the suffix is not .safetensors.
        OutputError: the file cannot be written.
    """
    facts = {"architecture": ARCHITECTURE, "fitted_on": model.fitted_on}
    write_fastsr(path, facts, {"mean": model.mean, "covariance": model.covariance})


def _read(path: Path) -> PristineModel:
    what = f"{spell('model', str(path))}"
    if path.suffix.lower() not in READERS:
        raise InputError(f"{what} does not end in {' or '.join(READERS)}")
    if not (exists(path, what) and path.is_file()):
        raise MissingFileError(f"{what} is not there; give a file of fastsr niqe-fit or of the authors' MATLAB code")
    mean, covariance, fitted_on = READERS[path.suffix.lower()](path, what)
    shapes = tuple(mean.shape), tuple(covariance.shape)
    if shapes != ((FEATURES,), (FEATURES, FEATURES)):
        raise InputError(f"{what} has shapes {shapes}; a mean of {FEATURES} features and their covariance are right")
    if not bool(mean.isfinite().all() and covariance.isfinite().all()):
        raise InputError(f"{what} holds NaN or infinite values")
    if is_live(path):
        return PristineModel(mean, covariance, LIVE, "125 photographs, by LIVE")
    return PristineModel(mean, covariance, path.name, fitted_on)


def _matlab(path: Path, what: str) -> tuple[Tensor, Tensor, str]:
    from scipy.io import loadmat

    try:
        found: dict[str, Any] = loadmat(path, variable_names=[MATLAB_MEAN, MATLAB_COVARIANCE])
        mean, covariance = (torch.from_numpy(found[key]).double() for key in (MATLAB_MEAN, MATLAB_COVARIANCE))
    except KeyError as error:
        raise InputError(f"{what} has no {error}; a model has {MATLAB_MEAN} and {MATLAB_COVARIANCE}") from error
    except Exception as error:  # whatever the parser stumbles over
        raise InputError(f"{what} cannot be read as a MATLAB file: {error}") from error
    return mean.flatten(), covariance, "what its file does not say"


def _own(path: Path, what: str) -> tuple[Tensor, Tensor, str]:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            contents = Contents(tensors, file.metadata() or {}, what)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{what} cannot be read as safetensors: {error}") from error
    facts = read_metadata(contents)
    if facts is None:
        raise InputError(f"{what} is no model of fastsr niqe-fit; it holds {contents.listing()}")
    try:
        if facts["architecture"] != ARCHITECTURE:
            raise KeyError(facts["architecture"])
        return tensors["mean"].double(), tensors["covariance"].double(), str(facts["fitted_on"])
    except KeyError as error:
        raise unknown_error(contents, error) from error


READERS = {".mat": _matlab, ".safetensors": _own}


SHARP = 0.75
"""The share of the sharpness of an image's sharpest block that the blocks to use exceed."""


def fit(
    paths: Sequence[Path], *, name: str, source: str, max_pixels: int | None = None, progress: bool = True
) -> PristineModel:
    """Fit a model as NIQE's authors did: mean and covariance of the features of the sharp blocks of all pictures.

    Args:
        paths: image files of good photographs.
        name: what results by this model are called by, such as the name of its file.
        source: where the images are from, which the model will say.
        max_pixels: of a picture.
        progress: whether to show a bar.

    Raises:
        MissingFileError: an image is not there.
        InputError: an image cannot be read or has no block, or all of them have too few sharp blocks for a covariance
            of full rank.
    """
    chosen = []
    with progress_bar("niqe-fit", "picture", shown=progress) as bar:
        bar.reset(len(paths))
        for path in paths:
            plane = grey8(levels8(read(path, "DIR", max_pixels=max_pixels).pixels[0]))[0]
            if not count_blocks(*plane.shape):
                raise InputError(
                    f"{str(path)!r} is {size_of(plane)} pixels; an image to fit NIQE on has at least {BLOCK}x{BLOCK}"
                )
            blocks = measure(plane)
            chosen.append(blocks.features[blocks.sharpness > SHARP * blocks.sharpness.max()])
            bar.update()
    features = torch.cat(chosen)
    mean, covariance, complete = gaussian(features)
    if complete <= FEATURES:
        raise InputError(
            f"{len(paths)} images of {source!r} have {complete} sharp blocks that are not flat; a covariance of "
            f"{FEATURES} features takes at least {FEATURES + 1}: give more or larger images"
        )
    return PristineModel(mean, covariance, name, f"{complete} blocks of {len(paths)} images of {source!r}")
