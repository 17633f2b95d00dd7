"""The errors of fastsr for input that it cannot use, and its warning about input unlike the training images.

Each error names the argument, its value and what would be right. The command line prints every `FastsrError` as one
line on stderr and exits with status 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class FastsrError(Exception):
    """Base class of the errors of fastsr.

    Attributes:
        argument: name of the argument that the error is about; None if it is about no argument.
        value: value that was given for it.
        problem: what is wrong with the value.
        advice: what would be right.
    """

    argument: str | None = None
    value: object = None
    problem: str = ""
    advice: str = ""


class InputError(FastsrError, ValueError):
    """An argument has the right type, but a value that cannot be used."""


class InputTypeError(FastsrError, TypeError):
    """An argument has a type that cannot be used."""


class MissingFileError(FastsrError, FileNotFoundError):
    """A file does not exist or cannot be read."""


class OutputError(FastsrError, OSError):
    """A result cannot be written to its path."""


class NotFiniteError(InputError):
    """A network or a loss returns values that are not finite."""


class DeviceError(FastsrError, RuntimeError):
    """The requested device is not available."""


class NotEnoughMemoryError(FastsrError, MemoryError):
    """The estimated memory of the work exceeds the available memory."""


class TrainingError(FastsrError, ArithmeticError):
    """Training reached values that are not finite."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped the work on an image; `image` is the result so far, of the kind of the input."""

    def __init__(self, image: object):
        super().__init__("interrupted")
        self.image = image


@dataclass(frozen=True)
class Doubt:
    """An image outside the domain that weights were trained on.

    Attributes:
        name: name of the image in messages.
        reason: completes the sentence "<name> is ...".
    """

    name: str
    reason: str


class DomainWarning(UserWarning):
    """An image is of another kind or size than the training images of the weights; it still gets a result.

    Attributes:
        doubts: the images, and why.
    """

    def __init__(self, message: str, doubts: Iterable[Doubt] = ()):
        super().__init__(message)
        self.doubts = tuple(doubts)
