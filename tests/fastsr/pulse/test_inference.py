import math
from dataclasses import replace

import pytest
import torch

from fastsr.errors import NotFiniteError
from fastsr.imresize import imresize
from fastsr.pulse import inference
from fastsr.pulse.arguments import check_options
from fastsr.pulse.goals import Goal
from fastsr.pulse.inference import Searcher

QUICK = {"device": "cpu", "dtype": "float32", "steps": 5, "eps": 1e-6}


def goal(count=1, size=4, seed=0):
    random = torch.Generator().manual_seed(seed)
    return Goal(0.25 + 0.5 * torch.rand((count, 3, size, size), generator=random), None, 16)


def found(checkpoint, goal, report=None, **options):
    return Searcher(check_options(weights=checkpoint, **{**QUICK, **options}))(goal, report)


def assert_same(one, other):
    assert (one.step, one.seed, one.reached) == (other.step, other.seed, other.reached)
    assert one.l2 == pytest.approx(other.l2, rel=1e-3)
    torch.testing.assert_close(one.image, other.image, rtol=0, atol=1e-3)


def test_a_face_is_what_its_latents_and_noises_make(small):
    checkpoint, asked = small(), goal()
    (face,) = found(checkpoint, asked)
    made = checkpoint.network(face.latents[None], face.noises)
    torch.testing.assert_close(face.image[None], ((made + 1) / 2).clamp(0, 1))
    error = (imresize(face.image, size=(4, 4)) - asked.pixels[0]).square().mean().item()
    assert face.l2 == pytest.approx(error, rel=1e-5)
    assert not face.reached
    assert 1 <= face.step <= 5


def test_the_same_seed_gives_the_same_face(small):
    (one,), (again,), (other,) = (found(small(), goal(), seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.image, again.image)
    assert not torch.equal(one.image, other.image)
    assert (one.seed, other.seed) == (5, 6)


def test_faces_do_not_depend_on_those_beside_them(small):
    asked = goal(3)
    alone = [found(small(), asked.one(index))[0] for index in range(3)]
    eps = 1.02 * sorted(face.l2 for face in alone)[1]
    together = found(small(), asked, eps=eps)  # two are found, and the search goes on for the third
    assert [face.reached for face in together] == [face.l2 <= eps for face in alone]
    for index, face in enumerate(together):
        assert_same(found(small(), asked.one(index), eps=eps)[0], face)


@pytest.mark.parametrize("reached", [False, True])
def test_of_restarts_the_best_is_kept_however_many_fit(reached, small, monkeypatch):
    asked, seeds = goal(), (3, 4, 5)
    alone = [found(small(), asked, seed=seed)[0] for seed in seeds]
    eps = 1.02 * sorted(face.l2 for face in alone)[1] if reached else 1e-6
    best = min((found(small(), asked, seed=seed, eps=eps)[0] for seed in seeds), key=lambda face: face.order)
    assert best.reached == reached
    for most in (3, 2):
        monkeypatch.setattr(inference, "MOST_ON_CPU", most)
        assert_same(found(small(), asked, seed=3, restarts=3, eps=eps)[0], best)


def test_every_part_of_a_step_is_reported(small, monkeypatch):
    monkeypatch.setattr(inference, "MOST_ON_CPU", 2)
    parts = []
    found(small(), goal(), lambda part, state: parts.append((part, state.step)), restarts=3)
    assert parts == [(pytest.approx(2 / 3), n) for n in range(1, 6)] + [(pytest.approx(1 / 3), n) for n in range(1, 6)]


def test_bfloat16_gives_a_face_in_float32(small):
    checkpoint, asked = small(), goal()
    (exact,) = found(checkpoint, asked)
    eps = 1.3 * exact.l2
    (face,) = found(checkpoint, asked, dtype="bfloat16", eps=eps)
    made = checkpoint.network(face.latents[None], face.noises)
    torch.testing.assert_close(face.image[None], ((made + 1) / 2).clamp(0, 1))
    error = (imresize(face.image, size=(4, 4)) - asked.pixels[0]).square().mean().item()
    assert face.l2 == pytest.approx(error, rel=1e-5)
    assert face.l2 <= eps
    assert face.reached


def test_what_fails_in_bfloat16_is_done_again_in_float32(small, monkeypatch):
    real = inference.search

    def search(generator, *arguments):
        if generator.synthesis.layers[1].conv.weight.dtype == torch.bfloat16:
            raise NotFiniteError("the loss in step 3 is not finite")
        return real(generator, *arguments)

    monkeypatch.setattr(inference, "search", search)
    with pytest.warns(RuntimeWarning, match="step 3 is not finite; the search is done again in float32"):
        (face,) = found(small(), goal(), dtype="bfloat16")
    assert_same(face, found(small(), goal())[0])


def test_float32_is_the_end_of_it(small):
    checkpoint = small()
    checkpoint.network.synthesis.rgb_bias.fill_(math.nan)
    with pytest.raises(NotFiniteError, match="step 1 of 5"):
        found(checkpoint, goal())


def test_the_batch_is_what_fits_or_less(small, monkeypatch):
    options = check_options(weights=small(), **QUICK)
    monkeypatch.setattr(inference, "MOST_ON_CPU", 6)
    for restarts, batch, most in ((1, None, 6), (2, None, 3), (100, None, 1), (1, 2, 2), (2, 50, 3)):
        assert Searcher(replace(options, restarts=restarts, batch=batch)).most == most
    monkeypatch.setattr(inference, "available_memory", lambda device: 1)
    assert Searcher(options).most == 1
