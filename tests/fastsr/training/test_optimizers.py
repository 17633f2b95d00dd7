"""MuonAdam against torch's own Muon for matrices and torch's Adam for everything else."""

import pytest
import torch
from torch import nn

from fastsr.training.optimizers import MuonAdam, muon_adam

RATE = 1e-2


def network(seed=0):
    torch.manual_seed(seed)
    return nn.ModuleDict(
        {
            "first": nn.Conv2d(3, 6, 3),
            "wide": nn.Conv2d(6, 6, 3),
            "tall": nn.Conv2d(6, 80, 1),
            "last": nn.Conv2d(80, 3, 3),
        }
    )


def gradients(params, seed):
    generator = torch.Generator().manual_seed(seed)
    for param in params:
        param.grad = torch.randn(param.shape, generator=generator)


def test_hidden_kernels_follow_muon_and_the_rest_follows_adam():
    ours, theirs = network(), network()
    optimizer = muon_adam(ours, "first", "last", (0.9, 0.99))
    hidden = ("wide.weight", "tall.weight")
    kernels = {name: p for name, p in theirs.named_parameters() if name in hidden}
    matrices = {name: p.detach().flatten(1).clone().requires_grad_() for name, p in kernels.items()}
    muon = torch.optim.Muon(matrices.values(), lr=RATE, weight_decay=0.0, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    adam = torch.optim.Adam(
        [p for name, p in theirs.named_parameters() if name not in hidden], lr=RATE, betas=(0.9, 0.99)
    )
    for group in optimizer.param_groups:
        group["lr"] = RATE
    for step in range(4):
        gradients(ours.parameters(), step)
        gradients(theirs.parameters(), step)
        for name, matrix in matrices.items():
            matrix.grad = kernels[name].grad.flatten(1)
        for each in (optimizer, muon, adam):
            each.step()
    moved = dict(ours.named_parameters())
    start = dict(network().named_parameters())
    for name, expected in theirs.named_parameters():
        if name in hidden:
            expected = matrices[name].view_as(expected)
            difference = (moved[name] - expected).norm() / (expected - start[name]).norm()
            assert difference < 0.02  # products of bfloat16 on both sides, in another order
        else:
            torch.testing.assert_close(moved[name], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("split", [1, 3])
def test_a_saved_state_goes_on_to_the_same_weights(split):
    whole, stopped = network(), network()
    optimizers = [muon_adam(each, "first", "last", (0.9, 0.99)) for each in (whole, stopped)]
    for step in range(4):
        if step == split:
            fresh = muon_adam(stopped, "first", "last", (0.9, 0.99))
            fresh.load_state_dict(optimizers[1].state_dict())
            optimizers[1] = fresh
        for each, optimizer in zip((whole, stopped), optimizers, strict=True):
            gradients(each.parameters(), step)
            optimizer.step()
    for a, b in zip(whole.parameters(), stopped.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parameters_without_a_gradient_stay():
    frozen = nn.Parameter(torch.ones(4, 4, 3, 3))
    live = nn.Parameter(torch.ones(4, 4, 3, 3))
    live.grad = torch.randn(4, 4, 3, 3)
    optimizer = MuonAdam([frozen, live], [nn.Parameter(torch.ones(3))], (0.9, 0.99))
    optimizer.step()
    assert bool((frozen == 1).all())
    assert not bool((live == 1).all())
