"""Weights that come with fastsr: for each name a file NAME.safetensors, and beside it NAME.md, its model card.

A card begins with its facts between two lines `---`, in JSON, which is YAML as well: model hubs read it. Markdown
follows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..checks import meant
from ..errors import InputError

FOLDER = Path(__file__).parent
METHODS = ("srgan", "sr3", "pulse")
FENCE = "---\n"
DEFAULTS = {"srgan": "srgan-x4", "sr3": "sr3-faces-x8", "pulse": "faces-64"}
"""The weights that each method takes where none are given."""
SRGAN_UP_TO_2 = "srresnet-x2"
"""Those that SRGAN takes in place of its own, up to a factor of 2."""


@dataclass(frozen=True)
class Card:
    """What is told of weights.

    Attributes:
        name: of the weights.
        method: the function of fastsr that they are for, one of `METHODS`.
        summary: what they are for, in one line.
        pictures: what they were trained on, in a word or two that follow upon "the", such as "aligned faces".
        factor: how many times larger they make pictures; None where they make pictures of one size of any.
        parameters: how many numbers were learnt.
        sha256: of the file of weights, 64 hexadecimal digits.
        data: what they were trained on.
        licence: of the data, in one line.
        scores: for each test the value of each measure, the most telling one first.
        text: the card itself, Markdown.
    """

    name: str
    method: str
    summary: str
    pictures: str
    factor: float | None
    parameters: int
    sha256: str
    data: tuple[str, ...]
    licence: str
    scores: Mapping[str, Mapping[str, float]]
    text: str


def names(method: str | None = None) -> tuple[str, ...]:
    """Return the names of the weights that are there: all, or those for a method, in the order of `METHODS`.

    Raises:
        InputError: a card is missing or cannot be understood.
    """
    cards = [card_of(path.stem) for path in sorted(FOLDER.glob("*.safetensors"))]
    return tuple(card.name for each in METHODS if method in (None, each) for card in cards if card.method == each)


def path_of(name: str) -> Path:
    """Return the file of the weights called `name`.

    Raises:
        InputError: there are none of this name.
    """
    path = FOLDER / f"{name}.safetensors"
    if path.stem != name or not path.is_file():
        there = names()
        raise InputError(
            f"name={name!r} is not of weights that come with fastsr{meant(name, there)}; these are {', '.join(there)}"
        )
    return path


def card_of(name: str) -> Card:
    """Return the model card of the weights called `name`.

    Raises:
        InputError: there are none of this name; their card is missing or cannot be understood.
    """
    path = path_of(name).with_suffix(".md")
    try:
        start, head, text = path.read_text(encoding="utf-8").split(FENCE, 2)
        card = _card(json.loads(head), text.strip())
        if start or card.name != name:
            raise ValueError(f"it begins with {start!r} and is for {card.name!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the model card {str(path)!r} cannot be used: {error!r}") from error
    return card


def default_weights(method: str, factor: float | None = None) -> str:
    """Return the name of the weights that a method takes where none are given."""
    return SRGAN_UP_TO_2 if method == "srgan" and factor is not None and factor <= 2 else DEFAULTS[method]


def pictures_of(path: Path) -> str | None:
    """Return what a file of weights was trained on, as its card says; None where it has none, or is not fastsr's own.

    Raises:
        InputError: its card cannot be understood.
    """
    there = path.parent == FOLDER and path.with_suffix(".md").is_file()
    return card_of(path.stem).pictures if there else None


def called(path: Path) -> str:
    """Return what a user calls a file of weights: by its name where it comes with fastsr, else by its path."""
    return path.stem if path.parent == FOLDER else str(path)


def _card(facts: Mapping[str, Any], text: str) -> Card:
    given = {field.name: facts[field.name] for field in fields(Card) if field.name != "text"}
    card = Card(**{**given, "data": tuple(given["data"])}, text=text)
    if card.method not in METHODS:
        raise ValueError(f"method={card.method!r} is none of {', '.join(METHODS)}")
    return card
