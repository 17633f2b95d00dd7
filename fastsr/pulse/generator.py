"""What PULSE searches in: any network that makes pictures of latents and noise maps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..checks import whole_number
from ..errors import InputError, InputTypeError
from .noises import zero_noises

ATTRIBUTES = ("resolution", "layers", "latent", "noise_sides", "mapping")


class Generator(Protocol):
    """A network that makes square pictures layer by layer, each with a latent row and a noise map of its own.

    Any object with these attributes will do. One that is a `torch.nn.Module` is moved to the device of the search;
    others must compute where their arguments are. The same arguments must give the same picture, which must have a
    gradient with respect to latents and noises.
    """

    @property
    def resolution(self) -> int:
        """The side of its pictures."""

    @property
    def layers(self) -> int:
        """Latent rows of a picture."""

    @property
    def latent(self) -> int:
        """Numbers in a row."""

    @property
    def noise_sides(self) -> tuple[int, ...]:
        """The side of each noise map; empty where it takes none."""

    def __call__(self, latents: Tensor, noises: Sequence[Tensor]) -> Tensor:
        """Make pictures.

        Args:
            latents: rows that `mapping` gives, (N, layers, latent).
            noises: for each of `noise_sides` a map (N, 1, side, side), or (1, 1, side, side) for all pictures.

        Returns:
            (N, 3, resolution, resolution), nominally in [-1, 1], and not clamped.
        """

    def mapping(self, z: Tensor) -> Tensor:
        """Map normally distributed (N, latent) to latent rows, (N, latent)."""


def check_generator(network: Any, name: str = "weights") -> Generator:
    """Return `network` when it is a generator, by its attributes and by one call for two pictures, with its gradient.

    Args:
        network: what came.
        name: of the argument.

    Raises:
        InputTypeError: an attribute is missing or of another type.
        InputError: a number is too small, or what comes out is of another shape, not finite, or without gradient.
    """
    missing = [attribute for attribute in ATTRIBUTES if not hasattr(network, attribute)]
    if missing or not callable(network):
        raise InputTypeError(
            f"{name} is a {type(network).__name__} without {', '.join(missing) or '__call__'}; give a path, a URL, or "
            f"a generator: a callable object with {', '.join(ATTRIBUTES)}"
        )
    for attribute in ("resolution", "layers", "latent"):
        _positive(f"{name}.{attribute}", getattr(network, attribute))
    if not isinstance(network.noise_sides, tuple):
        raise InputTypeError(
            f"{name}.noise_sides={network.noise_sides!r} is a {type(network.noise_sides).__name__}; give a tuple of "
            "whole numbers, () for a network without noise"
        )
    for index, side in enumerate(network.noise_sides):
        _positive(f"{name}.noise_sides[{index}]", side)
    _try(network, name)
    return network


def _positive(name: str, value: Any) -> None:
    if whole_number(name, value, "a whole number of at least 1") < 1:
        raise InputError(f"{name}={value!r} is less than 1")


def _try(network: Generator, name: str) -> None:
    """Make two pictures."""
    tensors = network.parameters() if isinstance(network, nn.Module) else ()
    device = next((tensor.device for tensor in tensors), torch.device("cpu"))
    z = torch.randn(2, network.latent, generator=torch.Generator().manual_seed(0), dtype=torch.float32).to(device)
    noises = zero_noises(network.noise_sides, 1, device)
    with torch.no_grad():
        rows = network.mapping(z)
    _check(f"{name}.mapping(z)", rows, (2, network.latent))
    latents = rows[:, None].repeat(1, network.layers, 1).requires_grad_()
    with torch.enable_grad():
        pictures = network(latents, noises)
    _check(f"{name}(latents, noises)", pictures, (2, 3, network.resolution, network.resolution))
    gradient = None
    if pictures.requires_grad:
        (gradient,) = torch.autograd.grad(pictures.sum(), latents, allow_unused=True)
    if gradient is None:
        raise InputError(f"{name}(latents, noises) has no gradient with respect to latents; use no no_grad or detach")


def _check(name: str, result: Any, shape: tuple[int, ...]) -> None:
    if not isinstance(result, Tensor):
        raise InputTypeError(f"{name} is a {type(result).__name__}; a generator gives a tensor of shape {shape}")
    if result.shape != shape:
        raise InputError(f"{name} is of shape {tuple(result.shape)}; the generator's attributes say {shape}")
    if not result.isfinite().all():
        raise InputError(f"{name} has values that are NaN or infinite")
