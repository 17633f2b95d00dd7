from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn

from fastsr.training.ema import Average
from fastsr.training.loop import Outcome, run
from fastsr.training.method import Training
from fastsr.training.run_folder import RunFolder
from fastsr.training.settings import Settings, setting
from fastsr.training.sharing import share, whole_at_last
from fastsr.training.start import start


@dataclass(frozen=True)
class ToySettings(Settings):
    steps: int = setting(12, "Steps.")
    second: int = setting(8, "The first step of the second stage.")
    rate: float = setting(0.3, "Rate.")

    def matters_from(self):
        return {"second": self.second, "steps": self.steps}


class Toy(Training):
    """Learns to double numbers; of two stages, and with noise. `trouble` is called before each step is made."""

    def __init__(self, settings, accelerator, pictures="3", trouble=lambda toy, done: None, scores=None, benchmark=""):
        self.settings, self.accelerator, self.pictures, self.trouble = settings, accelerator, pictures, trouble
        self.scores, self.steps, self.benchmark = scores, settings.steps, benchmark
        torch.manual_seed(settings.seed)
        self.network = nn.Linear(1, 1)
        self.average = Average(self.network, settings.ema)
        adam = torch.optim.Adam(self.network.parameters())
        self.parallel, self.optimizer = share(accelerator, self.network, adam)
        self.seen, self.prepared, self.factor = [], [], 1.0
        self.weights_after: dict[int, float] = {}

    def facts(self):
        return {"number of pictures": self.pictures}

    def stage(self, step):
        return "one" if step < self.settings.second else "two"

    def rate(self, step):
        return self.settings.rate / (1 + step)

    def batches(self, sample):
        size = self.settings.batch // self.settings.accumulate
        while True:
            yield torch.arange(sample, sample + size)
            sample += size

    def prepare(self, step):
        self.prepared.append(step)

    def modules(self):
        return {"network": self.network, "average": self.average}

    def optimizers(self):
        return {"network": self.optimizer}

    def step(self, parts):
        self.trouble(self, len(self.seen))
        total = torch.zeros(())
        self.seen.append([int(sample) for part in parts for sample in part])
        noise = torch.rand(())
        for index, part in enumerate(parts):
            x = torch.sin(part.float())[:, None]
            with whole_at_last(self.accelerator, self.parallel, index, len(parts)):
                loss = self.factor * (self.parallel(x) - 2 * x - 0.01 * noise).square().mean() / len(parts)
                self.accelerator.backward(loss)
            total += loss.detach()
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()
        self.weights_after[self.prepared[-1] + 1] = self.network.weight.item()
        return {"square": total, "noise": noise}

    def validate(self):
        return {"score": next(self.scores)} if self.scores else {"score": -abs(2 - self.network.weight.item())}

    def samples(self):
        return Image.new("RGB", (2, 2))

    def export(self, path):
        path.write_text(str(self.network.weight.item()))


@pytest.fixture
def toy(tmp_path, fresh_accelerate) -> Callable[..., tuple[Outcome, Toy]]:
    """A function that runs the toy in a folder with some settings, and returns how it ended and the toy."""

    def go(
        folder: str | Path = "run",
        *,
        pictures="3",
        trouble=lambda toy, done: None,
        scores=None,
        benchmark="",
        **settings: Any,
    ):
        chosen = replace(
            ToySettings(("somewhere",), batch=4, device="cpu", log_every=1, save_every=3, validate_every=4), **settings
        )
        accelerator = start(chosen, tmp_path / folder)
        method = Toy(chosen, accelerator, pictures, trouble, scores, benchmark)
        return run(method, chosen, RunFolder(tmp_path / folder), accelerator, progress=False), method

    return go
