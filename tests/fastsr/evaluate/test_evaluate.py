"""`fastsr.evaluate.evaluate`: what is kept, and what stops it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from PIL import Image

import fastsr
from fastsr.dip.method import Options as DipOptions
from fastsr.errors import DeviceError, InputError, InputTypeError
from fastsr.evaluate import evaluate
from fastsr.methods import Method, NoOptions, register
from fastsr.resize import resize


@pytest.fixture
def calls(registry):
    """The widths of the pictures that the registered method "mine" was called with; `fail` of it may raise."""

    class Calls(list):
        def fail(self, width):
            pass

    calls = Calls()

    def upscale(picture, factor, options, device, kernel):
        width = picture.pixels.shape[-1]
        calls.fail(width)
        calls.append(width)
        return resize(picture, factor, kernel="linear")

    register(Method("mine", "Mine.", NoOptions, upscale))
    return calls


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_results_are_those_of_the_method(photos, tmp_path, calls):
    lines = []
    out = tmp_path / "out"
    found = evaluate("mine", photos, factor=2, output=out, device="cpu", show=lines.append)
    assert [row.image for row in found.rows] == ["a", "b", "c"]
    assert (found.failures, found.folder) == ({}, out)
    for row in found.rows:
        hr = opened(photos / f"{row.image}.png")
        lr = fastsr.resize(hr, 1 / 2)
        result = fastsr.resize(lr, 2, kernel="linear")
        assert (opened(out / "pictures" / f"{row.image}.png") == result).all()
        assert (opened(out / "pictures" / f"{row.image}_bicubic.png") == fastsr.resize(lr, 2)).all()
        assert (opened(out / "pictures" / f"{row.image}_hr.png") == hr).all()
        assert (row.height, row.width) == hr.shape[:2]
        assert row.psnr_y == fastsr.metrics.psnr(result, hr, shave=2)
        assert row.lr_psnr == fastsr.metrics.lr_consistency(result, lr)
        assert row.seconds > 0
    assert found.mean.psnr_y == pytest.approx(np.mean([row.psnr_y for row in found.rows]))
    assert len((out / "results.csv").read_text().splitlines()) == 5
    assert "mine on photos x2" in (out / "report.html").read_text()
    assert [text.split()[0] for text in lines] == ["image", "a", "b", "c", "mean"]


def test_a_second_run_redoes_nothing_and_says_the_same(photos, tmp_path, calls):
    first = evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu")
    assert len(calls) == 3
    csv = (tmp_path / "out" / "results.csv").read_bytes()
    assert evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu") == first
    assert len(calls) == 3
    assert (tmp_path / "out" / "results.csv").read_bytes() == csv


def test_the_pictures_may_grow(photos, tmp_path, calls):
    assert len(evaluate("mine", photos, factor=2, images=["b"], output=tmp_path / "out", device="cpu").rows) == 1
    lines = []
    found = evaluate("mine", photos, factor=2, images=["a", "b"], output=tmp_path / "out", show=lines.append)
    assert [row.image for row in found.rows] == ["a", "b"]
    assert [text.split()[0] for text in lines] == ["image", "b", "a", "mean"]
    assert calls == [12, 14]


def test_other_settings_are_refused(photos, tmp_path, calls):
    evaluate("mine", photos, factor=2, images=["b"], output=tmp_path / "out", device="cpu")
    with pytest.raises(InputError, match="method was 'mine' and is 'bicubic'; protocol was 'rgb8' and is 'matlab8'"):
        evaluate("bicubic", photos, factor=2, protocol="matlab8", output=tmp_path / "out", device="cpu")


def test_an_error_of_one_picture_does_not_stop_the_others(photos, tmp_path, calls, capsys):
    def fail(width):
        if width == 14:
            raise RuntimeError("out of luck")

    calls.fail = fail
    (photos / "b.png").write_text("no image")
    found = evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu")
    assert [row.image for row in found.rows] == ["c"]
    assert set(found.failures) == {"a", "b"}
    assert found.failures["a"] == "RuntimeError: out of luck"
    assert "not an image" in found.failures["b"]
    assert "Traceback" in capsys.readouterr().err
    assert sorted(path.stem for path in (tmp_path / "out" / "rows").iterdir()) == ["c"]
    assert [line.split(",")[0] for line in (tmp_path / "out" / "results.csv").read_text().splitlines()[1:]] == [
        "c",
        "mean of 1 of 3",
    ]
    report = (tmp_path / "out" / "report.html").read_text()
    assert "mean of 1 of 3" in report
    assert "RuntimeError: out of luck" in report


def test_another_recipe_of_the_same_name_is_refused(photos, tmp_path, registry):
    def upscale(picture, factor, options, device, kernel):
        return resize(picture, factor)

    for words in ("3 steps", "4 steps"):
        register(Method("mine", "Mine.", NoOptions, upscale, details=lambda factor, options, words=words: words))
        if words == "3 steps":
            evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu")
    with pytest.raises(InputError, match="details was '3 steps' and is '4 steps'"):
        evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu")


def test_nothing_done_is_no_table(photos, tmp_path, calls):
    for path in photos.iterdir():
        path.write_text("no image")
    found = evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu")
    assert (found.rows, found.mean) == ([], None)
    assert not (tmp_path / "out" / "results.csv").exists()


def test_ctrl_c_keeps_what_is_done(photos, tmp_path, calls):
    def fail(width):
        if calls:
            raise KeyboardInterrupt

    calls.fail = fail
    with pytest.raises(KeyboardInterrupt):
        evaluate("mine", photos, factor=2, output=tmp_path / "out", device="cpu")
    assert [line.split(",")[0] for line in (tmp_path / "out" / "results.csv").read_text().splitlines()[1:]] == [
        "a",
        "mean of 1 of 3",
    ]


@pytest.mark.parametrize("wrong", ["size", "channels"])
def test_a_result_of_another_shape_is_refused(wrong, photos, tmp_path, calls):
    def upscale(picture, factor, options, device, kernel):
        large = resize(picture, factor + (wrong == "size"))
        return large if wrong == "size" else large.pixels[:, :1]

    register(Method("mine", "Mine.", NoOptions, upscale))
    found = evaluate("mine", photos, factor=2, images=["a"], output=tmp_path / "out", device="cpu")
    made = {"size": "42x36 pixels of 3 channels", "channels": "28x24 pixels of 1 channel"}[wrong]
    assert found.failures["a"] == (
        f"method 'mine' made {made} of 14x12 pixels of 3 channels; the reference has 28x24 pixels of 3 channels"
    )


def test_pictures_whose_results_would_be_one_file(photos, tmp_path, save_noise):
    save_noise(photos / "a_hr.png", 24, 24)
    with pytest.raises(InputError, match="'a' and 'a_hr', whose results would be one file"):
        evaluate("bicubic", photos, output=tmp_path / "out")


@dataclass(frozen=True)
class Needy:
    weights: str = field(metadata={"help": "Which."})


@pytest.mark.parametrize(
    ("method", "options", "error", "message"),
    [
        ("best", {}, InputError, "method='best' is unknown"),
        ("bicubic", {"factor": 1}, InputError, "factor=1 does not enlarge"),
        ("bicubic", {"factor": 2.5}, InputTypeError, "factor=2.5 is a float; give a whole number of at least 2"),
        ("bicubic", {"protocol": "float"}, InputError, "protocol='float' is unknown"),
        ("bicubic", {"images": ["x"]}, InputError, "images='x' names no picture; there are a, b, c"),
        ("bicubic", {"device": "gpu"}, DeviceError, "device='gpu'"),
        ("bicubic", {"options": {"steps": 3}}, InputTypeError, "is a dict; method 'bicubic' takes a .*NoOptions"),
        ("dip", {"options": DipOptions(preset="best")}, InputError, "preset='best' is unknown"),
        ("needy", {}, InputError, "options=None: method 'needy' needs weights"),
    ],
)
def test_bad_arguments_leave_nothing_behind(method, options, error, message, photos, tmp_path, calls):
    register(Method("needy", "Needs.", Needy, lambda *arguments: None))
    with pytest.raises(error, match=message):
        evaluate(method, photos, output=tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_default_folder_says_what_was_done(photos, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = evaluate("bicubic", photos, factor=2, protocol="matlab8", images=["a"], device="cpu")
    assert found.folder.resolve() == tmp_path / "evaluation" / "bicubic_photos_x2_matlab8"
    assert json.loads((found.folder / "settings.json").read_text())["dataset"] == "photos"


HANGS = """
import sys, time
from pathlib import Path
from fastsr.evaluate import evaluate
from fastsr.methods import Method, NoOptions, register
from fastsr.resize import resize

data, out, log = sys.argv[1:]

def upscale(picture, factor, options, device, kernel):
    with open(log, "a") as file:
        print(picture.pixels.shape[-1], file=file)
    if picture.pixels.shape[-1] == 12:  # b, the second picture, at 1/2
        time.sleep(1000)
    return resize(picture, factor)

register(Method("mine", "Mine.", NoOptions, upscale))
evaluate("mine", data, factor=2, output=out, device="cpu")
"""


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_what_is_done_survives_sigkill(photos, tmp_path, calls):
    out, log = tmp_path / "out", tmp_path / "log"
    log.touch()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    process = subprocess.Popen([sys.executable, "-c", HANGS, str(photos), str(out), str(log)], env=environment)
    deadline = time.monotonic() + 300
    while "12" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert log.read_text().split() == ["14", "12"]
    assert [path.name for path in (out / "rows").iterdir()] == ["a.json"]
    evaluate("mine", photos, factor=2, output=out, device="cpu")
    assert calls == [12, 12]  # b again, and c
    assert [line.split(",")[0] for line in (out / "results.csv").read_text().split()] == ["image", *"abc", "mean"]
