"""The benchmarks of PULSE: that rivals compute the same, and what the tables say."""

import pytest
import torch

from benchmarks import pulse_faces, pulse_speed, step_times
from benchmarks.straightforward_stylegan import plain_steps, straightforward
from fastsr.pulse import search
from fastsr.pulse.checkpoint import Checkpoint
from fastsr.pulse.gaussian_fit import GaussianFit
from fastsr.pulse.goals import Goal
from fastsr.pulse.losses import parse, total
from fastsr.pulse.network import Architecture, StyleGAN
from fastsr.pulse.starts import draw

SMALL = Architecture(32, latent=8, mapping_layers=2, fmap_base=64)


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = StyleGAN(SMALL).eval().requires_grad_(False)
    for parameter in found.parameters():
        parameter.add_(torch.randn(parameter.shape), alpha=0.2)
    return found


@pytest.fixture
def fit():
    return GaussianFit(torch.randn(8), torch.rand(8) + 0.5)


def test_the_straightforward_search_is_the_same(network, fit, monkeypatch):
    network.synthesis.rgb.weight.mul_(0.1)  # no colour is clipped
    found = []
    monkeypatch.setattr(search, "total", lambda *given: found.append(total(*given)) or found[-1])
    low = torch.rand(2, 3, 8, 8)
    start = draw(network, [0], tile_latent=False, noise="trainable", trainable_noise=5)
    settings = search.Settings(4, 2e-3, "adam", 0.4, "fixed", parse("100*L2+0.05*GEOCROSS"))
    step = search.Step(network, fit, Goal(low, None, 32), start, settings)
    twice = [noise.repeat(2, 1, 1, 1) for noise in start.noises]
    plain = plain_steps(straightforward(network), fit, start.z.repeat(2, 1, 1), twice, low)
    losses = []
    for _ in range(4):
        step()
        losses.append(float(next(plain)))
    assert losses[-1] != pytest.approx(losses[0], rel=1e-2)
    assert losses == pytest.approx([float(loss.detach().sum()) for loss in found], rel=5e-3)  # borders differ


def test_a_step_is_timed_for_every_rival():
    rivals = (step_times.EAGER, step_times.EAGER_BF16, step_times.OURS_FLOAT32, step_times.OURS)
    rows = pulse_speed.measure(torch.device("cpu"), {32: 1}, rivals, SMALL)
    assert [row["rival"] for row in rows] == list(rivals)
    assert all(0 < row["fastest"] <= row["seconds"] <= row["slowest"] for row in rows)
    assert pulse_speed.table(rows).splitlines()[2].endswith("| 1.00 |")


def test_what_reached_eps_is_counted(network, fit):
    checkpoint = Checkpoint(network, fit, "", "small")
    pictures = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(2)]
    row, found = pulse_faces.measure(checkpoint, pictures, 4, 2)
    assert (row["side"], row["pictures"]) == (8, 2)
    assert row["reached"] == sum(face.l2 <= 2e-3 for one in found for face in one.faces)
    assert pulse_faces.table([row], 2e-3).splitlines()[-1].startswith("| 8x8, x4 | 2 | ")
    assert pulse_faces.shown(pictures, {4: found}).height > 2 * 64
