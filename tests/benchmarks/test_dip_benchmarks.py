"""The tables of Deep Image Prior: what is measured, kept and left out."""

import json
import sys
from dataclasses import replace
from itertools import pairwise
from statistics import fmean

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import dip_recipes, dip_record, dip_set14, dip_tasks, gpu_queue
from benchmarks.dip_recipes import Variant
from benchmarks.report import environment, kept_rows, save
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import upscale
from fastsr.evaluate import Evaluation
from fastsr.evaluate.table import Row


def test_rows_are_kept_where_they_were_made(tmp_path):
    where = environment(torch.device("cpu"))
    path = tmp_path / "rows.json"
    assert kept_rows(path, where) == []
    save(path, {**where, "commit": "another", "rows": [1]})
    assert kept_rows(path, where) == [1]
    for key in ("device", "threads", "python", "torch"):
        with pytest.raises(SystemExit, match=f"measured with {key} .*, not 'another'; move it away"):
            kept_rows(path, {**where, key: "another"})


@pytest.fixture
def set5(tmp_path, monkeypatch):
    """A folder with noise in the place of the pictures of Set5."""
    folder = tmp_path / "Set5" / "image_SRF_4"
    folder.mkdir(parents=True)
    for number in dip_recipes.PICTURES.values():
        pixels = np.random.default_rng(number).integers(0, 256, (140, 150, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"img_{number:03d}_SRF_4_HR.png")
    monkeypatch.setenv("FASTSR_DATA", str(tmp_path))
    return tmp_path


def test_recipes_measure_what_is_missing(set5, tmp_path, monkeypatch, capsys):
    quick = replace(upscale("fast", 4), steps=12, network=HourglassConfig(channels=(4, 4)))
    variants = {
        "depth": {"shallow": Variant(quick)},
        "precision": {"bfloat16 (fast)": Variant(quick), "float32": Variant(quick, dtype="float32")},
    }
    monkeypatch.setattr(dip_recipes, "ingredients", lambda factor: variants)
    monkeypatch.setattr(dip_recipes, "RESULTS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["dip_recipes", "precision"])
    dip_recipes.main()
    rows = json.loads((tmp_path / "dip_recipes.json").read_text())["rows"]
    ours = [row for row in rows if row["ingredient"] == "precision"]
    assert {(row["variant"], row["image"], row["factor"]) for row in ours} == {
        (variant, image, factor)
        for variant in variants["precision"]
        for image in dip_recipes.PICTURES
        for factor in dip_recipes.FACTORS
    }
    assert [point["step"] for point in rows[0]["course"]] == list(range(1, 13))
    assert all(a["seconds"] < b["seconds"] for a, b in pairwise(rows[0]["course"]))
    assert f"| {ours[0]['course'][-1]['psnr_y']:.2f} |" in capsys.readouterr().out
    monkeypatch.setattr(dip_recipes, "measure", lambda *args: pytest.fail("measured twice"))
    dip_recipes.main()


def test_every_ingredient_differs_from_the_preset_in_its_thing():
    for factor in dip_recipes.FACTORS:
        fast = upscale("fast", factor)
        for variants in dip_recipes.ingredients(factor).values():
            first, *others = variants.values()
            assert first == Variant(fast)
            assert first not in others


def test_the_published_table_is_the_papers():
    for name, factor, count, mean in (("Set14", 8, 14, 24.153), ("Set14", 4, 14, 27.005), ("Set5", 8, 5, 25.890)):
        published = dip_set14.read_published(name, factor)
        assert len(published) == count
        assert fmean(row["published_y"] for row in published.values()) == pytest.approx(mean, abs=5e-4)
    assert published["img_003"]["name"] == "butterfly"


def test_set14_is_an_evaluation_by_the_protocol_of_the_paper(tmp_path, monkeypatch):
    calls = []

    def evaluate(*arguments, **options):
        calls.append((arguments, options))
        rows = [Row(f"img_{n:03d}", 512, 480, 25.0, 23.0, 0.7, 40.0, 9.0) for n in range(1, 15)]
        return Evaluation(rows, None, {}, tmp_path)

    monkeypatch.setattr(dip_set14, "evaluate", evaluate)
    rows = dip_set14.measure("paper", 8, tmp_path / "Set14", tmp_path)
    ((method, _), options) = calls[0]
    assert (method, options["protocol"], options["factor"], options["options"].preset) == ("dip", "dip", 8, "paper")
    text = dip_set14.table(rows)
    assert "| baboon | 512x480 | 21.38 / 19.29 | 25.00 / 23.00 | +3.62 | 9 |" in text
    assert "| **mean** |  | 24.15 / 22.29 | 25.00 / 23.00 | +0.85 | 9 |" in text


def test_a_run_on_a_gpu_goes_on_only_with_what_came_from_the_same_sources(tmp_path, monkeypatch):
    def measure(preset, factor, data, folder, device):
        seen.append((preset, factor, folder, device))
        scores = {"psnr_y": 24.2, "psnr_rgb": 22.0, "published_y": 24.1, "published_rgb": 22.1, "seconds": 2.0}
        return [{"name": "zebra", "width": 8, "height": 8, **scores}]

    seen = []
    monkeypatch.setenv("FASTSR_DATA", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H200")
    monkeypatch.setattr(dip_set14, "measure", measure)
    assert dip_set14.fast_x8()["mean_psnr_y"] == 24.2
    dip_set14.paper_x4()
    monkeypatch.setattr(gpu_queue, "fingerprint", lambda item: "another")
    dip_set14.fast_x8()
    assert [(preset, factor, device) for preset, factor, _, device in seen] == [
        ("fast", 8, "cuda"),
        ("paper", 4, "cuda"),
        ("fast", 8, "cuda"),
    ]
    assert seen[0][2].parent == seen[2][2].parent == dip_set14.FOLDER / "nvidia-h200"
    assert seen[0][2] != seen[2][2]


@pytest.mark.parametrize("task", ["denoise, sigma unknown", "denoise, sigma known", "restore"])
def test_tasks_are_done_on_the_papers_pictures(task, tmp_path, monkeypatch):
    name, folder, kind = ("house", "restore50", "masked") if task == "restore" else ("hill", "denoise25", "noisy")
    (tmp_path / "dip" / folder).mkdir(parents=True)
    original = np.full((12, 16), 100, np.uint8)
    spoilt = original.copy()
    spoilt[::2] = 0
    for end, pixels in (("GT", original), (kind, spoilt)):
        Image.fromarray(pixels).save(tmp_path / "dip" / folder / f"{name}_{end}.png")
    seen = {}

    def dip(picture, *, callback, **options):
        seen.update(options)
        callback(7, torch.full((1, 1, 12, 16), 110 / 255), None)
        return original + 1

    monkeypatch.setattr(dip_tasks.fastsr, "dip", dip)
    row = dip_tasks.measure((task, name, "fast"), tmp_path)
    assert seen["task"] == task.partition(",")[0]
    assert seen.get("sigma") == (25 if task.endswith(" known") else None)
    assert row["psnr"] == pytest.approx(20 * np.log10(255))
    assert row["psnr_of_output"] == pytest.approx(20 * np.log10(25.5))
    assert (row["steps"], row["published"]) == (7, 39.0 if task == "restore" else 32.09)
    if task == "restore":
        assert np.array_equal(seen["mask"], spoilt == 0)
    assert f"| {task} | {name} | fast |" in dip_tasks.table([row])


def test_plots_are_drawn(tmp_path):
    course = [{"step": step, "seconds": step / 9, "psnr_y": 20 + step} for step in (1, 2, 3)]
    rows = [
        {"ingredient": name, "variant": name + "!", "factor": factor, "image": image, "course": course}
        for name in ("width", "depth")
        for factor in (4, 8)
        for image in ("a", "b")
    ]
    dip_record.draw_ingredients(rows, tmp_path / "ingredients.png")
    row = {"preset": "fast", "factor": 8, "name": "zebra", "psnr_y": 21.0, "published_y": 20.6}
    dip_record.draw_set14([row], tmp_path / "set14.png")
    for name in ("ingredients", "set14"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert min(picture.size) > 200
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_the_record_is_written_from_what_was_measured(tmp_path, monkeypatch, capsys):
    scores = {"psnr_y": 24.2, "psnr_rgb": 22.0, "published_y": 24.1, "published_rgb": 22.1, "seconds": 2.0}
    row = {"set": "Set14", "factor": 8, "preset": "fast", "name": "zebra", "width": 8, "height": 8, **scores}
    save(tmp_path / "dip_set14.json", {"rows": [row]})
    page = tmp_path / "measured" / "dip.md"
    page.parent.mkdir()
    page.write_text("before <!-- set14 x8 fast -->\nold\n<!-- end of set14 x8 fast --> after")
    monkeypatch.setattr(dip_record, "RESULTS", tmp_path)
    monkeypatch.setattr(dip_record, "DOCS", tmp_path)
    dip_record.main()
    table = dip_set14.table([row])
    assert page.read_text() == f"before <!-- set14 x8 fast -->\n\n{table}\n\n<!-- end of set14 x8 fast --> after"
    assert (tmp_path / "dip_set14.png").exists()
    assert not (tmp_path / "dip_ingredients.png").exists()
    page.write_text("no marks")
    with pytest.raises(ValueError, match="has no <!-- set14 x8 fast -->"):
        dip_record.main()


def test_black_pixels_are_missing_as_often_as_others():
    original = np.zeros((40, 100), np.uint8)
    original[20:] = 7
    lost = np.random.default_rng(1).random(original.shape) < 0.5
    found = dip_tasks.missing(np.where(lost, 0, original), original)
    assert np.array_equal(found[20:], lost[20:])
    assert 0.45 < found[:20].mean() < 0.55
    assert np.array_equal(found, dip_tasks.missing(np.where(lost, 0, original), original))
