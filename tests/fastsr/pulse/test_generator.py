"""Generators that users bring: one by an adapter of a few lines, and what is said of those that do not work."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from fastsr.errors import InputError, InputTypeError
from fastsr.pulse.formats import load, save
from fastsr.pulse.gaussian_fit import fit_gaussian
from fastsr.pulse.generator import check_generator


class Modulated(nn.Module):
    """A convolution of StyleGAN 2: its weights are scaled by the style, and then brought to a length of 1."""

    def __init__(self, inputs, outputs, latent):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.affine = nn.Linear(latent, inputs)
        self.noise_strength = nn.Parameter(torch.tensor(0.1))

    def forward(self, x, row, noise):
        weight = self.weight * (self.affine(row) + 1)[:, None, :, None, None]
        weight = weight * (weight.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
        pictures = len(x)
        x = F.conv2d(x.flatten(0, 1)[None], weight.flatten(0, 1), padding=1, groups=pictures)
        return F.leaky_relu(x.unflatten(1, (pictures, -1))[0] + noise * self.noise_strength, 0.2)


class Foreign(nn.Module):
    """A small network in the manner of StyleGAN 2, with names of its own."""

    def __init__(self):
        super().__init__()
        self.w_dim, self.img_resolution = 12, 16
        self.style = nn.Sequential(nn.Linear(12, 12), nn.LeakyReLU(0.2))
        self.const = nn.Parameter(torch.randn(1, 8, 4, 4))
        self.convs = nn.ModuleList([Modulated(8, 8, 12) for _ in range(3)])
        self.to_rgb = nn.Conv2d(8, 3, 1)

    def synthesise(self, ws, maps):
        x = self.const.expand(len(ws), -1, -1, -1)
        for index, conv in enumerate(self.convs):
            x = F.interpolate(x, scale_factor=2) if index else x
            x = conv(x, ws[:, index], maps[index])
        return self.to_rgb(x)


class Adapter(nn.Module):
    """What docs/pulse.md shows."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.resolution = network.img_resolution
        self.layers = len(network.convs)
        self.latent = network.w_dim
        self.noise_sides = tuple(4 * 2**index for index in range(self.layers))

    def mapping(self, z):
        return self.network.style(z)

    def forward(self, latents, noises):
        return self.network.synthesise(latents, noises)


@pytest.fixture
def adapter():
    torch.manual_seed(0)
    return Adapter(Foreign())


def test_another_network_is_a_generator_by_a_few_lines(adapter, tmp_path):
    checkpoint = load(adapter)
    assert checkpoint.network is adapter
    assert checkpoint.fit is None
    assert str(checkpoint) == "Adapter 16x16, 3 layers, latent 12 (custom)"
    fit = fit_gaussian(adapter.mapping, adapter.latent, draws=500)
    assert fit.std.shape == (12,)
    before = checkpoint.fingerprint()
    with torch.no_grad():
        adapter.network.const += 1
    assert checkpoint.fingerprint() != before
    with pytest.raises(InputError, match="weights is a Adapter; only a StyleGAN of fastsr's can be written"):
        save(checkpoint, tmp_path / "a.safetensors")


def test_the_caller_s_default_dtype_does_not_matter(adapter, other_default):
    expected = fit_gaussian(adapter.mapping, 12, draws=100)
    with other_default():
        assert check_generator(adapter) is adapter
        assert torch.equal(fit_gaussian(adapter.mapping, 12, draws=100).mean, expected.mean)


def changed(**attributes):
    def change(adapter):
        for name, value in attributes.items():
            setattr(adapter, name, value)

    return change


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda a: delattr(a, "noise_sides"),
            InputTypeError,
            "weights is a Adapter without noise_sides; give a path",
        ),
        (changed(latent=12.0), InputTypeError, r"weights\.latent=12\.0 is a float; give a whole number"),
        (changed(layers=0), InputError, r"weights\.layers=0 is less than 1"),
        (changed(noise_sides=[4, 8, 16]), InputTypeError, r"weights\.noise_sides=\[4, 8, 16\] is a list; give a tuple"),
        (changed(noise_sides=(4, 8.0)), InputTypeError, r"weights\.noise_sides\[1\]=8\.0 is a float"),
        (
            changed(resolution=32),
            InputError,
            r"is of shape \(2, 3, 16, 16\); the generator's attributes say \(2, 3, ",
        ),
        (changed(mapping=lambda z: z[:, :5]), InputError, r"weights\.mapping\(z\) is of shape \(2, 5\)"),
        (
            changed(forward=lambda w, n: None),
            InputTypeError,
            r"weights\(latents, noises\) is a NoneType; a gen",
        ),
        (changed(forward=lambda w, n: w.mean() / torch.zeros(2, 3, 16, 16)), InputError, "NaN or infinite"),
        (
            changed(forward=lambda w, n: torch.zeros(2, 3, 16, 16)),
            InputError,
            "has no gradient with respect to",
        ),
        (
            lambda a: changed(forward=lambda w, n: a.network.synthesise(w.detach(), n))(a),
            InputError,
            "no gradient with respect to latents",
        ),
    ],
)
def test_what_is_wrong_with_a_generator_is_named(change, error, message, adapter):
    change(adapter)
    with pytest.raises(error, match=message):
        check_generator(adapter)


@pytest.mark.parametrize("weights", [5, None, torch.zeros(3), nn.Linear(2, 2)])
def test_what_is_no_generator_at_all_is_named(weights):
    with pytest.raises(InputTypeError, match=f"weights is a {type(weights).__name__} without resolution, layers"):
        load(weights)
