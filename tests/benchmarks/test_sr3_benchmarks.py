"""The benchmarks of SR3: that rivals compute the same, and what the tables say."""

from functools import partial

import pytest
import torch

import fastsr
from benchmarks import sr3_samplers, sr3_speed, sr3_tiles, step_times
from benchmarks.straightforward_sr3 import straightforward
from fastsr.sr3.checkpoint import Checkpoint
from fastsr.sr3.network import UNet, UNetConfig
from fastsr.sr3.schedules import Schedule

SMALL = UNetConfig(8, (1, 2), 1, (1,), 4, 0.0)


@pytest.fixture
def network():
    torch.manual_seed(0)
    found = UNet(SMALL).eval().requires_grad_(False)
    for parameter in found.parameters():
        parameter.add_(torch.randn(parameter.shape), alpha=0.05)
    return found


def test_the_straightforward_module_computes_the_same(network):
    condition, noisy, level = torch.randn(2, 3, 16, 24), torch.randn(2, 3, 16, 24), torch.tensor([0.1, 0.9])
    expected = network(condition, noisy, level)
    plain = straightforward(network)
    assert not any("fastsr" in type(module).__module__ for module in plain.modules() if "Norm" in type(module).__name__)
    torch.testing.assert_close(plain(condition, noisy, level), expected, rtol=1e-4, atol=1e-5)


def test_a_step_is_timed_for_every_rival(monkeypatch):
    monkeypatch.setattr(sr3_speed, "PUBLISHED", {16: SMALL})
    rivals = (step_times.EAGER, step_times.EAGER_BF16, step_times.OURS_FLOAT32, step_times.OURS)
    rows = sr3_speed.measure(torch.device("cpu"), {16: 2}, rivals)
    assert [row["rival"] for row in rows] == list(rivals)
    assert all(0 < row["fastest"] <= row["seconds"] <= row["slowest"] for row in rows)


def test_the_table_of_speed_compares_with_the_straightforward_module():
    times = {"fastest": 1.0, "slowest": 4.0}
    rows = [
        {"side": 128, "rival": step_times.EAGER, "seconds": 3.0, **times},
        {"side": 128, "rival": step_times.OURS, "seconds": 1.5, **times},
    ]
    assert sr3_speed.table(rows).splitlines()[-1] == "| 16 to 128 | fastsr, bfloat16 | 1.5 | 1 to 4 | 2.00 |"


def test_samplers_are_scored_beside_bicubic(network):
    checkpoint = Checkpoint(network, Schedule().curve(), "v", 2, 16, "fastsr", "small")
    high = torch.randint(0, 256, (3, 16, 16), dtype=torch.uint8)
    rows = sr3_samplers.measure(
        checkpoint, [(high[:, ::2, ::2], high)] * 2, torch.device("cpu"), [("ddim", "time", 2), ("ddpm", "time", 3)]
    )
    found = [(row["sampler"], row["steps"]) for row in rows]
    assert found == [("bicubic", 0), ("ddim", 2), ("ddpm", 3), ("ddpm, projected", 3)]
    assert rows[2]["seconds_of_plain"] == pytest.approx(1.5 * rows[1]["seconds_of_plain"])
    assert rows[3]["consistency"] > rows[2]["consistency"]


def test_the_picture_has_a_row_for_each_pair(network, monkeypatch):
    monkeypatch.setattr(sr3_samplers.fastsr, "sr3", partial(fastsr.sr3, steps=2))
    checkpoint = Checkpoint(network, Schedule().curve(), "v", 2, 16, "fastsr", "small")
    pair = torch.zeros(3, 8, 8, dtype=torch.uint8), torch.zeros(3, 16, 16, dtype=torch.uint8)
    one, two = (sr3_samplers.picture(checkpoint, [pair] * count) for count in (1, 2))
    assert two.width == one.width
    assert two.height >= one.height + 32


def test_the_same_picture_has_all_detail_and_no_shift():
    high = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    found = sr3_samplers.quality(high, high[..., ::2, ::2], high)
    assert (found["detail"], found["shift"], found["ssim_y"]) == (1, 0, 1)
    half = (high // 2 + 64).to(torch.uint8)
    assert sr3_samplers.quality(half, high[..., ::2, ::2], high)["detail"] == pytest.approx(0.5, abs=0.01)


def test_seams_are_steps_between_squares():
    assert sr3_tiles.borders(32, 16, overlapping=False) == [15]
    assert sr3_tiles.borders(32, 16, overlapping=True) == [7, 15, 23]  # tiles from 0, 8 and 16
    whole = torch.arange(32.0).expand(3, 32, 32)
    made = whole.clone()
    made[:, :, 16:] += 3
    assert sr3_tiles.seam(made, whole, 16, overlapping=False) == pytest.approx(4)
    assert sr3_tiles.seam(made, whole, 16, overlapping=True) == pytest.approx(2)
    assert sr3_tiles.seam(made, whole, 32, overlapping=True) is None


def test_ways_with_tiles_are_compared(network, monkeypatch):
    monkeypatch.setattr(sr3_tiles, "STEPS", 3)
    checkpoint = Checkpoint(network, Schedule().curve(), "v", 2, 16, "fastsr", "small")
    rows, made = sr3_tiles.measure(checkpoint, torch.rand(3, 35, 32))
    assert [row["what"] for row in rows] == [sr3_tiles.WHOLE, sr3_tiles.DOUBLE, sr3_tiles.SINGLE, sr3_tiles.APART]
    assert all(picture.shape == (3, 32, 32) for picture in made.values())
    assert rows[1]["mean_difference"] == 0  # it is whole as well
    assert rows[2]["mean_difference"] > 0


def test_figures_of_pictures_are_averaged():
    one, two = ([{"what": "whole", "psnr_y": value}] for value in (20.0, 30.0))
    assert sr3_tiles.means([one, two]) == [{"what": "whole", "psnr_y": 25.0}]
