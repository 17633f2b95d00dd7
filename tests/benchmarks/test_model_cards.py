"""Model cards: that what they print is what is run, and what is measured comes into them, or not at all."""

import json
import shutil
import subprocess
import sys

import pytest
import torch

import fastsr
from benchmarks import card_floors, looks, model_cards
from benchmarks.card_commands import commands_of, run, words_of
from benchmarks.card_floors import FLOORS, Floor
from benchmarks.card_scores import read, scores, table
from fastsr.evaluate import evaluate
from fastsr.pretrained import FENCE, FOLDER
from fastsr.srgan.checkpoint import Checkpoint
from fastsr.srgan.formats import save
from fastsr.srgan.network import SRResNet, SRResNetConfig

CARD = """# small

## Training

    fastsr train srgan --data photos

## Scores

Text, and `fastsr evaluate nothing`.

    fastsr evaluate bicubic --data $PHOTOS --factor 2 \\
        -o evaluation/small_as_is/photos_x2
    python -m benchmarks.looks evaluation/small_as_is/photos_x2

<!-- scores -->
old
<!-- end of scores -->

## Limits
"""

SMALL = SRResNetConfig(blocks=1, width=4)


@pytest.fixture
def here(monkeypatch):
    """Commands run in this process: each would take seconds to import torch."""

    def run_here(words, *, check, cwd, env):
        assert check
        assert words[:2] == [sys.executable, "-m"]
        monkeypatch.chdir(cwd)
        if words[2] == "fastsr":
            options = dict(zip(words[5::2], words[6::2], strict=True))
            evaluate(words[4], options["--data"], factor=int(options["--factor"]), output=options["-o"])
        else:
            assert words[2] == "benchmarks.looks"
            monkeypatch.setattr(sys, "argv", words[2:])
            looks.main()

    monkeypatch.setattr(subprocess, "run", run_here)
    monkeypatch.setattr(looks, "load_model", lambda: None)


@pytest.fixture
def card(tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    photos.mkdir()
    monkeypatch.setenv("PHOTOS", str(photos))
    torch.manual_seed(0)
    for index in range(2):
        fastsr.save(fastsr.resize(torch.rand(3, 8, 8), 4), photos / f"{index}.png")
    folder = tmp_path / "pretrained"
    folder.mkdir()
    save(Checkpoint(SRResNet(SMALL), "fastsr", "unit", "signed", "small"), folder / "small.safetensors")
    path = folder / "small.md"
    path.write_text(f"{FENCE}{json.dumps({'name': 'small', 'method': 'srgan', 'scores': 0})}\n{FENCE}{CARD}")
    return path


def test_commands_are_those_of_the_sections(monkeypatch, tmp_path):
    first, second = commands_of(CARD, ("Scores", "Memorisation"))
    assert first == "fastsr evaluate bicubic --data $PHOTOS --factor 2 -o evaluation/small_as_is/photos_x2"
    assert second == "python -m benchmarks.looks evaluation/small_as_is/photos_x2"
    (tmp_path / "a b.png").touch()
    monkeypatch.setenv("PHOTOS", str(tmp_path))
    assert words_of("fastsr x '$PHOTOS/*.png'", tmp_path)[3:] == ["x", f"{tmp_path}/a b.png"]
    with pytest.raises(ValueError, match=r"\$NOWHERE is not set"):
        words_of("fastsr x $NOWHERE", tmp_path)
    with pytest.raises(ValueError, match=r"\*\.jpg matches nothing"):
        words_of("fastsr x *.jpg", tmp_path)


def test_a_command_that_fails_is_not_passed_over(tmp_path):
    with pytest.raises(subprocess.CalledProcessError):
        run("python -c 'raise SystemExit(3)'", tmp_path)


def test_what_was_measured_comes_into_the_card(card, here, tmp_path, monkeypatch):
    monkeypatch.setitem(FLOORS, "small", ())
    assert model_cards.measure("small", tmp_path, card.parent) == []
    _, head, text = card.read_text().split(FENCE)
    facts = json.loads(head)
    found = evaluate("bicubic", tmp_path / "photos", factor=2, output=tmp_path / "again").mean
    assert facts["scores"] == {"photos x2, as is": {"PSNR": round(found.psnr_y, 2), "SSIM": round(found.ssim, 4)}}
    assert len(facts["sha256"]) == 64
    assert facts["parameters"] == sum(one.numel() for one in SRResNet(SMALL).parameters())
    assert f"| photos x2 | small as is | {found.psnr_y:.2f} | {found.ssim:.4f} |" in text
    assert "\nold\n" not in text
    assert text.startswith(CARD[:20])


def test_weights_that_miss_a_floor_get_no_scores(card, here, tmp_path, monkeypatch):
    monkeypatch.setitem(FLOORS, "small", (Floor("photos x2", "psnr_y", least=99.0),))
    monkeypatch.setitem(FLOORS, "small as is", ())
    before = card.read_text()
    with pytest.raises(KeyError):  # a floor of what was not measured
        model_cards.measure("small", tmp_path, card.parent)
    card.write_text(before.replace("small_as_is", "small"))
    (failure,) = model_cards.measure("small", tmp_path, card.parent)
    assert failure.startswith("small on photos x2: psnr_y ")
    assert failure.endswith("to be at least 99.0")
    assert '"scores": 0' in card.read_text()


def test_floors_are_kept_on_the_bound_and_missed_beyond():
    figures = {("Set14 x4", "srgan-x4"): {"niqe": 4.0}, ("Set14 x4", "srresnet-x4"): {"niqe": 4.5}}
    lower = Floor("Set14 x4", "niqe", most=-0.5, than="srresnet-x4")
    assert lower.missed(figures, "srgan-x4") is None
    figures["Set14 x4", "srgan-x4"]["niqe"] = 4.01
    assert "-0.4900 more than srresnet-x4, to be at most -0.5" in lower.missed(figures, "srgan-x4")
    assert Floor("Set14 x4", "niqe", least=4.5).missed(figures, "srresnet-x4") is None
    assert Floor("Set14 x4", "niqe", least=4.6).missed(figures, "srresnet-x4") is not None


def test_a_result_that_is_its_reference_has_all_detail_and_no_shift(tmp_path):
    photo = fastsr.resize(torch.rand(3, 8, 8), 4)
    photos = tmp_path / "photos"
    photos.mkdir()
    fastsr.save(photo, photos / "a.png")
    evaluate("bicubic", photos, factor=2, output=tmp_path / "found")
    made = tmp_path / "found" / "pictures" / "a.png"
    blurred = looks.measure(tmp_path / "found", None)
    assert blurred["detail"] < 0.95
    assert blurred["shift_lr"] == 0
    shutil.copy(made.with_name("a_hr.png"), made)
    assert looks.measure(tmp_path / "found", None)["detail"] == 1
    fastsr.save((fastsr.load(made.with_name("a_hr.png")) / 2), made)
    assert looks.measure(tmp_path / "found", None)["shift_hr"] > 20


def test_a_measure_that_is_infinite_is_in_the_table_alone():
    figures = {("faces x8", "new"): {"psnr_y": 25.123, "ssim": 0.5, "lr_psnr": float("inf"), "detail": 1.0}}
    assert scores(figures, "new") == {"faces x8": {"PSNR": 25.12, "SSIM": 0.5}}
    assert table(figures).splitlines()[-1] == "| faces x8 | new | 25.12 | 0.5000 | inf | 1.00 |"


def test_part_of_the_pictures_is_not_taken_for_all(tmp_path):
    place = tmp_path / "evaluation" / "new" / "Set5_x4"
    place.mkdir(parents=True)
    (place / "results.csv").write_text("image,psnr_y\nmean of 4 of 5,30\n")
    with pytest.raises(ArithmeticError, match="mean of 4 of 5"):
        read(["fastsr evaluate srgan -o evaluation/new/Set5_x4"], tmp_path)


@pytest.mark.parametrize("name", FLOORS)
def test_cards_have_the_commands_for_their_floors(name):
    path = FOLDER / f"{name}.md"
    if not path.exists():
        pytest.skip(f"there is no card of {name}")
    text = path.read_text()
    assert any(command.startswith("fastsr train ") for command in commands_of(text, ("Training",)))
    commands = commands_of(text, model_cards.SECTIONS)
    for floor in card_floors.FLOORS[name]:
        place = f"evaluation/{floor.than or name}/{floor.data.replace(' ', '_')}"
        assert any(command.endswith(f"-o {place}") for command in commands), place
        if floor.measure in ("detail", "niqe", "shift_lr"):
            assert f"python -m benchmarks.looks {place}" in commands
