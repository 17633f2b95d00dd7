"""The model of good photographs that pictures are measured against: mean and covariance of the features."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..checkpoints.own import own_facts, unknown, write_own
from ..checkpoints.reading import Contents
from ..codecs import exists
from ..errors import InputError, InputTypeError, MissingFileError
from .features import BLOCK, FEATURES
from .live import LIVE, is_live, live_path

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
    write_own(path, facts, {"mean": model.mean, "covariance": model.covariance})


def _read(path: Path) -> PristineModel:
    what = f"model={str(path)!r}"
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
    facts = own_facts(contents)
    if facts is None:
        raise InputError(f"{what} is no model of fastsr niqe-fit; it holds {contents.listing()}")
    try:
        if facts["architecture"] != ARCHITECTURE:
            raise KeyError(facts["architecture"])
        return tensors["mean"].double(), tensors["covariance"].double(), str(facts["fitted_on"])
    except KeyError as error:
        raise unknown(contents, error) from error


READERS = {".mat": _matlab, ".safetensors": _own}
