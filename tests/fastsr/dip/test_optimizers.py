"""Muon against the singular value decomposition and against torch's own for single matrices."""

import pytest
import torch

from fastsr.dip.optimizers import Muon, orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 32, 32)])
def test_orthogonalise_keeps_the_directions_and_levels_the_singular_values(shape):
    torch.manual_seed(1)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    got = orthogonalise(matrices)
    # In the basis of the input's singular vectors the result is diagonal, with entries near 1.
    core = u.mT @ got @ v.mT
    diagonal = core.diagonal(dim1=-2, dim2=-1)
    assert (core - torch.diag_embed(diagonal)).abs().max() < 1e-3
    assert diagonal.min() > 0.3
    assert diagonal.max() < 1.25


def test_steps_agree_with_torchs_muon_on_matrices():
    torch.manual_seed(2)
    start, gradients = torch.randn(24, 40), torch.randn(5, 24, 40)
    ours, theirs = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimizers = (
        Muon([ours], lr=0.05, momentum=0.9),
        torch.optim.Muon([theirs], lr=0.05, momentum=0.9, weight_decay=0.0),
    )
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - start).norm()
    assert moved > 0.5
    assert (ours - theirs).norm() < 0.02 * moved  # torch's iterates in bfloat16


def test_a_batch_of_convolution_weights_moves_as_each_alone():
    torch.manual_seed(3)
    weights = [torch.randn(8, 4, 3, 3).contiguous(memory_format=torch.channels_last) for _ in range(3)]
    weights.append(torch.randn(8, 8, 1, 1))
    together = [w.clone().requires_grad_() for w in weights]
    alone = [w.clone().requires_grad_() for w in weights]
    for p, q in zip(together, alone, strict=True):
        p.grad = torch.randn_like(p)
        q.grad = p.grad.clone()
    Muon(together).step()
    for q in alone:
        Muon([q]).step()
    for p, q, w in zip(together, alone, weights, strict=True):
        torch.testing.assert_close(p, q)
        assert not torch.equal(p, w)
