from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.io import savemat

from fastsr.checkpoints.own import write_own
from fastsr.errors import InputError, MissingFileError
from fastsr.niqe.model import gaussian, load, save


def test_a_model_comes_back_as_it_was(model, tmp_path):
    path = tmp_path / "mine.safetensors"
    save(replace(model, name="mine", mean=model.mean / 3), path)
    found = load(path)
    assert torch.equal(found.mean, model.mean / 3)  # to the last digit of float64
    assert torch.equal(found.covariance, model.covariance)
    assert str(found) == "mine.safetensors, fitted on nothing"
    assert load(found) is found


def test_matlab_files(model, tmp_path, data):
    path = tmp_path / "modelparameters.mat"
    savemat(path, {"mu_prisparam": model.mean[None].numpy(), "cov_prisparam": model.covariance.numpy()})
    found = load(path)
    assert torch.equal(found.mean, model.mean)
    assert torch.equal(found.covariance, model.covariance)
    assert found.name == "modelparameters.mat"  # of that name, but not LIVE's
    assert load(data / "niqe" / "modelparameters.mat").name == load().name == "LIVE"


def test_distance_by_hand(model):
    features = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 36)))
    features[3, 5] = torch.nan
    values = features.numpy()
    complete = np.delete(values, 3, 0)
    difference = model.mean.numpy() - np.nanmean(values, 0)
    pooled = (model.covariance.numpy() + np.cov(complete.T)) / 2
    assert model.distance(features) == pytest.approx(np.sqrt(difference @ np.linalg.inv(pooled) @ difference))


def test_fewer_complete_blocks_than_two_have_no_distance(model):
    features = torch.rand(3, 36)
    features[1:, 0] = torch.nan
    assert gaussian(features)[2] == 1
    with pytest.raises(InputError, match="of 3 there are 1"):
        model.distance(features)


def test_files_that_hold_no_model_are_refused(tmp_path, model):
    def path(name, content=b"nothing of the kind"):
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    def own(name, **changes):
        tensors = {"mean": model.mean, "covariance": model.covariance, **changes}
        write_own(tmp_path / name, {"architecture": changes.pop("architecture", "NIQE"), "fitted_on": ""}, tensors)
        return tmp_path / name

    savemat(tmp_path / "half.mat", {"mu_prisparam": np.zeros((1, 36))})
    write_own(tmp_path / "sr3.safetensors", {"architecture": "UNet"}, {"mean": model.mean})
    for file, error, message in (
        (tmp_path / "none.mat", MissingFileError, r"none\.mat' is not there"),
        (path("model.npz"), InputError, r"does not end in \.mat or \.safetensors"),
        (path("broken.mat"), InputError, "cannot be read as a MATLAB file"),
        (path("broken.safetensors"), InputError, "cannot be read as safetensors"),
        (tmp_path / "half.mat", InputError, "has no 'cov_prisparam'"),
        (tmp_path / "sr3.safetensors", InputError, "another method or .*UNet"),
        (own("small.safetensors", mean=torch.zeros(18)), InputError, "a mean of 36 features"),
        (own("nan.safetensors", mean=model.mean / 0), InputError, "NaN or infinite"),
    ):
        with pytest.raises(error, match=message):
            load(file)
