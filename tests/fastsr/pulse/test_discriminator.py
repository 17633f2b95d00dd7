import pytest
import torch
from torch.nn import functional as F

from fastsr.pulse import discriminator as module
from fastsr.pulse.discriminator import Discriminator, spread
from fastsr.pulse.train_losses import discriminator_loss, generator_loss, gradient_penalty


@pytest.fixture
def judge():
    """A discriminator of 16x16 pictures in float64; what begins as zero is not."""
    torch.manual_seed(0)
    network = Discriminator((6, 5, 4)).double()
    for parameter in network.parameters():
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def test_a_picture_has_one_logit(judge):
    assert judge(torch.zeros(3, 3, 16, 16).double()).shape == (3, 1)


def test_the_spread_is_the_mean_deviation_in_groups_of_four():
    x = torch.randn(8, 3, 4, 4, dtype=torch.float64)
    found = spread(x.float())
    assert found.shape == (8, 1, 4, 4)
    for group in range(2):
        members = x[group::2]
        expected = members.std(0, correction=0).mean().item()
        assert found[group::2].unique().item() == pytest.approx(expected, rel=1e-4)
    assert spread(x[:1].expand(6, -1, -1, -1)).max() < 1e-3


def test_the_penalty_is_that_of_plain_torch_and_reaches_every_weight(judge, monkeypatch):
    """The blur's own gradient is differentiated once more; here both are compared with torch's."""
    used = []

    def plain(x):
        used.append(x.shape)
        taps = torch.tensor([1.0, 2, 1]).double() / 4
        kernel = taps.outer(taps).expand(x.shape[1], 1, 3, 3)
        return F.avg_pool2d(F.conv2d(x, kernel, padding=1, groups=x.shape[1]), 2)

    pictures = torch.randn(4, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = []
    for change in (lambda: None, lambda: monkeypatch.setattr(module, "blur_downsample", plain)):
        change()
        leaf = pictures.clone().requires_grad_()
        penalty = gradient_penalty(judge(leaf), leaf)
        gradients = torch.autograd.grad(penalty, list(judge.parameters()), allow_unused=True)
        found.append([penalty.detach(), *gradients])
    assert len(used) == 4
    names = [name for name, _ in judge.named_parameters()]
    missing = [name for name, gradient in zip(names, found[0][1:], strict=True) if gradient is None]
    assert missing == ["judgement.bias"]  # what is added to a logit has no influence on its gradient
    for name, one, other in zip(["penalty.weight", *names], *found, strict=True):
        if one is not None:
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
            assert one.abs().max() > 0 or name.endswith("bias")  # nor have others, but through the spread


def test_the_penalty_is_the_mean_squared_length_of_the_gradient():
    pictures = torch.randn(2, 3, 4, 4).requires_grad_()
    weights = torch.randn(3, 4, 4)
    logits = (pictures * weights).sum((1, 2, 3))[:, None] * torch.tensor([[1.0], [2.0]])
    assert gradient_penalty(logits, pictures).item() == pytest.approx(2.5 * weights.square().sum().item(), rel=1e-5)


def test_the_losses_do_not_saturate():
    sure, unsure = torch.full((4, 1), 20.0), torch.zeros(4, 1)
    assert discriminator_loss(unsure, unsure).item() == pytest.approx(2 * torch.tensor(2.0).log().item())
    assert discriminator_loss(sure, -sure) < 1e-8
    assert discriminator_loss(-sure, sure).item() == pytest.approx(40)
    assert generator_loss(-sure).item() == pytest.approx(20)
