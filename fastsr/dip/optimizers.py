"""Muon: momentum whose matrix-shaped updates are orthogonalised by a Newton-Schulz iteration."""

from __future__ import annotations

import torch
from torch import Tensor

# Quintic coefficients of Keller Jordan's Muon (2024): they push every singular value towards 1 in five steps.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrices: Tensor, steps: int = 5) -> Tensor:
    """Return approximately U V^T of each matrix U S V^T in a batch (B, rows, columns)."""
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.mT if tall else x
