"""Steps of the search as CUDA graphs: they need a GPU."""

import pytest
import torch

from fastsr.errors import NotFiniteError
from fastsr.graph import WARM_UP
from fastsr.pulse import search as module
from fastsr.pulse.goals import Goal
from fastsr.pulse.losses import LossWeights
from fastsr.pulse.placing import placed
from fastsr.pulse.search import Settings, search
from fastsr.pulse.spherical import OPTIMIZERS
from fastsr.pulse.starts import draw

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
STEPS = WARM_UP + 5


class Plainly:
    """Stands in for `Graphed`: every step runs as it is."""

    def __init__(self, step, device):
        self._step = step

    def __call__(self):
        self._step()


def searched(checkpoint, dtype=torch.float32, generator=None, channels=3, **changes):
    device = torch.device("cuda")
    usual = {"steps": STEPS, "eps": 1e-9, "optimizer": "adam", "learning_rate": 0.4, "schedule": "linear1cycledrop"}
    settings = Settings(**{**usual, "loss": LossWeights(100, 1, 0.05), **changes})
    start = draw(checkpoint.network, [0, 1], tile_latent=False, noise="trainable", trainable_noise=3).to(device)
    random = torch.Generator().manual_seed(0)
    pixels, alpha = torch.rand(3, channels, 4, 4, generator=random), torch.rand(3, 1, 16, 16, generator=random)
    goal = Goal(pixels.to(device), alpha.to(device), 16)
    network = generator or placed(checkpoint.network, device, dtype)
    return [
        (state.best.image.clone(), state.best.z.clone(), state.l2.clone(), state.best.step.clone())
        for state in search(network, checkpoint.fit.to(device), goal, start, settings)
    ]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("dtype", "channels"), [(torch.float32, 3), (torch.bfloat16, 1)])
def test_replays_do_what_the_steps_do(small, monkeypatch, recwarn, optimizer, dtype, channels):
    replayed = searched(small(), dtype, channels=channels, optimizer=optimizer)
    monkeypatch.setattr(module, "Graphed", Plainly)
    plain = searched(small(), dtype, channels=channels, optimizer=optimizer)
    assert len(replayed) == STEPS
    for one, other in zip(replayed, plain, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not [warning for warning in recwarn if "cannot be captured" in str(warning.message)]


def test_what_is_not_finite_is_found(small):
    checkpoint = small()
    network = placed(checkpoint.network, torch.device("cuda"), torch.float32)
    calls = torch.zeros((), device="cuda")

    class Broken:
        layers = network.layers

        def __call__(self, latents, noises):
            calls.add_(1)
            return network(latents, noises) + calls.ge(5).float() * torch.inf

    with pytest.raises(NotFiniteError, match=f"in step 5 of {STEPS} is not finite"):
        searched(checkpoint, generator=Broken())


def test_the_device_finds_what_the_cpu_finds(small):
    checkpoint = small()
    on_gpu = searched(checkpoint, steps=1)[-1][0]
    start = draw(checkpoint.network, [0, 1], tile_latent=False, noise="trainable", trainable_noise=3)
    made = checkpoint.network(checkpoint.fit.latents(start.z), start.noises)
    colours = ((made + 1) / 2).clamp(0, 1)
    for one in on_gpu.cpu():
        assert min((one - other).abs().max() for other in colours) < 1e-2
