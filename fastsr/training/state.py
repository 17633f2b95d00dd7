"""What a training is at a moment, as a dictionary of tensors and numbers that a checkpoint can hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import Accelerator

from ..errors import TrainingError
from .method import Training


def capture(method: Training[Any], accelerator: Accelerator) -> dict[str, Any]:
    """Return weights, statistics, the optimizers and the scale of float16's gradients."""
    scaler = accelerator.scaler
    return {
        "modules": {name: module.state_dict() for name, module in method.modules().items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in method.optimizers().items()},
        "scaler": None if scaler is None else scaler.state_dict(),
    }


def restore(state: Mapping[str, Any], method: Training[Any], accelerator: Accelerator) -> None:
    """Make the method what it was when `state` was captured; it has been prepared for the step before."""
    for name, module in method.modules().items():
        module.load_state_dict(state["modules"][name])
    for name, optimizer in method.optimizers().items():
        optimizer.load_state_dict(state["optimizers"][name])
    if accelerator.scaler is not None:
        accelerator.scaler.load_state_dict(state["scaler"])


def check_weights(method: Training[Any], step: int) -> None:
    """Raise `TrainingError` where weights or statistics are not finite after `step` steps."""
    for name, module in method.modules().items():
        tensors = [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]
        if not bool(torch.stack([tensor.isfinite().all() for tensor in tensors]).all()):
            raise TrainingError(f"weights of the {name} are not finite after step {step}")
