"""A run from its settings to its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from accelerate import Accelerator

from .loop import Outcome, run
from .method import Training
from .run_folder import RunFolder
from .settings import Settings
from .start import start

Kind = TypeVar("Kind", bound=Settings)


def train(
    method: Callable[[Kind, Accelerator], Training[Any]], settings: Kind, output: str | Path, *, progress: bool = True
) -> Outcome:
    """Train, or go on with it.

    Args:
        method: makes what is trained; it has checked nothing yet.
        settings: of the training.
        output: the folder of the run, see `run_folder`; one that holds a run of the same settings goes on after its
            last checkpoint.
        progress: show a bar on a terminal, and print validations.

    Raises:
        InputError, MissingFileError: a setting, a picture or a file that cannot be used, or the settings differ from
            those of the run in the folder.
        OutputError: the folder cannot be written in.
        DeviceError: a device that is not there.
        TrainingError: a loss is not finite; the last checkpoint stays as it was.
    """
    settings.check()
    accelerator = start(settings, Path(output))
    folder = RunFolder(Path(output))
    folder.check(settings, folder.state())  # before pictures are decoded and weights are loaded
    outcome = run(method(settings, accelerator), settings, folder, accelerator, progress=progress)
    accelerator.end_training()
    return outcome
