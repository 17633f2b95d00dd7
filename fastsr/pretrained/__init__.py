"""The bundled weights: for each name a file NAME.safetensors and its model card, NAME.md.

A card begins with a block of facts between two `---` lines, which model hubs read as YAML; fastsr writes it as JSON,
which is valid YAML. The rest of the card is Markdown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ..checks import did_you_mean, input_error
from ..errors import InputError

FOLDER = Path(__file__).parent
METHODS = ("srgan", "sr3", "pulse")
FENCE = "---\n"
DEFAULTS = {"srgan": "srgan-x4", "sr3": "sr3-faces-x8", "pulse": "faces-64"}
"""The default weights of each method."""
SRGAN_UP_TO_2 = "srresnet-x2"
"""The default weights of SRGAN for factors up to 2."""


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        name: name of the weights.
        method: the function of fastsr that uses the weights, one of `METHODS`.
        summary: the purpose of the weights, in one line.
        pictures: the kind of images that they were trained on, in one or two words that can follow "the", such as
            "aligned faces".
        factor: the scale factor of the network; None for a generator, whose output has a fixed size.
        parameters: number of parameters.
        sha256: SHA-256 of the .safetensors file, 64 hexadecimal digits.
        data: the training sets.
        licence: licence of the training data, in one line.
        scores: for each benchmark the value of each metric, the most important metric first.
        text: body of the card, Markdown.
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
    """Return the names of the bundled weights, or of those for one method, in the order of `METHODS`.

    Raises:
        InputError: a card is missing or cannot be parsed.
    """
    cards = [card_of(path.stem) for path in sorted(FOLDER.glob("*.safetensors"))]
    wanted = METHODS if method is None else (method,)
    return tuple(card.name for each in METHODS if each in wanted for card in cards if card.method == each)


def path_of(name: str) -> Path:
    """Return the .safetensors file of the bundled weights called `name`.

    Raises:
        InputError: no bundled weights have this name.
    """
    path = FOLDER / f"{name}.safetensors"
    if path.stem != name or not path.is_file():
        bundled = names()
        guess = did_you_mean(name, bundled)
        raise input_error("name", name, f"is not the name of bundled weights{guess}", f"these are {', '.join(bundled)}")
    return path


def card_of(name: str) -> Card:
    """Return the model card of the bundled weights called `name`.

    Raises:
        InputError: no bundled weights have this name, or their card is missing or cannot be parsed.
    """
    path = path_of(name).with_suffix(".md")
    try:
        start, head, text = path.read_text(encoding="utf-8").split(FENCE, 2)
        card = _parse_card(json.loads(head), text.strip())
        if start or card.name != name:
            raise ValueError(f"it begins with {start!r} and is for {card.name!r}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"the model card {str(path)!r} cannot be used: {error!r}") from error
    return card


def default_weights(method: str, factor: float | None = None) -> str:
    """Return the name of the default weights of a method, which for SRGAN depend on the factor."""
    return SRGAN_UP_TO_2 if method == "srgan" and factor is not None and factor <= 2 else DEFAULTS[method]


def pictures_of(path: Path) -> str | None:
    """Return the kind of images that a file of weights was trained on, from its card; None for files without a card.

    Raises:
        InputError: the card cannot be parsed.
    """
    has_card = path.parent == FOLDER and path.with_suffix(".md").is_file()
    return card_of(path.stem).pictures if has_card else None


def display_name(path: Path) -> str:
    """Return how a user refers to a file of weights: by name if it is bundled, otherwise by path."""
    return path.stem if path.parent == FOLDER else str(path)


def _parse_card(facts: Mapping[str, Any], text: str) -> Card:
    values = {field.name: facts[field.name] for field in fields(Card) if field.name != "text"}
    card = Card(**{**values, "data": tuple(values["data"])}, text=text)
    if card.method not in METHODS:
        raise ValueError(f"method={card.method!r} is not one of {', '.join(METHODS)}")
    return card
