"""Two that work in one place: `python -m benchmarks.pairs` has two processes of every command, here are the parts."""

import csv
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastsr
from fastsr.evaluate import evaluate
from fastsr.files import atomic_write, prepare_folder
from fastsr.locks import remove_unless_held

fcntl = pytest.importorskip("fcntl")


def test_what_is_being_written_is_not_taken_for_what_a_killed_process_left(tmp_path):
    left = tmp_path / ".0123abcd.tmp"
    left.write_bytes(b"half")
    others = [tmp_path / ".tmp", tmp_path / ".mine.tmp", tmp_path / "a.tmp"]
    for path in others:
        path.touch()
    with atomic_write(tmp_path / "a") as file:
        prepare_folder(tmp_path)
        file.write(b"whole")
        assert not left.exists()
        assert len(os.listdir(tmp_path)) == len(others) + 1
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert all(path.exists() for path in others)


def test_a_new_file_of_the_name_of_a_removed_one_is_left_alone(tmp_path, monkeypatch):
    path = tmp_path / ".0123abcd.tmp"
    path.write_bytes(b"half")
    flock = fcntl.flock

    def late(file, operation):
        monkeypatch.undo()
        path.unlink()  # another process removes it before this one has it locked, and its writer makes a new one
        path.write_bytes(b"new")
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    remove_unless_held(path)
    assert path.read_bytes() == b"new"


def test_many_write_while_others_begin(tmp_path):
    ended = threading.Event()

    def begin():
        while not ended.is_set():
            prepare_folder(tmp_path)

    def write(number):
        for turn in range(40):
            with atomic_write(tmp_path / f"{number % 2}") as file:
                file.write(f"{number} {turn} ".encode() * 100)

    with ThreadPoolExecutor(6) as threads:
        beginning = [threads.submit(begin) for _ in range(2)]
        writing = [threads.submit(write, number) for number in range(4)]
        try:
            for each in writing:
                each.result()
        finally:
            ended.set()
        for each in beginning:
            each.result()
    assert sorted(os.listdir(tmp_path)) == ["0", "1"]
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        assert data == data[: len(data) // 100] * 100


def test_two_evaluations_in_one_folder_come_to_the_same(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for index in range(4):
        fastsr.save(np.random.default_rng(index).integers(0, 256, (24, 24, 3), np.uint8), pictures / f"{index}.png")

    def run(out):
        return evaluate("bicubic", pictures, factor=4, output=tmp_path / out, device="cpu", show=lambda line: None)

    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(run, ["both", "both"]))
    alone = run("alone")
    assert [one.failures for one in both] == [{}, {}]
    for name in ("pictures/0.png", "pictures/3_bicubic.png"):
        assert (tmp_path / "both" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
    tables = [
        list(csv.DictReader((tmp_path / out / "results.csv").read_text().splitlines())) for out in ("both", "alone")
    ]
    assert [row["psnr_y"] for row in tables[0]] == [row["psnr_y"] for row in tables[1]]
    assert json.loads((tmp_path / "both" / "rows" / "0.json").read_text())["psnr_y"] == alone.rows[0].psnr_y
    assert not list((tmp_path / "both").rglob("*.tmp"))
