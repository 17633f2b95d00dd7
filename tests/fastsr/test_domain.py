"""What pictures of a kind look like, and warnings of others."""

import warnings

import pytest
import torch

from fastsr.domain import Domain, fit, gathered, warn, warned_of
from fastsr.errors import DomainWarning, Doubt, InputError
from fastsr.imresize import imresize


def test_pictures_of_the_kind_are_inside_and_others_are_not(kind):
    new = torch.stack([kind.known(number) for number in range(100)])  # of which 1 may be beyond a limit
    for pictures in (new, new.flip(-1), 0.5 * new, 0.5 * new + 0.3):
        assert (kind.domain.distances(pictures) > 1).sum() <= 4
    others = torch.stack([kind.other(number) for number in range(50)])
    assert (kind.domain.distances(others) > 1).all()
    assert kind.domain.outside(kind.known(0).flip(-2)[None])
    assert kind.domain.outside(1 - kind.known(0)[None])


def test_the_distance_is_the_larger_one_of_t2_and_q_over_their_limits():
    components = torch.eye(192)[[0, 5]]
    domain = Domain(torch.zeros(192), components, torch.tensor([2.0, 0.5]), torch.tensor([4.0, 100.0]))
    picture = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    looks = (picture - picture.mean()).flatten() / picture.std(correction=0)
    t2 = (looks[0] / 2) ** 2 + (looks[5] / 0.5) ** 2
    q = 192 - looks[0] ** 2 - looks[5] ** 2
    assert domain.distances(picture).item() == pytest.approx(max(t2 / 4, q / 100).item())
    assert domain.distances(torch.cat([picture, 0.5 * picture + 0.2])).tolist() == pytest.approx(
        [max(t2 / 4, q / 100).item()] * 2
    )


def test_grey_is_judged_as_three_channels_and_large_pictures_as_they_are_made_small(kind):
    large = torch.rand(2, 3, 20, 30, dtype=torch.float64)
    found = kind.domain.distances(large)
    torch.testing.assert_close(found, kind.domain.distances(imresize(large, size=(8, 8))))
    grey = large[:, :1]
    assert torch.equal(kind.domain.distances(grey), kind.domain.distances(grey.expand(-1, 3, -1, -1)))


def test_a_picture_of_one_colour_is_none_of_the_kind(kind):
    for pixels in (torch.zeros(1, 3, 8, 8), torch.full((1, 1, 9, 20), 0.5)):
        assert kind.domain.distances(pixels).item() == float("inf")
        assert kind.domain.outside(pixels)


def test_one_picture_of_a_batch_is_enough(kind):
    batch = torch.stack([kind.known(number) for number in (1, 2, 3)])
    assert not kind.domain.outside(batch)
    batch[1] = kind.other(0)
    assert kind.domain.outside(batch)


def test_what_is_smaller_than_8_pixels_is_not_judged(kind):
    assert kind.domain.outside(torch.rand(1, 3, 8, 9))
    assert not kind.domain.outside(torch.rand(1, 3, 7, 9))


def test_the_limits_are_of_pictures_that_were_left_out(kind):
    strange = kind.other(0)
    assert kind.domain.distances(strange[None]) > 10
    # Pictures that are in one part alone are in the fit, which is right for them, and beyond the limits of the others.
    both = fit([*[strange] * 5, *(kind.known(number) for number in range(1000, 1150))])
    assert both.distances(strange[None]) < 1
    assert (both.limit > 5 * kind.domain.limit).any()


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        ([], "pictures: 0 are too few to know their kind by; give at least 120"),
        ([torch.rand(3, 8, 8)] * 119, "pictures: 119 are too few"),
        ([*[torch.rand(3, 8, 8)] * 130, torch.zeros(3, 8, 8)], r"pictures\[130\] shows nothing: it has one colour"),
    ],
)
def test_pictures_that_cannot_be_learnt_from_are_refused(pictures, message):
    with pytest.raises(InputError, match=message):
        fit(pictures)


def test_it_is_kept_in_tensors(kind):
    tensors = {**kind.domain.tensors(), "weight": torch.zeros(1)}
    again = Domain.taken(tensors)
    assert list(tensors) == ["weight"]
    assert Domain.taken(tensors) is None
    pictures = torch.stack([kind.known(3), kind.other(3)])
    torch.testing.assert_close(again.distances(pictures), kind.domain.distances(pictures), rtol=1e-3, atol=0)
    assert {value.dtype for value in kind.domain.tensors().values()} == {torch.float32}


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: tensors.pop("domain.limit"),
        lambda tensors: tensors.update({"domain.more": torch.zeros(1)}),
        lambda tensors: tensors.update({"domain.mean": torch.zeros(3)}),
        lambda tensors: tensors.update({"domain.scales": tensors["domain.scales"][1:]}),
        lambda tensors: tensors.update({"domain.scales": torch.zeros(60)}),
        lambda tensors: tensors.update({"domain.scales": torch.ones(0), "domain.components": torch.ones(0, 192)}),
    ],
)
def test_tensors_that_are_none_are_refused(change, kind):
    tensors = kind.domain.tensors()
    change(tensors)
    with pytest.raises(KeyError, match=r"domain\."):
        Domain.taken(tensors)


def test_a_call_gives_one_warning_that_names_the_pictures():
    def message(*doubts):
        with pytest.warns(DomainWarning) as caught:
            warn([Doubt(*doubt) for doubt in doubts])
        (one,) = caught
        assert one.filename == __file__
        return str(one.message)

    assert message(("img", "odd")) == "img is odd"
    assert message(("img[0]", "odd"), ("img[4]", "odd")) == "img[0] and img[4] are odd"
    assert message(*((f"img[{number}]", "odd") for number in range(3))) == "img[0], img[1] and img[2] are odd"
    assert message(*((f"img[{number}]", "odd") for number in range(9))) == "img[0], img[1], img[2] and 6 more are odd"
    assert message(("a", "odd"), ("b", "large"), ("c", "odd")) == "a and c are odd. b is large"
    warn([])


def test_images_are_passed_on_as_they_came(kind):
    images = [(kind.known(0), "a"), (kind.other(0), "b")]
    watched = warned_of(images, lambda picture, name: [Doubt(name, "odd")] if name == "b" else [])
    assert next(watched)[0] is images[0][0]
    with pytest.warns(DomainWarning, match="b is odd") as caught:
        assert next(watched)[0] is images[1][0]
    assert caught[0].filename == __file__


def test_doubts_are_gathered_and_other_warnings_are_seen():
    def work():
        for number in range(2):
            warn([Doubt(f"img[{number}]", "odd"), Doubt("b", "large")])
            warnings.warn(f"{number}", RuntimeWarning, stacklevel=1)
        warnings.warn("one's own", DomainWarning, stacklevel=1)

    with pytest.warns() as caught, gathered() as found:
        work()
    assert [str(one.message) for one in caught] == ["0", "1", "one's own"]
    assert [(doubt.name, doubt.reason) for doubt in found] == [
        ("img[0]", "odd"),
        ("b", "large"),
        ("img[1]", "odd"),
        ("b", "large"),
    ]
    with pytest.warns(DomainWarning, match="again"):
        warn([Doubt("again", "odd")])
