"""Deep Image Prior by the second: PSNR against the wall clock, for a budget of time."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import fastsr
from benchmarks.memory import peak_bytes, reset_peak_bytes
from benchmarks.straightforward import Scale
from fastsr import metrics
from fastsr.consistency import Downscale
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import eight_bits
from fastsr.dip.fit import INPUT_RANGE
from fastsr.dip.recipes import Recipe, upscale

from .packages import load
from .turns import rivals

FACTOR = 4
SIDE = 160
"""Of the crops, from the middle of the pictures."""
PICTURES = ("img_005", "img_012")
BUDGET = 90.0
"""Seconds of a fit."""
SLICE = 5.0
"""Seconds of a turn."""
BETWEEN_LOOKS = 0.5
"""Seconds of a fit between two looks at its picture, which the clock does not count."""
WARM_UP_SIDE = 64
SHAVE = 4
AVERAGE = 0.99
"""The authors' decay of the running average of outputs."""
OURS = "fastsr, preset fast"
DEEPINV = "deepinv, ConvDecoder"
PLAIN = "torch.nn, the paper's"
RIVALS = (OURS, DEEPINV, PLAIN)

Report = Callable[[Tensor], None]
"""Called by a fit after each step, with its picture (1, 3, H, W)."""
Work = Callable[[Tensor, tuple[int, int], Report], Tensor | None]
"""Fits the small picture (1, 3, h, w) at (H, W); returns the result where the fit ends by itself."""


def with_fastsr(preset: str | Recipe) -> Work:
    """Return `fastsr.dip`, told that the picture was made small by the bicubic kernel."""

    def work(small: Tensor, size: tuple[int, int], report: Report) -> Tensor:
        result: Tensor = fastsr.dip(
            small,
            FACTOR,
            kernel="bicubic",
            preset=preset,
            progress=False,
            callback=lambda step, image, state: report(image),
        )
        return result

    return work


def with_deepinv() -> Work:
    """Return deepinv's DeepImagePrior on the decoder that its documentation recommends, both as they are by default."""
    deepinv = load("deepinv")

    def work(small: Tensor, size: tuple[int, int], report: Report) -> Tensor:
        decoder = deepinv.models.ConvDecoder(img_size=(3, *size), in_size=(4, 4))
        decoder.register_forward_hook(lambda module, inputs, output: report(output.detach()))
        prior = deepinv.models.DeepImagePrior(decoder, img_size=(256, 4, 4))
        result: Tensor = prior(small, deepinv.physics.LinearPhysics(A=_downscale(small, size)))
        return result

    return work


def plain(recipe: Recipe) -> Work:
    """Return the recipe as one writes it in plain PyTorch, in float32."""

    def work(small: Tensor, size: tuple[int, int], report: Report) -> None:
        config = recipe.network
        head = nn.Sequential(nn.Conv2d(config.channels[0], config.output_channels, 1), nn.Sigmoid())
        network = nn.Sequential(Scale(config, 0, config.input_channels), head)
        z = INPUT_RANGE * torch.rand(1, config.input_channels, *size)
        optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
        downscale = _downscale(small, size)
        average = torch.zeros(1, config.output_channels, *size)
        for step in itertools.count(1):
            optimizer.zero_grad()
            output = network(z + recipe.noise * torch.randn_like(z))
            F.mse_loss(downscale(output), small).backward()
            optimizer.step()
            # A plain mean at first, as fastsr has it: the empty outputs of the beginning would linger.
            average = average.lerp(output.detach(), max(1 / step, 1 - AVERAGE))
            report(average)

    return work


def _downscale(small: Tensor, size: tuple[int, int]) -> Callable[[Tensor], Tensor]:
    return Downscale(size, (small.shape[-2], small.shape[-1]), kernel="cubic")


class EnoughError(Exception):
    """Raised in a fit to end it."""


class Fit:
    """A fit in a thread, which goes on only while it is let, and whose clock runs only then.

    Attributes:
        curve: seconds and PSNR on Y of each look.
        ended: the seconds at which the fit ended by itself; None before.
    """

    def __init__(self, work: Work, hr: Tensor, small: Tensor):
        """Take the original, uint8 (3, H, W), and the small picture, (1, 3, h, w); nothing is done yet."""
        self.curve: list[tuple[float, float]] = []
        self.ended: float | None = None
        self._work, self._hr, self._small = work, hr, small
        self._spent = self._until = self._next_look = 0.0
        self._enough = False
        self._failure: Exception | None = None
        self._turn, self._yielded = threading.Semaphore(0), threading.Semaphore(0)
        self._threads = torch.get_num_threads()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self, seconds: float) -> None:
        """Let the fit work for so long, less what it was late by before; a step that has begun is always finished.

        Raises:
            Exception: what it raises.
        """
        self._until += seconds
        if self.ended is not None or (self._until <= self._spent and self.curve):
            return
        self._turn.release()
        self._yielded.acquire()
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """End the fit."""
        self._enough = True
        self._turn.release()
        self._thread.join()

    def _run(self) -> None:
        self._turn.acquire()
        torch.set_num_threads(self._threads)  # of a thread
        self._resumed = time.perf_counter()
        try:
            size = (self._hr.shape[-2], self._hr.shape[-1])
            result = None if self._enough else self._work(self._small, size, self._report)
            self._spent += time.perf_counter() - self._resumed
            if result is not None:
                self._look(result)
                self.ended = self._spent
        except EnoughError:
            return
        except Exception as error:
            self._failure = error
        self._yielded.release()

    def _report(self, image: Tensor) -> None:
        self._spent += time.perf_counter() - self._resumed
        if self._spent >= self._next_look:
            self._look(image)
            self._next_look = self._spent + BETWEEN_LOOKS
        if self._spent >= self._until:
            self._yielded.release()
            self._turn.acquire()
        if self._enough:
            raise EnoughError
        self._resumed = time.perf_counter()

    def _look(self, image: Tensor) -> None:
        result = eight_bits(image.detach().clamp(0, 1).float())
        self.curve.append((self._spent, float(metrics.psnr(result, self._hr, shave=SHAVE))))  # type: ignore[arg-type]


MAKERS: dict[str, Callable[[], Work]] = {
    OURS: lambda: with_fastsr("fast"),
    DEEPINV: with_deepinv,
    PLAIN: lambda: plain(upscale("paper", FACTOR)),
}


class Rival:
    """The fits of one rival, one at a time."""

    def __init__(self, name: str):
        """Import what the rival needs, some of it in a step that is not timed."""
        self.work = MAKERS[name]()
        self.fit: Fit | None = None
        self.idle_bytes = reset_peak_bytes()
        small = torch.rand(1, 3, WARM_UP_SIDE // FACTOR, WARM_UP_SIDE // FACTOR)
        warm_up = Fit(self.work, torch.zeros(3, WARM_UP_SIDE, WARM_UP_SIDE, dtype=torch.uint8), small)
        warm_up.go_on(0)
        warm_up.close()


def begin(rival: Rival, path: Path, side: int) -> None:
    """Begin the fit of a crop."""
    torch.manual_seed(0)
    hr = crop(path, side)
    small = fastsr.resize(hr, 1 / FACTOR)
    reset_peak_bytes()
    rival.fit = Fit(rival.work, hr, small[None].float() / 255)


def go_on(rival: Rival, seconds: float) -> None:
    """Let the fit work for so long."""
    assert rival.fit is not None
    rival.fit.go_on(seconds)


def end(rival: Rival) -> dict[str, Any]:
    """End the fit; return its curve, and by how many bytes the process was larger than before all fits."""
    assert rival.fit is not None
    grown = peak_bytes() - rival.idle_bytes
    rival.fit.close()
    return {"curve": rival.fit.curve, "ended": rival.fit.ended, "peak_bytes": grown}


def crop(path: Path, side: int) -> Tensor:
    """Return the middle of a picture, uint8 (3, side, side)."""
    picture = eight_bits(path).expand(3, -1, -1)
    top, left = ((length - side) // 2 for length in picture.shape[-2:])
    return picture[:, top : top + side, left : left + side].contiguous()


def measure(
    data: Path,
    names: tuple[str, ...] = RIVALS,
    pictures: tuple[str, ...] = PICTURES,
    side: int = SIDE,
    budget: float = BUDGET,
    turn: float = SLICE,
) -> dict[str, Any]:
    """Fit crops of Set14 x4 by each rival; return a row for each of them and each picture.

    Args:
        data: the folder that holds Set14.
        names: of `RIVALS`.
        pictures: of Set14.
        side: of the crops.
        budget: seconds of a fit.
        turn: seconds after which it is another rival's turn.
    """
    rows = []
    samples = {sample.name: sample for sample in find_benchmark(data / "Set14", FACTOR).samples}
    with rivals(Rival, names) as (found, failures):
        for picture in pictures:
            for one in found.values():
                one.ask(begin, samples[picture].hr, side)
            for _ in range(max(1, round(budget / turn))):
                for one in found.values():
                    one.ask(go_on, turn)
            rows += [{"picture": picture, "rival": name, **one.ask(end)} for name, one in found.items()]
    bicubic = {picture: _bicubic(samples[picture].hr, side) for picture in pictures}
    return {"rows": rows, "bicubic": bicubic, "side": side, "budget": budget, "failures": failures}


def _bicubic(path: Path, side: int) -> float:
    hr = crop(path, side)
    large = fastsr.resize(fastsr.resize(hr, 1 / FACTOR), FACTOR)
    return float(metrics.psnr(large, hr, shave=SHAVE))  # type: ignore[arg-type]
