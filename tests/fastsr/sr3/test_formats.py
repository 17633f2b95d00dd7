"""Loading and saving networks: fastsr's own layout, and that of the best-known implementation."""

import json
import os

import pytest
import torch
from safetensors.torch import load_file, save_file

from fastsr.checkpoints.reading import Contents
from fastsr.errors import FastsrError, InputError, InputTypeError, MissingFileError, OutputError
from fastsr.sr3 import formats
from fastsr.sr3.formats import load, save
from fastsr.sr3.network import PUBLISHED, UNetConfig
from fastsr.sr3.schedules import Schedule, curve_of
from fastsr.srgan import formats as srgan_formats
from fastsr.srgan.checkpoint import Checkpoint as Generator
from fastsr.srgan.network import SRResNet, SRResNetConfig

# Groups are 32 in files that are not published: what they norm are multiples of that.
FACTS = [
    pytest.param((32, (1, 2), (8,), 1, 16), UNetConfig(32, (1, 2), 1, (1,), 32, 0.0), id="one block"),
    pytest.param((32, (2, 1, 2), (16, 4), 2, 16), UNetConfig(32, (2, 1, 2), 2, (0, 2), 32, 0.0), id="two blocks"),
]
TRAINED = torch.linspace(1e-6, 1e-2, 2000, dtype=torch.float64)
GIVEN = [torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)]
LEVEL = torch.tensor([0.9, 0.3])


def written(path, layout, betas=TRAINED, **change):
    """Write a file as that implementation does, and return its weights."""
    weights = layout.weights()
    state = {key: value.float() for key, value in layout.buffers(betas).items()} if betas is not None else {}
    torch.save({**state, **weights, **change}, path)
    return weights


# fastsr's own


@pytest.mark.parametrize(
    "facts", [{}, {"prediction": "v", "factor": None, "size": None, "curve": Schedule("cosine", 37).curve()}]
)
def test_a_saved_network_is_loaded_as_it_was(facts, small, tmp_path):
    checkpoint = small(blocks=2, attention=(0, 1), dropout=0.125, **facts)
    save(checkpoint, tmp_path / "a.safetensors")
    again = load(str(tmp_path / "a.safetensors"))
    assert again.network.config == checkpoint.network.config
    assert again.curve.dtype == torch.float64
    assert torch.equal(again.curve, checkpoint.curve)
    for name in ("prediction", "factor", "size"):
        assert getattr(again, name) == getattr(checkpoint, name)
    assert torch.equal(again.network(*GIVEN, LEVEL), checkpoint.network(*GIVEN, LEVEL))
    assert not again.network.training
    assert not any(parameter.requires_grad for parameter in again.network.parameters())
    assert again.fingerprint() == checkpoint.fingerprint()
    assert (again.layout, again.name) == ("fastsr", f"weights={str(tmp_path / 'a.safetensors')!r}")


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


def changed(path, change):
    """Write the file anew, with other facts and tensors."""
    tensors = load_file(path)
    facts = {
        "architecture": "SR3",
        "config": {"width": 8, "multipliers": [1, 2], "blocks": 1, "attention": [1], "groups": 4, "dropout": 0.2},
        "prediction": "x0",
        "factor": 4,
        "size": 16,
    }
    change(facts, tensors)
    save_file(tensors, path, {"fastsr": json.dumps(facts)})


def halved(tensors):
    return {key: value.half() if value.is_floating_point() else value for key, value in tensors.items()}


def test_half_precision_becomes_float32(weights, small, published, tmp_path):
    changed(weights, lambda _, tensors: tensors.update(halved(tensors)))
    checkpoint, network = small(), load(weights).network
    assert torch.equal(load(weights).curve, checkpoint.curve)
    assert torch.equal(network(*GIVEN, LEVEL), checkpoint.network.half().float()(*GIVEN, LEVEL))

    theirs = published(32, (1, 2), (8,), 1, 16)
    full = written(tmp_path / "gen.pth", theirs)
    torch.save(halved(torch.load(tmp_path / "gen.pth")), tmp_path / "half.pth")
    half = load(tmp_path / "half.pth")
    expected = theirs.says({key: value.half().float() for key, value in full.items()}, *GIVEN, LEVEL)
    assert (half.network(*GIVEN, LEVEL) - expected).abs().max() < 2e-5
    assert (half.curve - load(tmp_path / "gen.pth").curve).abs().max() < 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts, _: facts.update(architecture="SRResNet"), "another version of fastsr: .*'SRResNet'"),
        (lambda facts, _: facts.pop("config"), "another version of fastsr: .*'config'"),
        (lambda facts, _: facts["config"].update(heads=4), "another version of fastsr: .*'heads'"),
        (lambda facts, _: facts["config"].update(width="8"), "another version of fastsr"),
        (lambda facts, _: facts.update(config=[1]), "another version of fastsr"),
        (lambda facts, _: facts.update(prediction="score"), "another version of fastsr: .*'score'"),
        (lambda facts, _: facts.update(factor="4"), "another version of fastsr"),
        (lambda facts, _: facts.update(factor=1), "another version of fastsr"),
        (lambda facts, _: facts.update(size=0), "another version of fastsr"),
        (lambda facts, _: facts.update(size=16.5), "another version of fastsr"),
        (lambda facts, _: facts.update(size=15), "another version of fastsr"),
        (lambda facts, _: facts["config"].update(groups=3), "groups=3 do not divide the 8 channels of a norm"),
        (lambda facts, _: facts["config"].update(width=16), "looks like fastsr, but does not fit: .* of shape"),
        (lambda _, tensors: tensors.pop("curve"), "another version of fastsr: .*'curve'"),
        (lambda _, tensors: tensors.update(curve=tensors["curve"][:13].clone()), "another version of fastsr"),
        (lambda _, tensors: tensors.update(curve=torch.zeros(2, 8, dtype=torch.uint8)), "another version of fastsr"),
        (lambda _, tensors: tensors.update(curve=torch.zeros(24, dtype=torch.uint8)), "another version of fastsr"),
        (lambda _, tensors: tensors.pop("first.bias"), "does not fit: no first.bias"),
        (lambda _, tensors: tensors.update(more=torch.zeros(1)), "does not fit: unknown more"),
    ],
)
def test_a_file_that_is_not_what_this_version_writes_is_refused(change, message, weights):
    changed(weights, lambda facts, tensors: None)
    load(weights)
    changed(weights, change)
    with pytest.raises(InputError, match=message):
        load(weights)


# The best-known implementation


@pytest.mark.parametrize(("facts", "config"), FACTS)
def test_every_weight_of_the_best_known_implementation_finds_its_place(facts, config, published, tmp_path):
    layout = published(*facts)
    weights = written(tmp_path / "I10_E2_gen.pth", layout)
    loaded = load(tmp_path / "I10_E2_gen.pth")
    assert loaded.network.config == config
    found = {published.key(key): value for key, value in loaded.network.state_dict().items()}
    assert found.keys() == weights.keys()
    assert all(torch.equal(found[key], value) for key, value in weights.items())
    expected = layout.says(weights, *GIVEN, LEVEL)
    assert expected.std() > 0.3
    assert (loaded.network(*GIVEN, LEVEL) - expected).abs().max() < 2e-5
    assert (loaded.prediction, loaded.factor, loaded.size) == ("epsilon", None, None)
    assert loaded.layout == "Image-Super-Resolution-via-Iterative-Refinement"
    assert not loaded.network.training


@pytest.mark.parametrize(
    ("side", "facts"),
    [(128, (64, (1, 2, 4, 8, 8), (16,), 2, 128)), (512, (64, (1, 2, 4, 8, 16), (), 1, 512))],
)
def test_the_published_networks_are_known_by_their_shapes(side, facts, published):
    """The file of either has a gigabyte: here are its shapes alone, and a curve."""
    shapes = {key: torch.empty(shape, device="meta") for key, shape in published(*facts).shapes().items()}
    buffers = {key: value.float() for key, value in published.buffers(TRAINED).items()}
    contents = Contents({**buffers, **shapes}, {}, "weights='published'")
    loaded = formats.load_as(contents, formats.FORMATS)
    assert loaded.network.config == PUBLISHED[side]
    assert (loaded.factor, loaded.size, loaded.prediction) == (8, side, "epsilon")
    channels = ", ".join(str(64 * multiple) for multiple in facts[1])
    assert str(loaded) == (
        f"U-Net for {side // 8} to {side}, {channels} channels, 2000 steps, epsilon "
        "(Image-Super-Resolution-via-Iterative-Refinement)"
    )


def test_the_curve_is_that_of_the_file(published, tmp_path):
    betas = torch.linspace(1e-5, 2e-2, 1500, dtype=torch.float64)
    written(tmp_path / "I10_E2_gen.pth", published(*FACTS[0].values[0]), betas)
    curve = load(tmp_path / "I10_E2_gen.pth").curve
    assert len(curve) == 1501
    torch.testing.assert_close(curve, curve_of(betas), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    "betas", [None, torch.linspace(1e-6, 1e-2, 100, dtype=torch.float64)], ids=["no buffers", "100 steps"]
)
def test_the_curve_of_a_sampler_with_few_steps_is_not_that_of_the_training(betas, published, tmp_path):
    if betas is not None:
        assert curve_of(betas)[-1].item() == pytest.approx(0.6055, abs=1e-3)
    written(tmp_path / "I10_E2_gen.pth", published(*FACTS[0].values[0]), betas)
    assert torch.equal(load(tmp_path / "I10_E2_gen.pth").curve, Schedule().curve())


def test_the_wrapping_of_parallel_training_is_taken_off(published, tmp_path):
    layout = published(*FACTS[0].values[0])
    weights = written(tmp_path / "plain.pth", layout)
    torch.save({f"module.{key}": value for key, value in weights.items()}, tmp_path / "wrapped.pth")
    plain, wrapped = (load(tmp_path / f"{name}.pth") for name in ("plain", "wrapped"))
    assert torch.equal(plain.network(*GIVEN, LEVEL), wrapped.network(*GIVEN, LEVEL))


@pytest.mark.parametrize(
    ("remove", "add", "message"),
    [
        (["denoise_fn.mid.0.attn.qkv.weight"], [], r"does not fit: no mid\.0\.attention\.qkv\.weight"),
        ([], ["denoise_fn.mid.0.attn.gate.weight"], r"does not fit: unknown mid\.0\.attn\.gate\.weight"),
        (["betas"], ["style.weight"], r"does not fit: unknown style\.weight"),
        (["denoise_fn.downs.1.res_block.block1.block.3.weight"], [], "no 'denoise_fn.downs.1.res_block.*not complete"),
    ],
)
def test_a_file_with_other_keys_is_refused(remove, add, message, published, tmp_path):
    layout = published(*FACTS[0].values[0])
    written(tmp_path / "a.pth", layout, **{key: torch.zeros(1) for key in add})
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    torch.save({key: value for key, value in state.items() if key not in remove}, tmp_path / "a.pth")
    with pytest.raises(InputError, match=message):
        load(tmp_path / "a.pth")


def test_a_network_whose_channels_have_no_32_groups_is_refused(published, tmp_path):
    written(tmp_path / "a.pth", published(16, (1, 2), (8,), 1, 16, 8))
    with pytest.raises(InputError, match="not supported: groups=32 do not divide the 16 channels of a norm"):
        load(tmp_path / "a.pth")


def test_weights_that_had_failed_are_refused(published, tmp_path):
    layout = published(*FACTS[0].values[0])
    written(tmp_path / "a.pth", layout, **{"denoise_fn.downs.0.bias": torch.full((32,), float("nan"))})
    with pytest.raises(InputError, match="holds NaN or infinite values"):
        load(tmp_path / "a.pth")


# Other files


def test_weights_of_another_method_are_refused(small, published, tmp_path):
    generator = SRResNet(SRResNetConfig(blocks=2, width=16)).eval()
    srgan_formats.save(Generator(generator, "fastsr", "unit", "unit", "weights"), tmp_path / "srgan.safetensors")
    torch.save(generator.state_dict(), tmp_path / "srgan.pth")
    save(small(), tmp_path / "sr3.safetensors")
    written(tmp_path / "sr3.pth", published(*FACTS[0].values[0]))
    for read, name, message in (
        (load, "srgan.safetensors", "was written for another method .*'SRResNet'"),
        (load, "srgan.pth", "is of an unknown network, with the keys .*; known are fastsr, Image-Super-Resolution-via"),
        (srgan_formats.load, "sr3.safetensors", "was written for another method .*'SR3'"),
        (srgan_formats.load, "sr3.pth", "is of an unknown network, with the keys betas, alphas_cumprod"),
    ):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        ("sr3-16-128", MissingFileError, "weights='sr3-16-128' is not there"),
        (3, InputTypeError, "weights is a int"),
    ],
)
def test_weights_that_are_no_file_are_refused(weights, error, message):
    with pytest.raises(error, match=message) as raised:
        load(weights)
    assert isinstance(raised.value, FastsrError)
