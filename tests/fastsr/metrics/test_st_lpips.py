"""ST-LPIPS: the two networks against the formula written a second time, and against values of the authors' package."""

from importlib.util import find_spec

import pytest
import torch
from torch.nn import functional as F

from fastsr.checkpoints.reading import Contents
from fastsr.errors import InputError, MissingFileError
from fastsr.metrics.st_lpips import FILES, LEVELS, ShiftTolerantFeatures, load_features, st_lpips

SHAPES = {
    "alex": {
        "net.slice1.0": (64, 3, 11, 11),
        "net.slice2.5": (192, 64, 5, 5),
        "net.slice3.9": (384, 192, 3, 3),
        "net.slice4.11": (256, 384, 3, 3),
        "net.slice5.13": (256, 256, 3, 3),
    },
    "vgg": {
        f"net.slice{block}.{place}": (width, inputs, 3, 3)
        for block, place, width, inputs in (
            (1, 0, 64, 3), (1, 2, 64, 64), (2, 6, 128, 64), (2, 8, 128, 128), (3, 12, 256, 128), (3, 14, 256, 256),
            (3, 16, 256, 256), (4, 20, 512, 256), (4, 22, 512, 512), (4, 24, 512, 512), (5, 28, 512, 512),
            (5, 30, 512, 512), (5, 32, 512, 512),
        )
    },
}  # fmt: skip
BLURS = {
    "alex": {"net.slice1.1": 64, "net.slice2.4": 64, "net.slice3.8": 192},
    "vgg": {"net.slice2.5": 64, "net.slice3.11": 128, "net.slice4.19": 256, "net.slice5.27": 512},
}


def contents(net: str, **changes) -> Contents:
    """The tensors of a file with random weights."""
    generator = torch.Generator().manual_seed(3)
    tensors = {
        f"scaling_layer.{part}": torch.full((1, 3, 1, 1), value) for part, value in (("shift", -0.05), ("scale", 0.45))
    }
    for module, shape in SHAPES[net].items():
        fan = shape[1] * shape[2] * shape[3]
        tensors[f"{module}.weight"] = torch.randn(shape, generator=generator) * (2 / fan) ** 0.5
        tensors[f"{module}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    line = torch.tensor([1.0, 2.0, 1.0]) / 4
    for module, width in BLURS[net].items():
        tensors[f"{module}.filt"] = torch.outer(line, line).expand(width, 1, 3, 3)
    for level, width in enumerate((64, 192, 384, 256, 256) if net == "alex" else (64, 128, 256, 512, 512)):
        tensors[f"lin{level}.model.1.weight"] = torch.rand((1, width, 1, 1), generator=generator)
    return Contents({**tensors, **changes}, {}, "weights='random'")


def halve(x):
    """Blur by 1 2 1 along both axes with two reflected pixels at each border, and keep every second pixel."""
    for axis in (2, 3):
        x = torch.cat([x.narrow(axis, 1, 2).flip(axis), x, x.narrow(axis, x.shape[axis] - 3, 2).flip(axis)], axis)
        left, middle, right = (x.narrow(axis, start, x.shape[axis] - 2) for start in range(3))
        x = (left + 2 * middle + right) / 4
    return x[:, :, ::2, ::2]


def formula(net, tensors, image):
    """The five feature maps, in double precision."""
    t = {key: value.double() for key, value in tensors.items()}
    conv = lambda h, module, pad: F.conv2d(h, t[f"{module}.weight"], t[f"{module}.bias"], padding=pad)  # noqa: E731
    h = ((image.double() - 0.5) * 2 - t["scaling_layer.shift"]) / t["scaling_layer.scale"]
    if net == "alex":
        maps = [halve(conv(h, "net.slice1.0", 2)).relu()]
        maps.append(conv(halve(F.max_pool2d(maps[-1], 3, 1)), "net.slice2.5", 2).relu())
        maps.append(conv(halve(F.max_pool2d(maps[-1], 3, 1)), "net.slice3.9", 1).relu())
        for module in ("net.slice4.11", "net.slice5.13"):
            maps.append(conv(maps[-1], module, 1).relu())
        return maps
    maps = []
    for block in range(1, 6):
        h = halve(F.max_pool2d(h, 2, 1)) if block > 1 else h
        for module in SHAPES[net]:
            if module.startswith(f"net.slice{block}."):
                h = conv(h, module, 1).relu()
        maps.append(h)
    return maps


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_features_and_distance_are_those_of_the_formula(net):
    weights = contents(net)
    network = ShiftTolerantFeatures(net, weights).double()
    generator = torch.Generator().manual_seed(1)
    a, b = (torch.rand((2, 3, 37, 50), generator=generator, dtype=torch.float64) for _ in range(2))
    wanted = [formula(net, weights.tensors, image) for image in (a, b)]
    for got, expected in zip(network(a), wanted[0], strict=True):
        torch.testing.assert_close(got, expected)
    total = 0
    for level, (x, y) in enumerate(zip(*wanted, strict=True)):
        unit = [z / (z.norm(dim=1, keepdim=True) + 1e-10) for z in (x, y)]
        per_channel = (unit[0] - unit[1]).square().mean((2, 3))
        total = total + per_channel @ weights.tensors[f"lin{level}.model.1.weight"].double().flatten()
    torch.testing.assert_close(network.distance(a, b), total)


def test_the_distance_has_gradients_where_features_are_zero():
    network = ShiftTolerantFeatures("alex", contents("alex"))
    a = torch.zeros(1, 3, 32, 32, requires_grad=True)
    network.distance(a, torch.rand(1, 3, 32, 32)).sum().backward()
    assert bool(a.grad.isfinite().all())


def test_gradients_do_not_depend_on_the_place_in_a_grid_of_two_pixels():
    network = ShiftTolerantFeatures("vgg", contents("vgg"), levels=2)
    torch.manual_seed(1)
    image = (0.5 + 0.01 * torch.randn(1, 3, 128, 128)).requires_grad_()
    network(image)[-1].mean().backward()
    inside = image.grad.abs().mean(1)[0, 16:-16, 16:-16]
    phases = torch.stack([inside[row::2, column::2].mean() for row in range(2) for column in range(2)])
    assert (phases.max() - phases.min()) / phases.mean() < 0.05


def test_levels_that_are_not_asked_for_are_not_computed():
    assert len(ShiftTolerantFeatures("vgg", contents("vgg"), levels=2)(torch.rand(1, 3, 32, 32))) == 2


def test_a_file_of_another_network_is_refused():
    with pytest.raises(InputError, match=r"has no 'net.slice1.2.weight'; give vgg_shift_tolerant.pth"):
        ShiftTolerantFeatures("vgg", contents("alex"))


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "random.pth"
    torch.save(dict(contents("alex").tensors), path)
    return path


def test_images_of_any_kind_are_compared(weights):
    image = torch.rand(2, 3, 40, 40)
    values = st_lpips(image, image.flip(-1), weights=weights)
    assert isinstance(values, list)
    assert values[1] == pytest.approx(st_lpips(image[1], image[1].flip(-1), weights=weights))
    assert st_lpips(image[0], image[0], weights=weights) == 0


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ((3, 40, 40), (3, 40, 41), {}, "one size"),
        ((3, 31, 40), (3, 31, 40), {}, "at least 32"),
        ((2, 3, 40, 40), (3, 40, 40), {}, "as many"),
        ((3, 40, 40), (3, 40, 40), {"net": "squeeze"}, "alex"),
    ],
)
def test_bad_input_is_refused(a, b, options, message, weights):
    with pytest.raises(InputError, match=message):
        st_lpips(torch.rand(a), torch.rand(b), weights=weights, **options)


@pytest.mark.skipif(find_spec("stlpips_pytorch") is not None, reason="the package is installed")
def test_without_weights_the_error_says_how_to_get_them():
    with pytest.raises(MissingFileError, match="pip install --no-deps stlpips_pytorch"):
        load_features("alex")


def test_every_level_has_its_blur_and_convolutions():
    for net in FILES:
        modules = [module for _, steps in LEVELS[net] for module, _, _ in steps]
        assert modules == list(SHAPES[net])


@pytest.mark.skipif(find_spec("stlpips_pytorch") is None, reason="needs the weights of stlpips_pytorch")
@pytest.mark.parametrize(("net", "expected"), [("alex", 0.0145349), ("vgg", 0.0138934)])
def test_the_published_weights_give_what_the_package_gives(net, expected):
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(64.0), indexing="ij")
    a = torch.stack([rows / 48, columns / 64, ((rows * columns) % 17) / 17])
    b = (a + 0.1 * torch.sin(rows + 2 * columns)).clamp(0, 1)
    assert st_lpips(a, b, net=net) == pytest.approx(expected, rel=1e-4)  # by stlpips_pytorch 0.0.2
