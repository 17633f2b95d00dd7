"""What fastsr.sr3 tells of its work: to a callback, and by a bar."""

import importlib

import pytest
import torch

import fastsr
from fastsr.sr3.tiles import Tiles

MODULE = importlib.import_module("fastsr.sr3")  # whose name in fastsr is the function
STEPS = 3
QUICK = {"device": "cpu", "dtype": "float32", "steps": STEPS, "progress": False}


def test_the_callback_is_told_of_every_step(small):
    told = []
    batch = torch.rand(2, 3, 4, 4)
    images = [torch.rand(1, 4, 4), batch]
    options = {"weights": small(), "samples": 3, "consistency": False}

    def callback(step, image, state):
        told.append((step, image.clone(), state))

    found = fastsr.sr3(images, **options, **QUICK, callback=callback)
    assert [(state.first, step, len(image)) for step, image, state in told] == [
        *((0, step, 3) for step in (1, 2, 3)),
        *((3, step, 4) for step in (1, 2, 3)),  # of the batch's six samples at once
        *((7, step, 2) for step in (1, 2, 3)),
    ]
    for step, image, state in told:
        assert (step, 3) == (state.step, state.steps)
        assert image.dtype == torch.float32
        assert 0 <= image.min() <= image.max() <= 1
        assert state.noisy.shape == (len(image), 3, *image.shape[-2:])
        assert 0 < state.level < 1
    assert told[0][1].shape == (3, 1, 16, 16)
    drawn = torch.cat([told[5][1], told[8][1]])
    for row in range(2):
        for number in range(3):
            assert torch.equal(found[1][number][row], drawn[3 * row + number])


def test_a_callback_can_stop_the_work(small):
    def stop(*given):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fastsr.sr3(torch.rand(3, 4, 4), weights=small(), callback=stop, **QUICK)
    assert torch.is_grad_enabled()


class Bar:
    """Counts in place of the bar that is on a terminal."""

    total, done, left = None, 0, False

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.left = True

    def update(self, done):
        self.done += done

    def set_postfix_str(self, text):
        self.texts = [*getattr(self, "texts", []), text]


@pytest.mark.parametrize("options", [{}, {"samples": 5}])
def test_the_bar_is_full_at_the_end(options, small, monkeypatch):
    bar, shown = Bar(), []
    monkeypatch.setattr(MODULE, "progress_bar", lambda *_, **given: shown.append(given["shown"]) or bar)
    fastsr.sr3([torch.rand(3, 4, 5), torch.rand(2, 3, 6, 6)], weights=small(), **options, **QUICK)
    assert bar.total == 2 * 3
    assert bar.done == pytest.approx(bar.total)
    assert shown == [False]
    assert bar.left


def test_the_bar_tells_how_many_tiles_of_a_step_are_done(small, monkeypatch):
    bar = Bar()
    monkeypatch.setattr(MODULE, "progress_bar", lambda *_, **given: bar)
    fastsr.sr3(torch.rand(3, 4, 12), weights=small(), tile=16, **QUICK)
    count = len(Tiles.cut((16, 48), 16))
    shown = bar.texts[: len(bar.texts) // STEPS]
    assert bar.texts == STEPS * shown
    assert shown[-1] == f"tile {count} of {count}"


def test_without_progress_nothing_is_printed(small, capfd):
    fastsr.sr3(torch.rand(3, 4, 4), weights=small(), **QUICK)
    assert capfd.readouterr() == ("", "")
