"""Image files that cannot be read, and pictures that cannot be written."""

import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

import fastsr
from fastsr import codecs, images
from fastsr.errors import FastsrError, InputError, InputTypeError, MissingFileError, NotEnoughMemoryError, OutputError


def noise(dtype):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (64, 64, 3), dtype, endpoint=True)


def broken_files(folder):
    whole = BytesIO()
    Image.fromarray(noise(np.uint8)).save(whole, "PNG")
    jpeg = BytesIO()
    Image.fromarray(noise(np.uint8)).save(jpeg, "JPEG")
    deep = folder / "whole16.png"
    fastsr.save(noise(np.uint16), deep)
    files = {
        "text.png": b"not an image",
        "empty.png": b"",
        "cut.png": whole.getvalue()[:2000],
        "cut.jpg": jpeg.getvalue()[:2000],
        "cut16.png": deep.read_bytes()[:2000],
        "header.png": whole.getvalue()[:20],
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return list(files)


def test_broken_files_are_named(tmp_path):
    for name in broken_files(tmp_path):
        message = "not an image that Pillow can read|truncated or broken"
        with pytest.raises(InputError, match=rf"img='.*{name}'.*({message})"):
            images.read(tmp_path / name)
    with Image.open(tmp_path / "cut.jpg") as image, pytest.raises(InputError, match=r"img .*truncated"):
        images.read(image)


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(MissingFileError, match=r"path='.*no.png' does not exist"):
        fastsr.load(tmp_path / "no.png")
    with pytest.raises(InputError, match=r"img='.*' is a folder"):
        images.read(str(tmp_path))
    with pytest.raises(InputTypeError, match="path is a ndarray"):
        fastsr.load(np.zeros((2, 2)))


@pytest.mark.parametrize(("method", "where"), [("stat", "pathlib.Path"), ("open", "builtins")])
def test_files_that_may_not_be_read_are_named(tmp_path, monkeypatch, method, where):
    path = tmp_path / "a.png"
    Image.new("L", (3, 2)).save(path)

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(f"{where}.{method}", refuse)
        with pytest.raises(InputError, match=r"a.png' cannot be read: Permission denied$"):
            images.read(path)


def test_files_too_large_for_memory_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("RGB", (30, 20)).save(path)
    monkeypatch.setattr("fastsr.device.available_memory", lambda device: 6 * 3 * 30 * 20 - 1)
    with pytest.raises(NotEnoughMemoryError, match=r"reading img='.*a.png' of 30x20 pixels needs about"):
        images.read(path)
    monkeypatch.undo()

    def exhausted(*args):
        raise MemoryError

    monkeypatch.setattr(codecs, "_decode", exhausted)
    with pytest.raises(NotEnoughMemoryError, match="does not fit into memory"):
        images.read(path)


def test_names_that_no_file_can_have_are_refused():
    with pytest.raises(InputError, match=r"img='a{300}' cannot be read: File name too long"):
        images.read("a" * 300)
    with pytest.raises(MissingFileError, match="does not exist"):
        images.read("a\0b")


@pytest.mark.parametrize(("name", "most"), [("a.jpg", 65500), ("a.JPEG", 65500), ("a.webp", 16383)])
def test_the_largest_sides_are_those_that_can_be_written(name, most, tmp_path):
    fastsr.save(np.zeros((1, most)), tmp_path / name)
    codecs.check_size(tmp_path / name, most, most)
    with pytest.raises(OutputError, match=f"only {most} a side"):
        fastsr.save(np.zeros((1, most + 1)), tmp_path / name)
    for size in ((most + 1, 1), (1, most + 1)):
        with pytest.raises(OutputError, match=rf"cannot hold {size[0]}x{size[1]} pixels, only {most} a side; use .png"):
            codecs.check_size(tmp_path / name, *size)
    codecs.check_size(tmp_path / "a.png", 10**6, 10**6)


def test_decompression_bombs_are_refused_unless_allowed(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.new("L", (30, 20)).save(path)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(
        InputError, match=r"a.png'.* \(600 pixels\) .* 400 pixels.*read\(path, max_pixels=...\), or --max-pixels"
    ):
        images.read(path)
    assert images.read(path, max_pixels=600).pixels.shape == (1, 1, 20, 30)
    assert fastsr.load(path, max_pixels=600).shape == (1, 20, 30)
    with pytest.raises(InputError, match="30x20 pixels, more than max_pixels=599"):
        images.read(path, max_pixels=599)
    assert Image.MAX_IMAGE_PIXELS == 200


def test_the_limit_is_back_after_two_reads_that_end_in_the_order_they_began(tmp_path, monkeypatch):
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    for path in (first, second):
        Image.new("L", (30, 20)).save(path)
    opened = {first: threading.Event(), second: threading.Event()}
    first_has_read, open_image = threading.Event(), Image.open

    def open_in_order(path):
        opened[path].set()
        assert (opened[second] if path == first else first_has_read).wait(10)
        return open_image(path)

    monkeypatch.setattr(Image, "open", open_in_order)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with ThreadPoolExecutor(2) as threads:
        one = threads.submit(images.read, first, max_pixels=600)
        assert opened[first].wait(10)
        other = threads.submit(images.read, second, max_pixels=600)
        one.result()
        assert Image.MAX_IMAGE_PIXELS is None
        first_has_read.set()
        other.result()
    assert Image.MAX_IMAGE_PIXELS == 200


@pytest.mark.parametrize(
    ("image", "name", "options", "message"),
    [
        (np.zeros((2, 2)), "a.xyz", {}, "a.xyz' has no suffix that can be written: .png"),
        (np.zeros((2, 2)), "a", {}, "no suffix that can be written"),
        (np.zeros((2, 2, 4)), "a.jpg", {}, "JPEG cannot hold transparency"),
        (np.zeros((2, 2)), "a.jpg", {"bits": 16}, "JPEG cannot hold 16 bits"),
        (np.zeros((2, 2)), "a.png", {"bits": 12}, "bits=12"),
        (np.zeros((2, 2, 2, 3)), "a.png", {}, "batch of 2 images"),
        ([np.zeros((2, 2))] * 2, "a.png", {}, "img is a list of 2 images; save them one by one"),
        (np.zeros((1, 17000)), "a.webp", {}, "WEBP cannot hold 17000x1 pixels, only 16383"),
        (np.zeros((1, 70000)), "a.jpg", {}, "JPEG cannot hold 70000x1 pixels, only 65500"),
        (np.zeros((2, 2)), "missing/a.png", {}, "missing/a.png' cannot be written: No such file"),
    ],
)
def test_what_cannot_be_saved_is_refused(image, name, options, message, tmp_path):
    with pytest.raises(FastsrError, match=message):
        fastsr.save(image, tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
