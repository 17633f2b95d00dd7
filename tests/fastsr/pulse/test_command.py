"""fastsr pulse, as a user types it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tqdm.auto import tqdm

import fastsr
from fastsr.align import Face, Landmarks, NoFaceError, align, paste
from fastsr.errors import NotFiniteError
from fastsr.files import plan_outputs
from fastsr.pretrained import DEFAULTS
from fastsr.pulse import call, pulse
from tests.command_line import run

QUICK = ["--steps", 3, "--device", "cpu", "--dtype", "float32"]
SAME = {"steps": 3, "device": "cpu", "dtype": "float32", "progress": False}
FACES = [
    Face(Landmarks((10, 10), (16, 11), (10, 17), (15, 18))),
    Face(Landmarks((30, 12), (38, 11), (31, 20), (37, 20))),
]


@pytest.fixture
def draw():
    """A function that saves a picture, another one for each name."""

    def save(path, side):
        random = np.random.default_rng(list(path.stem.encode()))
        Image.fromarray(random.integers(0, 256, (side, side, 3)).astype(np.uint8)).save(path)
        return path

    return save


@pytest.fixture
def face(tmp_path, draw):
    return draw(tmp_path / "face.png", 8)


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_the_result_is_beside_the_input_and_is_the_function_s(face, weights):
    status, out, err = run("pulse", face, "--weights", weights, *QUICK)
    target = face.with_name("face_pulse_16x16.png")
    assert (status, err) == (0, "")
    assert out.startswith(f"{target}: eps 0.002 not reached in 3 steps, mean squared error ")
    assert len(out.splitlines()) == 1
    assert np.array_equal(opened(target), pulse(face, weights=weights, **SAME))
    assert names(face.parent) == ["face.png", "face_pulse_16x16.png"]
    with Image.open(target) as image:
        assert "invented. It identifies nobody" in image.info["Description"]
    assert run("pulse", face.parent, "--weights", weights, *QUICK)[1].count("\n") == 1


def test_every_option_counts(face, weights, tmp_path):
    options = ["--factor", 2, "--seed", 7, "--restarts", 2, "--optimizer", "sgd", "--learning-rate", 0.2]
    options += ["--schedule", "fixed", "--loss", "L1", "--noise", "fixed", "--trainable-noise", 2, "--tile-latent"]
    options += ["--consistency", "--eps", 10, "--batch-size", 1]
    status, out, _ = run("pulse", face, "--weights", weights, *options, *QUICK, "-o", tmp_path / "out.webp")
    assert status == 0
    assert "eps 10 reached" in out
    expected = {"seed": 7, "restarts": 2, "optimizer": "sgd", "learning_rate": 0.2, "schedule": "fixed", "loss": "L1"}
    expected |= {"noise": "fixed", "trainable_noise": 2, "tile_latent": True, "consistency": True, "eps": 10.0}
    assert np.array_equal(opened(tmp_path / "out.webp"), pulse(face, 2, weights=weights, **expected, **SAME))


def test_pictures_of_one_size_are_searched_for_together(face, weights, draw, monkeypatch):
    for name, side in (("b", 4), ("c", 8), ("d", 4), ("e", 4), ("g", 8)):
        draw(face.with_name(f"{name}.png"), side)
    batches, real = [], call.Searcher.__call__

    def noted(searcher, goal, report=None):
        batches.append(tuple(goal.pixels.shape))
        return real(searcher, goal, report)

    monkeypatch.setattr(call.Searcher, "__call__", noted)
    status, out, err = run("pulse", face.parent, "--weights", weights, "--batch-size", 2, *QUICK)
    assert (status, err) == (0, "")
    assert batches == [(2, 3, 4, 4), (1, 3, 4, 4), (2, 3, 8, 8), (1, 3, 8, 8)]
    written = [Path(line.split(": ")[0]).name for line in out.splitlines()[:-1]]
    assert written == [f"{name}_pulse_16x16.png" for name in ("b", "d", "e", "c", "face", "g")]
    assert out.splitlines()[-1] == "eps 0.002 was reached for 0 of 6."
    for name in ("b", "g"):
        alone = pulse(face.with_name(f"{name}.png"), weights=weights, **SAME)
        assert np.abs(opened(face.with_name(f"{name}_pulse_16x16.png")).astype(int) - alone).max() <= 1


def test_duplicates_have_seeds_of_their_own(face, weights):
    status, out, _ = run("pulse", face, "--weights", weights, "--duplicates", 3, "--restarts", 2, "--seed", 5, *QUICK)
    assert status == 0
    for number, seed in ((1, 5), (3, 9)):
        path = face.with_name(f"face_pulse_16x16_{number}.png")
        assert f"{path}: eps" in out
        assert np.array_equal(opened(path), pulse(face, weights=weights, seed=seed, restarts=2, **SAME))
    assert names(face.parent) == ["face.png", *(f"face_pulse_16x16_{number}.png" for number in (1, 2, 3))]


def test_what_the_search_came_to_is_kept(face, weights, draw):
    draw(face.with_name("a.png"), 8)
    status, _, _ = run("pulse", face.parent, "--weights", weights, "--save-intermediate", 2, *QUICK, "--steps", 4)
    folder = face.with_name("face_pulse_16x16_steps")
    assert status == 0
    assert [names(folder / kind) for kind in ("HR", "LR")] == [["00002.png", "00004.png"]] * 2
    assert names(face.with_name("a_pulse_16x16_steps") / "LR") == ["00002.png", "00004.png"]
    assert np.array_equal(opened(folder / "HR" / "00004.png"), opened(face.with_name("face_pulse_16x16.png")))
    small = fastsr.resize(fastsr.load(folder / "HR" / "00004.png"), size=(8, 8)).permute(1, 2, 0)
    np.testing.assert_allclose(opened(folder / "LR" / "00004.png") / 255, small, atol=1.5 / 255)


def test_a_picture_that_fails_does_not_keep_the_others(face, weights, save_noise, draw, monkeypatch):
    face.with_name("a.png").write_text("no image")
    wide, large = save_noise(face.with_name("wide.png"), 4, 5), save_noise(face.with_name("z.png"), 16, 16)
    others = [draw(face.with_name(f"{name}.png"), 8) for name in "bce"]
    bad, real = fastsr.load(others[1]), call.Searcher.__call__

    def broken(searcher, goal, report=None):
        if any((one == bad).all() for one in goal.pixels):
            raise NotFiniteError("the loss is not finite")
        return real(searcher, goal, report)

    monkeypatch.setattr(call.Searcher, "__call__", broken)
    status, out, err = run("pulse", face.parent, "--weights", weights, *QUICK)
    made = ["b_pulse_16x16.png", "e_pulse_16x16.png", "face_pulse_16x16.png"]
    assert status == 2
    assert names(face.parent) == sorted(["a.png", *(path.name for path in (*others, face, wide, large)), *made])
    assert [Path(line.split(": ")[0]).name for line in out.splitlines()[:-1]] == made
    assert out.splitlines()[-1] == "eps 0.002 was reached for 0 of 3."
    assert len(err.splitlines()) == 4
    assert f"{face.with_name('a.png')}' is not an image" in err
    assert f"Error: '{wide}': IN is 5x4 pixels" in err
    assert f"Error: '{others[1]}': the loss is not finite\n" in err
    assert f"Error: '{large}': IN is 16x16 pixels" in err


@pytest.fixture
def photo(tmp_path, save_noise, monkeypatch):
    """A photo of two faces, and one of none."""
    monkeypatch.setattr("fastsr.align.detector.yunet", lambda: None)

    def found(picture):
        if picture.pixels.shape[-1] == 20:
            raise NoFaceError("no face is found")
        return FACES

    monkeypatch.setattr("fastsr.align.find_faces", found)
    save_noise(tmp_path / "none.png", 20, 20)
    return save_noise(tmp_path / "photo.png", 40, 50)


def test_the_faces_of_photos_are_found_and_put_back(photo, weights):
    options = ["--align", "--side", 4, "--paste", 2, "--duplicates", 2]
    status, out, err = run("pulse", photo.parent, "--weights", weights, *options, *QUICK)
    assert status == 2
    assert err == f"Error: '{photo.with_name('none.png')}': no face is found\n"
    results = [f"photo_pulse_16x16_{what}_{n}.png" for what in ("face1", "face2", "pasted") for n in (1, 2)]
    assert names(photo.parent) == ["none.png", "photo.png", *results]
    assert [Path(line.split(": ")[0]).name for line in out.splitlines()[:-1]] == results
    assert out.splitlines()[-1] == "eps 0.002 was reached for 0 of 4."
    assert [source.name for source, _ in plan_outputs([photo.parent], None, suffix="_x2")] == ["none.png", "photo.png"]
    with Image.open(photo.with_name(results[-1])) as image:
        assert "It identifies nobody" in image.info["Description"]
    for seed in (0, 1):
        img = fastsr.load(photo)
        expected = fastsr.resize(img, 2)
        for number, face in enumerate(FACES, 1):
            made = pulse(align(img, face, 4), weights=weights, seed=seed, **SAME)
            own = fastsr.load(photo.with_name(f"photo_pulse_16x16_face{number}_{seed + 1}.png"))
            assert (own - made).abs().max() < 1.5 / 255
            expected = paste(expected, face.scaled(2), made)
        assert (fastsr.load(photo.with_name(f"photo_pulse_16x16_pasted_{seed + 1}.png")) - expected).abs().max() < 0.02


def test_a_face_is_reduced_to_what_the_generator_enlarges_well(photo, weights):
    out = run("pulse", photo, "--weights", weights, "--align", "--save-intermediate", 3, *QUICK)[1]
    assert out.count("eps 0.002 not reached") == 2
    assert opened(photo.with_name("photo_pulse_16x16_face1_steps") / "LR" / "00003.png").shape == (2, 2, 3)
    run("pulse", photo, "--weights", weights, "--align", "--factor", 4, "--save-intermediate", 3, *QUICK)
    assert opened(photo.with_name("photo_pulse_16x16_face2_steps") / "LR" / "00003.png").shape == (4, 4, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", 0], "--steps 0 is out of range"),
        (["--loss", "L3"], "--loss L3"),
        (["--side", 8], "--side 8 is for faces in photos; give --align too"),
        (["--paste", 2], "--paste 2 is for faces in photos; give --align too"),
        (["--align", "--paste", 0], "--paste 0 cannot be used"),
        (["--align", "--side", 16], "a face with --side 16 is 16x16 pixels"),
        (["--weights", "nowhere.pth"], "--weights nowhere.pth is not there"),
        (["--seed", 2**63 - 1, "--duplicates", 2], f"--seed {2**63}"),
    ],
)
def test_options_that_cannot_be_used_are_one_line(options, message, photo, weights):
    status, out, err = run("pulse", photo, "--weights", weights, *options)
    assert (status, out) == (2, "")
    assert err.startswith(f"Error: {message}")
    assert len(err.splitlines()) == 1


def test_without_weights_those_that_come_along_are_taken(face, weights, bundle):
    bundle(DEFAULTS["pulse"], "pulse", weights.read_bytes())
    status, out, _ = run("pulse", face, *QUICK)
    expected = pulse(face, weights=weights, **SAME)
    assert status == 0
    assert np.array_equal(opened(out.split(":")[0]), expected)
    assert np.array_equal(pulse(face, **SAME), expected)
    assert DEFAULTS["pulse"] in run("pulse", "--help")[1]


def test_the_bar_knows_all_pictures_of_a_folder(tmp_path, draw, weights, monkeypatch):
    seen = []

    class Bar(tqdm):
        def update(self, n=1):
            seen.append(self.total)
            self.n += n

    bars = []
    monkeypatch.setattr(call, "progress_bar", lambda *_, **__: bars.append(Bar(disable=True)) or bars[-1])
    for name in ("a", "b", "c"):
        draw(tmp_path / f"{name}.png", 8)
    (tmp_path / "broken.png").write_bytes(b"no picture")
    status, out, _ = run("pulse", tmp_path, "--weights", weights, "--batch-size", 1, *QUICK)
    assert (status, out.count("_pulse_16x16.png: eps")) == (2, 3)
    assert seen[0] == 4 * 3
    assert [bar.n for bar in bars] == [bar.total for bar in bars] == [3 * 3]
