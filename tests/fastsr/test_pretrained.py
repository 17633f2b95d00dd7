"""The weights that come with fastsr, and their model cards."""

import warnings
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path

import pytest
import torch
from setuptools.config.pyprojecttoml import read_configuration

import fastsr
from fastsr import pretrained
from fastsr.checksums import digest_of
from fastsr.errors import DomainWarning, InputError
from fastsr.pretrained import DEFAULTS, METHODS, called, card_of, default_weights, names, path_of, pictures_of

ROOT = Path(fastsr.__file__).parents[1]
MEGABYTE = 10**6
TINY = {"srgan": {}, "sr3": {"steps": 2}, "pulse": {"steps": 1}}


def test_a_card_is_facts_and_text(bundle):
    path = bundle("a-x4", "srgan", factor=None)
    card = card_of("a-x4")
    assert (card.name, card.method, card.factor, card.data) == ("a-x4", "srgan", None, ("T91", "BSDS500"))
    assert card.scores["Set5 x4"]["PSNR"] == 30.93
    assert card.text == "# a-x4\n\n---\nText."
    assert path_of("a-x4") == path


def test_names_are_those_of_the_files_by_method(bundle):
    for name, method in (("b", "pulse"), ("d", "srgan"), ("c", "srgan"), ("a", "sr3")):
        bundle(name, method)
    assert names() == ("c", "d", "a", "b")
    assert names("srgan") == ("c", "d")
    for name in ("nowhere", "../pretrained/a", ""):
        with pytest.raises(InputError, match=r"is not of weights that come with fastsr; these are c, d, a, b"):
            path_of(name)


def test_weights_are_called_by_name_and_other_files_by_path(bundle):
    path = bundle("a", "srgan")
    assert called(path) == "a"
    assert called(path.parents[1] / "a.safetensors") == str(path.parents[1] / "a.safetensors")
    assert (pictures_of(path), pictures_of(path.parents[1] / "a.safetensors")) == ("photographs", None)
    path.with_suffix(".md").unlink()  # weights are written before their card
    assert pictures_of(path) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"licence"', '"license"'),
        ('"srgan"', '"dip"'),
        ('"name": "a"', '"name": "b"'),
        ("{", "("),
        ("---\n", "***\n"),
        ("---\n{", "# a\n---\n{"),
    ],
)
def test_a_card_that_cannot_be_understood_is_an_error(old, new, bundle):
    card = bundle("a", "srgan").with_suffix(".md")
    card.write_text(card.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=r"the model card .*a\.md' cannot be used"):
        card_of("a")


def test_weights_without_a_card_are_an_error(bundle):
    bundle("a", "srgan").with_suffix(".md").unlink()
    with pytest.raises(InputError, match=r"the model card .*a\.md' cannot be used"):
        names()


def test_every_method_has_the_weights_that_it_takes_by_default():
    assert names() == ("srgan-x4", "srresnet-x2", "srresnet-x4", "sr3-faces-x8", "faces-64")
    for method in METHODS:
        assert card_of(DEFAULTS[method]).method == method
        assert (
            default_weights(method, None if method == "pulse" else card_of(DEFAULTS[method]).factor) == DEFAULTS[method]
        )
    assert [default_weights("srgan", factor) for factor in (1.5, 2, 2.1)] == ["srresnet-x2", "srresnet-x2", "srgan-x4"]


@pytest.mark.parametrize("name", ["sr3-faces-x8", "faces-64"])
def test_weights_for_faces_say_so(name):
    checkpoint = import_module(f"fastsr.{card_of(name).method}.formats").load(name)
    assert checkpoint.pictures == card_of(name).pictures == "aligned faces"


def test_every_file_has_a_card_and_every_card_a_file():
    files, cards = ({path.stem for path in pretrained.FOLDER.glob(f"*.{kind}")} for kind in ("safetensors", "md"))
    assert files == cards == set(names())


def test_all_of_them_are_small():
    assert sum(path_of(name).stat().st_size for name in names()) <= 60 * MEGABYTE


@pytest.mark.parametrize("name", names())
def test_the_card_is_that_of_the_weights(name):
    card = card_of(name)
    assert card.sha256 == digest_of(path_of(name), "sha256")
    checkpoint = import_module(f"fastsr.{card.method}.formats").load(name)
    assert card.parameters == sum(parameter.numel() for parameter in checkpoint.network.parameters())
    assert checkpoint.name == f"weights={name!r}"
    assert (
        card.factor
        == {"srgan": lambda: checkpoint.network.scale, "sr3": lambda: checkpoint.factor}.get(
            card.method, lambda: None
        )()
    )


@pytest.mark.parametrize("name", names())
def test_the_card_is_complete(name):
    card = card_of(name)
    assert all(line.strip() and "\n" not in line for line in (card.summary, card.licence, *card.data))
    assert card.data
    assert card.text
    assert card.scores
    for test, measures in card.scores.items():
        assert measures, test
        assert all(isinstance(value, (int, float)) for value in measures.values()), test


@pytest.mark.parametrize("name", names())
def test_they_make_a_picture(name):
    method = card_of(name).method
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        small = torch.rand(3, 8, 8)
        result = getattr(fastsr, method)(small, card_of(name).factor, weights=name, **TINY[method], device="cpu")
    assert result.isfinite().all()
    assert result.shape[-1] > 8


def test_the_methods_are_functions():
    assert {"srgan", "sr3", "pulse"} == set(METHODS) <= set(fastsr.__all__)


def test_what_is_no_code_is_in_the_distribution():
    patterns = read_configuration(ROOT / "pyproject.toml", expand=False)["tool"]["setuptools"]["package-data"]["fastsr"]
    found = [path.relative_to(ROOT / "fastsr") for path in (ROOT / "fastsr").rglob("*") if path.is_file()]
    others = [path.as_posix() for path in found if "__pycache__" not in path.parts and path.suffix not in (".py", "")]
    others = [path for path in (*others, "pretrained/a.md", "pretrained/a.safetensors") if path != "py.typed"]
    assert [path for path in others if not any(fnmatch(path, pattern) for pattern in patterns)] == []
