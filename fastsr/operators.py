"""Linear maps from a picture to what was observed of it: the identity, a mask, and one map after another.

Beside `fastsr.consistency.Downscale` they are what the tasks of Deep Image Prior are made of. Any differentiable
function of (1, C, H, W) can take their place; `project` is asked for only where a result is to agree with its input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor


@runtime_checkable
class Operator(Protocol):
    """A linear map A that can make a picture agree with what was observed."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return A x: (1, C, H, W) -> (1, C, h, w)."""

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return a picture near to `x` of which A makes `y`."""


@dataclass(frozen=True)
class Identity:
    """The picture itself was observed."""

    def __call__(self, x: Tensor) -> Tensor:
        """Return x."""
        return x

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y."""
        return y


@dataclass(frozen=True, eq=False)
class Mask:
    """Some pixels were observed; the others become 0.

    Attributes:
        known: (1, 1, H, W), 1 where a pixel is known and 0 elsewhere.
    """

    known: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Return x where it is known and 0 elsewhere."""
        return x * self.known

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y where it is known and x elsewhere."""
        return y * self.known + x * (1 - self.known)


@dataclass(frozen=True)
class Compose:
    """`second` of what `first` makes of a picture, such as a mask over the downscaled picture."""

    first: Operator
    second: Operator

    def __call__(self, x: Tensor) -> Tensor:
        """Return second(first(x))."""
        return self.second(self.first(x))

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """Return a picture near to `x` whose `first` is `first(x)` made to agree with `y`."""
        return self.first.project(x, self.second.project(self.first(x), y))
