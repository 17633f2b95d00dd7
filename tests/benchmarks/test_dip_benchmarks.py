"""The tables of Deep Image Prior: what is measured, kept and left out."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import dip_crops, dip_recipes
from benchmarks.report import environment, kept_rows, save
from fastsr.dip.network import HourglassConfig


@pytest.fixture
def set14(tmp_path, monkeypatch):
    """A folder with noise in the place of the four pictures."""
    folder = tmp_path / "Set14" / "image_SRF_4"
    folder.mkdir(parents=True)
    for number in dip_crops.NUMBERS.values():
        pixels = np.random.default_rng(number).integers(0, 256, (140, 150, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"img_{number:03d}_SRF_4_HR.png")
    monkeypatch.setenv("FASTSR_DATA", str(tmp_path))
    return tmp_path


def test_rows_are_kept_where_they_were_made(tmp_path):
    where = environment(torch.device("cpu"))
    path = tmp_path / "rows.json"
    assert kept_rows(path, where) == []
    save(path, {**where, "commit": "another", "rows": [1]})
    assert kept_rows(path, where) == [1]
    for key in ("device", "threads", "python", "torch"):
        with pytest.raises(SystemExit, match=f"measured with {key} .*, not 'another'; move it away"):
            kept_rows(path, {**where, key: "another"})


def test_crops_measure_what_is_missing(set14, tmp_path, monkeypatch, capsys):
    def measure(name, factor, method, data):
        measured.append((name, factor, method))
        seconds = {"bicubic": 0.001, "fast": 10, "paper": 120}[method]
        recipe = dip_crops.recipe(method, factor)
        scores = {"psnr_y": 20 + factor, "psnr_rgb": 18.5, "seconds": seconds}
        return {"image": name, "factor": factor, "method": method, "recipe": recipe, **scores}

    measured = []
    path = tmp_path / "crops.json"
    monkeypatch.setattr(sys, "argv", ["dip_crops", "--results", str(path)])
    monkeypatch.setattr(dip_crops, "measure", measure)
    dip_crops.main()
    assert len(measured) == len(set(measured)) == 4 * 2 * 3
    printed = capsys.readouterr().out
    assert "| zebra x8 | 28.00 / 18.50 | 28.00 / 18.50 | 10 | 28.00 / 18.50 | 120 | 12.0 |" in printed
    assert "| **mean x4** | 24.00 / 18.50 |" in printed

    measured.clear()
    report = json.loads(path.read_text())
    report["rows"][1]["recipe"] = "another"  # measured by a recipe that is no longer the preset's
    path.write_text(json.dumps(report))
    dip_crops.main()
    assert measured == [("lenna", 4, "fast")]
    assert len(json.loads(path.read_text())["rows"]) == 24


def test_a_crop_is_measured_by_the_library(set14):
    row = dip_crops.measure("zebra", 4, "bicubic", set14)
    original = dip_crops.centre_crop("zebra", set14)
    assert original.size == (128, 128)
    small = original.resize((32, 32), Image.Resampling.LANCZOS)
    mse = np.square(np.asarray(original, float) - np.asarray(dip_crops.fastsr.resize(small, 4))).mean()
    assert row["psnr_rgb"] == pytest.approx(10 * np.log10(255**2 / mse))
    assert 5 < row["psnr_y"] < 30
    assert row["seconds"] > 0


def test_recipes_measure_what_is_missing(set14, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(dip_recipes, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["dip_recipes", "x4 fast"])
    factor, recipe = dip_recipes.RECIPES["x4 fast"]
    quick = dip_recipes.replace(recipe, steps=3, network=HourglassConfig(channels=(4, 4)))
    monkeypatch.setitem(dip_recipes.RECIPES, "x4 fast", (factor, quick))
    dip_recipes.main()
    rows = json.loads((tmp_path / "dip_recipes.json").read_text())["rows"]
    assert [row["image"] for row in rows] == list(dip_recipes.IMAGES)
    assert all(row["details"] == str(quick) for row in rows)
    assert f"{rows[0]['psnr_y']['3']:.2f}" in capsys.readouterr().out
    monkeypatch.setattr(dip_recipes, "measure", lambda *args: pytest.fail("measured twice"))
    dip_recipes.main()
