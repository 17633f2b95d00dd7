"""The benchmark of results that agree with their input: what it measures, and what its tables say."""

import pytest
import torch

import fastsr
from benchmarks import consistency
from fastsr.data.protocols import Case


def enlarge(pixels):
    """Bicubic, and a shift by 10 levels that does not agree."""
    return (fastsr.resize(pixels, 4) + 10 / 255).clamp(0, 1)


@pytest.fixture
def case():
    coarse = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(0))
    hr = (fastsr.resize(0.2 + 0.6 * coarse, size=(48, 40)) * 255).round().to(torch.uint8)
    return Case(hr, fastsr.resize(hr, 1 / 4), lambda picture, size: fastsr.resize(picture, size=size))


def test_disagreement_is_in_levels_and_pixels():
    lr = torch.full((3, 4, 4), 100, dtype=torch.uint8)
    result = torch.full((3, 16, 16), 100, dtype=torch.uint8)
    assert consistency.disagreement(result, lr) == pytest.approx({"off": 0, "shift": 0, "percent": 0})
    lr[0, 0, 0] = lr[1, 0, 0] = 102  # two colours of one pixel
    assert consistency.disagreement(result, lr) == pytest.approx({"off": 2, "shift": 1 / 8, "percent": 100 / 16})


def test_made_to_agree_a_result_is_nearer_to_input_and_reference(case):
    plain, agreed = consistency.agreement_rows("some", "shifted", enlarge, [case])
    assert [(row["set"], row["what"]) for row in (plain, agreed)] == [("some", "shifted"), ("some", "made to agree")]
    assert plain["shift"] == pytest.approx(10, abs=0.2)
    assert plain["percent"] == 100
    assert agreed["off"] < 1
    assert agreed["shift"] < 0.1
    assert agreed["psnr_y"] > plain["psnr_y"] + 3


def test_a_set_has_the_mean_psnr_and_its_worst_picture(case):
    black = Case(torch.zeros_like(case.hr), torch.zeros_like(case.lr), case.downscale)
    one, other, together = (
        consistency.agreement_rows("some", "bicubic", enlarge, some)[0] for some in ([case], [black], [case, black])
    )
    assert one["off"] != other["off"]
    assert together["off"] == max(one["off"], other["off"])
    assert together["psnr_y"] == pytest.approx((one["psnr_y"] + other["psnr_y"]) / 2)


def test_inputs_are_as_they_are_called(case):
    found = consistency.inputs(case)
    assert all((lr.shape, lr.dtype) == (case.lr.shape, torch.uint8) for lr in found.values())
    off = {name: (lr.double() - case.lr.double()).std().item() for name, lr in found.items()}
    assert off["MATLAB's bicubic"] == 0
    assert 0 < off["then JPEG of quality 95"] < off["then JPEG of quality 75"]
    assert off["then noise of 2 levels"] == pytest.approx(2, rel=0.1)
    assert off["then noise of 5 levels"] == pytest.approx(5, rel=0.1)
    assert min(off["Pillow's Lanczos"], off["Pillow's box"]) > 0.5
    assert not torch.equal(found["Pillow's Lanczos"], found["Pillow's box"])
    assert all(torch.equal(lr, found[name]) for name, lr in consistency.inputs(case).items())


def test_every_input_has_a_row(case):
    rows = consistency.input_rows(enlarge, [case, case])
    assert [row["input"] for row in rows] == list(consistency.inputs(case))
    assert all(row["psnr_y_agreed"] > row["psnr_y"] for row in rows)


def test_tables():
    row = {"set": "Set5", "what": "SRGAN", "psnr_y": 30.657, "off": 21.14, "shift": 2.5811, "percent": 80.26}
    lines = consistency.agreement_table([row, {**row, "percent": 0.0}]).splitlines()
    assert lines[2:] == [f"| Set5 | SRGAN | 30.66 | 21.14 | 2.581 | {cell} |" for cell in ("80.3 %", "none")]
    row = {"input": "Pillow's box", "psnr_y": 29.48, "psnr_y_agreed": 29.884}
    assert consistency.input_table([row]).splitlines()[-1] == "| Pillow's box | 29.48 | 29.88 |"
