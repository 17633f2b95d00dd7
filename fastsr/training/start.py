"""Where training runs: devices, processes, precision and loggers, by `accelerate`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from ..allocation import freed_memory_kept
from ..device import resolve_device
from ..errors import InputError
from .settings import Settings

MIXED = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
PATIENCE = timedelta(hours=24)
"""How long processes wait for one that validates."""


def start(settings: Settings, output: Path) -> Accelerator:
    """Join the processes that a launcher started, if one did, on the device and in the precision of the settings.

    Raises:
        InputError: the batch cannot be shared evenly, float16 is asked for on a CPU, or a logger is not installed.
        DeviceError: the device is not there.
    """
    if settings.logger is not None and find_spec(settings.logger) is None:
        raise InputError(f"logger={settings.logger!r} needs its package: pip install {settings.logger}")
    device = resolve_device(settings.device)
    if device.type == "cpu" and settings.precision == "float16":
        raise InputError("precision='float16' needs a GPU; use float32 or bfloat16")
    AcceleratorState._reset_state(reset_partial_state=True)  # of an earlier training, with other settings
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=MIXED[settings.precision],
        log_with=settings.logger,
        project_dir=output,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # else a launcher's would count
        # A discriminator is run twice before its gradients are there: its statistics must not be written in between.
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )
    parts = accelerator.num_processes * settings.accumulate
    if settings.batch % parts:
        raise InputError(
            f"batch={settings.batch} cannot be shared by {accelerator.num_processes} processes with "
            f"accumulate={settings.accumulate}; give a multiple of {parts}"
        )
    return accelerator


@contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """On a GPU compute with TF32, and with the convolutions that are the fastest ones; on a CPU keep freed memory."""
    with ExitStack() as stack:
        if device.type == "cpu":
            stack.enter_context(freed_memory_kept())
        else:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high")  # convolutions use TF32 unless they are told not to
            stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
            torch.backends.cudnn.benchmark = True
        yield
