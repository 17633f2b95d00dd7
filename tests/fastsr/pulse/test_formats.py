"""fastsr's own files of generators, and files that are of something else."""

import dataclasses
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fastsr.errors import InputError, MissingFileError
from fastsr.pulse.formats import load, save
from fastsr.pulse.gaussian_fit import GaussianFit
from fastsr.srgan.checkpoint import Checkpoint as Upscaler
from fastsr.srgan.formats import save as save_srgan
from fastsr.srgan.network import SRResNet, SRResNetConfig


@pytest.mark.parametrize("fit", [True, False])
def test_a_saved_network_is_loaded_as_it_was(fit, small, tmp_path):
    checkpoint = small(fit=fit)
    save(checkpoint, tmp_path / "a.safetensors")
    again = load(str(tmp_path / "a.safetensors"))
    assert again.network.architecture == checkpoint.network.architecture
    assert (again.fit is not None) == fit
    assert again.fingerprint() == checkpoint.fingerprint()
    latents = torch.randn(1, again.network.layers, again.network.latent)
    pictures = [one.network(latents, one.network.noises) for one in (again, checkpoint)]
    assert torch.equal(*pictures)
    assert not again.network.training
    assert not any(parameter.requires_grad for parameter in again.network.parameters())
    assert str(again) == "StyleGAN 16x16, 6 layers, latent 8 (fastsr)"
    assert again.name == f"weights={str(tmp_path / 'a.safetensors')!r}"
    assert load(again) is again


def test_the_fit_is_part_of_the_fingerprint(small):
    checkpoint = small()
    other = dataclasses.replace(checkpoint, fit=GaussianFit(checkpoint.fit.mean + 1, checkpoint.fit.std))
    assert other.fingerprint() != checkpoint.fingerprint()


def test_a_fit_of_another_mapping_network_is_refused(small):
    with pytest.raises(InputError, match=r"mean of the Gaussian fit of weights='small' is of shape \(512,\).* 8 num"):
        dataclasses.replace(small(), fit=GaussianFit(torch.zeros(512), torch.ones(512)))


def test_half_precision_becomes_float32(small, weights, published, tmp_path):
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
    save_file({key: value.half() for key, value in load_file(weights).items()}, weights, metadata)
    own, expected = load(weights), small()
    assert torch.equal(own.fit.std, expected.fit.std.half().float())
    found = own.network.state_dict()
    for key, value in expected.network.half().float().state_dict().items():
        assert torch.equal(found[key], value)
        assert found[key].dtype == value.dtype

    theirs = published()
    tensors = {key: value.half() for key, value in theirs.single(theirs.weights()).items()}
    torch.save(tensors, tmp_path / "g_all.pt")
    loaded = load(tmp_path / "g_all.pt")
    assert loaded.layout == "lernapparat"
    assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.float32}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts, _: facts.update(architecture="SR3"), "another method or by another version of fastsr: .*'SR3'"),
        (lambda facts, _: facts["config"].update(heads=4), "another version of fastsr: .*'heads'"),
        (lambda facts, _: facts["config"].update(latent="8"), "not supported: latent='8' is not a whole number"),
        (lambda facts, _: facts["config"].update(resolution=17), "not supported: resolution=17 is not 8, 16"),
        (lambda facts, _: facts["config"].update(mapping_layers=3), "does not fit: no mapping.dense.2.weight"),
        (lambda _, tensors: tensors.pop("noise3"), "does not fit: no noise3"),
        (lambda _, tensors: tensors.pop("fit.std"), "another version of fastsr: .*'fit.std'"),
        (lambda _, tensors: tensors.pop("fit.mean"), "does not fit: unknown fit.std"),
    ],
)
def test_a_file_that_is_not_what_this_version_writes_is_refused(change, message, weights):
    tensors = load_file(weights)
    shape = {"resolution": 16, "latent": 8, "mapping_layers": 2, "feature_maps": [10, 9, 8]}
    facts = {"architecture": "StyleGAN", "config": shape}
    save_file(tensors, weights, {"fastsr": json.dumps(facts)})
    load(weights)
    change(facts, tensors)
    save_file(tensors, weights, {"fastsr": json.dumps(facts)})
    with pytest.raises(InputError, match=message):
        load(weights)


@pytest.mark.parametrize(
    "key", ["conv1.conv.modulation.weight", "synthesis.b8.conv0.affine.weight", "latent_avg", "mapping.w_avg"]
)
def test_a_stylegan_2_is_told_to_come_as_a_generator(key, tmp_path):
    torch.save({"style.1.weight": torch.zeros(2, 2), key: torch.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"is of a StyleGAN 2 or 3, with the keys .* give it as a generator, see docs"):
        load(tmp_path / "a.pt")


def test_a_generator_of_another_method_is_refused(tmp_path):
    network = SRResNet(SRResNetConfig(blocks=1, width=4))
    save_srgan(Upscaler(network, "fastsr", "unit", "unit", "a"), tmp_path / "srgan.safetensors")
    with pytest.raises(InputError, match=r"another method or by another version of fastsr: .*'SRResNet'"):
        load(tmp_path / "srgan.safetensors")
    torch.save(network.state_dict(), tmp_path / "srgan.pt")
    with pytest.raises(InputError, match=r"unknown network, with the keys first\.weight.*known are .* PULSE"):
        load(tmp_path / "srgan.pt")
    with pytest.raises(MissingFileError, match="is not there"):
        load(tmp_path / "other.pt")
