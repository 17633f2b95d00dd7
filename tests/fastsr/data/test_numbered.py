import importlib
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from fastsr.data.crops import Crops
from fastsr.data.prepare import Prepared, prepare
from fastsr.data.training import find_training_pictures
from fastsr.errors import InputError

lmdb = pytest.importorskip("lmdb")
module = importlib.import_module("fastsr.data.prepare")
PARTS = ("hr_16", "lr_4", "sr_4_16")


@pytest.fixture
def folder(tmp_path, save_noise):
    for name in "abc":
        save_noise(tmp_path / "in" / f"{name}.png", 20 + ord(name) % 7, 24)
    return tmp_path / "in"


def run(inputs, output, **options):
    return prepare([inputs], output, sizes=(4, 16), workers=1, progress=False, **{"lmdb": True, **options})


def contents(folder):
    with lmdb.open(str(folder), readonly=True, lock=False) as environment, environment.begin() as transaction:
        return {bytes(key).decode(): bytes(value) for key, value in transaction.cursor()}


def write(folder, length, **values):
    """A database that was made otherwise."""
    folder.mkdir(parents=True)
    with lmdb.open(str(folder)) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
        transaction.put(b"length", str(length).encode())
    return folder


def png(side, width=None):
    file = io.BytesIO()
    Image.fromarray(np.full((side, width or side, 3), side, np.uint8)).save(file, "png")
    return file.getvalue()


def test_keys_are_numbers_and_values_the_files_of_folders(folder, tmp_path):
    assert run(folder, tmp_path / "out") == Prepared(3, 0, {})
    run(folder, tmp_path / "files", lmdb=False)
    found = contents(tmp_path / "out" / "squares_4_16.lmdb")
    expected = {
        f"{part}_0000{number}": (tmp_path / "files" / part / f"{name}.png").read_bytes()
        for part in PARTS
        for number, name in enumerate("abc")
    }
    names = {f"name_0000{number}": name.encode() for number, name in enumerate("abc")}
    assert found == {**expected, **names, "length": b"3"}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["settings.json", "squares_4_16.lmdb"]


@pytest.mark.parametrize("given", ["out", "out/squares_4_16.lmdb"])
def test_pictures_come_in_the_order_of_their_names(given, folder, tmp_path):
    run(folder / "b.png", tmp_path / "out")
    run(folder, tmp_path / "out")
    run(folder, tmp_path / "files", lmdb=False)
    found = find_training_pictures([tmp_path / given], 4)
    assert [picture.hr.key for picture in found] == ["hr_16_00001", "hr_16_00000", "hr_16_00002"]
    files = find_training_pictures([tmp_path / "files"], 4)
    for one, other in zip(found, files, strict=True):
        assert one.sides(4) == other.sides(4) == [(16, 16), (4, 4)]
        assert all(map(torch.equal, one.read(4), other.read(4)))
    crops = [Crops(pictures, 8, 4, 0) for pictures in (found, files)]
    assert all(torch.equal(crops[0][n]["hr"], crops[1][n]["hr"]) for n in range(6))


def test_databases_made_otherwise_are_read(tmp_path):
    values = {f"{part}_{n:05}": png(side) for part, side in zip(PARTS, (16, 4, 16), strict=True) for n in range(11)}
    pictures = find_training_pictures([write(tmp_path / "faces_4_16", 11, **values)], 4)
    assert [picture.lr.key for picture in pictures] == [f"lr_4_{n:05}" for n in range(11)]
    assert [part.shape for part in pictures[10].read(4)] == [(3, 16, 16), (3, 4, 4)]
    large = {key: value for key, value in values.items() if key.startswith("hr")}
    assert find_training_pictures([write(tmp_path / "hr", 11, **large)], 2)[0].lr is None


@pytest.mark.parametrize(
    ("length", "keys", "message"),
    [
        (
            3,
            ["hr_16_00000", "hr_16_00002", "lr_4_00000"],
            r"has no key 'hr_16_00001'; its length is 3, so .* 'hr_16_00002'",
        ),
        (
            1,
            ["hr_16_00000", "lr_4_00001"],
            r"other' has no key 'lr_4_00000'; its length is 1, so it should have 'lr_4_0",
        ),
        (10**15, ["hr_16_00000"], "has no key 'hr_16_00001'"),
        (
            1,
            ["hr_16_00000", "lr_8_00000"],
            "holds hr_16, lr_8, of which none belong together at factor=4; give factor=2",
        ),
        (1, ["lr_4_00000"], "holds no picture; give a database with keys such as 'hr_128_00000'"),
        (0, ["hr_16_00000"], "holds no picture"),
    ],
)
def test_databases_that_cannot_be_used(length, keys, message, tmp_path):
    folder = write(tmp_path / "other", length, **dict.fromkeys(keys, b""))
    with pytest.raises(InputError, match=message):
        find_training_pictures([folder], 4)


def test_pictures_that_cannot_be_used(tmp_path):
    folder = write(tmp_path / "other", 2, hr_16_00000=png(16, 24), hr_16_00001=b"no picture")
    wide, broken = find_training_pictures([folder], 4)
    with pytest.raises(InputError, match=r"'hr_16_00000' in '.*other' is 24x16 pixels, and not 16x16; make the"):
        wide.read(4)
    with pytest.raises(InputError, match=r"'hr_16_00001' in '.*other' is not an image"):
        broken.read(4)
    with lmdb.open(str(folder)) as environment, environment.begin(write=True) as transaction:
        transaction.delete(b"hr_16_00000")
    with pytest.raises(InputError, match=r"'hr_16_00000' in .* is not there any more"):
        wide.read(4)


def test_a_folder_of_several_databases_is_not_guessed_at(folder, tmp_path):
    run(folder, tmp_path / "out")
    write(tmp_path / "out" / "other.lmdb", 0)
    with pytest.raises(InputError, match=r"holds other\.lmdb, squares_4_16\.lmdb; give a folder with one"):
        find_training_pictures([tmp_path / "out"], 4)


def test_pictures_that_fail_leave_no_gap(folder, tmp_path, save_noise):
    (folder / "aa.png").write_text("no picture")
    small = save_noise(folder / "ab.png", 8, 20)
    out = tmp_path / "out"
    done = run(folder, out)
    assert (done.made, list(done.failures)) == (3, [folder / "aa.png", small])
    assert len(find_training_pictures([out], 4)) == 3
    save_noise(small, 18, 20)
    done = run(folder, out)
    assert (done.made, done.there, list(done.failures)) == (1, 3, [folder / "aa.png"])
    found = contents(out / "squares_4_16.lmdb")
    assert (found["length"], found["name_00003"]) == (b"4", b"ab")
    assert len(found) == 4 * 4 + 1
    assert [picture.hr.key[-1] for picture in find_training_pictures([out], 4)] == ["0", "3", "1", "2"]


def test_what_was_done_before_an_interruption_stays(folder, tmp_path, monkeypatch):
    real = module.Squares.make

    def stop_at(name):
        def make(recipe, picture):
            if picture.stem == name:
                raise KeyboardInterrupt
            return real(recipe, picture)

        with monkeypatch.context() as patched:
            patched.setattr(module.Squares, "make", make)
            with pytest.raises(KeyboardInterrupt):
                run(folder, tmp_path / "out")

    stop_at("a")
    with pytest.raises(InputError, match="holds no picture"):
        find_training_pictures([tmp_path / "out"], 4)
    stop_at("c")
    assert len(find_training_pictures([tmp_path / "out"], 4)) == 2
    assert run(folder, tmp_path / "out") == Prepared(1, 2, {})
    run(folder, tmp_path / "at_once")
    assert contents(tmp_path / "out" / "squares_4_16.lmdb") == contents(tmp_path / "at_once" / "squares_4_16.lmdb")


@pytest.mark.skipif(sys.platform != "linux", reason="needs SIGKILL")
def test_a_run_that_was_killed_goes_on(tmp_path, save_noise):
    for number in range(60):
        save_noise(tmp_path / "in" / f"{number:02}.png", 96, 90 + number)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "fastsr",
            "prepare",
            tmp_path / "in",
            "-o",
            out,
            "--size",
            "4,16",
            "--lmdb",
            "--workers=1",
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )

    def done():
        try:
            return len(find_training_pictures([out], 4))
        except (InputError, FileNotFoundError):  # not yet begun
            return 0

    while not done():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = done()
    assert 0 < there < 60
    assert run(tmp_path / "in", out) == Prepared(60 - there, there, {})
    run(tmp_path / "in", tmp_path / "at_once")
    assert contents(out / "squares_4_16.lmdb") == contents(tmp_path / "at_once" / "squares_4_16.lmdb")


def test_databases_of_others_are_left_alone(folder, tmp_path):
    theirs = write(tmp_path / "out" / "squares_4_16.lmdb", 1, hr_16_00000=png(16))
    with pytest.raises(InputError, match=r"has 'squares_4_16\.lmdb' and no settings\.json"):
        run(folder, tmp_path / "out")
    (tmp_path / "out" / "settings.json").write_text('{"sizes": [4, 16], "lmdb": true}')
    before = contents(theirs)
    with pytest.raises(InputError, match=r"has no key 'name_00000', so it was not made by fastsr prepare; name"):
        run(folder, tmp_path / "out")
    assert contents(theirs) == before


def test_a_length_that_is_no_number_is_named(folder, tmp_path):
    write(tmp_path / "out" / "squares_4_16.lmdb", "many")
    (tmp_path / "out" / "settings.json").write_text('{"sizes": [4, 16], "lmdb": true}')
    with pytest.raises(InputError, match=r"has the length b'many', which is no number; name another folder with -o"):
        run(folder, tmp_path / "out")


def test_without_the_package_it_is_named(folder, tmp_path, monkeypatch):
    run(folder, tmp_path / "out")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(InputError, match="needs the package lmdb"):
        find_training_pictures([tmp_path / "out"], 4)
    with pytest.raises(InputError, match="needs the package lmdb"):
        run(folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()
