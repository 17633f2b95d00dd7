"""Which pictures the weights of PULSE do not know, and how that is told."""

from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import fastsr
from fastsr.align import Face, Landmarks
from fastsr.cli import main
from fastsr.errors import DomainWarning, InputError
from fastsr.images import read
from fastsr.pulse.arguments import check_options
from fastsr.pulse.doubts import doubts_of
from fastsr.pulse.formats import load, save

QUICK = {"steps": 2, "device": "cpu", "dtype": "float32", "progress": False}
UNLIKE = (
    "unlike the aligned faces of 16x16 pixels that weights='small' knows, made small: the result is such a picture all "
    "the same"
)
REMEDY = "; `fastsr pulse --align` finds the faces in photos, and fastsr.srgan enlarges photos"
SMALL = (
    "7x7 pixels, and nearly any of the aligned faces of 16x16 pixels that weights='small' knows fits so few; give at "
    "least 8x8"
)


@pytest.fixture
def faces(small, kind):
    """Weights that say what they were trained on."""
    return replace(small(), domain=kind.domain, pictures="aligned faces")


def test_another_look_raises_a_doubt(faces, kind):
    def said(pixels, checkpoint=faces, **more):
        found = doubts_of(read(pixels), "img", check_options(weights=checkpoint), **more)
        return [(doubt.name, doubt.reason) for doubt in found]

    assert said(kind.known(1)) == []
    assert said(kind.other(1)) == [("img", UNLIKE + REMEDY)]
    assert said(kind.other(1), aligned=True) == [("img", UNLIKE)]
    assert said(kind.other(1), replace(faces, domain=None)) == []
    assert said(torch.rand(3, 7, 7)) == [("img", SMALL)]
    assert said(torch.rand(3, 7, 7), replace(faces, domain=None)) == []
    with pytest.raises(InputError, match="img is 8x9 pixels"):
        said(torch.rand(3, 9, 8))


def test_a_call_warns_once_and_an_iterator_of_each_picture(faces, kind):
    images = [kind.other(1), kind.known(1), kind.other(2)]
    with pytest.warns(DomainWarning) as caught:
        fastsr.pulse(images, weights=faces, **QUICK)
    assert [str(one.message) for one in caught] == [f"img[0] and img[2] are {UNLIKE}{REMEDY}"]
    assert caught[0].filename == __file__
    with pytest.warns(DomainWarning) as caught:
        assert len(list(fastsr.pulse(iter(images), weights=faces, **QUICK))) == 3
    assert [str(one.message) for one in caught] == [f"img[{index}] is {UNLIKE}{REMEDY}" for index in (0, 2)]
    assert {one.filename for one in caught} == {__file__}


def test_it_is_kept_in_the_file_of_weights_and_does_not_change_what_they_are(faces, small, kind, tmp_path):
    save(faces, tmp_path / "faces.safetensors")
    again = load(tmp_path / "faces.safetensors")
    assert torch.equal(again.domain.limit, kind.domain.limit.float())
    assert again.fingerprint() == small().fingerprint()
    tensors = {key: one for key, one in load_file(tmp_path / "faces.safetensors").items() if key != "domain.mean"}
    with safe_open(tmp_path / "faces.safetensors", "pt") as file:
        save_file(tensors, tmp_path / "cut.safetensors", file.metadata())
    with pytest.raises(InputError, match=r"another version of fastsr: KeyError\('domain\.mean'\)"):
        load(tmp_path / "cut.safetensors")


def test_the_command_names_each_picture_and_each_face_of_a_photo(faces, kind, tmp_path, save_noise, monkeypatch):
    save(faces, tmp_path / "faces.safetensors")
    unlike = UNLIKE.replace("weights='small'", f"--weights {tmp_path / 'faces.safetensors'}")
    unlike = unlike.replace("aligned faces", "pictures")  # only a model card says more
    for name, picture in (("known", kind.known(1)), ("other", kind.other(1))):
        fastsr.save(picture, tmp_path / f"{name}.png")

    def said(*arguments):
        options = ["--weights", tmp_path / "faces.safetensors", "--steps", 2, "--device", "cpu", *arguments]
        result = CliRunner().invoke(main, ["pulse", *map(str, options)])
        assert result.exit_code == 0
        return result.stderr

    remedy = REMEDY.replace("fastsr.srgan", "`fastsr srgan`")
    other = f"Warning: {str(tmp_path / 'other.png')!r}: IN is {unlike}{remedy}\n"
    assert said(tmp_path / "known.png", tmp_path / "other.png", "--duplicates", 2) == other
    photo = save_noise(tmp_path / "photo.png", 40, 50)
    marks = Landmarks((10, 10), (16, 11), (10, 17), (15, 18)), Landmarks((30, 12), (38, 11), (31, 20), (37, 20))
    monkeypatch.setattr("fastsr.align.detector.yunet", lambda: None)
    monkeypatch.setattr("fastsr.align.find_faces", lambda picture: [Face(one) for one in marks])
    faces_of = [f"Warning: {str(photo)!r}: face {number} is {unlike}\n" for number in (1, 2)]
    assert said(photo, "--align", "--side", 8) == "".join(faces_of)
