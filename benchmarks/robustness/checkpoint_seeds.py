"""Small checkpoint files of every kind, good and bad, from which the fuzzer makes damaged ones."""

from __future__ import annotations

import io
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import Tensor, nn

from fastsr.pulse import checkpoint as pulse_checkpoint
from fastsr.pulse import formats as pulse_formats
from fastsr.pulse.gaussian_fit import GaussianFit
from fastsr.pulse.network import Architecture, StyleGAN
from fastsr.sr3 import checkpoint as sr3_checkpoint
from fastsr.sr3 import formats as sr3_formats
from fastsr.sr3.network import UNet, UNetConfig
from fastsr.sr3.schedules import Schedule
from fastsr.srgan import checkpoint as srgan_checkpoint
from fastsr.srgan import formats as srgan_formats
from fastsr.srgan.network import SRResNet, SRResNetConfig
from fastsr.srgan.relatives import MSRResNet, MSRResNetConfig, RRDBNet, RRDBNetConfig

WIDTH = 2
MSRRESNET = {"first": "conv_first", "trunk": "body", "upsampling.0": "upconv1", "large": "conv_hr", "last": "conv_last"}
RRDBNET = {**MSRRESNET, "upsampling.0": "conv_up1", "fuse": "conv_body"}


class Code:
    """What runs a command where its pickle is loaded without care; it makes a file that can be looked for."""

    def __init__(self, path: str):
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        """Return what a pickle has for it."""
        return os.mkdir, (self._path,)


def seeds(trap: Path) -> dict[str, bytes]:
    """Return files by name; a file with code in it would make the folder `trap` if that code were run."""
    return dict(_seeds(trap))


def _seeds(trap: Path) -> Iterator[tuple[str, bytes]]:
    torch.manual_seed(0)
    yield from _own()
    plain = MSRResNet(MSRResNetConfig(1, WIDTH, 2)).state_dict()
    basicsr = _renamed(plain, MSRRESNET)
    rrdb = _renamed(RRDBNet(RRDBNetConfig(1, WIDTH, 1, 1)).state_dict(), RRDBNET)
    yield "rrdb.pth", _torch({"params_ema": rrdb, "params": rrdb})
    yield "basicsr.pth", _torch(basicsr)
    yield "half.safetensors", to_safetensors({key: value.half() for key, value in basicsr.items()}, {"format": "pt"})
    yield "legacy.pth", _torch(basicsr, zipped=False)
    yield "bfloat16.pth", _torch({key: value.bfloat16() for key, value in basicsr.items()})
    yield (
        "parallel.pth",
        _torch({"state_dict": {f"module.{key}": nn.Parameter(value) for key, value in basicsr.items()}}),
    )
    yield "nested.pth", _torch({"model": {"generator": {"net": basicsr}}, "epoch": 3, "best": 1.5, "args": {"a": [1]}})
    yield "unknown.pth", _torch({"weight": torch.ones(2)})
    yield "empty.pth", _torch({})
    yield "tensor.pth", _torch(torch.ones(3))

    cycle: dict[str, Any] = {"state_dict": None}
    cycle["state_dict"] = cycle
    yield "cycle.pth", _torch(cycle)
    yield "prefixes.pth", _torch({"module." * 3000 + "weight": torch.ones(2)})
    yield "huge.pth", _torch({**basicsr, "conv_first.weight": torch.ones(1).expand(10**7, 10**7)})
    for name, odd in {
        "meta": torch.empty(3, device="meta"),
        "sparse": torch.eye(3).to_sparse(),
        "quantized": _quantized(),
        "jagged": torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
        "complex": torch.ones(3, dtype=torch.complex64),
        "boolean": torch.ones(3, dtype=torch.bool),
        "nan": torch.full((3,), torch.nan),
        "scalar": torch.tensor(1.0),
        "none": torch.ones(0),
        "float8": torch.ones(3).to(torch.float8_e4m3fn),
    }.items():
        yield f"{name}.pth", _torch({**basicsr, "conv_first.bias": odd})
    yield (
        "keys.pth",
        _torch({1: torch.ones(1), None: torch.ones(1), ("a",): torch.ones(1), torch.ones(1): torch.ones(1)}),
    )

    yield "code.pth", _torch({**basicsr, "extra": Code(str(trap))})
    yield "legacy_code.pth", _torch({**basicsr, "extra": Code(str(trap))}, zipped=False)
    yield "pickle.pth", pickle.dumps(Code(str(trap)), protocol=2)
    yield "network.pth", _torch(nn.Linear(2, 2))
    yield "list.pth", pickle.dumps([1, 2, 3], protocol=2)
    yield "text.pth", b"no checkpoint"
    yield "nothing.pth", b""


def _own() -> Iterator[tuple[str, bytes]]:
    """Yield the files of fastsr's own layout."""
    generators = {
        "srresnet": SRResNet(SRResNetConfig(1, WIDTH, 2, kernels=(3, 3, 3))),
        "msrresnet": MSRResNet(MSRResNetConfig(1, WIDTH, 2)),
        "rrdbnet": RRDBNet(RRDBNetConfig(1, WIDTH, 1, 1)),
    }
    unet = UNet(UNetConfig(WIDTH, (1, 1), 1, (), groups=1))
    stylegan = StyleGAN(Architecture(8, 2, 1, feature_maps=(2, 2)))
    fit = GaussianFit(torch.zeros(2), torch.ones(2))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "own.safetensors")
        for name, generator in generators.items():
            srgan_formats.save(srgan_checkpoint.Checkpoint(generator, "fastsr", "unit", "signed", name), path)
            yield f"{name}.safetensors", path.read_bytes()
        curve = Schedule(steps=10, end=0.9).curve()
        sr3_formats.save(sr3_checkpoint.Checkpoint(unet, curve, "epsilon", 4, 16, "fastsr", "unet"), path)
        yield "unet.safetensors", path.read_bytes()
        pulse_formats.save(pulse_checkpoint.Checkpoint(stylegan, fit, "fastsr", "stylegan"), path)
        yield "stylegan.safetensors", path.read_bytes()


def _renamed(tensors: Mapping[str, Tensor], names: Mapping[str, str]) -> dict[str, Tensor]:
    return {
        next(
            (theirs + key.removeprefix(ours) for ours, theirs in names.items() if key.startswith(f"{ours}.")), key
        ): value
        for key, value in tensors.items()
    }


def _torch(what: Any, *, zipped: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=zipped)
    return file.getvalue()


def _quantized() -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is about to give them up
        return torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)
