"""Newton-Schulz orthogonalisation, as in the Muon optimizer (Keller Jordan, 2024)."""

from __future__ import annotations

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""The coefficients of the odd quintic that moves singular values in (0, 1] to about [0.7, 1.2] in five iterations."""
ITERATIONS = 5
"""The number of Newton-Schulz iterations."""


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return approximately U V^T for each matrix X = U S V^T of a batch (B, rows, columns), by Newton-Schulz.

    Each iteration maps X to a X + (b A + c A^2) X with A = X X^T. It is fastest for rows <= columns. Trailing rows or
    columns of zeros stay zero.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # singular values at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
