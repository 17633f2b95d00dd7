"""Loading and saving generators; the layouts of other projects have tests of their own."""

import json
import os

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

import fastsr
from fastsr.errors import InputError, MissingFileError, OutputError
from fastsr.srgan.formats import load, save


def test_a_saved_generator_is_loaded_as_it_was(small, tmp_path):
    checkpoint = small(padding="reflect", kernels=(5, 3, 7), scale=8)
    save(checkpoint, tmp_path / "a.safetensors")
    again = load(str(tmp_path / "a.safetensors"))
    assert again.network.config == checkpoint.network.config
    assert (again.input_range, again.output_range) == ("unit", "signed")
    x = torch.rand(1, 3, 9, 9)
    assert torch.equal(again.network(x), checkpoint.network(x))
    assert str(again) == "SRResNet x8, 2 blocks of 16 channels (fastsr)"


def test_half_precision_becomes_float32(weights, small):
    with safe_open(weights, "pt") as file:
        tensors, metadata = {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118
    save_file({key: value.half() for key, value in tensors.items()}, weights, metadata)
    expected = small().network.half().float().state_dict()
    found = load(weights).network.state_dict()
    assert all(torch.equal(found[key], value) and found[key].dtype == value.dtype for key, value in expected.items())


def test_what_was_loaded_is_passed_on(small):
    checkpoint = small()
    assert load(checkpoint) is checkpoint


def test_files_are_written_whole_or_not_at_all(small, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OutputError, match="No space left"):
        save(small(), tmp_path / "a.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(small, tmp_path):
    with pytest.raises(InputError, match=r"a\.pth' does not end in \.safetensors"):
        save(small(), tmp_path / "a.pth")


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(architecture="Other"),
        lambda facts: facts.pop("config"),
        lambda facts: facts["config"].update(attention=True),
        lambda facts: facts.update(input_range="sRGB"),
    ],
)
def test_what_a_later_version_wrote_is_refused(change, small, tmp_path):
    checkpoint = small()
    facts = {"architecture": "SRResNet", "config": {"blocks": 2, "width": 16}}
    facts |= {"input_range": "unit", "output_range": "unit"}
    save_file(checkpoint.network.state_dict(), tmp_path / "a.safetensors", {"fastsr": json.dumps(facts)})
    load(tmp_path / "a.safetensors")
    change(facts)
    save_file(checkpoint.network.state_dict(), tmp_path / "a.safetensors", {"fastsr": json.dumps(facts)})
    with pytest.raises(InputError, match="was written for another method or by another version of fastsr"):
        load(tmp_path / "a.safetensors")


def test_weights_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(MissingFileError, match="weights='nowhere' is not there"):
        load("nowhere")
    torch.save({"encoder.weight": torch.zeros(1), "decoder.weight": torch.zeros(1)}, tmp_path / "vae.pth")
    message = (
        r"unknown network, with the keys encoder\.weight, decoder\.weight; known are fastsr, leftthomas, Lornatang"
    )
    with pytest.raises(InputError, match=message):
        load(tmp_path / "vae.pth")


def test_pictures_of_two_channels_are_no_pictures(small, tmp_path):
    save(small(channels=2), tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="is for pictures of 2 channels; give one for 3, or for 1"):
        load(tmp_path / "a.safetensors")


def test_real_weights_are_recognised_and_enlarge_better_than_bicubic(data):
    checkpoint = load(data / "weights" / "leftthomas-srgan-x4.pth")
    assert str(checkpoint) == "SRResNet x4, 5 blocks of 64 channels (leftthomas)"
    assert (checkpoint.input_range, checkpoint.output_range) == ("unit", "signed")
    lr, hr = (data / "Set5" / "image_SRF_4" / f"img_003_SRF_4_{kind}.png" for kind in ("LR", "HR"))
    result = fastsr.srgan(lr, weights=checkpoint, device="cpu", dtype="float32")
    gain = fastsr.metrics.psnr(result, hr, shave=4) - fastsr.metrics.psnr(fastsr.resize(lr, 4), hr, shave=4)
    assert gain > 2
