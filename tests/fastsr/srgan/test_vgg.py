"""VGG19 of every layout: generated weights of its keys give what a network written out here gives."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from fastsr import images
from fastsr.errors import InputError, MissingFileError
from fastsr.srgan import vgg
from fastsr.srgan.vgg import LAYERS, PUBLIC_WEIGHTS, VGGFeatures, load_features

WIDTHS = [64, 64, 128, 128, *[256] * 4, *[512] * 8]
TORCHVISION = [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34]
NORMALISED = [2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42, 45, 48, 51]
VGG16 = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]
MEAN, DEVIATION = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])[..., None, None]


def random_weights(numbers, prefix=""):
    """Convolutions that keep the size of values."""
    random = torch.Generator().manual_seed(0)
    state, inputs = {}, 3
    for number, outputs in zip(numbers, WIDTHS, strict=False):
        weight = torch.randn(outputs, inputs, 3, 3, generator=random)
        state[f"{prefix}{number}.weight"] = weight * (2 / (9 * inputs)) ** 0.5
        state[f"{prefix}{number}.bias"] = 0.1 * torch.randn(outputs, generator=random)
        inputs = outputs
    return state


def constant_weights(numbers, prefix=""):
    """Convolutions of full depth that take no space in a file: each is filled with its number."""
    shapes = zip(numbers, WIDTHS, [3, *WIDTHS], strict=False)
    return {
        f"{prefix}{number}.{name}": torch.tensor(float(number)).expand(shape)
        for number, outputs, inputs in shapes
        for name, shape in (("weight", (outputs, inputs, 3, 3)), ("bias", (outputs,)))
    }


def prepare_weights():
    random = torch.Generator().manual_seed(1)
    return {
        "0.weight": torch.randn(3, 3, 1, 1, generator=random),
        "0.bias": torch.randn(3, generator=random),
    }


def torchvision_vgg31(state, prefix, x):
    def conv(number, x):
        key = f"{prefix}{number}"
        return F.relu(F.conv2d(x, state[f"{key}.weight"], state[f"{key}.bias"], padding=1))

    x = conv(2, conv(0, (x - MEAN) / DEVIATION))
    x = conv(7, conv(5, F.max_pool2d(x, 2)))
    return conv(10, F.max_pool2d(x, 2))


def normalised_vgg31(state, x):
    def conv(number, x):
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.relu(F.conv2d(padded, state[f"{number}.weight"], state[f"{number}.bias"]))

    x = conv(5, conv(2, F.conv2d(x, state["0.weight"], state["0.bias"])))
    x = conv(12, conv(9, F.max_pool2d(x, 2, ceil_mode=True)))
    return conv(16, F.max_pool2d(x, 2, ceil_mode=True))


def save(state, folder, wrap=lambda state: state):
    torch.save(wrap(state), folder / "vgg.pth")
    return folder / "vgg.pth"


WRAPS = [
    lambda state: state,
    lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
]


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("prefix", ["features.", ""])
def test_torchvision(prefix, wrap, tmp_path):
    state = random_weights(TORCHVISION[:5], prefix)
    features = load_features("vgg31", save(state | {"classifier.0.weight": torch.zeros(8, 8)}, tmp_path, wrap))
    x = torch.rand(2, 3, 22, 27)
    expected = torchvision_vgg31(state, prefix, x)
    assert expected.shape == (2, 256, 5, 6)
    torch.testing.assert_close(features(x), expected)


@pytest.mark.parametrize("wrap", WRAPS)
def test_normalised(wrap, tmp_path):
    state = prepare_weights() | random_weights(NORMALISED[:5])
    features = load_features("vgg31", save(state, tmp_path, wrap))
    x = torch.rand(2, 3, 22, 27)
    expected = normalised_vgg31(state, x) / 12.75
    assert expected.shape == (2, 256, 6, 7)
    torch.testing.assert_close(features(x), expected)


@pytest.mark.parametrize(
    ("numbers", "prefix"),
    [(TORCHVISION, "features."), (TORCHVISION, ""), (NORMALISED, "")],
    ids=["torchvision", "torchvision features", "normalised"],
)
def test_every_convolution_of_a_whole_file_is_found(numbers, prefix, tmp_path):
    state = constant_weights(numbers, prefix)
    if numbers is NORMALISED:
        state |= prepare_weights()
    found = load_features("vgg54", save(state, tmp_path)).layers.state_dict()
    assert {key: value.flatten()[0].item() for key, value in found.items() if not key.startswith("prepare")} == {
        f"{layer}.{name}": number for layer, number in zip(LAYERS, numbers, strict=True) for name in ("weight", "bias")
    }


def test_the_network_ends_at_its_layer(tmp_path):
    path = save(constant_weights(TORCHVISION, "features."), tmp_path)
    for layer, shape in [("vgg12", (1, 64, 32, 32)), ("vgg22", (1, 128, 16, 16)), ("vgg54", (1, 512, 2, 2))]:
        features = load_features(layer, path)
        assert list(features.layers.state_dict())[-1] == f"{layer}.bias"
        with torch.device("meta"):
            assert VGGFeatures(layer)(torch.empty(1, 3, 32, 32)).shape == shape


def test_layers_are_named_by_block_and_place():
    names = "vgg11 vgg12 vgg21 vgg22 vgg31 vgg32 vgg33 vgg34 vgg41 vgg42 vgg43 vgg44 vgg51 vgg52 vgg53 vgg54"
    assert list(LAYERS) == names.split()


def test_safetensors_are_read(tmp_path):
    state = random_weights(TORCHVISION[:2], "features.")
    save_file(state, tmp_path / "vgg.safetensors")
    features = load_features("vgg12", tmp_path / "vgg.safetensors")
    assert torch.equal(features.layers.vgg12.weight, state["features.2.weight"])


def test_it_is_frozen(tmp_path):
    features = load_features("vgg12", save(random_weights(TORCHVISION[:2]), tmp_path))
    assert not features.train().training
    assert not any(module.training for module in features.modules())
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    features(x).sum().backward()
    assert x.grad.abs().min() > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in features.parameters())


@pytest.mark.parametrize(
    "state",
    [
        constant_weights(VGG16, "features."),
        constant_weights([0, 3, 7, 10], "features."),  # batch norms between them
        constant_weights(NORMALISED),  # no first convolution
        constant_weights([0, 2, 7], "features."),  # one left out
        {"features.0.weight": torch.zeros(32, 3, 3, 3), "features.0.bias": torch.zeros(32)},
        prepare_weights(),
        {"body.weight": torch.zeros(1)},
    ],
    ids=["VGG16", "batch norm", "not prepared", "hole", "narrow", "prepare alone", "no convolution"],
)
def test_other_networks_are_refused(state, tmp_path):
    message = r"vgg\.pth' is of an unknown network, .* known are torchvision VGG19, .* normalised VGG19"
    with pytest.raises(InputError, match=message):
        load_features("vgg11", save(state, tmp_path))


def test_a_file_without_a_bias_is_refused(tmp_path):
    state = random_weights(TORCHVISION[:3], "features.")
    del state["features.2.bias"]
    path = save(state, tmp_path)
    with pytest.raises(InputError, match=r"looks like torchvision VGG19, but does not fit: no vgg12\.bias$"):
        load_features("vgg21", path)
    load_features("vgg11", path)


def test_a_layer_that_the_file_does_not_reach_is_refused(tmp_path):
    path = save(random_weights(TORCHVISION[:3], "features."), tmp_path)
    message = r"vgg\.pth' goes up to vgg21; for layer='vgg22' give a larger file, or None for torchvision's"
    with pytest.raises(InputError, match=message):
        load_features("vgg22", path)


@pytest.mark.parametrize("layer", ["vgg55", "vgg13", "relu2_2", 22])
def test_a_layer_that_vgg19_has_not_is_refused(layer):
    with pytest.raises(InputError, match=rf"layer={layer!r} is none of VGG19; give one of vgg11, .*, vgg54$"):
        load_features(layer, "not_read.pth")


def test_a_missing_file_is_an_error():
    with pytest.raises(MissingFileError, match=r"weights='vgg\.pth' is not there"):
        load_features("vgg22", "vgg.pth")


def test_without_weights_the_public_ones_are_taken(tmp_path, monkeypatch):
    path = save(random_weights(TORCHVISION[:1], "features."), tmp_path)
    asked = []
    monkeypatch.setattr(vgg, "locate", lambda weights: asked.append(weights) or path)
    load_features("vgg11")
    assert asked == [PUBLIC_WEIGHTS]


def test_the_hash_of_the_public_weights_begins_as_their_name_says():
    address, _, digest = PUBLIC_WEIGHTS.partition("#sha256=")
    assert len(digest) == 64
    assert address.endswith(f"/vgg19-{digest[:8]}.pth")


def test_real_weights_give_what_their_own_network_gives(data):
    path = data / "weights" / "vgg19-normalised-conv3_1.pth"
    own = nn.Sequential(
        *(nn.Conv2d(3, 3, 1), nn.ReflectionPad2d(1), nn.Conv2d(3, 64, 3), nn.ReLU()),
        *(nn.ReflectionPad2d(1), nn.Conv2d(64, 64, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.ReflectionPad2d(1), nn.Conv2d(64, 128, 3), nn.ReLU()),
        *(nn.ReflectionPad2d(1), nn.Conv2d(128, 128, 3), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)),
        *(nn.ReflectionPad2d(1), nn.Conv2d(128, 256, 3), nn.ReLU()),
    )
    own.load_state_dict(torch.load(path, weights_only=True))
    x = images.read(data / "Set5" / "image_SRF_4" / "img_003_SRF_4_LR.png").pixels
    features = load_features("vgg22", path)
    with torch.no_grad():
        expected = own[:14](x)
        torch.testing.assert_close(features(x), expected / 12.75)
    with pytest.raises(InputError, match=r"vgg19-normalised-conv3_1\.pth' goes up to vgg31; for layer='vgg54' give"):
        load_features("vgg54", path)
