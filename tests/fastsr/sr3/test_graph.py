"""Steps of sampling as CUDA graphs: they need a GPU."""

import pytest
import torch

from fastsr.errors import NotFiniteError
from fastsr.graph import WARM_UP
from fastsr.sr3 import sampling
from fastsr.sr3.plans import plan
from fastsr.sr3.tiles import Tiles, in_tiles

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
STEPS = WARM_UP + 5


class Plainly:
    """Stands in for `Graphed`: every step runs as it is."""

    def __init__(self, step, device):
        self._step = step

    def __call__(self):
        self._step()


@pytest.mark.parametrize("sampler", ["dpm-solver++", "ddim", "ddpm"])
@pytest.mark.parametrize("tile", [16, 64])
def test_replays_do_what_the_steps_do(small, monkeypatch, recwarn, sampler, tile):
    checkpoint, device = small(), torch.device("cuda")
    network = checkpoint.network.to(device).lower(torch.bfloat16).to(memory_format=torch.channels_last)
    whole = in_tiles(network, Tiles.cut((24, 40), tile), 4, device)
    condition = 2 * torch.rand(2, 3, 24, 40, device=device) - 1
    seeds = torch.arange(2, device=device)
    course = plan(checkpoint.curve, checkpoint.prediction, sampler, "log-snr", STEPS)

    def steps():
        return [(seen.clone(), state.noisy.clone()) for seen, state in sampling.sample(whole, course, condition, seeds)]

    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        replayed = steps()
        monkeypatch.setattr(sampling, "Graphed", Plainly)
        plain = steps()
    for one, other in zip(replayed, plain, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not [warning for warning in recwarn if "cannot be captured" in str(warning.message)]


def test_what_is_not_finite_is_found_after_the_last_step(small):
    checkpoint, device = small(), torch.device("cuda")
    course = plan(checkpoint.curve, "x0", "ddim", "log-snr", STEPS)
    condition = torch.zeros(1, 3, 16, 16, device=device)

    def broken(known, noisy, level):
        return torch.where(level[:, None, None, None] > course.gammas[4].sqrt().item() - 1e-6, torch.inf, noisy)

    with pytest.raises(NotFiniteError, match=f"in step 5 of {STEPS} is not finite"):
        list(sampling.sample(broken, course, condition, torch.zeros(1, dtype=torch.int64, device=device)))
