"""The errors that fastsr raises for input it cannot use, and its warning of input that it was not trained for.

Each names the argument, the value that came and what would be right. The command line turns every
`FastsrError` into one line on stderr and exit status 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class FastsrError(Exception):
    """Base of every error that fastsr raises on purpose."""


class InputError(FastsrError, ValueError):
    """An argument has the right type and a value that cannot be used."""


class InputTypeError(FastsrError, TypeError):
    """An argument has a type that cannot be used."""


class MissingFileError(FastsrError, FileNotFoundError):
    """A path names nothing that can be read."""


class OutputError(FastsrError, OSError):
    """A result cannot be written where it was asked for."""


class NotFiniteError(InputError):
    """A network or a loss gives values that are not finite."""


class DeviceError(FastsrError, RuntimeError):
    """The device asked for is not there."""


class NotEnoughMemoryError(FastsrError, MemoryError):
    """The work is estimated to need more memory than there is."""


class TrainingError(FastsrError, ArithmeticError):
    """Training came to values that are not finite."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C stopped work on a picture; `image` is what it had reached, of the kind that came in."""

    def __init__(self, image: object):
        super().__init__("interrupted")
        self.image = image


@dataclass(frozen=True)
class Doubt:
    """A picture that weights do not know.

    Attributes:
        name: what a message calls it.
        reason: why; what follows upon "is" or "are".
    """

    name: str
    reason: str


class DomainWarning(UserWarning):
    """A picture is of another kind or size than weights were trained for; there is a result all the same.

    Attributes:
        doubts: which pictures, and why.
    """

    def __init__(self, message: str, doubts: Iterable[Doubt] = ()):
        super().__init__(message)
        self.doubts = tuple(doubts)
