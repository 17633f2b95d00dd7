"""Enlarging in tiles: exact, within memory, and in float32 where bfloat16 fails."""

import pytest
import torch

from fastsr.device import resolve_dtype
from fastsr.errors import InputError
from fastsr.images import read
from fastsr.metrics import psnr
from fastsr.srgan import inference
from fastsr.srgan.checkpoint import Checkpoint
from fastsr.srgan.formats import load
from fastsr.srgan.inference import Enlarger
from fastsr.srgan.network import SRResNet
from fastsr.srgan.relatives import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig

CPU = torch.device("cpu")


def enlarger(checkpoint, dtype=torch.float32, device=CPU):
    return Enlarger(checkpoint, device, dtype)


def of(network):
    """A network whose weights, drawn anew, all matter, and whose results are mostly within [0, 1]."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
    torch.nn.init.normal_(network.last.weight, 0, 0.005)
    torch.nn.init.constant_(network.last.bias, 0.2)
    return Checkpoint(network.eval().requires_grad_(False), "test", "unit", "unit", "weights")


def relatives():
    torch.manual_seed(0)
    return {
        "MSRResNet x2": of(MSRResNet(MSRResNetConfig(2, 16, 2))),
        "MSRResNet x3": of(MSRResNet(MSRResNetConfig(2, 16, 3))),
        "MSRResNet x4": of(MSRResNet(MSRResNetConfig(2, 16, 4))),
        "RRDBNet x4": of(RRDBNet(RRDBNetConfig(1, 16, 8))),
        "RRDBNet x2": of(RRDBNet(RRDBNetConfig(1, 16, 8, unshuffle=2))),
    }


VARIANTS = ({}, {"scale": 2}, {"scale": 8}, {"padding": "reflect"}, {"fusion": "prelu", "final": "tanh"})


def whole(checkpoint, x):
    with torch.no_grad():
        return checkpoint.to_colours(checkpoint.network(checkpoint.to_input(x)))


@pytest.mark.parametrize("config", VARIANTS)
@pytest.mark.parametrize("tile", [None, 16, 27])
def test_tiles_are_the_whole_picture(config, tile, small, monkeypatch):
    monkeypatch.setattr(inference, "PICTURE_BYTES", {"cpu": 2**19})  # tiles within tiles
    checkpoint, x = small(**config), torch.rand(1, 3, 53, 62)
    expected = whole(checkpoint, x)
    assert expected.std() > 0.01
    assert (enlarger(checkpoint)(x, tile=tile) - expected).abs().max() < 1e-6


@pytest.mark.parametrize("name", relatives())
def test_tiles_of_other_networks_are_the_whole_picture(name):
    checkpoint, x = relatives()[name], torch.rand(1, 3, 45, 51)
    expected = whole(checkpoint, x)
    assert expected.std() > 0.01
    assert (enlarger(checkpoint)(x, tile=16) - expected).abs().max() < 1e-6


@pytest.mark.parametrize(("part", "loss"), [("features_reach", 2), ("picture_reach", 2)])
def test_less_overlap_would_show(part, loss, small):
    checkpoint, x = small(), torch.rand(1, 3, 53, 62)
    expected = whole(checkpoint, x)
    setattr(checkpoint.network, part, getattr(checkpoint.network, part) - loss)
    assert (enlarger(checkpoint)(x, tile=16) - expected).abs().max() > 1e-5


@pytest.fixture
def sizes(monkeypatch):
    """The sides of all that networks make features of."""
    seen, features = [], SRResNet.features

    def watch(self, x):
        seen.extend(x.shape[-2:])
        return features(self, x)

    monkeypatch.setattr(SRResNet, "features", watch)
    return seen


def test_a_picture_that_fits_is_one_tile(small, sizes):
    enlarger(small())(torch.rand(1, 3, 40, 45))
    assert sizes == [40, 45]


def test_tiles_do_not_grow_with_the_picture(small, sizes, monkeypatch):
    monkeypatch.setattr(inference, "LARGEST_TILE", {"cpu": 32})
    monkeypatch.setattr(inference, "TILE_OF_REACH", 1)
    checkpoint = small()
    enlarger(checkpoint)(torch.rand(1, 3, 150, 40))
    assert max(sizes) == 30 + 2 * (checkpoint.network.features_reach + checkpoint.network.picture_reach)


def test_tiles_of_a_network_that_sees_far_are_larger(small, sizes, monkeypatch):
    monkeypatch.setattr(inference, "LARGEST_TILE", {"cpu": 16})
    checkpoint = small()
    reach = checkpoint.network.features_reach + checkpoint.network.picture_reach
    enlarger(checkpoint)(torch.rand(1, 3, 12 * reach, 20))
    assert max(sizes) == 6 * reach


def test_tiles_fit_into_the_free_memory(small, sizes, monkeypatch):
    checkpoint = small()
    free = 2**20
    monkeypatch.setattr(inference, "available_memory", lambda device: free)
    enlarger(checkpoint)(torch.rand(1, 3, 150, 160))
    needed = 4 * checkpoint.network.features_floats * max(sizes) ** 2
    assert free / 8 < needed <= inference.SHARE * free


def test_without_a_word_on_memory_tiles_are_the_largest(small, sizes, monkeypatch):
    monkeypatch.setattr(inference, "available_memory", lambda device: None)
    enlarger(small())(torch.rand(1, 3, 150, 40))
    assert max(sizes) == 150


def test_when_memory_runs_out_on_the_way_the_result_is_the_same(small, monkeypatch):
    features = SRResNet.features

    def tight(self, x):
        if x.shape[-2] > 50:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return features(self, x)

    checkpoint, x = small(), torch.rand(1, 3, 70, 20)
    expected = whole(checkpoint, x)
    monkeypatch.setattr(SRResNet, "features", tight)
    assert (enlarger(checkpoint)(x) - expected).abs().max() < 1e-6


def fail_in(monkeypatch, *dtypes):
    """Let networks give NaN in one corner in these dtypes, and return the dtypes they were called in."""
    called, features = [], SRResNet.features

    def failing(self, x):
        found = features(self, x)
        called.append(found.dtype)
        if found.dtype in dtypes:
            found[..., 0, 0] = float("nan")
        return found

    monkeypatch.setattr(SRResNet, "features", failing)
    return called


def test_what_bfloat16_cannot_do_is_done_again_in_float32(small, monkeypatch):
    checkpoint, x = small(), torch.rand(1, 3, 20, 20)
    expected = whole(checkpoint, x)
    called = fail_in(monkeypatch, torch.bfloat16)
    assert (enlarger(checkpoint, torch.bfloat16)(x) - expected).abs().max() < 1e-6
    assert called == [torch.bfloat16, torch.float32]


def test_bfloat16_is_near_and_alone_where_it_is_finite(small, monkeypatch):
    checkpoint, x = small(), torch.rand(1, 3, 20, 20)
    expected = whole(checkpoint, x)
    called = fail_in(monkeypatch)
    error = (enlarger(checkpoint, torch.bfloat16)(x) - expected).abs().max()
    assert 0 < error < 0.05
    assert called == [torch.bfloat16]


def test_bfloat16_loses_less_than_a_hundredth_of_a_decibel(data):
    checkpoint = load(data / "weights" / "leftthomas-srgan-x4.pth")
    lr, hr = (read(data / "Set5" / "image_SRF_4" / f"img_003_SRF_4_{kind}.png").pixels for kind in ("LR", "HR"))
    exact, fast = (enlarger(checkpoint, dtype)(lr) for dtype in (torch.float32, torch.bfloat16))
    assert not torch.equal(exact, fast)
    assert psnr(fast[0], hr[0], shave=4) > psnr(exact[0], hr[0], shave=4) - 0.01


def test_what_float32_cannot_do_is_an_error(small, monkeypatch):
    fail_in(monkeypatch, torch.bfloat16, torch.float32)
    with pytest.raises(InputError, match="weights='small' gives values that are not finite"):
        enlarger(small(), torch.bfloat16)(torch.rand(1, 3, 20, 20))


def test_grey_is_three_equal_channels_and_their_mean(small):
    checkpoint, x = small(), torch.rand(1, 1, 20, 21)
    expected = whole(checkpoint, x.expand(-1, 3, -1, -1)).mean(1, keepdim=True)
    assert (enlarger(checkpoint)(x) - expected).abs().max() < 1e-6


def test_a_network_for_grey_gets_colours_one_by_one(small):
    checkpoint, x = small(channels=1), torch.rand(1, 3, 20, 21)
    done = []
    result = enlarger(checkpoint)(x, report=done.append)
    assert (result - whole(checkpoint, x.transpose(0, 1)).transpose(0, 1)).abs().max() < 1e-6
    assert sum(done) == pytest.approx(20 * 21)


def test_results_are_colours(small):
    checkpoint = small()
    checkpoint.network.last.bias.fill_(9)
    assert enlarger(checkpoint)(torch.rand(1, 3, 8, 8)).aminmax() == (1, 1)


def test_the_network_given_is_left_as_it_is(small):
    checkpoint = small()
    before = {key: value.clone() for key, value in checkpoint.network.state_dict().items()}
    enlarger(checkpoint, torch.bfloat16)(torch.rand(1, 3, 8, 8))
    after = checkpoint.network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("config", VARIANTS)
def test_a_gpu_gives_what_the_cpu_gives(config, small):
    checkpoint, x = small(**config), torch.rand(1, 3, 53, 62)
    device = torch.device("cuda")
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        result = enlarger(checkpoint, device=device)(x, tile=27)
    assert result.device == x.device
    assert (result - whole(checkpoint, x)).abs().max() < 1e-5
    if resolve_dtype(None, device) == torch.bfloat16:
        assert (enlarger(checkpoint, torch.bfloat16, device)(x) - whole(checkpoint, x)).abs().max() < 0.05
