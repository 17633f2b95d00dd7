"""The type of the functions that return a picture of the kind that came in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, cast, overload

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

P = ParamSpec("P")


class SameKind(Protocol[P]):
    """Returns a tensor for a tensor, an array for an array, a PIL image for a PIL image, and anything for the rest."""

    @overload
    def __call__(self, img: Tensor, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def __call__(self, img: np.ndarray, *args: P.args, **kwargs: P.kwargs) -> np.ndarray: ...
    @overload
    def __call__(self, img: Image.Image, *args: P.args, **kwargs: P.kwargs) -> Image.Image: ...
    @overload
    def __call__(self, img: Any, *args: P.args, **kwargs: P.kwargs) -> Any: ...


def same_kind(function: Callable[Concatenate[Any, P], Any]) -> SameKind[P]:
    """Declare that the result of a function is of the kind of its first argument, `img`; it runs as it is."""
    return cast("SameKind[P]", function)
