"""Muon against the singular value decomposition and against torch's own for single matrices."""

import pytest
import torch

from fastsr.dip.optimizers import Muon, _layout
from fastsr.muon import orthogonalise


@pytest.mark.parametrize("shape", [(3, 16, 40), (2, 40, 16), (1, 32, 32), (4, 1, 9)])
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


def test_zeros_that_fill_up_stay_and_change_nothing():
    torch.manual_seed(1)
    matrices = torch.randn(3, 16, 40)
    filled = orthogonalise(torch.nn.functional.pad(matrices, (0, 5, 0, 7)))
    torch.testing.assert_close(filled[:, :16, :40], orthogonalise(matrices))
    assert not filled[:, 16:].any()
    assert not filled[:, :, 40:].any()


@pytest.mark.parametrize("shape", [(24, 40), (40, 24)])
def test_steps_agree_with_torchs_muon(shape):
    torch.manual_seed(2)
    start, gradients = torch.randn(shape), torch.randn(5, *shape)
    ours, theirs = start.clone().flatten().requires_grad_(), start.clone().requires_grad_()
    optimizers = (
        Muon([ours], [shape], lr=0.05, momentum=0.9),
        torch.optim.Muon([theirs], lr=0.05, momentum=0.9, weight_decay=0.0),
    )
    for gradient in gradients:
        ours.grad, theirs.grad = gradient.flatten(), gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - start).norm()
    assert moved > 0.5
    assert (ours.view(shape) - theirs).norm() < 0.02 * moved  # torch's iterates in bfloat16


def test_matrices_of_a_vector_move_as_each_alone():
    torch.manual_seed(3)
    shapes = [(8, 36), (3, 8), (8, 8), (40, 9), (1, 5), (5, 1)]
    starts, gradients = ([torch.randn(shape) for shape in shapes] for _ in range(2))

    def moved(starts, gradients, shapes):
        vector = torch.cat([start.flatten() for start in starts]).requires_grad_()
        vector.grad = torch.cat([gradient.flatten() for gradient in gradients])
        Muon([vector], shapes).step()
        return vector.detach()

    together = moved(starts, gradients, shapes).split([start.numel() for start in starts])
    for part, start, gradient, shape in zip(together, starts, gradients, shapes, strict=True):
        torch.testing.assert_close(part, moved([start], [gradient], [shape]))
        assert not torch.equal(part.view(shape), start)


@pytest.mark.parametrize(("together", "batches"), [(True, {(6, 8, 36)}), (False, {(2, 8, 36), (3, 3, 8), (1, 1, 5)})])
def test_layout_puts_every_element_into_a_batch_and_finds_it_again(together, batches):
    shapes = [(8, 36), (3, 8), (8, 3), (36, 8), (1, 5), (3, 8)]
    stacked, back = _layout(shapes, together)
    assert {tuple(batch.shape) for batch in stacked} == batches
    vector = torch.arange(sum(rows * columns for rows, columns in shapes))
    beyond = torch.cat([vector, torch.tensor([-1])])
    filled = [beyond[batch] for batch in stacked]
    assert torch.equal(torch.cat([batch.flatten() for batch in filled])[back], vector)
    tall = filled[0][3 if together else 1]
    assert torch.equal(tall, vector[288 + 24 + 24 :][:288].view(36, 8).mT)
    assert sum(int((batch == -1).sum()) for batch in filled) == sum(batch.numel() for batch in filled) - len(vector)
