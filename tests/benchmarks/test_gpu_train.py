import threading
from contextlib import contextmanager
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from PIL import Image

from benchmarks import gpu_train, gpu_train_pieces, gpu_train_steps
from benchmarks.gpu_items import ITEMS
from benchmarks.gpu_train import Places, join_pieces, run, write_out
from benchmarks.gpu_train_data import prepare, table
from benchmarks.gpu_train_pieces import PiecesError, cut, join
from benchmarks.gpu_train_recipes import RECIPES, Recipe
from benchmarks.gpu_train_steps import Course, Plan, RunError, settle
from fastsr.cli import main as fastsr
from fastsr.training import loop

SETTINGS = "--data data/t91 --device cpu --crop 16 --batch 2 --blocks 1 --width 4 --workers 0 --gan-steps 0"
SMALL = Recipe("small", 60, "srgan", SETTINGS, "--mse-steps", "srresnet", looks=2, cooldown=0.5)


class Child:
    """`fastsr train` in a thread of this process, which needs no second to begin; `left` are its steps until it stops.

    A run that is told to stop ends after a step, as one that gets SIGTERM.
    """

    left = count(1000, -1)

    def __init__(self, words, folder):
        self.status, self.told = None, False
        self._thread = threading.Thread(target=self._go, args=(words,))
        self._thread.start()

    @property
    def requested(self):
        left = next(Child.left)
        return self.told or left <= 1

    def terminate(self):
        self.told = True

    def poll(self):
        return None if self._thread.is_alive() else self.status

    def wait(self):
        self._thread.join()
        return self.status

    def _go(self, words):
        @contextmanager
        def stop_on_signals():
            yield self

        loop.stop_on_signals = stop_on_signals
        try:
            fastsr(["train", *words], "fastsr")
        except SystemExit as end:
            self.status = end.code or 0


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Folders with photographs, in which runs begin in this process; lines of the log come every second step."""
    from accelerate.state import AcceleratorState

    random = np.random.default_rng(0)
    (tmp_path / "data" / "t91").mkdir(parents=True)
    for name in "ab":
        Image.fromarray(random.integers(0, 256, (24, 24, 3), np.uint8)).save(tmp_path / "data" / "t91" / f"{name}.png")
    monkeypatch.setattr(gpu_train, "RESERVE", 0)
    monkeypatch.setattr(gpu_train_steps, "LINES", 2)
    monkeypatch.setattr(gpu_train_steps, "POLL", 0.01)
    monkeypatch.setattr(gpu_train_steps, "start", Child)
    monkeypatch.setattr(loop, "stop_on_signals", loop.stop_on_signals)
    monkeypatch.setattr(Child, "left", Child.left)
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    yield Places(*(tmp_path / name for name in ("data", "runs", "pieces", "out")))
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def settled(monkeypatch):
    """A function that says how many steps there are beyond those that were timed, and after how many a call stops."""

    def more(steps, stop=1_000_000):
        def settle(recipe, timed, done, seconds):
            monkeypatch.setattr(Child, "left", count(stop, -1))
            return Plan(SETTINGS, done + steps, 4, done + steps - 2, 1.0, 1.0, 1.0)

        monkeypatch.setattr(gpu_train, "settle", settle)

    return more


def elsewhere(places, name):
    """Folders on another machine, with the data alone."""
    (places.runs.parent / name / "runs").mkdir(parents=True)
    return Places(places.data, *(places.runs.parent / name / each for each in ("runs", "pieces", "out")))


def test_a_run_goes_on_from_its_pieces_and_ends_as_one_that_was_not_stopped(places, settled, monkeypatch):
    settled(12, stop=5)
    monkeypatch.setattr(gpu_train_pieces, "LARGEST", 2**14)
    begun = run(SMALL, 60, places)
    steps = begun["plan"]["steps"]
    assert (begun["complete"], begun["steps"]) == (False, steps - 7)
    assert begun["pieces"] > gpu_train.MOST_FILES, "no second call is needed"
    assert "small.jsonl" in begun["files"]
    there = elsewhere(places, "other")
    there.pieces.mkdir()
    first = 1
    while first <= begun["pieces"]:
        pieces = [name for name in write_out(SMALL, places, first)["files"] if name.endswith(".piece")]
        with pytest.raises(PiecesError, match="no piece of small" if first == 1 else "missing: "):
            join_pieces(SMALL, there)
        for name in pieces:
            (places.out / name).rename(there.pieces / name)
        first += len(pieces)

    monkeypatch.setattr(Child, "left", count(1000, -1))
    monkeypatch.chdir(there.runs)
    ended = run(SMALL, 60, there)
    assert (ended["complete"], ended["steps"]) == (True, steps)

    whole = elsewhere(places, "whole")
    (whole.runs / "data").symlink_to(places.data)
    monkeypatch.chdir(whole.runs)
    words = [*SETTINGS.split(), "--mse-steps", str(steps), "--cooldown", "4", "-o", "small"]
    with pytest.raises(SystemExit):
        fastsr(["train", "srgan", *words], "fastsr")
    files = [folder / "small" / "checkpoints" / "srresnet.safetensors" for folder in (there.runs, whole.runs)]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert (there.out / "small.safetensors").read_bytes() == files[1].read_bytes()


def test_a_run_fills_its_part_of_the_time_and_is_then_complete(places, monkeypatch):
    monkeypatch.setattr(gpu_train_steps, "SPARE", 0.0003)
    done = run(SMALL, 60, places)
    assert done["complete"]
    assert done["steps"] == done["plan"]["steps"] > 14
    assert done["plan"]["cooldown"] == min(round(done["steps"] / 2), done["steps"] - 15)
    assert done["losses"]["step"] == done["steps"]
    assert run(SMALL, 60, places)["steps_per_second"] is None, "it was trained again"
    # What is complete comes back without its checkpoint, and is still known to be.
    there = replace(elsewhere(places, "other"), pieces=places.out)
    join_pieces(SMALL, there)
    assert not (there.runs / "small" / "checkpoints" / "last.pt").exists()
    assert run(SMALL, 60, there)["complete"]


def test_time_stops_a_run(places, settled):
    settled(1_000_000)
    assert not run(SMALL, 0, places)["plan"], "it had time to be planned"
    begun = run(SMALL, 0.02, places)
    assert not begun["complete"]
    if begun["plan"]:
        on = run(SMALL, 0.01, places)
        assert begun["steps"] < on["steps"] < 1_000_000
        assert on["steps_per_second"] is None or on["steps_per_second"] > 0


def test_other_settings_and_missing_data_are_refused(places, settled):
    settled(5)
    with pytest.raises(FileNotFoundError, match="Set5 is missing; it is made by"):
        run(replace(SMALL, settings=f"{SETTINGS} --val data/Set5"), 60, places)
    with pytest.raises(RunError, match="small: fastsr train ended with status 2"):
        run(replace(SMALL, settings=f"{SETTINGS} --blocks 0"), 60, places)
    run(SMALL, 60, places)
    with pytest.raises(RunError, match="was begun with other settings, '--data"):
        run(replace(SMALL, settings=f"{SETTINGS} --seed 1"), 60, places)


def test_a_second_stage_begins_with_the_weights_of_the_first_once_they_are_done(places, settled, monkeypatch):
    settled(5)
    monkeypatch.setitem(RECIPES, "small", SMALL)
    settings = f"{SETTINGS} --init second/start.safetensors"
    second = replace(SMALL, name="second", settings=settings, start="small")
    with pytest.raises(FileNotFoundError, match="small is no run that is complete, and there is no"):
        run(second, 60, places)
    run(SMALL, 60, places)
    assert run(second, 0, places)["validations"] == []
    starts = [places.runs / name for name in ("second/start.safetensors", "small/checkpoints/srresnet.safetensors")]
    assert starts[0].read_bytes() == starts[1].read_bytes()


def test_steps_are_what_fits_between_start_and_looks():
    # 50 steps a second after 8 s; the look after step 300 takes 4 s.
    lines = [(step, 8 + step / 50) for step in range(50, 301, 50)]
    timed = Course(0.0, [*lines, (350, 8 + 350 / 50 + 4)])
    plan = settle(replace(SMALL, looks=3, cooldown=0.75), timed, 360, 120.0)
    assert plan.start_seconds == pytest.approx(8)
    assert plan.look_seconds == pytest.approx(4)
    assert plan.steps == 360 + int(0.93 * (120 - 8 - 3 * 4) * 50)
    assert plan.cooldown == round(0.75 * plan.steps)
    assert 2 * plan.look_every < plan.steps <= 3 * plan.look_every
    with pytest.raises(RunError, match="20 s leave no time for a step"):
        settle(replace(SMALL, looks=3), timed, 360, 20.0)


def test_pieces_that_are_damaged_or_of_several_wholes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu_train_pieces, "LARGEST", 1024 + 10)
    whole, out = tmp_path / "whole", tmp_path / "out"
    out.mkdir()
    whole.write_bytes(bytes(range(35)))
    number, pieces = cut(whole, "w", out, range(1, 100))
    assert (number, len(pieces), max(piece.stat().st_size for piece in pieces) <= 1034) == (4, 4, True)
    join("w", out, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == whole.read_bytes()

    pieces[1].unlink()
    pieces[3].unlink()
    with pytest.raises(PiecesError, match="has not all 4 pieces of w; missing: 2, 4"):
        join("w", out, tmp_path / "bad")
    cut(whole, "w", out, range(2, 5))
    content = pieces[1].read_bytes()
    pieces[1].write_bytes(content[:-1] + b"?")
    with pytest.raises(PiecesError, match=r"002-of-004\.piece is damaged"):
        join("w", out, tmp_path / "bad")
    pieces[1].write_bytes(content)
    whole.write_bytes(bytes(35))
    cut(whole, "w", out, range(2, 3))
    with pytest.raises(PiecesError, match=r"has pieces of w of 2 states, .*; leave those of one"):
        join("w", out, tmp_path / "bad")
    assert not (tmp_path / "bad").exists()


@pytest.fixture
def pictures(tmp_path):
    """A folder as FASTSR_DATA names it."""
    folder = tmp_path / "pictures"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (140, 150, 3), np.uint8))
    for name in ("bsds500/train", "bsds500/test", "t91", "faces/train", "faces/val", "Set5/image_SRF_2", "Set14"):
        (folder / name).mkdir(parents=True)
        picture.save(folder / name / "a.png")
    (folder / "Set5" / "image_SRF_4").mkdir()
    picture.crop((0, 0, 127, 140)).save(folder / "t91" / "small.png")
    (folder / "weights").mkdir()
    (folder / "weights" / "vgg19-normalised-conv3_1.pth").write_bytes(b"weights")
    return folder


def test_data_are_what_the_recipes_read(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FASTSR_DATA", str(pictures))
    gpu_train.main(["prepare", str(tmp_path / "data")])
    made = sorted(str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*.p*"))
    faces = [f"{name}/{part}/a.png" for name in ("faces", "faces_val") for part in ("hr_128", "lr_16")]
    photographs = ["Set5/image_SRF_2/a.png", "bsds500_test/a.png", "bsds500_train/a.png"]
    assert made == sorted([*photographs, *faces, "t91/a.png", "vgg19-normalised-conv3_1.pth"])
    assert {name for recipe in RECIPES.values() for name in recipe.folders} == {
        path.name for path in (tmp_path / "data").iterdir()
    }
    assert "srresnet-x4: 0." in capsys.readouterr().out
    sizes = prepare(pictures, tmp_path / "data")
    assert sizes["t91"] == (pictures / "t91" / "a.png").stat().st_size
    assert all(name in table(sizes) for name in RECIPES)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)
def test_recipes_are_settings_that_can_be_used(recipe):
    from click.testing import CliRunner

    (item,) = (item for item in ITEMS if item.name == f"train-{recipe.name}")
    assert recipe.minutes + gpu_train.LONGER < item.minutes <= 9
    words = [recipe.method, *recipe.settings.split(), recipe.steps, "9000", *plan_of(recipe).options, "--device", "cpu"]
    result = CliRunner().invoke(fastsr, ["train", *words, "-o", "nowhere"])
    # Every setting was taken, and then there are no pictures.
    assert "data/" in result.output
    assert "is not there" in result.output or "does not exist" in result.output


def plan_of(recipe):
    return Plan(recipe.settings, 9000, round(9000 * recipe.cooldown), 3000, 1.0, 1.0, 1.0)


def test_the_queue_calls_every_recipe(monkeypatch):
    called = []
    monkeypatch.setattr(gpu_train, "run", lambda recipe, minutes, places: called.append((recipe.name, minutes)))
    for name in RECIPES:
        getattr(gpu_train, name.replace("-", "_"))()
    assert called == [(recipe.name, recipe.minutes + gpu_train.LONGER) for recipe in RECIPES.values()]
    assert sum(recipe.minutes for recipe in RECIPES.values()) <= 25


def test_an_error_is_told_in_a_line(places):
    arguments = [f"--{name}={path}" for name, path in vars(places).items()]
    with pytest.raises(SystemExit, match="Set5 is missing"):
        gpu_train.main(["run", "srresnet-x4", *arguments])
    with pytest.raises(SystemExit, match="has no piece of faces-128"):
        gpu_train.main(["join", "faces-128", *arguments])
