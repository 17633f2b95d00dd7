import pytest
import torch

from fastsr.imresize import imresize
from fastsr.pulse.goals import Goal


def picture(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("size", [(4, 4), (5, 5), (15, 15)])
def test_pictures_are_made_small_as_resize_does_it(size):
    pixels, colours = picture(2, 3, *size), picture(2, 3, 16, 16, seed=1)
    expected = imresize(colours, size=size) - pixels
    torch.testing.assert_close(Goal(pixels, None, 16).difference(colours), expected)


def test_what_is_made_is_clipped_and_can_come_back():
    made = torch.tensor([-3.0, -1.0, 0.5, 2.0]).repeat(12).view(1, 3, 4, 4).requires_grad_()
    colours = Goal(picture(1, 3, 2, 2), None, 4).colours(made)
    torch.testing.assert_close(colours.flatten()[:4], torch.tensor([0, 0, 0.75, 1]))
    (gradient,) = torch.autograd.grad(colours.sum(), made)
    assert torch.equal(gradient, torch.full_like(made, 0.5))


def test_grey_is_luma():
    made = picture(1, 3, 4, 4) * 2 - 1
    colours = Goal(picture(1, 1, 2, 2), None, 4).colours(made)
    red, green, blue = ((made + 1) / 2).split(1, 1)
    torch.testing.assert_close(colours, 0.299 * red + 0.587 * green + 0.114 * blue)


def test_what_is_transparent_does_not_count():
    alpha = torch.zeros(1, 1, 16, 16)
    alpha[..., :8] = 1
    colours = picture(1, 3, 16, 16)
    other = torch.where(alpha > 0, colours, 0.3)
    goal = Goal(picture(1, 3, 4, 4, seed=1), alpha, 16)
    assert torch.equal(goal.difference(colours), goal.difference(other))
    assert not torch.equal(goal.difference(colours), Goal(goal.pixels, None, 16).difference(colours))


def test_goals_of_one_kind_are_joined_and_taken_apart():
    goals = [Goal(picture(1, 3, 4, 4, seed=seed), picture(1, 1, 8, 8, seed=seed), 8) for seed in range(2)]
    joined = Goal.joined(goals)
    for index, goal in enumerate(goals):
        assert goal.kind == joined.kind
        assert torch.equal(joined.one(index).pixels, goal.pixels)
        assert torch.equal(joined.one(index).alpha, goal.alpha)
    twice = joined.repeated(2, torch.device("cpu"))
    assert torch.equal(twice.pixels, joined.pixels[[0, 0, 1, 1]])
    others = Goal(goals[0].pixels, None, 8), Goal(goals[0].pixels[:, :1], goals[0].alpha, 8)
    assert all(other.kind != joined.kind for other in others)
