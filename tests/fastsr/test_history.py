import os
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

import fastsr
from fastsr import history as module
from fastsr import metrics
from fastsr.cli import main
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import Recipe
from fastsr.errors import InputError, MissingFileError
from fastsr.run_log import LOSSES
from fastsr.training.run_folder import RunFolder

QUICK = {"steps": 3, "device": "cpu", "progress": False}
SHOWN_WIDTH = 960

LOG = [
    {"step": 10, "stage": "srresnet", "rate": 0.1, "pixel": 0.6, "p": 0.9},
    {"step": 20, "stage": "srresnet", "rate": 0.1, "pixel": 0.1, "p": 0.1},
    {"step": 20, "stage": "srresnet", "val_psnr": 31.0, "val_consistency": float("inf")},
    {"step": 30, "stage": "srgan", "rate": 0.1, "pixel": 0.2, "content": 0.3, "p": 0.9},
    {"step": 30, "stage": "srgan", "val_psnr": 29.5, "val_consistency": 40.0},
]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a training with two stages."""
    folder = RunFolder(tmp_path / "a run")
    folder.path.mkdir()
    for line in LOG:
        folder.log(line)
    return folder.path


def width(file: Path | BytesIO) -> int:
    with Image.open(file) as image:
        return image.width


def test_the_numbers_of_a_fit_are_those_of_its_states_and_a_second_call_begins_anew():
    recipe = Recipe(HourglassConfig((4, 4), 2, 2), steps=3)
    original = torch.rand(3, 8, 8)
    history, seen = fastsr.History(original), []

    def callback(step, image, info):
        history(step, image, info)
        row = {"step": step, "picture": info.picture, "psnr_fit": info.psnr}
        seen.append({**row, "psnr_original": metrics.psnr(image[0], original)})

    images = [torch.rand(3, 4, 4), torch.rand(3, 4, 4)]
    fastsr.dip(images, 2, preset=recipe, device="cpu", progress=False, callback=callback)
    assert history.rows == seen
    assert len(seen) == 6
    fastsr.dip(images[0], 2, preset=recipe, steps=2, device="cpu", progress=False, callback=history)
    assert [(row["step"], row["picture"]) for row in history.rows] == [(1, 0), (2, 0)]


@pytest.mark.filterwarnings("ignore::fastsr.DomainWarning")
def test_the_numbers_of_samples_and_of_a_search():
    small = torch.rand(3, 8, 8)
    samples, search = fastsr.History(), fastsr.History(torch.rand(3, 64, 64))
    fastsr.sr3(small, samples=2, **QUICK, callback=samples)
    fastsr.pulse(small, **QUICK, callback=search)
    assert [(row["step"], row["picture"]) for row in samples.rows] == [(s, p) for s in (1, 2, 3) for p in (0, 1)]
    noise = [row["noise"] for row in samples.rows]
    assert 1 > noise[0] > noise[2] > noise[4] > 0
    l2 = [row["l2"] for row in search.rows]
    assert l2[0] >= l2[1] >= l2[2] > 0
    assert all(row["psnr_original"] > 0 for row in search.rows)


def test_an_original_is_read_once_and_is_as_large_as_the_result(tmp_path: Path):
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 6)).save(path)
    history = fastsr.History(path)
    path.unlink()
    history(1, torch.zeros(1, 3, 6, 8), SimpleNamespace(picture=0))
    assert history.rows == [{"step": 1, "picture": 0, "psnr_original": float("inf")}]
    with pytest.raises(InputError, match="original has 8x6 pixels and the result 6x8"):
        history(1, torch.zeros(1, 3, 8, 6), SimpleNamespace(picture=0))
    with pytest.raises(MissingFileError, match="original="):
        fastsr.History(path)


def test_the_log_of_a_training_is_read_while_it_grows(run: Path):
    with open(run / LOSSES, "ab") as file:
        file.write(b'{"step": 40, "sta')
    history = fastsr.History.read(run)
    assert history.rows == LOG
    assert history.title == "a run"


@pytest.mark.parametrize(
    "line",
    [
        *(b"{'step': 1}\n", b"[1]\n", b'{"pixel": 1.0}\n', b"\xff\n"),
        *(b'{"step": 1}\n', b'{"step": 1, "stage": "srgan", "pixel": "a"}\n'),
    ],
)
def test_a_damaged_log_is_refused(run: Path, line: bytes):
    with open(run / LOSSES, "ab") as file:
        file.write(line)
    with pytest.raises(InputError, match=r"line 6 of .*losses\.jsonl' is damaged"):
        fastsr.History.read(run)


def test_a_folder_without_a_log_is_refused(tmp_path: Path):
    with pytest.raises(MissingFileError, match=r"run='.*' has no losses\.jsonl"):
        fastsr.History.read(tmp_path)


def test_each_number_has_a_panel_and_each_stage_a_colour(run: Path):
    figure = fastsr.History.read(run).plot()
    panels = {panel.get_title(): panel for panel in figure.axes}
    scores = ["validation: PSNR, dB (best 31, 29.5)", "validation: consistency, dB (best inf, 40)"]
    assert list(panels) == [*scores, "pixel", "p", "content"]  # the rate never changes
    first, second = panels["pixel"].get_lines()
    assert (list(first.get_xdata()), list(first.get_ydata())) == ([10, 20], [0.6, 0.1])
    assert (list(second.get_xdata()), list(second.get_ydata())) == ([30], [0.2])
    assert first.get_color() != second.get_color()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["srresnet", "srgan"]
    assert [panels[name].get_yscale() for name in ("pixel", "p", "content")] == ["log", "linear", "linear"]
    assert panels["pixel"].get_xlim() == panels["content"].get_xlim()


@pytest.mark.parametrize(("name", "shown"), [("a$\\b$", "a$\\b$"), (os.fsdecode(b"bad\xff"), "bad\\udcff")])
def test_the_title_is_the_name_of_the_folder_whatever_that_is(name: str, shown: str):
    history = fastsr.History()
    history.rows, history.title = LOG[:1], name
    figure = history.plot()
    figure.draw_without_rendering()
    assert figure.get_suptitle() == shown


def test_a_notebook_shows_curves(run: Path, monkeypatch: pytest.MonkeyPatch):
    history = fastsr.History.read(run)
    for shown in (history, history.plot()):
        assert width(BytesIO(shown._repr_png_())) == SHOWN_WIDTH
    assert fastsr.History()._repr_png_() is None
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert history._repr_png_() is None
    assert repr(history) == "<History of 5 rows: step, stage, rate, pixel, p, val_psnr, val_consistency, content>"


def test_what_is_missing_for_a_plot_is_named(run: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match="no numbers yet"):
        fastsr.History().plot()
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install matplotlib"):
        fastsr.History.read(run).plot()


def test_the_command_draws_beside_the_log_or_elsewhere(run: Path):
    elsewhere = run.parent / "new" / "c.svg"
    for options, target in (([], run / "curves.png"), (["-o", str(elsewhere)], elsewhere)):
        result = CliRunner().invoke(main, ["plot", str(run), *options])
        assert (result.exit_code, result.output) == (0, f"{target}\n")
    assert width(run / "curves.png") == SHOWN_WIDTH
    assert elsewhere.read_text().startswith("<?xml")
    refused = CliRunner().invoke(main, ["plot", str(run), "-o", "curves.bmp"])
    assert refused.exit_code == 2
    assert "'curves.bmp' has no suffix that can be written: .png, .svg, .pdf" in refused.output
