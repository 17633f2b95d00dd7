"""Networks in files of other projects: who reads them, with what result, how fast and in how much memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor

import fastsr
from fastsr.data.benchmarks import find_benchmark
from fastsr.data.protocols import eight_bits, find_protocol
from fastsr.images import read
from fastsr.srgan.formats import load as load_generator
from fastsr.srgan.relatives import RRDBNet, RRDBNetConfig

from .packages import in_words, load
from .turns import Rival, rivals, take_turns

FACTOR = 4
SIDES = {256: (2, 240.0), 512: (1, 0.0)}
"""Of the pictures, each with the rounds and the seconds of `turns.take_turns`."""
PUBLISHED = "leftthomas-srgan-x4.pth"
OURS = "fastsr, float32"
RIVALS = (OURS, "fastsr, bfloat16", "spandrel, float32", "spandrel, bfloat16")
PROBE = "img_003"
"""Of Set5: the picture whose results are compared."""
BASICSR_KEYS = {"first": "conv_first", "trunk": "body", "fuse": "conv_body", "large": "conv_hr", "last": "conv_last"}

Enlarge = Callable[[Tensor], Tensor]
"""From (1, 3, H, W) in [0, 1] to (1, 3, 4 H, 4 W)."""


class Networks:
    """The way of one rival to load a file and enlarge pictures by it."""

    def __init__(self, rival: str):
        """Import what the rival needs."""
        self._package, precision = rival.split(", ")
        self._dtype = getattr(torch, precision)
        self._files: dict[Path, Enlarge] = {}
        if self._package != "fastsr":
            load(self._package)

    def enlarge(self, path: Path) -> Enlarge:
        """Return what enlarges by the weights in a file, which is loaded once."""
        if path not in self._files:
            self._files[path] = self._fastsr(path) if self._package == "fastsr" else self._spandrel(path)
        return self._files[path]

    def _fastsr(self, path: Path) -> Enlarge:
        weights = load_generator(path)

        def enlarge(pixels: Tensor) -> Tensor:
            result: Tensor = fastsr.srgan(pixels, weights=weights, dtype=self._dtype, progress=False)
            return result

        return enlarge

    def _spandrel(self, path: Path) -> Enlarge:
        loader = load("spandrel").ModelLoader(device="cpu")
        try:
            model = loader.load_from_file(path)
        except UnpicklingError:  # an old file: spandrel allows less in a pickle than torch does
            model = loader.load_from_state_dict(dict(torch.load(path, map_location="cpu", weights_only=True)))
        model.model.eval().to(self._dtype)

        @torch.inference_mode()
        def enlarge(pixels: Tensor) -> Tensor:
            result: Tensor = model(pixels.to(self._dtype))
            return result.float().clamp(0, 1)

        return enlarge


def loads(work: Networks, path: Path) -> str | None:
    """Load a file; return None, or in words why it cannot be loaded."""
    try:
        work.enlarge(path)
    except Exception as error:  # whatever a package raises for a file that it does not know
        return in_words(error)
    return None


def result_of(work: Networks, path: Path, pixels: np.ndarray) -> np.ndarray:
    """Return what a picture (1, 3, H, W) is enlarged to."""
    return work.enlarge(path)(torch.from_numpy(pixels)).numpy()


def set5_psnr(work: Networks, path: Path, folder: Path) -> float:
    """Return the mean PSNR on Y over Set5, by the protocol rgb8."""
    protocol = find_protocol("rgb8")
    scores = []
    for sample in find_benchmark(folder, FACTOR).samples:
        case = protocol.prepare(sample, FACTOR)
        result = eight_bits(work.enlarge(path)(read(case.lr).pixels))
        scores.append(protocol.score(result, case, FACTOR).psnr_y)
    return float(np.mean(scores))


def ready(work: Networks, path: Path, side: int) -> Callable[[], Tensor]:
    """Return the call that enlarges a picture of `side` pixels."""
    enlarge = work.enlarge(path)
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(side))
    return lambda: enlarge(pixels)


def write_rrdbnet(path: Path, config: RRDBNetConfig) -> None:
    """Write an ESRGAN generator of random weights as BasicSR does: by its names, below "params_ema"."""
    torch.manual_seed(0)
    weights = RRDBNet(config).state_dict()
    torch.save({"params_ema": {_basicsr_key(key): value for key, value in weights.items()}}, path)


def _basicsr_key(key: str) -> str:
    module, rest = key.split(".", 1)
    if module == "upsampling":
        number, what = rest.split(".")
        return f"conv_up{int(number) + 1}.{what}"
    return f"{BASICSR_KEYS[module]}.{rest}"


def measure(
    data: Path,
    names: tuple[str, ...] = RIVALS,
    sides: dict[int, tuple[int, float]] | None = None,
    config: RRDBNetConfig | None = None,
) -> dict[str, Any]:
    """Measure the rivals called `names` with two files; return a row for each file, rival and side.

    Args:
        data: the folder that holds Set5 and weights.
        names: of `RIVALS`.
        sides: as `SIDES`, the default.
        config: of the RRDBNet; by default that of ESRGAN.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, rivals(Networks, names) as (found, failures):
        random = Path(folder) / "rrdbnet.pth"
        write_rrdbnet(random, RRDBNetConfig() if config is None else config)
        files = {"SRGAN's generator": data / "weights" / PUBLISHED, "ESRGAN's RRDBNet": random}
        probe = _probe(data / "Set5")
        for file, path in files.items():
            reasons = {name: rival.ask(loads, path) for name, rival in found.items()}
            able = {name: rival for name, rival in found.items() if reasons[name] is None}
            quality = {name: _quality(rival, able, path, probe) for name, rival in able.items()}
            if path != random:
                for name, rival in able.items():
                    quality[name]["set5_psnr_y"] = rival.ask(set5_psnr, path, data / "Set5")
            unread = [(name, reason) for name, reason in reasons.items() if reason is not None]
            rows += [{"file": file, "rival": name, "refused": reason} for name, reason in unread]
            for side, (rounds, seconds) in (SIDES if sides is None else sides).items():
                costs = take_turns(able, ready, path, side, rounds=rounds, seconds=seconds)
                rows += [{"file": file, "rival": name, "side": side, **quality[name], **costs[name]} for name in able]
    return {"rows": rows, "failures": failures}


def _probe(folder: Path) -> np.ndarray:
    (sample,) = (sample for sample in find_benchmark(folder, FACTOR).samples if sample.name == PROBE)
    return read(find_protocol("rgb8").prepare(sample, FACTOR).lr).pixels.numpy()


def _quality(rival: Rival, able: dict[str, Rival], path: Path, probe: np.ndarray) -> dict[str, float]:
    """How far a rival's result is from fastsr's in float32, at most, in levels of 8 bits."""
    ours, theirs = (one.ask(result_of, path, probe) for one in (able[OURS], rival))
    return {"off": 255 * float(np.abs(ours - theirs).max())}
