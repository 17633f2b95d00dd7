import pytest
import torch

from fastsr.pulse import augment as module
from fastsr.pulse.augment import Adaptation, augment

ALWAYS, NEVER = torch.ones(()), torch.zeros(())


@pytest.fixture
def pictures():
    """Random ones, of which no two pixels are the same."""
    return torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def colours_kept(monkeypatch):
    """Nothing of the colours is changed."""
    eye = torch.eye(3).expand(64, 3, 3), torch.zeros(64, 3, 1)
    monkeypatch.setattr(module, "_colours", lambda n, p: eye)


@pytest.fixture
def places_kept(monkeypatch):
    """No pixel moves."""
    monkeypatch.setattr(module, "_places", lambda n, side, p: torch.arange(side**2).expand(n, -1))


def test_nothing_changes_without_a_probability(pictures):
    torch.testing.assert_close(augment(pictures, NEVER), pictures)


def test_a_part_of_the_pictures_changes(pictures):
    torch.manual_seed(0)
    same = [(augment(pictures, torch.tensor(0.05)) - pictures).abs().amax((1, 2, 3)) < 1e-6 for _ in range(4)]
    expected = 0.975**2 * (1 - 0.05 * 0.75) * 0.95**5  # a turn, and a mirroring, may be none
    assert torch.cat(same).float().mean().item() == pytest.approx(expected, abs=0.09)


@pytest.mark.usefixtures("colours_kept")
def test_whole_pixels_are_mirrored_turned_and_shifted(pictures):
    torch.manual_seed(0)
    found = augment(pictures, ALWAYS)
    seen = set()
    for before, after in zip(pictures, found, strict=True):
        middle = after[:, 7:9, 7:9]
        where = [
            (mirrored, turns, down, right)
            for mirrored in (False, True)
            for turns in range(4)
            for down in range(-2, 3)
            for right in range(-2, 3)
            if torch.equal(
                middle,
                torch.rot90(before.flip(2) if mirrored else before, turns, (1, 2))[
                    :, 7 - down : 9 - down, 7 - right : 9 - right
                ],
            )
        ]
        assert len(where) == 1
        mirrored, turns, down, right = where[0]
        seen.update({("mirrored", mirrored), ("turns", turns), ("down", down), ("right", right)})
        padded = torch.nn.functional.pad(
            torch.rot90(before.flip(2) if mirrored else before, turns, (1, 2))[None], (2, 2, 2, 2), mode="reflect"
        )[0]
        assert torch.equal(after, padded[:, 2 - down : 18 - down, 2 - right : 18 - right])
    assert len(seen) == 2 + 4 + 5 + 5


@pytest.mark.usefixtures("places_kept")
def test_colours_are_changed_as_in_the_paper(pictures, monkeypatch):
    """With one kind at a time, the others being of measure zero; the luma is the mean of the colours."""
    draws = {"BRIGHTNESS": 0.2, "CONTRAST": 0.0, "SATURATION": 0.0}
    for name in draws:
        monkeypatch.setattr(module, name, 0.0)
    torch.manual_seed(0)
    found = augment(pictures, ALWAYS)
    luma, chroma = (each.mean(1, keepdim=True) for each in (pictures, found))
    signs = (chroma / luma)[:, 0, 0, 0].round()
    torch.testing.assert_close(chroma, luma * signs[:, None, None, None])
    assert set(signs.tolist()) == {-1.0, 1.0}
    before, after = pictures - luma, found - chroma  # turned by the same angle about the axis of greys
    torch.testing.assert_close(after.norm(dim=1), before.norm(dim=1))
    cosines = (before * after).sum(1) / before.square().sum(1)
    torch.testing.assert_close(cosines, cosines[:, :1, :1].expand_as(cosines), atol=1e-3, rtol=0)
    assert -1 <= cosines.min() < -0.9 < 0.9 < cosines.max() <= 1.001
    for name, expected in (("BRIGHTNESS", 0.2), ("CONTRAST", 0.5), ("SATURATION", 1.0)):
        monkeypatch.undo()
        assert getattr(module, name) == expected


def test_gradients_flow_through(pictures):
    pictures = pictures[:8].double().float().requires_grad_()
    torch.manual_seed(0)
    made = augment(pictures, torch.tensor(0.5))
    (gradient,) = torch.autograd.grad(made.square().sum(), pictures)
    direction = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(1)) * 1e-3
    ends = []
    for sign in (1, -1):
        torch.manual_seed(0)
        ends.append(augment((pictures + sign * direction).detach(), torch.tensor(0.5)).double().square().sum().item())
    assert (ends[0] - ends[1]) / 2 == pytest.approx((gradient * direction).sum().item(), rel=1e-2)


@pytest.mark.parametrize(("sign", "expected"), [(1.0, [0.0, 0.5, 1.0, 1.0]), (0.5, [0.0] * 4), (-1.0, [0.0] * 4)])
def test_the_probability_rises_while_the_discriminator_is_sure(sign, expected):
    adaptation, found = Adaptation(0.6, 64), []
    for step in range(16):
        adaptation.update(torch.tensor(sign), 8, step)
        if step % 4 == 2:
            found.append(adaptation.p.item())
    assert found == expected
    assert adaptation.sureness == sign


def test_the_probability_falls_when_it_no_longer_is():
    adaptation = Adaptation(0.6, 64)
    for step, sign in enumerate([1.0] * 4 + [1.0, 0.0, 0.0, 1.0]):
        adaptation.update(torch.tensor(sign), 8, step)
        if step == 3:
            assert adaptation.p == 0.5
    assert adaptation.p == 0
    assert adaptation.sureness == 0.5
