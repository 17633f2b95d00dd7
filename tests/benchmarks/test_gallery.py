"""The gallery: that its pictures are whole, and that its page shows each with the command that made it."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

import fastsr
from benchmarks import gallery, gallery_sources
from fastsr.sheets import MARGIN, TOP

MOST_BYTES = 3_000_000


@pytest.fixture
def portraits(tmp_path, monkeypatch):
    folder = tmp_path / "faces" / "val"
    folder.mkdir(parents=True)
    for index in range(13):
        fastsr.save(torch.full((3, 256, 256), index * 16, dtype=torch.uint8), folder / f"{index:04}.jpg")
    monkeypatch.setenv("FASTSR_DATA", str(tmp_path))
    return folder


def test_photos_have_the_size_they_are_shown_in():
    for photo in gallery_sources.PHOTOS:
        assert photo.read().shape == (3, gallery_sources.SIDE, gallery_sources.SIDE)
        assert photo.read().dtype == torch.uint8


def test_every_twelfth_face_is_shown(portraits):
    assert [int(face[0, 0, 0]) for face in gallery_sources.faces(2)] == [0, 192]
    assert gallery_sources.small_faces(1)[0].shape == (3, 64, 64)


def test_faces_that_are_missing_are_told(portraits, monkeypatch):
    with pytest.raises(SystemExit, match="val has 2 of the 3 faces that are needed"):
        gallery_sources.faces(3)
    monkeypatch.delenv("FASTSR_DATA")
    with pytest.raises(SystemExit, match=r"^set FASTSR_DATA to the folder that holds faces/val$"):
        gallery_sources.faces(1)


def test_results_are_between_bicubic_and_the_original(portraits, monkeypatch):
    asked = []

    def srgan(low, factor, *, weights, progress):
        asked.append(weights)
        return [torch.zeros(3, factor * one.shape[1], factor * one.shape[2], dtype=torch.uint8) for one in low]

    monkeypatch.setattr(fastsr, "srgan", srgan)
    sheet = np.array(gallery.srgan())[TOP:, MARGIN:]
    assert asked == ["srresnet-x4", "srgan-x4"]
    astronaut = gallery_sources.ASTRONAUT.read().permute(1, 2, 0).numpy()
    side, step = gallery_sources.SIDE, gallery_sources.SIDE + MARGIN
    assert not sheet[:side, 2 * step : 2 * step + side].any()
    assert np.array_equal(sheet[:side, 4 * step : 4 * step + side], astronaut)


def test_only_what_is_named_is_made(tmp_path, monkeypatch, capsys):
    made = {name: (f"{name}.png", lambda: Image.new("RGB", (2, 2))) for name in ("one", "two")}
    monkeypatch.setattr(gallery, "PICTURES", made)
    monkeypatch.setattr(gallery, "FOLDER", tmp_path / "gallery")
    monkeypatch.setattr("sys.argv", ["gallery", "two"])
    gallery.main()
    assert [path.name for path in (tmp_path / "gallery").iterdir()] == ["two.png"]
    monkeypatch.setattr("sys.argv", ["gallery", "three"])
    with pytest.raises(SystemExit):
        gallery.main()
    assert "three is not in the gallery, which has one, two" in capsys.readouterr().err


def test_the_page_shows_every_picture_with_its_command():
    page = (gallery.FOLDER / "README.md").read_text()
    shown = set(re.findall(r"\]\(([\w.]+\.(?:png|jpg|gif))\)", page))
    assert {file for file, _ in gallery.PICTURES.values()} <= shown
    assert shown == {path.name for path in gallery.FOLDER.iterdir() if path.suffix != ".md"}
    for name in gallery.PICTURES:
        assert f"python -m benchmarks.gallery {name}\n" in page
    assert sum(path.stat().st_size for path in gallery.FOLDER.iterdir()) < MOST_BYTES
