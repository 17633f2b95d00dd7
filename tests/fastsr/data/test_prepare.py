import importlib
import json
import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from PIL import Image

import fastsr
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.crops import Crops
from fastsr.data.prepare import Prepared, prepare
from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError, MissingFileError, NotEnoughMemoryError, OutputError

module = importlib.import_module("fastsr.data.prepare")


@pytest.fixture
def folder(tmp_path, save_noise):
    for name, height, width, mode in (("a.png", 37, 50, "RGB"), ("b.jpg", 24, 24, "RGB"), ("c.png", 30, 26, "L")):
        save_noise(tmp_path / "in" / name, height, width, mode)
    return tmp_path / "in"


def run(inputs, output, **options):
    return prepare([inputs], output, workers=1, progress=False, **options)


def opened(path):
    with Image.open(path) as image:
        return np.asarray(image)


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".mdb"
    }


def test_pictures_are_those_of_resize(folder, tmp_path):
    assert run(folder, tmp_path / "out", factors=(2, 4), sr=True) == Prepared(3, 0, {})
    for name, suffix in (("a", "png"), ("b", "jpg"), ("c", "png")):
        given = opened(folder / f"{name}.{suffix}")
        height, width = (side // 4 * 4 for side in given.shape[:2])
        hr = opened(tmp_path / "out" / "HR" / f"{name}.png")
        assert np.array_equal(hr, given[:height, :width])
        for factor in (2, 4):
            lr, sr = (
                opened(tmp_path / "out" / part / f"X{factor}" / f"{name}.png") for part in ("LR_bicubic", "SR_bicubic")
            )
            assert np.array_equal(lr, fastsr.resize(hr, 1 / factor))
            assert np.array_equal(sr, fastsr.resize(lr, factor))
    assert len(tree(tmp_path / "out")) == 3 * 5 + 1


def test_sides_become_multiples_of_all_factors(folder, tmp_path):
    run(folder / "a.png", tmp_path / "out", factors=(4, 3))
    assert opened(tmp_path / "out" / "HR" / "a.png").shape[:2] == (36, 48)


def test_alpha_and_16_bits_become_8_bits_of_rgb(tmp_path):
    values = np.random.default_rng(0).integers(0, 256, (8, 8, 4)).astype(np.uint8)
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values[..., 0].astype(np.uint16) * 257).save(tmp_path / "b.png")
    run(tmp_path, tmp_path / "out")
    assert np.array_equal(opened(tmp_path / "out" / "HR" / "a.png"), values[..., :3])
    assert np.array_equal(opened(tmp_path / "out" / "HR" / "b.png"), values[..., 0])


def test_pictures_turned_by_exif_are_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((12, 24, 3), np.uint8)).save(tmp_path / "a.png", exif=exif)
    run(tmp_path, tmp_path / "out", crop=8, step=8)
    assert sorted(path.name for path in (tmp_path / "out" / "HR").iterdir()) == [f"a_s00{n}.png" for n in range(1, 7)]
    assert run(tmp_path, tmp_path / "out", crop=8, step=8) == Prepared(0, 1, {})


@pytest.mark.parametrize("lmdb", [False, True])
def test_the_loader_reads_what_is_prepared(lmdb, folder, tmp_path):
    if lmdb:
        pytest.importorskip("lmdb")
    out = tmp_path / "out"
    run(folder, out, factors=(2, 4), sr=True, lmdb=lmdb)
    pictures = find_training_pictures([out], 4)
    assert len(pictures) == 3
    for picture in pictures:
        hr, lr = picture.read(4)
        assert np.array_equal(lr.numpy(), fastsr.resize(hr.numpy().transpose(1, 2, 0), 1 / 4).transpose(2, 0, 1))
    assert Crops(pictures, 8, 4, 0)[0]["lr"].shape == (3, 2, 2)
    if not lmdb:
        samples = find_benchmark(out, 2).samples
        assert [(s.name, s.lr) for s in samples] == [
            (name, out.resolve() / "LR_bicubic" / "X2" / f"{name}.png") for name in "abc"
        ]


@pytest.mark.parametrize("lmdb", [False, True])
def test_squares_are_cut_from_the_whole(lmdb, folder, tmp_path):
    if lmdb:
        pytest.importorskip("lmdb")
    run(folder / "a.png", tmp_path / "whole", sr=True)
    run(folder / "a.png", tmp_path / "squares", sr=True, crop=16, step=12, lmdb=lmdb)
    hr, lr = (opened(tmp_path / "whole" / part / "a.png") for part in ("HR", "LR_bicubic/X4"))
    places = [(top, left) for top in (0, 12, 20) for left in (0, 12, 24, 32)]  # of 36x48
    pictures = find_training_pictures([tmp_path / "squares"], 4)
    assert len(pictures) == len(places)
    for picture, (top, left) in zip(pictures, places, strict=True):
        big, small = (part.permute(1, 2, 0).numpy() for part in picture.read(4))
        assert np.array_equal(big, hr[top : top + 16, left : left + 16])
        assert np.array_equal(small, lr[top // 4 : top // 4 + 4, left // 4 : left // 4 + 4])
    if not lmdb:
        sr = opened(tmp_path / "whole" / "SR_bicubic" / "X4" / "a.png")
        last = opened(tmp_path / "squares" / "SR_bicubic" / "X4" / "a_s012.png")
        assert np.array_equal(last, sr[20:36, 32:48])


@pytest.mark.parametrize("missing", ["HR/b.png", "LR_bicubic/X4/b.png"])
def test_a_second_run_makes_what_is_missing(missing, folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    before = tree(out)
    for path in out.rglob("*.png"):
        os.utime(path, (0, 0))
    (out / missing).unlink()
    assert run(folder, out) == Prepared(1, 2, {})
    assert tree(out) == before
    assert sorted(path.stem for path in out.rglob("*.png") if path.stat().st_mtime) == ["b", "b"]


def test_an_empty_picture_is_made_again(folder, tmp_path):
    out = tmp_path / "out"
    run(folder, out)
    before = tree(out)
    (out / "LR_bicubic" / "X4" / "b.png").write_bytes(b"")
    assert run(folder, out) == Prepared(1, 2, {})
    assert tree(out) == before


def test_pictures_are_on_the_disk_before_they_have_their_names(folder, tmp_path, monkeypatch):
    sizes, named = [], []
    real_sync, real_replace = os.fsync, os.replace

    def sync(number):
        sizes.append(os.fstat(number).st_size)
        real_sync(number)

    def replace(source, target):
        if target.suffix == ".png":
            assert sizes[-1] == source.stat().st_size > 0
            named.append(target.name)
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    run(folder / "a.png", tmp_path / "out")
    assert named == ["a.png", "a.png"]
    assert len(sizes) == 2


@pytest.mark.parametrize("lmdb", [False, True])
def test_what_a_killed_call_was_writing_is_removed(lmdb, folder, tmp_path):
    if lmdb:
        pytest.importorskip("lmdb")
    out = tmp_path / "out"
    run(folder, out, lmdb=lmdb)
    for place in ("HR.lmdb", "LR_bicubic_X4.lmdb") if lmdb else ("HR", "LR_bicubic/X4"):
        (out / place / ".0123abcd.tmp").write_bytes(b"half")
    assert run(folder, out, lmdb=lmdb) == Prepared(0, 3, {})
    assert not list(out.rglob(".*"))


def test_of_two_at_once_one_waits(folder, tmp_path, monkeypatch):
    real = module.Recipe.make

    def make(recipe, picture):
        time.sleep(0.05)
        return real(recipe, picture)

    monkeypatch.setattr(module.Recipe, "make", make)
    with ThreadPoolExecutor(2) as threads:
        done = list(threads.map(lambda _: run(folder, tmp_path / "out"), range(2)))
    assert sorted(one.made for one in done) == [0, 3]


def test_a_second_run_adds_to_databases(folder, tmp_path):
    pytest.importorskip("lmdb")
    out = tmp_path / "out"
    assert run(folder / "a.png", out, lmdb=True) == Prepared(1, 0, {})
    assert run(folder, out, lmdb=True) == Prepared(2, 1, {})
    assert run(folder, out, lmdb=True) == Prepared(0, 3, {})
    run(folder, tmp_path / "at_once", lmdb=True)
    assert tree(out) == tree(tmp_path / "at_once")
    assert len(find_training_pictures([out], 4)) == 3


@pytest.mark.parametrize("lmdb", [False, True])
def test_what_was_done_before_an_interruption_stays(lmdb, folder, tmp_path, monkeypatch):
    if lmdb:
        pytest.importorskip("lmdb")
    real = module.Recipe.make

    def make(recipe, picture):
        if picture.stem == "c":
            raise KeyboardInterrupt
        return real(recipe, picture)

    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(module.Recipe, "make", make)
        with pytest.raises(KeyboardInterrupt):
            run(folder, out, lmdb=lmdb)
    assert len(find_training_pictures([out], 4)) == 2
    assert not list(out.rglob("*.tmp"))
    assert run(folder, out, lmdb=lmdb) == Prepared(1, 2, {})
    run(folder, tmp_path / "at_once", lmdb=lmdb)
    assert tree(out) == tree(tmp_path / "at_once")


def ended(group):
    """Whether all processes of a group have ended, a minute on at the latest."""
    for _ in range(6000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="needs process groups")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_stopped_goes_on(stop, tmp_path, save_noise):
    for number in range(60):
        save_noise(tmp_path / "in" / f"{number:02}.png", 96, 90 + number)
    out = tmp_path / "out"
    command = ["prepare", tmp_path / "in", "-o", out, "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fastsr", *map(str, command)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list(out.glob("LR_bicubic/X4/*.png")):
        assert process.poll() is None
        time.sleep(0.02)
    if stop == signal.SIGINT:
        os.killpg(process.pid, stop)  # as a terminal does
    else:
        process.kill()
    _, err = process.communicate()
    if stop == signal.SIGINT:
        assert (process.returncode, err) == (130, "Interrupted.\n")
        assert not list(out.rglob("*.tmp"))
    assert ended(process.pid)
    done = len(list(out.glob("LR_bicubic/X4/*.png")))
    assert done < 60
    result = run(tmp_path / "in", out)
    assert 0 < result.there <= done
    assert result.made == 60 - result.there
    run(tmp_path / "in", tmp_path / "at_once")
    assert tree(out) == tree(tmp_path / "at_once")


def replace_pool(monkeypatch, submit):
    """Let `submit(function, item)` be what processes make of an item."""
    processes = importlib.import_module("fastsr.data.processes")

    class Pool(processes.ProcessPoolExecutor):
        def submit(self, function, item):
            future = Future()
            try:
                future.set_result(submit(function, item))
            except Exception as error:
                future.set_exception(error)
            return future

    monkeypatch.setattr(processes, "ProcessPoolExecutor", Pool)


def test_processes_make_what_one_makes(folder, tmp_path, monkeypatch):
    """What goes to a process and comes back is pickled; real ones are in the test above."""

    def pickled(*work):
        function, item = pickle.loads(pickle.dumps(work))
        return pickle.loads(pickle.dumps(function(item)))

    replace_pool(monkeypatch, pickled)
    (folder / "bad.png").write_text("no picture")
    done = prepare([folder], tmp_path / "two", workers=2, progress=False)
    assert (done.made, list(done.failures)) == (3, [folder / "bad.png"])
    run(folder, tmp_path / "one")
    assert tree(tmp_path / "two") == tree(tmp_path / "one")


def test_a_process_that_dies_is_an_error(folder, tmp_path, monkeypatch):
    def dies(function, item):
        raise BrokenProcessPool("a process ended")

    replace_pool(monkeypatch, dies)
    with pytest.raises(NotEnoughMemoryError, match=r"one of workers=2 ended in the midst of work, .*; take fewer"):
        prepare([folder], tmp_path / "out", workers=2, progress=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": (2, 4)}, r"other settings: factors was \[4\] and is \[2, 4\]\. Name another folder with -o"),
        ({"sr": True}, "sr was False and is True"),
        ({"crop": 16, "step": 8}, "crop was None and is 16; step was None and is 8"),
        ({"lmdb": True}, "lmdb was False and is True"),
    ],
)
def test_settings_are_not_mixed(options, message, folder, tmp_path):
    run(folder, tmp_path / "out")
    before = tree(tmp_path / "out")
    with pytest.raises(InputError, match=message):
        run(folder, tmp_path / "out", **options)
    assert tree(tmp_path / "out") == before
    assert run(folder, tmp_path / "out", factors=[4, 4]) == Prepared(0, 3, {})


def test_settings_that_cannot_be_read(folder, tmp_path):
    run(folder, tmp_path / "out")
    (tmp_path / "out" / "settings.json").write_text("{")
    with pytest.raises(InputError, match=r"settings\.json' cannot be read"):
        run(folder, tmp_path / "out")


def test_folders_of_others_are_left_alone(folder, tmp_path, save_noise):
    theirs = save_noise(tmp_path / "out" / "HR" / "a.png", 8, 8)
    before = theirs.read_bytes()
    with pytest.raises(InputError, match=r"out' has 'HR' and no settings\.json"):
        run(folder, tmp_path / "out")
    with pytest.raises(InputError, match=r"a\.png' is in a folder that is written to; name another one with -o"):
        run(theirs.parent, tmp_path / "out")
    assert theirs.read_bytes() == before
    assert list((tmp_path / "out").iterdir()) == [theirs.parent]


def test_bad_pictures_do_not_stop_the_others(folder, tmp_path, save_noise):
    (folder / "bad.png").write_text("no picture")
    cut, small = folder / "cut.png", save_noise(folder / "small.png", 3, 9)
    cut.write_bytes((folder / "a.png").read_bytes()[:-40])
    done = run(folder, tmp_path / "out")
    assert done.made == 3
    assert {path.name: str(error).split("' ", 1)[1] for path, error in done.failures.items()} == {
        "bad.png": "is not an image that Pillow can read",
        "cut.png": str(done.failures[cut]).split("' ", 1)[1],
        "small.png": "is 9x3 pixels; it needs 4 on each side",
    }
    assert "truncated or broken" in str(done.failures[cut])
    assert small in done.failures
    again = run(folder, tmp_path / "out")
    assert (again.made, again.there, list(again.failures)) == (0, 3, list(done.failures))


def test_pictures_smaller_than_the_squares_are_named(folder, tmp_path):
    done = run(folder, tmp_path / "out", crop=32, step=16)
    assert done.made == 1
    assert [str(error) for error in done.failures.values()] == [
        f"{str(folder / 'b.jpg')!r} is 24x24 pixels, smaller than crop=32",
        f"{str(folder / 'c.png')!r} is 26x30 pixels, smaller than crop=32",
    ]


def test_two_pictures_of_one_name_are_refused(folder, tmp_path, save_noise):
    save_noise(tmp_path / "more" / "a.jpg", 8, 8)
    with pytest.raises(InputError, match=r"in/a\.png' and '.*more/a\.jpg' have one name"):
        prepare([folder, tmp_path / "more"], tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": ()}, r"factors=\(\) cannot be used; give at least one"),
        ({"factors": (1, 4)}, r"factors=\(1, 4\) cannot be used"),
        ({"crop": 480}, "crop=480 and step=None: give both or none"),
        ({"crop": 482, "step": 240}, "crop=482 cannot be used; give a positive multiple of 4"),
        ({"crop": 480, "step": 0}, "step=0 cannot be used"),
        ({"workers": 0}, "workers=0"),
    ],
)
def test_arguments_that_cannot_be_used(options, message, folder, tmp_path):
    with pytest.raises(InputError, match=message):
        prepare([folder], tmp_path / "out", progress=False, **options)
    assert not (tmp_path / "out").exists()


def test_inputs_and_outputs_that_cannot_be_used(folder, tmp_path):
    with pytest.raises(MissingFileError, match="nowhere' does not exist"):
        run(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(OutputError, match="not writable"):
        run(folder, folder / "a.png")


def test_without_the_package_lmdb_nothing_is_written(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(InputError, match="needs the package lmdb"):
        run(folder, tmp_path / "out", lmdb=True)
    assert not (tmp_path / "out").exists()


def test_settings_say_how_pictures_were_made(folder, tmp_path):
    run(folder, tmp_path / "out", factors=(4, 2), crop=16, step=8)
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    assert settings == {"factors": [2, 4], "sr": False, "crop": 16, "step": 8, "lmdb": False}
