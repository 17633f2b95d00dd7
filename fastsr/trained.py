"""Methods whose network comes from a file, as methods by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Protocol

import torch

from .images import Picture
from .methods import Method


class Checkpoint(Protocol):
    """A network with its weights; `str` of it says which network it is."""

    def fingerprint(self) -> str:
        """Return digits that are others for other weights."""


def trained(
    name: str,
    summary: str,
    options: type,
    run: Callable[..., Any],
    check_options: Callable[..., Any],
    load: Callable[[str], Checkpoint],
    default: Callable[[int], str],
) -> Method:
    """Return the method of a function of the lean API that takes weights.

    The file is read when options are checked, and kept until they are checked again.

    Args:
        name: see `Method`.
        summary: see `Method`.
        options: a dataclass of the function's own arguments, with "weights" among them.
        run: the function; a trained network knows one kernel, whichever made pictures small.
        check_options: raises what `run` raises for arguments that cannot be used; takes the same, without a picture.
        load: reads the weights.
        default: the name of the weights for a factor, where none are given.
    """

    @lru_cache(maxsize=1)
    def loaded(weights: str) -> Checkpoint:
        return load(weights)

    def checkpoint_of(factor: int, given: Any) -> Checkpoint:
        return loaded(default(factor) if given.weights is None else given.weights)

    def arguments(factor: int, given: Any) -> dict[str, Any]:
        return {**asdict(given), "weights": checkpoint_of(factor, given)}

    def upscale(picture: Picture, factor: int, given: Any, device: torch.device, kernel: str) -> Picture:
        return run(picture, factor, **arguments(factor, given), device=device, progress=False)

    def check(factor: int, given: Any, device: torch.device) -> None:
        loaded.cache_clear()
        check_options(factor, **arguments(factor, given), device=device)

    def details(factor: int, given: Any) -> str:
        """Return the network, and digits that change with its weights: a path says nothing of what is in the file."""
        checkpoint = checkpoint_of(factor, given)
        return f"{checkpoint}, weights {checkpoint.fingerprint()}"

    return Method(name, summary, options, upscale, check, details)
