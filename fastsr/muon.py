"""The orthogonal updates of Muon (Keller Jordan, 2024), for every optimizer that makes them."""

from __future__ import annotations

import torch
from torch import Tensor

# Coefficients of the odd quintic that pushes every singular value into about [0.7, 1.2] within five steps.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ITERATIONS = 5


def orthogonalise(matrices: Tensor) -> Tensor:
    """Return approximately U V^T for each matrix U S V^T of a batch (B, rows, columns), by Newton-Schulz.

    Fastest with no more rows than columns. Rows and columns of zeros at the end stay zero.
    """
    a, b, c = COEFFICIENTS
    x = matrices / matrices.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # singular values at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x
