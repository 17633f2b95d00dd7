"""Turns: the order of results, and how many fits there are at once."""

import pytest
import torch

from fastsr.dip.jobs import MOST_WAITING, run


class FakeJob:
    """A job of so many steps that notes who is at work."""

    def __init__(self, name, steps, room, log):
        self.name, self.steps, self.room, self.log = name, steps, room, log

    def advance(self):
        if self.steps == 0:
            return False
        self.steps -= 1
        self.log.append(self.name)
        return True

    def result(self):
        return torch.tensor(self.name)


def work(*jobs):
    """Run jobs of (steps, room); return their results, the turns, and how many were taken before each result."""
    log, taken, ahead = [], [], []

    def supply():
        for name, (steps, room) in enumerate(jobs):
            taken.append(name)
            yield FakeJob(name, steps, room, log)

    results = []
    for result in run(supply()):
        results.append(result.item())
        ahead.append(len(taken))
    return results, log, ahead


def test_those_that_fit_take_turns_and_results_keep_their_order():
    results, log, _ = work((3, 0.5), (1, 0.5), (2, 0.5))
    assert results == [0, 1, 2]
    assert log == [0, 1, 0, 0, 2, 2]  # the second is done first, and the third takes its place


def test_one_at_a_time_where_each_fills_the_device():
    results, log, ahead = work((2, 1.0), (2, 1.0), (2, 1.0))
    assert results == [0, 1, 2]
    assert log == [0, 0, 1, 1, 2, 2]
    assert ahead == [2, 3, 3]  # one more is read than is worked on


def test_what_is_larger_than_the_device_is_worked_on_alone():
    results, log, _ = work((1, 0.2), (1, 3.0), (1, 0.2))
    assert results == [0, 1, 2]
    assert log == [0, 1, 2]


def test_results_that_wait_for_an_earlier_one_are_not_too_many():
    taken = []

    def supply():
        for name in range(60):
            taken.append(name)
            yield FakeJob(name, 500 if name == 0 else 1, 0.2, [])

    results = run(supply())
    assert next(results).item() == 0
    assert len(taken) <= MOST_WAITING + 6
    assert [result.item() for result in results] == list(range(1, 60))


def test_what_taking_a_job_raises_comes_after_the_results_before():
    def supply():
        yield FakeJob(0, 3, 0.2, [])
        raise ValueError("no picture")

    results = run(supply())
    assert next(results).item() == 0
    with pytest.raises(ValueError, match="no picture"):
        next(results)


def test_nothing_comes_of_nothing():
    assert work() == ([], [], [])


@pytest.mark.parametrize("count", [1, 7, 40])
def test_never_more_than_there_is_room_for(count):
    log, at_once, running = [], [], set()

    class Counting(FakeJob):
        def advance(self):
            running.add(self.name)
            at_once.append(len(running))
            more = super().advance()
            if not more:
                running.discard(self.name)
            return more

    jobs = (Counting(name, 1 + name % 5, 0.25, log) for name in range(count))
    assert [result.item() for result in run(jobs)] == list(range(count))
    assert max(at_once) == min(4, count)
