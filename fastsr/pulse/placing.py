"""A generator on a device, for inference; and the Gaussian fit of its mapping network, where it has none."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from weakref import WeakKeyDictionary

import torch
from torch import nn

from ..device import resolve_device
from ..progress import progress_bar
from .checkpoint import Checkpoint
from .gaussian_fit import DRAWS, GaussianFit, fit_gaussian
from .generator import Generator
from .network import StyleGAN

_fits: WeakKeyDictionary[Checkpoint, GaussianFit] = WeakKeyDictionary()
"""Those computed: it takes a while, and a checkpoint may be used for one picture after the other."""


@torch.inference_mode(False)
def placed(network: Generator, device: torch.device, dtype: torch.dtype) -> Generator:
    """Return a copy of a generator on a device, without gradients for its parameters.

    Convolutions of a `StyleGAN` are in `dtype`. Another module stays as it is; what is no module is not copied.
    """
    if isinstance(network, StyleGAN):
        return network.folded(dtype).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(network, nn.Module):
        return copy.deepcopy(network).eval().requires_grad_(False).to(device)
    return network


def fitted(
    checkpoint: Checkpoint, device: str | torch.device | None = None, *, draws: int = DRAWS, progress: bool = True
) -> Checkpoint:
    """Return the checkpoint with a Gaussian fit: its own, or one computed from draws of its mapping network.

    Args:
        checkpoint: of a generator.
        device: where to compute.
        draws: how many.
        progress: show a bar.
    """
    if checkpoint.fit is not None:
        return checkpoint
    if checkpoint not in _fits:
        warnings.warn(
            f"{checkpoint.name} has no Gaussian fit of its mapping network, which is now computed from {draws:,} "
            "draws; to keep it, use or save what fastsr.pulse.placing.fitted makes of the checkpoint",
            RuntimeWarning,
            stacklevel=2,
        )
        where = resolve_device(device)
        mapping = placed(checkpoint.network, where, torch.float32).mapping
        with progress_bar("Gaussian fit", "draw", shown=progress, scaled=True) as bar:
            bar.total = draws
            latent = checkpoint.network.latent
            _fits[checkpoint] = fit_gaussian(mapping, latent, draws, device=where, progress=bar.update)
    return replace(checkpoint, fit=_fits[checkpoint])
