"""Muon for the hidden convolutions of a network, with Adam for everything else (Keller Jordan, 2024)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.adam import adam

from ..device import has_bfloat16
from ..muon import orthogonalise

ADAM_RMS = 0.2
"""Root mean square of a typical Adam update; scaled to it, Muon shares the rate of Adam (arXiv 2502.16982)."""
MOMENTUM = 0.95


class MuonAdam(Optimizer):
    """Muon for convolution kernels between the first and the last layer, Adam for all other parameters.

    A kernel (outputs, inputs, height, width) is a matrix of `outputs` rows. Its update is the Nesterov momentum,
    orthogonalised (in bfloat16 where the device has it), times ``rate * 0.2 * sqrt(max(rows, columns))``, so that it is
    as large as an update of Adam.
    Kernels of the same shape are orthogonalised together.

    Args:
        hidden: kernels to update by Muon, at least one.
        others: parameters to update by Adam.
        betas: decay rates of Adam's averages.
        eps: added to the denominator of Adam.
    """

    def __init__(
        self,
        hidden: Sequence[nn.Parameter],
        others: Sequence[nn.Parameter],
        betas: tuple[float, float],
        eps: float = 1e-8,
    ):
        super().__init__(
            [{"params": list(hidden), "muon": True}, {"params": list(others), "muon": False}],
            {"lr": 1e-3, "betas": betas, "eps": eps},
        )

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update every parameter that has a gradient; `closure` is not used."""
        for group in self.param_groups:
            params = [param for param in group["params"] if param.grad is not None]
            if params and group["muon"]:
                self._muon_step(params, group["lr"])
            elif params:
                self._adam_step(params, group)

    def _muon_step(self, params: list[Tensor], rate: float) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = {}
        for param in params:
            by_shape.setdefault(param.shape, []).append(param)
        for shape, kernels in by_shape.items():
            gradients = [kernel.grad for kernel in kernels if kernel.grad is not None]
            momenta = [self._state(kernel, "momentum")["momentum"] for kernel in kernels]
            torch._foreach_mul_(momenta, MOMENTUM)
            torch._foreach_add_(momenta, gradients)
            update = torch.stack(torch._foreach_add(gradients, momenta, alpha=MOMENTUM)).flatten(2)
            rows, columns = update.shape[1:]
            fast = torch.bfloat16 if has_bfloat16(update.device) else update.dtype
            flat = update.to(fast) if rows <= columns else update.to(fast).mT
            orthogonal = orthogonalise(flat).to(update.dtype)
            orthogonal = orthogonal if rows <= columns else orthogonal.mT
            scale = rate * ADAM_RMS * max(rows, columns) ** 0.5
            torch._foreach_sub_(kernels, list(orthogonal.reshape(-1, *shape).mul_(scale).unbind()))

    def _adam_step(self, params: list[Tensor], group: dict[str, Any]) -> None:
        states = [self._state(param, "exp_avg", "exp_avg_sq", count="step") for param in params]
        adam(
            params,
            grads=[param.grad for param in params if param.grad is not None],
            exp_avgs=[state["exp_avg"] for state in states],
            exp_avg_sqs=[state["exp_avg_sq"] for state in states],
            max_exp_avg_sqs=[],
            state_steps=[state["step"] for state in states],
            amsgrad=False,
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            lr=group["lr"],
            weight_decay=0.0,
            eps=group["eps"],
            maximize=False,
        )

    def _state(self, param: Tensor, *names: str, count: str | None = None) -> dict[str, Tensor]:
        """Return the state of a parameter, which begins with zeros."""
        state = self.state[param]
        if not state:
            for name in names:
                state[name] = torch.zeros_like(param)
            if count is not None:
                state[count] = torch.zeros((), dtype=torch.float32)
        return state


def muon_adam(network: nn.Module, first: str, last: str, betas: tuple[float, float]) -> MuonAdam:
    """Return the optimizer of a convolutional network.

    Args:
        network: with the parameters to update.
        first: name of the submodule that sees the image.
        last: name of the submodule that makes the image.
        betas: see `MuonAdam`.
    """
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, param in network.named_parameters():
        hidden = param.ndim == 4 and not name.startswith((f"{first}.", f"{last}."))
        (kernels if hidden else others).append(param)
    return MuonAdam(kernels, others, betas)
