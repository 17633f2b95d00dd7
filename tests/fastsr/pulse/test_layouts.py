"""The files of other projects: every weight finds its place, and files that do not fit are named."""

import pytest
import torch

from fastsr.checkpoints.reading import Contents
from fastsr.errors import InputError
from fastsr.pulse.formats import FORMATS, load
from fastsr.pulse.network import Architecture

TALL = (5, 4, 4, 3, 3, 2)


def files(layout, folder, weights):
    """Write lernapparat's file and PULSE's; return what to load."""
    layout.write(folder / "pair", weights)
    torch.save(layout.single(weights), folder / "for_g_all.pt")
    return {"lernapparat": folder / "for_g_all.pt", "PULSE": folder / "pair"}


@pytest.mark.parametrize("channels", [(6, 5, 4), TALL], ids=["16", "128"])
@pytest.mark.parametrize("project", ["lernapparat", "PULSE"])
def test_a_published_file_makes_the_same_pictures_here(project, channels, published, tmp_path):
    """From 128 on kernels are mirrored there: in a network of less they are not."""
    layout = published(channels)
    weights = layout.weights()
    loaded = load(files(layout, tmp_path, weights)[project])
    network = loaded.network
    assert network.architecture == Architecture(2 << len(channels), 7, 3, feature_maps=channels)
    assert loaded.layout == project
    assert loaded.fit is None
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())

    random = torch.Generator().manual_seed(3)
    rows = network.mapping(z := torch.randn(2, 7, generator=random))
    torch.testing.assert_close(rows, layout.maps(weights, z))
    latents = torch.randn(2, network.layers, 7, generator=random)
    noises = [torch.randn(2, 1, side, side, generator=random) for side in network.noise_sides]
    expected = layout.makes(weights, latents, noises)
    assert expected.std() > 0.3
    torch.testing.assert_close(network(latents, noises), expected, rtol=0, atol=2e-4)


def test_the_published_network_has_the_published_keys(published):
    """The file has a hundred megabytes: here are its shapes alone, and its blurs."""
    layout = published((512, 512, 512, 512, 256, 128, 64, 32, 16), 512, 8)
    synthesis, mapping = layout.synthesis_shapes(), layout.mapping_shapes()
    assert (len(synthesis), len(mapping)) == (100, 16)
    blur = published().weights()["blocks.8x8.conv0_up.intermediate.kernel"]
    tensors = {
        key: blur if key.endswith(".kernel") else torch.empty(shape, device="meta")
        for key, shape in {**mapping, **synthesis}.items()
    }
    for keys, project in ((tensors, "PULSE"), (layout.single(tensors), "lernapparat")):
        contents = Contents(keys, {}, "weights='published'")
        found = [one for one in FORMATS if one.detect(contents)]
        assert [one.name for one in found] == [project]
        network = found[0].load(contents).network
        assert network.architecture.channels == Architecture().channels
        assert (network.resolution, network.latent, network.layers) == (1024, 512, 18)
        counts = [sum(weight.numel() for weight in part.parameters()) for part in (network.mapping, network.synthesis)]
        assert counts == [2_101_248, 24_110_771]


def test_either_file_of_pulse_brings_the_other_and_the_gaussian_fit(published, tmp_path):
    layout = published()
    layout.write(tmp_path, layout.weights())
    fit = {"mean": torch.arange(7.0), "std": torch.arange(1.0, 8)}
    torch.save(fit, tmp_path / "gaussian_fit.pt")
    loaded = [load(tmp_path / name) for name in ("synthesis.pt", "mapping.pt", "")]
    assert len({one.fingerprint() for one in loaded}) == 1
    assert torch.equal(loaded[0].fit.mean, fit["mean"])
    assert torch.equal(loaded[0].fit.std, fit["std"])

    torch.save({"mean": torch.zeros(7), "std": torch.ones(6)}, tmp_path / "gaussian_fit.pt")
    with pytest.raises(InputError, match=r"std of the Gaussian fit of weights=.* is of shape \(6,\).* has 7 numbers"):
        load(tmp_path)
    torch.save({"mean": torch.zeros(7)}, tmp_path / "gaussian_fit.pt")
    with pytest.raises(InputError, match=r"gaussian_fit\.pt' has no 'std'"):
        load(tmp_path)


@pytest.mark.parametrize("gone", ["synthesis.pt", "mapping.pt"])
def test_half_of_pulse_is_no_network(gone, published, tmp_path):
    layout = published()
    layout.write(tmp_path, layout.weights())
    (tmp_path / gone).unlink()
    there = next(tmp_path.iterdir())
    for weights in (tmp_path, there):
        with pytest.raises(InputError, match=rf"has no {gone}; give a folder with PULSE's synthesis\.pt and mapping"):
            load(weights)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.pop("blocks.16x16.epi2.noise.weight"), r"does not fit: no synthesis\.layers\.5\.noise_weig"),
        (lambda file: file.update({"blocks.8x8.gate.weight": torch.zeros(1)}), "does not fit: unknown blocks.8x8.gate"),
        (lambda file: file.pop("blocks.8x8.conv0_up.intermediate.kernel"), "no 'blocks.8x8.conv0_up.intermediate.ker"),
        (lambda file: file["blocks.8x8.conv0_up.intermediate.kernel"].fill_(1 / 9), r"not \[1, 2, 1\] / 4 twice"),
        (
            lambda file: file.update({"dense0.weight": torch.zeros(9, 7)}),
            "not fit: mapping.dense.0.weight of shape",
        ),
    ],
)
def test_a_file_with_other_keys_is_refused(change, message, published, tmp_path):
    layout = published()
    weights = layout.weights()
    change(weights)
    layout.write(tmp_path, weights)
    with pytest.raises(InputError, match=message):
        load(tmp_path)
