"""When a step runs as it is, when it is captured, and what happens where it cannot be.

On a GPU with real graphs; elsewhere with what stands in for them, which records that it was asked to.
"""

import contextlib

import pytest
import torch

import fastsr
from fastsr.consistency import Downscale
from fastsr.dip import fit as dip_fit
from fastsr.dip.network import HourglassConfig
from fastsr.dip.recipes import Recipe, upscale
from fastsr.dip.stopping import NoiseLevel, RunningVariance
from fastsr.graph import WARM_UP, Graphed
from fastsr.operators import Compose, Mask


class Recorder:
    """Stands in for CUDA: a capture runs nothing, a replay what was captured."""

    def __init__(self, monkeypatch, error=None):
        self.done, self.capturing, self.error = [], False, error
        nothing = lambda *args, **kwargs: contextlib.nullcontext()  # noqa: E731
        for name in ("device", "stream", "current_stream"):
            monkeypatch.setattr(torch.cuda, name, nothing)
        monkeypatch.setattr(torch.cuda, "graph", self.graph)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: self)
        monkeypatch.setattr(Graphed, "_run_aside", lambda graphed: graphed._step())

    @contextlib.contextmanager
    def graph(self, graph, stream, capture_error_mode):
        self.capturing = True
        try:
            yield
        finally:
            self.capturing = False
            if self.error:
                raise RuntimeError("a capture was spoilt")  # as CUDA does, instead of the cause

    def step(self):
        if self.capturing and self.error:
            raise self.error
        self.done.append("captured" if self.capturing else "run")

    def replay(self):
        self.done.append("replayed")


def test_the_first_steps_run_then_one_is_captured_and_replayed(monkeypatch):
    cuda = Recorder(monkeypatch)
    graphed = Graphed(cuda.step, torch.device("cuda"))
    for _ in range(WARM_UP + 3):
        graphed()
    assert cuda.done == ["run"] * WARM_UP + ["captured"] + ["replayed"] * 3
    assert graphed.problem is None


def test_a_step_that_cannot_be_captured_goes_on_as_it_is(monkeypatch):
    cuda = Recorder(monkeypatch, RuntimeError("CUDA error: operation not permitted\nmore about it"))
    graphed = Graphed(cuda.step, torch.device("cuda"))
    for _ in range(WARM_UP):
        graphed()
    with pytest.warns(RuntimeWarning, match="cannot be captured: CUDA error: operation not permitted$"):
        graphed()
    for _ in range(2):
        graphed()
    assert cuda.done == ["run"] * (WARM_UP + 3)
    assert graphed.problem == "CUDA error: operation not permitted"


on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@on_gpu
@pytest.mark.parametrize("recipe", [upscale("fast", 4), Recipe(HourglassConfig((16, 16)), steps=9)])
def test_replays_do_what_the_steps_do(recipe):
    losses, image, _ = steps(recipe, lambda step: step)
    replayed, replayed_image, graphed = steps(recipe, lambda step: Graphed(step, torch.device("cuda")))
    assert graphed.problem is None
    assert replayed == losses
    assert len(set(losses)) == len(losses)
    assert torch.equal(replayed_image, image)


@on_gpu
def test_an_operator_that_reads_a_number_is_not_captured():
    recipe = Recipe(HourglassConfig((16, 16)), steps=9)

    def reading(x):
        return Downscale((64, 64), (16, 16))(x) * (x.sum().item() > 0)

    losses, image, _ = steps(recipe, lambda step: step, reading)
    stream = torch.cuda.current_stream()
    with pytest.warns(RuntimeWarning, match="cannot be captured"):
        replayed, replayed_image, graphed = steps(recipe, lambda step: Graphed(step, torch.device("cuda")), reading)
    assert torch.cuda.current_stream() == stream
    assert "spoil" not in graphed.problem
    assert "previous error" not in graphed.problem
    assert replayed == losses
    assert torch.equal(replayed_image, image)


@on_gpu
@pytest.mark.parametrize("stopping", [RunningVariance(patience=3), NoiseLevel(sigma=0.2)], ids=["variance", "noise"])
def test_what_ends_a_fit_is_captured_with_it(stopping):
    recipe = Recipe(HourglassConfig((16, 16)), steps=9, optimizer="muon")
    known = (torch.rand(1, 1, 16, 16, generator=torch.Generator().manual_seed(1)) > 0.3).float().cuda()
    operator = Compose(Downscale((64, 64), (16, 16)), Mask(known))
    losses, _, _ = steps(recipe, lambda step: step, operator, stopping)
    image, finished = stopping.image.clone(), stopping.finished()
    replayed, _, graphed = steps(recipe, lambda step: Graphed(step, torch.device("cuda")), operator, stopping)
    assert graphed.problem is None
    assert replayed == losses
    assert stopping.finished() == finished
    assert torch.equal(stopping.image, image)


@on_gpu
def test_a_guarded_fit_returns_to_good_weights_between_replays():
    recipe = Recipe(HourglassConfig((8, 8)), steps=60, guarded=True, learning_rate=1e-3)
    observation = torch.full((1, 3, 24, 28), 0.4, device="cuda")
    states = dip_fit.fit(observation, lambda x: x, (24, 28), recipe, seed=0, dtype=torch.float32)
    losses = []
    for state in states:
        losses.append(state.loss.item())
        if state.step == 25:
            with torch.no_grad():
                states.gi_frame.f_locals["step"]._weights.vectors.mul_(30).add_(3)
    assert losses[25] > 4 * losses[24]
    assert max(losses[30:]) < 2 * losses[24]


@on_gpu
@pytest.mark.parametrize("task", ["upscale", "denoise"])
def test_several_pictures_at_once_are_as_good_as_alone(task):
    batch = torch.rand(6, 3, 24, 32, generator=torch.Generator().manual_seed(0))
    options = {"task": task, "steps": 40, "device": "cuda", "progress": False}
    seen = []
    together = fastsr.dip(batch, **options, callback=lambda step, image, info: seen.append(info.picture))
    assert seen[:6] == [0, 1, 2, 3, 4, 5]
    assert all(torch.equal(fastsr.dip(one, **options), other) for one, other in zip(batch, together, strict=True))
    resident = fastsr.dip(batch.cuda(), **options)
    assert torch.equal(resident.cpu(), together)


def steps(recipe, wrap, operator=None, stopping=None):
    operator = operator or Downscale((64, 64), (16, 16))
    observation = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)).cuda()
    step = dip_fit.Step(
        observation, operator, (64, 64), recipe, seed=0, dtype=torch.bfloat16, observed=0.7, stopping=stopping
    )
    run, losses = wrap(step), []
    for _ in range(WARM_UP + 6):
        run()
        losses.append(step.loss.item())
    return losses, step.image, run
