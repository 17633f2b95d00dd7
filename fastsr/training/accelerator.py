"""Devices, processes, precision and loggers of a training, by `accelerate`."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin
from torch import nn
from torch.optim import Optimizer

from ..checks import input_error, spell
from ..errors import InputError
from ..runtime.device import resolve_device
from ..runtime.memory import freed_memory_kept
from .settings import Settings

MIXED_PRECISION = {"float32": "no", "bfloat16": "bf16", "float16": "fp16"}
"""The name that accelerate has for each precision."""
TIMEOUT = timedelta(hours=24)
"""The time that processes wait for one that validates."""


def start(settings: Settings, output: Path) -> Accelerator:
    """Return an accelerator for the device and precision of the settings, joining the processes of a launcher, if any.

    Args:
        settings: settings of the training.
        output: the run folder, where loggers write.

    Raises:
        InputError: the batch cannot be divided evenly, float16 is used on a CPU, or a logger is not installed.
        DeviceError: the device is not available.
    """
    if settings.logger is not None and find_spec(settings.logger) is None:
        raise InputError(f"{spell('logger', settings.logger)} needs its package: pip install {settings.logger}")
    device = resolve_device(settings.device)
    if device.type == "cpu" and settings.precision == "float16":
        raise input_error("precision", "float16", "needs a GPU", "use float32 or bfloat16")
    AcceleratorState._reset_state(reset_partial_state=True)  # left by an earlier training with other settings
    accelerator = Accelerator(
        cpu=device.type == "cpu",
        mixed_precision=MIXED_PRECISION[settings.precision],
        log_with=settings.logger,
        project_dir=output,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),  # overrides the launcher's setting
        # A discriminator runs twice before its backward pass; its batch norm statistics must not be synchronized then.
        kwargs_handlers=[
            DistributedDataParallelKwargs(broadcast_buffers=False),
            InitProcessGroupKwargs(timeout=TIMEOUT),
        ],
    )
    parts = accelerator.num_processes * settings.accumulate
    if settings.batch % parts:
        processes, accumulate = accelerator.num_processes, spell("accumulate", settings.accumulate)
        problem = f"cannot be shared by {processes} processes with {accumulate}"
        raise input_error("batch", settings.batch, problem, f"give a multiple of {parts}")
    return accelerator


@contextmanager
def fast_arithmetic(device: torch.device) -> Iterator[None]:
    """Use TF32 and cuDNN's fastest convolutions on a GPU; on a CPU, keep freed memory for reuse."""
    with ExitStack() as stack:
        if device.type == "cpu":
            stack.enter_context(freed_memory_kept())
        else:
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("high")  # convolutions use TF32 by default
            stack.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
            torch.backends.cudnn.benchmark = True
        yield


def prepare_distributed(
    accelerator: Accelerator, network: nn.Module, optimizer: Optimizer
) -> tuple[nn.Module, Optimizer]:
    """Return the network and its optimizer for training in several processes and in the precision of the accelerator.

    Gradients are averaged over the processes. All processes start from the weights of the first one.
    """
    with warnings.catch_warnings():
        # Some supported versions of PyTorch do not know the new name of the option.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return accelerator.prepare(network, optimizer)


@contextmanager
def sync_on_last_part(accelerator: Accelerator, network: nn.Module, index: int, count: int) -> Iterator[None]:
    """Exchange gradients between the processes only for the last of `count` parts of a step.

    Args:
        accelerator: accelerator of the training.
        network: a network from `prepare_distributed`; its forward and backward passes for the part run in the block.
        index: number of the part, from 0.
        count: number of parts.
    """
    with nullcontext() if index == count - 1 else accelerator.no_sync(network):
        yield
