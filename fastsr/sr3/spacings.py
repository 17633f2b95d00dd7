"""Where on the noise curve of the training a sampler with few steps looks.

Each function maps a noise curve (T + 1,), see `schedules`, and a number of steps to the gammas at which the network is
asked, the noisiest first, and after them 1, the picture itself: float64 (steps + 1,).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

CLEAREST = 0.9999
"""The largest gamma at which the network is asked: noise of 1 percent, on colours from -1 to 1, cannot be seen."""
RHO = 7.0


def uniform_time(curve: Tensor, steps: int) -> Tensor:
    """Steps of one length in t, from T to 1; T steps are those of the training."""
    times = torch.linspace(len(curve) - 1, 1, steps, dtype=curve.dtype, device=curve.device)
    before = times.floor().long().clamp(max=len(curve) - 2)
    return _ended(torch.lerp(curve[before], curve[before + 1], times - before))


def uniform_log_snr(curve: Tensor, steps: int) -> Tensor:
    """Steps of one length in log(gamma / (1 - gamma))."""
    first, last = torch.logit(_noisiest(curve)), torch.logit(_clearest(curve))
    return _ended(torch.sigmoid(_line(first, last, steps)))


def karras(curve: Tensor, steps: int) -> Tensor:
    """Steps of one length in sigma^(1/7), sigma^2 = (1 - gamma) / gamma.

    Karras et al., "Elucidating the design space of diffusion-based generative models" (arXiv 2206.00364), equation 5.
    """
    first, last = (((1 - gamma) / gamma) ** (0.5 / RHO) for gamma in (_noisiest(curve), _clearest(curve)))
    return _ended(1 / (1 + _line(first, last, steps) ** (2 * RHO)))


SPACINGS: dict[str, Callable[[Tensor, int], Tensor]] = {
    "log-snr": uniform_log_snr,
    "time": uniform_time,
    "karras": karras,
}


def _noisiest(curve: Tensor) -> Tensor:
    return curve[-1]


def _clearest(curve: Tensor) -> Tensor:
    return curve[1].clamp(max=CLEAREST)


def _line(first: Tensor, last: Tensor, steps: int) -> Tensor:
    return torch.lerp(first, last, torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device))


def _ended(gammas: Tensor) -> Tensor:
    return torch.cat([gammas, gammas.new_ones(1)])
