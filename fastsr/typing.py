"""Types of the public functions: what an image may be, the names they take, and what they return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Protocol, TypeAlias, TypeVar, cast, overload

if TYPE_CHECKING:
    import os

    import numpy as np
    from PIL import Image
    from torch import Tensor

    from .images import Picture

P = ParamSpec("P")
Kind = TypeVar("Kind", "Tensor", "np.ndarray[Any, Any]", "Image.Image", "Picture")
"""A kind of image that comes back as it came."""

ImageInput: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor | Picture"
"""One image, or a batch: a path, PIL image, NumPy array, torch tensor, or `fastsr.images.Picture`."""
ImagesInput: TypeAlias = "ImageInput | Sequence[Any] | Iterator[ImageInput]"
"""One image, a batch, a sequence of images or of such sequences, or an iterator of images."""

Kernel = Literal["bicubic", "lanczos2", "lanczos3", "linear", "box"]
Border = Literal["symmetric", "replicate", "reflect"]
DTypeName = Literal["float32", "bfloat16"]


class SameKind(Protocol[P]):
    """Returns an image of the kind of `img`, and a list for a sequence.

    A path gives a PIL image, or a NumPy array where PIL has no mode for it (16-bit colour): hence `Image | Any`.
    """

    @overload
    def __call__(self, img: Kind, *args: P.args, **kwargs: P.kwargs) -> Kind: ...
    @overload
    def __call__(self, img: str | os.PathLike[str], *args: P.args, **kwargs: P.kwargs) -> Image.Image | Any: ...
    @overload
    def __call__(self, img: Sequence[Any], *args: P.args, **kwargs: P.kwargs) -> list[Any]: ...


def same_kind(function: Callable[Concatenate[Any, P], Any]) -> SameKind[P]:
    """Declare that the result of a function is of the kind of its first argument, `img`; it runs as it is."""
    return cast("SameKind[P]", function)


class SameKindOrIterator(Protocol[P]):
    """Returns an iterator for an iterator; else what `SameKind` returns."""

    @overload
    def __call__(self, img: Kind, *args: P.args, **kwargs: P.kwargs) -> Kind: ...
    @overload
    def __call__(self, img: str | os.PathLike[str], *args: P.args, **kwargs: P.kwargs) -> Image.Image | Any: ...
    @overload
    def __call__(self, img: Sequence[Any], *args: P.args, **kwargs: P.kwargs) -> list[Any]: ...
    @overload
    def __call__(self, img: Iterator[ImageInput], *args: P.args, **kwargs: P.kwargs) -> Iterator[Any]: ...


def same_kind_or_iterator(function: Callable[Concatenate[Any, P], Any]) -> SameKindOrIterator[P]:
    """Declare what `same_kind` declares of a function that also takes iterators."""
    return cast("SameKindOrIterator[P]", function)


class Score(Protocol[P]):
    """Returns a number for one image, and a list of numbers for a sequence.

    An array or a tensor may be one image or a batch.
    """

    @overload
    def __call__(
        self, a: str | os.PathLike[str] | Image.Image, b: ImageInput, *args: P.args, **kwargs: P.kwargs
    ) -> float: ...
    @overload
    def __call__(
        self, a: np.ndarray[Any, Any] | Tensor | Picture, b: ImageInput, *args: P.args, **kwargs: P.kwargs
    ) -> float | list[float]: ...
    @overload
    def __call__(
        self, a: Sequence[Any], b: Sequence[Any] | ImageInput, *args: P.args, **kwargs: P.kwargs
    ) -> list[float]: ...


def score(function: Callable[Concatenate[Any, Any, P], float | list[float]]) -> Score[P]:
    """Declare that a function scores its first argument, `a`, against its second, `b`; it runs as it is."""
    return cast("Score[P]", function)
