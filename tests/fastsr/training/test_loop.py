import os
import signal

import pytest
import torch

from fastsr.errors import InputError, TrainingError


class CutOffError(Exception):
    """The power fails."""


def cut_at(step):
    def trouble(toy, done):
        if done == step:
            raise CutOffError

    return trouble


def signal_at(step, number=signal.SIGINT):
    def trouble(toy, done):
        if done == step:
            os.kill(os.getpid(), number)

    return trouble


def test_a_run_makes_all_steps_with_the_rate_and_the_samples_of_each(toy, tmp_path, runs):
    outcome, method = toy()
    assert (outcome.step, outcome.finished) == (12, True)
    assert method.seen == [list(range(4 * step, 4 * step + 4)) for step in range(12)]
    assert method.prepared == list(range(12))
    lines = [line for line in runs.lines(tmp_path / "run") if "square" in line]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["stage"] for line in lines] == ["one"] * 8 + ["two"] * 4
    assert lines[4]["rate"] == 0.3 / 5
    assert lines[-1]["square"] < lines[0]["square"] / 2


def test_a_line_of_losses_is_the_mean_over_the_steps_since_the_one_before(toy, tmp_path, runs):
    toy("all")
    toy("some", log_every=5)
    each = [line["square"] for line in runs.lines(tmp_path / "all") if "square" in line]
    some = {line["step"]: line["square"] for line in runs.lines(tmp_path / "some") if "square" in line}
    assert list(some) == [5, 8, 10, 12]  # a stage ends after 8
    for step, first in ((5, 0), (8, 5), (10, 8), (12, 10)):
        assert some[step] == pytest.approx(sum(each[first:step]) / (step - first), rel=1e-12)


@pytest.mark.parametrize("step", [1, 4, 8, 11])
def test_a_run_that_was_cut_off_goes_on_as_if_nothing_had_been(step, toy, tmp_path, runs):
    toy("whole", log_every=2)
    with pytest.raises(CutOffError):
        toy("cut", log_every=2, trouble=cut_at(step))
    with open(tmp_path / "cut" / "losses.jsonl", "ab") as file:
        file.write(b'{"step": 3, "squ')
    outcome, method = toy("cut", log_every=2)
    assert outcome.finished
    saved = max(done for done in (0, 3, 4, 6, 8, 9) if done <= step)  # every third step, and where it validates
    assert method.seen[0][0] == 4 * saved
    runs.assert_same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_step_finish_and_saves(number, toy, tmp_path, runs):
    before = signal.getsignal(number)
    outcome, _ = toy("cut", trouble=signal_at(4, number))
    assert (outcome.step, outcome.finished) == (5, False)
    assert signal.getsignal(number) is before
    outcome, method = toy("cut")
    assert (outcome.finished, len(method.seen)) == (True, 7)
    toy("whole")
    runs.assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_run_that_is_done_stays_as_it_is(toy, tmp_path):
    toy()
    before = (tmp_path / "run" / "losses.jsonl").read_bytes()
    outcome, method = toy()
    assert (outcome.step, outcome.finished, method.seen) == (12, True, [])
    assert (tmp_path / "run" / "losses.jsonl").read_bytes() == before


def test_more_steps_can_be_asked_for(toy, tmp_path, runs):
    toy("short", steps=10)
    toy("short", steps=12)
    toy("long", steps=12)
    torch.testing.assert_close(runs.state(tmp_path / "short")["modules"], runs.state(tmp_path / "long")["modules"])


def test_parts_of_a_step_give_the_gradient_of_the_whole(toy):
    _, whole = toy("whole")
    _, parts = toy("parts", accumulate=2)
    assert [sum(samples, start=0) for samples in parts.seen] == [sum(samples) for samples in whole.seen]
    torch.testing.assert_close(parts.network.state_dict(), whole.network.state_dict(), rtol=1e-4, atol=1e-5)


def break_at(step, value):
    def trouble(toy, done):
        toy.factor = value if done == step else 1.0

    return trouble


def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(toy, tmp_path, runs):
    with pytest.raises(
        TrainingError, match="loss 'square' is not finite in step 6; the last good checkpoint is of step 4"
    ) as caught:
        toy("bad", trouble=break_at(5, float("nan")))
    weights = tmp_path / "bad" / "checkpoints" / "one.safetensors"
    assert f"another folder with -o, and --init {weights}" in str(caught.value)
    assert weights.exists()
    assert runs.state(tmp_path / "bad")["step"] == 4
    assert len([line for line in runs.lines(tmp_path / "bad") if "square" in line]) == 5
    toy("bad")  # the same command goes on from there
    toy("good")
    runs.assert_same(tmp_path / "good", tmp_path / "bad")


def test_before_the_first_checkpoint_there_is_none(toy, tmp_path):
    with pytest.raises(TrainingError, match="is not finite in step 1; there is no checkpoint yet"):
        toy("bad", trouble=break_at(0, float("inf")))
    assert not (tmp_path / "bad" / "checkpoints" / "last.pt").exists()


def test_weights_that_are_not_finite_are_not_saved(toy, tmp_path, runs):
    def spoil(method, done):
        if done == 5:
            method.network.weight.grad = torch.full((1, 1), float("nan"))  # the loss of the step is as it should be

    with pytest.raises(TrainingError, match=r"weights of the network are not finite after step 6; .* of step 4"):
        toy("bad", trouble=spoil)
    assert runs.state(tmp_path / "bad")["step"] == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch": 8}, "batch was 4 and is 8"),
        ({"rate": 0.1}, "rate was 0.3 and is 0.1"),
        ({"second": 4}, "second was 8 and is 4"),
        ({"pictures": "5"}, "number of images was 3, and it is 5"),
        ({"accumulate": 2}, r"parts of a batch \(processes x accumulate\) was 1, and it is 2"),
    ],
)
def test_what_the_steps_depended_on_must_be_as_it_was(changed, message, toy, tmp_path):
    toy(trouble=signal_at(5))
    before = (tmp_path / "run" / "config.yaml").read_bytes()
    with pytest.raises(InputError, match=message):
        toy(**changed)
    assert (tmp_path / "run" / "config.yaml").read_bytes() == before


def test_what_they_did_not_depend_on_can_change(toy, tmp_path):
    toy(trouble=signal_at(5))
    outcome, _ = toy(second=9, log_every=3, save_every=5, workers=0, val="elsewhere")
    assert outcome.finished
    assert "val: elsewhere" in (tmp_path / "run" / "config.yaml").read_text()


def test_the_best_of_each_stage_is_kept(toy, tmp_path, runs):
    _, method = toy(validate_every=2, scores=iter([1.0, 3.0, 2.0, 0.0, -0.5, -1.0]))
    lines = [line for line in runs.lines(tmp_path / "run") if "val_score" in line]
    assert [(line["step"], line["val_score"]) for line in lines] == list(
        zip(range(2, 13, 2), [1.0, 3.0, 2.0, 0.0, -0.5, -1.0], strict=True)
    )
    exported = {path.stem: float(path.read_text()) for path in tmp_path.glob("run/checkpoints/*.safetensors")}
    weights = method.weights_after
    assert exported == {"one": weights[8], "one_best": weights[4], "two": weights[12], "two_best": weights[10]}


def test_the_best_score_outlives_the_process(toy, tmp_path):
    toy(validate_every=2, scores=iter([1.0, 3.0]), trouble=signal_at(4))
    _, method = toy(validate_every=2, scores=iter([2.0, 2.5, 0.0, 0.0]))
    best = float((tmp_path / "run" / "checkpoints" / "one_best.safetensors").read_text())
    assert best not in method.weights_after.values()


def test_scores_on_another_benchmark_begin_anew(toy, tmp_path):
    toy(validate_every=2, benchmark="a", scores=iter([1.0, 30.0]), trouble=signal_at(4))
    _, method = toy(validate_every=2, benchmark="b", scores=iter([2.0, 1.0, 0.0, 0.0]))
    best = float((tmp_path / "run" / "checkpoints" / "one_best.safetensors").read_text())
    assert best == method.weights_after[6]


@pytest.mark.parametrize("what", ["validate", "samples"])
def test_a_validation_that_fails_costs_no_step_and_is_made_up_for(what, toy, tmp_path, runs):
    def fail():
        raise CutOffError

    with pytest.raises(CutOffError):
        toy("cut", validate_every=5, sample_every=5, trouble=lambda method, done: setattr(method, what, fail))
    assert runs.state(tmp_path / "cut")["step"] == 5
    _, method = toy("cut", validate_every=5, sample_every=5)
    assert len(method.seen) == 7
    toy("whole", validate_every=5, sample_every=5)
    runs.assert_same(tmp_path / "whole", tmp_path / "cut")
    sheets = [sorted(path.name for path in (tmp_path / run / "samples").iterdir()) for run in ("whole", "cut")]
    assert sheets[0] == sheets[1]


def test_sheets_are_named_by_their_step(toy, tmp_path):
    toy(sample_every=5)
    names = sorted(path.name for path in (tmp_path / "run" / "samples").iterdir())
    assert names == [f"step_{step:08}.png" for step in (5, 8, 10, 12)]


def test_losses_go_to_tensorboard_too(toy, tmp_path, runs):
    toy(logger="tensorboard", trouble=signal_at(5))
    toy(logger="tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "fastsr")).Reload()
    lines = [line for line in runs.lines(tmp_path / "run") if "square" in line]
    found = [(event.step, event.value) for event in events.Scalars("square")]
    assert found == [(line["step"], pytest.approx(line["square"])) for line in lines]
    assert [event.step for event in events.Scalars("val_score")] == [4, 8, 12]


def test_mixed_precision_trains(toy):
    outcome, method = toy(precision="bfloat16")
    assert outcome.finished
    assert method.network.weight.dtype == torch.float32
