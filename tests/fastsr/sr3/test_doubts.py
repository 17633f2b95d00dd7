"""Which pictures SR3's weights do not know, and how that is told."""

import warnings
from dataclasses import replace

import pytest
import torch
from click.testing import CliRunner

import fastsr
from fastsr.cli import main
from fastsr.errors import DomainWarning, InputError
from fastsr.images import read
from fastsr.sr3.arguments import check_options
from fastsr.sr3.doubts import doubts_of
from fastsr.sr3.formats import load, save

QUICK = {"steps": 3, "device": "cpu", "dtype": "float32", "progress": False}
UNLIKE = (
    "unlike the aligned faces of 8x8 pixels that weights='small' knows: the result has the texture of such pictures; "
    "fastsr.srgan enlarges photos"
)
LARGER = "it is drawn in parts, with the texture of such pictures"
OTHER = "the result may be worse"


def sized(width, height, what):
    """What is said of another size."""
    return (
        f"{width}x{height} pixels, and weights='small' knows aligned faces of 8x8 pixels: {what}; "
        "fastsr.resize(img, size=(8, 8)) makes that size, and fastsr.srgan enlarges photos"
    )


@pytest.fixture
def faces(small, kind):
    """Weights for 8x8 to 32x32 that say what they were trained on."""
    return replace(small(), size=32, domain=kind.domain, pictures="aligned faces")


def said(pixels, checkpoint):
    """What is said of pixels (C, H, W)."""
    return [(doubt.name, doubt.reason) for doubt in doubts_of(read(pixels), "img", check_options(weights=checkpoint))]


def test_what_looks_as_it_should_and_is_of_the_size_of_the_training_raises_no_doubt(faces, kind):
    assert said(kind.known(1), faces) == []
    assert said(torch.rand(3, 40, 40), replace(faces, domain=None)) == []


def test_another_look_or_another_size_raises_one(faces, kind):
    assert said(kind.other(1), faces) == [("img", UNLIKE)]
    assert said(kind.other(1)[:, :4, :4], faces) == [("img", sized(4, 4, OTHER))]
    assert said(torch.rand(3, 16, 16), faces) == [("img", sized(16, 16, OTHER))]
    assert said(torch.rand(3, 17, 8), faces) == [("img", sized(8, 17, LARGER))]
    unnamed = replace(faces, size=None, pictures=None)
    assert said(torch.rand(3, 9, 8), unnamed) == [("img", UNLIKE.replace("aligned faces of 8x8 pixels", "pictures"))]
    with pytest.raises(InputError, match="img is 1x1 pixels"):
        said(torch.rand(3, 1, 1), faces)


def test_what_is_invisible_does_not_count(faces, kind):
    hidden = torch.cat([kind.known(1), torch.ones(1, 8, 8)])
    assert said(hidden, faces) == []
    hidden[3, :, 4:] = 0
    assert said(hidden, faces) == [("img", UNLIKE)]


def test_a_call_warns_once_and_an_iterator_of_each_picture(faces, kind):
    images = [kind.other(1), kind.known(1), torch.rand(3, 17, 8), kind.other(2)]
    with pytest.warns(DomainWarning) as caught:
        fastsr.sr3(images, weights=faces, **QUICK)
    assert [str(one.message) for one in caught] == [f"img[0] and img[3] are {UNLIKE}. img[2] is {sized(8, 17, LARGER)}"]
    assert caught[0].filename == __file__
    results = fastsr.sr3(iter(images[:2]), weights=faces, **QUICK)
    with pytest.warns(DomainWarning) as caught:
        assert len(list(results)) == 2
    assert [str(one.message) for one in caught] == [f"img[0] is {UNLIKE}"]
    assert caught[0].filename == __file__


def test_it_is_kept_in_the_file_of_weights_and_does_not_change_what_they_are(faces, small, kind, tmp_path):
    save(faces, tmp_path / "faces.safetensors")
    again = load(tmp_path / "faces.safetensors")
    assert torch.equal(again.domain.limit, kind.domain.limit.float())
    assert again.fingerprint() == replace(small(), size=32).fingerprint()
    broken = replace(kind.domain, mean=torch.zeros(3))
    save(replace(faces, domain=broken), tmp_path / "broken.safetensors")
    with pytest.raises(InputError, match=r"another version of fastsr: KeyError\('domain\.'\)"):
        load(tmp_path / "broken.safetensors")


def test_a_command_and_an_evaluation_name_each_picture(faces, kind, tmp_path):
    save(faces, tmp_path / "faces.safetensors")
    weights = tmp_path / "faces.safetensors"
    pictures = {"a": kind.other(1), "b": kind.known(1), "c": kind.other(2)}
    for name, picture in pictures.items():
        (tmp_path / "in").mkdir(exist_ok=True)
        fastsr.save(picture, tmp_path / "in" / f"{name}.png")

    def lines(command, *arguments):
        options = ["--steps", "2", "--device", "cpu", "-o", tmp_path / command, "--weights", weights]
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # for users they are no errors
            result = CliRunner().invoke(main, [str(one) for one in [*command.split(), *arguments, *options]])
        assert result.exit_code == 0
        return result.stderr.splitlines()

    unlike = UNLIKE.replace("weights='small'", f"--weights {weights}").replace("fastsr.srgan", "`fastsr srgan`")
    unlike = unlike.replace("aligned faces", "pictures")  # only a model card says more
    assert lines("sr3", tmp_path / "in") == [
        f"Warning: {str(tmp_path / 'in' / name)!r}: IN is {unlike}" for name in ("a.png", "c.png")
    ]
    for name, picture in pictures.items():
        (tmp_path / "hr").mkdir(exist_ok=True)
        fastsr.save(picture.repeat_interleave(4, -1).repeat_interleave(4, -2), tmp_path / "hr" / f"{name}.png")
    assert lines("evaluate sr3", "--data", tmp_path / "hr") == [f"Warning: a, b and c are {unlike}"]
