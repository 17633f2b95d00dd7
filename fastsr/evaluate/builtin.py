"""The built-in methods: interpolation, Deep Image Prior, SRGAN, SR3 and PULSE.

Networks are imported when a method is checked or run, so that ``fastsr evaluate METHOD --help`` answers at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..dip import dip
from ..dip.options import DipOptions
from ..methods import Method, NoOptions
from ..options import subset
from ..pulse import pulse
from ..pulse.options import PulseOptions
from ..sr3 import sr3
from ..sr3.options import SR3Options
from ..srgan import srgan
from ..srgan.options import SRGANOptions
from ..typing import Kernel

if TYPE_CHECKING:
    import torch

    from ..images import Picture


class Checkpoint(Protocol):
    """A network with its weights; `str` of it names the network."""

    def fingerprint(self) -> str:
        """Return a hex digest of the weights."""


def interpolate(
    filter_name: Kernel, image: Picture, factor: int, options: NoOptions, device: torch.device, kernel: str
) -> Picture:
    """Upscale by MATLAB's imresize with the filter `filter_name`, whatever filter downscaled the image."""
    from ..images.resizing import resize

    return resize(image, factor, kernel=filter_name)


def upscale_by_dip(image: Picture, factor: int, options: Any, device: torch.device, kernel: str) -> Picture:
    """Return the result of `fastsr.dip`, which is given the downscaling filter; the paper's recipe has its own."""
    if options.kernel is None and options.preset != "paper":
        options = replace(options, kernel=kernel)
    return dip(image, factor, **asdict(options), device=device)


def check_dip(factor: int, options: Any, device: torch.device) -> None:
    """Raise what `fastsr.dip` raises for options that cannot be used."""
    from ..dip.arguments import check_options

    check_options(DipOptions(factor=factor, **asdict(options), device=device))


def dip_details(factor: int, options: Any) -> str:
    """Return the recipe."""
    from ..dip.recipes import choose

    return str(choose("upscale", options.preset, factor=factor))


class TrainedMethod:
    """A public function that takes weights, as a `Method` calls it.

    The weights are loaded when options are checked, and kept until other options are checked.

    Args:
        run: the function, such as `fastsr.srgan`; its weights suit one downscaling filter, whichever was used.
        options: dataclass of its arguments but the image.
        check_options: checks an instance of `options`, and returns an object with the `checkpoint`.
    """

    def __init__(self, run: Callable[..., Any], options: type, check_options: Callable[[Any], Any]):
        self._run, self._options, self._check_options = run, options, check_options
        self._checked: tuple[Any, ...] = ()
        """The factor and the options that were checked last, and their checkpoint."""

    def upscale(self, image: Picture, factor: int, options: Any, device: torch.device, kernel: str) -> Picture:
        """Return the result of the function."""
        arguments = {**asdict(options), "weights": self._checkpoint(factor, options, device)}
        return self._run(image, factor, **arguments, device=device, progress=False)

    def check(self, factor: int, options: Any, device: torch.device | None) -> None:
        """Load the weights, and raise what the function raises for options that cannot be used."""
        checked = self._check_options(self._options(factor=factor, **asdict(options), device=device))
        self._checked = (factor, options, checked.checkpoint)

    def details(self, factor: int, options: Any) -> str:
        """Return the network and a digest of its weights, for a path does not tell what the file holds."""
        checkpoint = self._checkpoint(factor, options, None)
        return f"{checkpoint}, weights {checkpoint.fingerprint()}"

    def _checkpoint(self, factor: int, options: Any, device: torch.device | None) -> Checkpoint:
        if self._checked[:2] != (factor, options):
            self.check(factor, options, device)
        checkpoint: Checkpoint = self._checked[2]
        return checkpoint


def _check_options(method: str, options: Any) -> Any:
    return importlib.import_module(f"fastsr.{method}.arguments").check_options(options)


NOT_OF_A_METHOD = ("factor", "device", "samples", "batch")
"""Options of the trained methods that an evaluation has itself, or has no use for."""


def _trained(name: str, summary: str, options: type, run: Callable[..., Any]) -> Method:
    own = subset(options, [each.name for each in fields(options) if each.name not in NOT_OF_A_METHOD])
    method = TrainedMethod(run, options, partial(_check_options, name))
    return Method(name, summary, own, method.upscale, method.check, method.details)


METHODS = {
    method.name: method
    for method in (
        Method("bicubic", "Bicubic interpolation, identical to MATLAB's.", NoOptions, partial(interpolate, "bicubic")),
        Method(
            "lanczos", "Lanczos-3 interpolation, identical to MATLAB's.", NoOptions, partial(interpolate, "lanczos3")
        ),
        Method(
            "dip",
            "Deep Image Prior: a network fitted to each image, without training data.",
            subset(
                DipOptions,
                ("preset", "steps", "seed", "dtype", "kernel"),
                kernel="Filter that downscaled the inputs.  [default: the protocol's; lanczos2 with preset paper]",
            ),
            upscale_by_dip,
            check_dip,
            dip_details,
        ),
        _trained("srgan", "SRGAN, SRResNet, ESRGAN or MSRResNet, with anybody's weights.", SRGANOptions, srgan),
        _trained("sr3", "SR3, a diffusion model.", SR3Options, sr3),
        _trained("pulse", "PULSE, a search for a face in the latent space of a StyleGAN.", PulseOptions, pulse),
    )
}
