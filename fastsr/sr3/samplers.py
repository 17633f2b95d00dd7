"""Samplers: from noise to a picture, in steps that are linear in what is known.

A step from gamma to a larger one makes of the noisy picture x, the picture x0 that the network sees in it, the one it
saw in the step before, and noise n

    a x + b x0 + c x0_before + d n

Each sampler maps the gammas of a spacing, (steps + 1,), to the numbers a, b, c and d of each step, float64 (steps, 4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def ddpm(gammas: Tensor) -> Tensor:
    """Ancestral sampling: each step draws from the posterior of the step's noise.

    Ho et al., "Denoising diffusion probabilistic models" (arXiv 2006.11239), equation 7.
    """
    now, then = gammas[:-1], gammas[1:]
    alpha = now / then
    beta = 1 - alpha
    x = alpha.sqrt() * (1 - then) / (1 - now)
    x0 = then.sqrt() * beta / (1 - now)
    noise = (beta * (1 - then) / (1 - now)).sqrt()
    return torch.stack([x, x0, torch.zeros_like(x), noise], 1)


def ddim(gammas: Tensor) -> Tensor:
    """The noise seen stays and the picture seen is brought forward: no noise is drawn.

    Song et al., "Denoising diffusion implicit models" (arXiv 2010.02502), equation 12 with sigma 0.
    """
    now, then = gammas[:-1], gammas[1:]
    x = ((1 - then) / (1 - now)).sqrt()
    x0 = then.sqrt() - now.sqrt() * x
    return torch.stack([x, x0, torch.zeros_like(x), torch.zeros_like(x)], 1)


def dpm_solver(gammas: Tensor) -> Tensor:
    """DPM-Solver++(2M): as `ddim`, of a picture that is extrapolated from the last two seen.

    Lu et al., "DPM-Solver++" (arXiv 2211.01095), algorithm 2. The first step has seen one picture, and the last one,
    to gamma 1, takes what is seen.
    """
    table = ddim(gammas)
    half_log_snr = torch.logit(gammas[:-1]) / 2
    lengths = half_log_snr.diff()  # of all steps but the last one
    more = table[1:-1, 1] * lengths[1:] / (2 * lengths[:-1])
    table[1:-1, 1] += more
    table[1:-1, 2] -= more
    return table


@dataclass(frozen=True)
class Sampler:
    """A sampler by name.

    Attributes:
        table: see the module.
        spacing: that suits it, by name, see `spacings`.
        least: the fewest steps in which it makes a picture.
    """

    table: Callable[[Tensor], Tensor]
    spacing: str
    least: int


SAMPLERS = {
    "dpm-solver++": Sampler(dpm_solver, "log-snr", 2),
    "ddim": Sampler(ddim, "log-snr", 1),
    "ddpm": Sampler(ddpm, "time", 2),
}
