"""Samples of pictures: their condition, batches and tiles, and float32 where bfloat16 fails."""

import warnings

import pytest
import torch

from fastsr.errors import NotFiniteError
from fastsr.imresize import imresize
from fastsr.sr3 import inference
from fastsr.sr3.arguments import check_options
from fastsr.sr3.inference import Diffuser, condition_of
from fastsr.sr3.network import UNet
from fastsr.sr3.sampling import sample


def options(checkpoint, **change):
    given = {"steps": 4, "device": "cpu", "dtype": "float32", **change}
    return check_options(weights=checkpoint, **given)


def pictures(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(4))


def straight(made, pixels, seeds, size=None):
    """Samples, (rows, 3, H, W) in [0, 1], of pictures that need neither padding nor tiles."""
    size = size or tuple(round(side * made.factor) for side in pixels.shape[-2:])
    condition = 2 * imresize(pixels, size=size).clamp(0, 1) - 1
    *_, (seen, _) = sample(made.checkpoint.network, made.plan, condition, torch.tensor(seeds))
    return (seen + 1) / 2


@pytest.fixture
def asked(monkeypatch):
    """The shape and dtype of the condition at every call of a network."""
    seen, forward = [], UNet.forward

    def watch(self, condition, noisy, level):
        seen.append((tuple(condition.shape), self.last.weight.dtype))
        return forward(self, condition, noisy, level)

    monkeypatch.setattr(UNet, "forward", watch)
    return seen


def test_the_network_is_told_of_the_enlarged_picture():
    pixels = pictures(2, 3, 5, 6)
    pixels[0, 0, 2, 2], pixels[0, 0, 2, 3] = 0, 1
    condition = condition_of(pixels, (20, 24))
    assert condition.shape == (2, 3, 20, 24)
    assert imresize(pixels, size=(20, 24)).aminmax()[1] > 1
    assert (condition - (2 * imresize(pixels, size=(20, 24)).clamp(0, 1) - 1)).abs().max() < 1e-6
    grey = condition_of(pixels[:, :1], (20, 24))
    assert torch.equal(grey, condition_of(pixels[:, :1].expand(-1, 3, -1, -1), (20, 24)))


def test_rows_are_the_samples_of_one_picture_after_the_other(small):
    made = options(small(), samples=3, seed=10)
    pixels = pictures(2, 3, 4, 4)
    found = Diffuser(made)(pixels, (16, 16))
    assert found.shape == (2, 3, 3, 16, 16)
    assert 0 <= found.min() <= found.max() <= 1
    for row in range(2):
        for number in range(3):
            alone = straight(made, pixels[row : row + 1], [10 + number])
            assert (found[row, number] - alone[0]).abs().max() < 1e-5
    assert (found[0, 0] - found[0, 1]).abs().max() > 0.05


def test_batches_are_as_large_as_memory_has_it(small, monkeypatch, asked):
    checkpoint = small()
    made = options(checkpoint, samples=5)
    expected = Diffuser(made)(pictures(1, 3, 4, 4), (16, 16))
    assert [shape[0] for shape, _ in asked] == [4] * 4 + [1] * 4
    asked.clear()
    needed = 4 * checkpoint.network.config.floats * 16 * 16
    monkeypatch.setattr(inference, "available_memory", lambda device: int(2.5 * needed / inference.SHARE))
    found = Diffuser(made)(pictures(1, 3, 4, 4), (16, 16))
    assert [shape[0] for shape, _ in asked] == [2] * 8 + [1] * 4
    assert (found - expected).abs().max() < 1e-5
    asked.clear()
    monkeypatch.setattr(inference, "available_memory", lambda device: 1)
    Diffuser(made)(pictures(1, 3, 4, 4), (16, 16))
    assert {shape[0] for shape, _ in asked} == {1}
    asked.clear()
    monkeypatch.setattr(inference, "available_memory", lambda device: None)
    Diffuser(made)(pictures(1, 3, 4, 4), (16, 16))
    assert asked[0][0][0] == inference.MOST_ON_CPU


def test_pictures_larger_than_a_tile_are_in_tiles(small, asked):
    made = options(small(), samples=2, tile=16)
    found = Diffuser(made)(pictures(1, 3, 7, 10), (28, 40))
    assert found.shape == (1, 2, 3, 28, 40)
    assert {shape[-2:] for shape, _ in asked} == {(16, 16)}
    assert len(asked) == 2 * 4 * 2  # samples, steps, and 2 times 3 tiles, 4 at once


def test_a_larger_tile_is_the_whole_picture(small, asked):
    made = options(small(), tile=64)
    pixels = pictures(1, 3, 7, 10)
    found = Diffuser(made)(pixels, (28, 40))
    assert {shape[-2:] for shape, _ in asked} == {(28, 40)}
    assert (found[0] - straight(made, pixels, [0])).abs().max() < 1e-5


def test_tiles_are_near_the_whole_picture(small):
    """Not the same, for the norms and the attention of a network see all of its picture, but nearer than chance."""
    pixels = pictures(1, 3, 8, 16)
    whole, tiled = (Diffuser(options(small(), tile=tile))(pixels, (32, 64)) for tile in (64, 32))
    other = Diffuser(options(small(), tile=64, seed=1))(pixels, (32, 64))
    assert 0 < (whole - tiled).std() < 0.6 * (whole - other).std()


def test_sides_that_are_no_multiple_or_too_small_are_padded_and_cut(small, asked):
    made = options(small(factor=None, size=None), factor=3)
    found = Diffuser(made)(pictures(1, 3, 5, 7), (15, 21))
    assert found.shape == (1, 1, 3, 15, 21)
    assert {shape[-2:] for shape, _ in asked} == {(16, 22)}
    asked.clear()
    assert Diffuser(options(small()))(pictures(1, 3, 2, 3), (8, 12)).shape == (1, 1, 3, 8, 12)
    assert {shape[-2:] for shape, _ in asked} == {(16, 16)}


def test_grey_pictures_are_the_mean_of_what_is_seen_of_three_channels(small):
    made = options(small())
    pixels = pictures(1, 1, 4, 4)
    found = Diffuser(made)(pixels, (16, 16))
    assert found.shape == (1, 1, 1, 16, 16)
    expected = straight(made, pixels.expand(-1, 3, -1, -1), [0]).mean(1, keepdim=True)
    assert (found[0] - expected).abs().max() < 1e-5


def test_every_step_is_reported(small):
    told = []

    def report(part, seen, state):
        told.append((part, seen.clone(), state))

    made = options(small(), samples=6)
    found = Diffuser(made)(pictures(1, 3, 3, 3), (12, 12), report)
    assert [(state.first, state.step, len(seen)) for _, seen, state in told] == [
        *((0, step, 4) for step in range(1, 5)),
        *((4, step, 2) for step in range(1, 5)),
    ]
    assert sum(part for part, _, _ in told) == pytest.approx(made.plan.steps)
    for _, seen, state in told:
        assert seen.shape == state.noisy.shape == (len(seen), 3, 12, 12)
        assert 0 <= seen.min() <= seen.max() <= 1
    assert torch.equal(torch.cat([told[3][1], told[7][1]]), found[0])


def fail_in(monkeypatch, *dtypes, step=1):
    """Let networks give NaN in a step in these dtypes."""
    forward, called = UNet.forward, {}

    def failing(self, condition, noisy, level):
        said = forward(self, condition, noisy, level)
        called[said.dtype] = called.get(said.dtype, 0) + 1
        if said.dtype in dtypes and called[said.dtype] >= step:
            said[0, 0, 0, 0] = float("nan")
        return said

    monkeypatch.setattr(UNet, "forward", failing)
    return called


@pytest.mark.parametrize("step", [1, 3])
def test_what_bfloat16_cannot_do_is_done_again_in_float32(step, small, monkeypatch):
    checkpoint = small()
    expected = Diffuser(options(checkpoint))(pictures(1, 3, 4, 4), (16, 16))
    called, told = fail_in(monkeypatch, torch.bfloat16, step=step), []
    diffuser = Diffuser(options(checkpoint, dtype="bfloat16"))
    message = f"says in step {step} of 4 is not finite.*; the picture is done again in float32"
    with pytest.warns(RuntimeWarning, match=message):
        found = diffuser(pictures(1, 3, 4, 4), (16, 16), lambda part, seen, state: told.append((part, state.step)))
    assert torch.equal(found, expected)
    assert called == {torch.bfloat16: step, torch.float32: 4}
    assert [number for _, number in told] == [*range(1, step), 1, 2, 3, 4]
    assert sum(part for part, _ in told) == 4


def test_a_network_that_overflows_in_bfloat16_alone_is_a_network(small):
    """Rounded up to bfloat16, weights near the largest number are infinite."""
    checkpoint = small(gain=1.0)
    with torch.no_grad():
        checkpoint.network.last.bias.fill_(torch.finfo(torch.float32).max)
    with pytest.warns(RuntimeWarning, match="done again in float32"):
        found = Diffuser(options(checkpoint, dtype="bfloat16"))(pictures(1, 3, 4, 4), (16, 16))
    assert found.aminmax() == (1, 1)


@pytest.mark.parametrize(("side", "samples"), [(7, 1), (4, 4)])  # four tiles of one sample, one tile of four
def test_float32_has_the_memory_that_float32_takes(side, samples, small, monkeypatch, asked):
    checkpoint = small()
    needed = 4 * checkpoint.network.config.floats * 16 * 16
    monkeypatch.setattr(inference, "available_memory", lambda device: int(2 * needed / inference.SHARE))
    fail_in(monkeypatch, torch.bfloat16)
    made = options(checkpoint, dtype="bfloat16", steps=2, tile=16, samples=samples)
    with pytest.warns(RuntimeWarning):
        Diffuser(made)(pictures(1, 3, side, side), (4 * side, 4 * side))
    assert {shape[0] for shape, _ in asked} == {2}


def test_what_float32_cannot_do_is_an_error(small, monkeypatch):
    fail_in(monkeypatch, torch.bfloat16, torch.float32)
    with pytest.warns(RuntimeWarning), pytest.raises(NotFiniteError, match="says in step 1 of 4 is not finite"):
        Diffuser(options(small(), dtype="bfloat16"))(pictures(1, 3, 4, 4), (16, 16))


def test_float32_is_not_tried_twice(small, monkeypatch):
    called = fail_in(monkeypatch, torch.float32, step=2)
    with pytest.raises(NotFiniteError, match="says in step 2 of 4 is not finite"):
        Diffuser(options(small()))(pictures(1, 3, 4, 4), (16, 16))
    assert called == {torch.float32: 2}


def test_bfloat16_is_near(small, asked):
    checkpoint = small()
    exact, fast = (
        Diffuser(options(checkpoint, dtype=dtype))(pictures(1, 3, 4, 4), (16, 16)) for dtype in ("float32", "bfloat16")
    )
    assert 0 < (exact - fast).abs().max() < 0.05
    assert [dtype for _, dtype in asked] == [torch.float32] * 4 + [torch.bfloat16] * 4


def test_the_network_given_is_left_as_it_is(small):
    checkpoint = small()
    before = {key: value.clone() for key, value in checkpoint.network.state_dict().items()}
    with warnings.catch_warnings():
        Diffuser(options(checkpoint, dtype="bfloat16"))(pictures(1, 3, 4, 4), (16, 16))
    after = checkpoint.network.state_dict()
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    assert checkpoint.network.first.weight.is_contiguous()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("tile", [None, 64])
def test_a_gpu_gives_what_its_steps_give_one_by_one(tile, small, monkeypatch):
    pixels = pictures(1, 3, 7, 10)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        made = options(small(), device="cuda", samples=2, steps=8, tile=tile)
        captured = Diffuser(made)(pixels, (28, 40))
        monkeypatch.setattr("fastsr.sr3.sampling.Graphed", lambda step, device: step)
        plain = Diffuser(made)(pixels, (28, 40))
    assert captured.device == pixels.device
    assert (captured - plain).abs().max() < 1e-4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_says_which_step_is_not_finite(small):
    checkpoint = small()
    with torch.no_grad():
        checkpoint.network.last.bias[1] = float("inf")
    with pytest.raises(NotFiniteError, match="says in step 1 of 8 is not finite"):
        Diffuser(options(checkpoint, device="cuda", steps=8))(pictures(1, 3, 4, 4), (16, 16))
