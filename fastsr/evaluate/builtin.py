"""The built-in methods: interpolation, Deep Image Prior, SRGAN, SR3 and PULSE.

Networks are imported when a method is checked or run, so that ``fastsr evaluate METHOD --help`` answers at once.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..dip import dip
from ..methods import Method, NoOptions
from ..pretrained import DEFAULTS, SRGAN_UP_TO_2
from ..pulse import pulse
from ..pulse.options import LOSS
from ..sr3 import sr3
from ..srgan import srgan

if TYPE_CHECKING:
    import torch

    from ..images import Picture

DTYPE = "float32 or bfloat16.  [default: bfloat16 where the device computes in it]"


class Checkpoint(Protocol):
    """A network with its weights; `str` of it names the network."""

    def fingerprint(self) -> str:
        """Return a hex digest of the weights."""


def interpolate(
    filter_name: str, image: Picture, factor: int, options: NoOptions, device: torch.device, kernel: str
) -> Picture:
    """Upscale by MATLAB's imresize with the filter `filter_name`, whatever filter downscaled the image."""
    from ..images.resizing import resize

    return resize(image, factor, kernel=filter_name)


@dataclass(frozen=True)
class DipOptions:
    """The options of Deep Image Prior in an evaluation."""

    preset: str = field(default="fast", metadata={"help": "fast, or paper for the recipe of the paper."})
    steps: int | None = field(default=None, metadata={"help": "Optimiser steps.  [default: the preset's]"})
    seed: int = field(default=0, metadata={"help": "Random seed."})
    dtype: str | None = field(default=None, metadata={"help": DTYPE})
    kernel: str | None = field(
        default=None,
        metadata={"help": "The filter that made the inputs.  [default: the protocol's; lanczos2 for preset paper]"},
    )


def upscale_by_dip(image: Picture, factor: int, options: DipOptions, device: torch.device, kernel: str) -> Picture:
    """Return the result of `fastsr.dip`, which is given the downscaling filter; the paper's recipe has its own."""
    if options.kernel is None and options.preset != "paper":
        options = replace(options, kernel=kernel)
    return dip(image, factor, **asdict(options), device=device)


def check_dip(factor: int, options: DipOptions, device: torch.device) -> None:
    """Raise what `fastsr.dip` raises for options that cannot be used."""
    from ..dip.arguments import check_options

    check_options(factor, **asdict(options), device=device)


def dip_details(factor: int, options: DipOptions) -> str:
    """Return the recipe."""
    from ..dip.recipes import choose

    return str(choose("upscale", options.preset, factor=factor))


class TrainedMethod:
    """A public function that takes weights, as a `Method` calls it.

    The weights are loaded when options are checked, and kept until other options are checked.

    Args:
        run: the function, such as `fastsr.srgan`; its weights suit one downscaling filter, whichever was used.
        check_options: checks the arguments of `run` but the image, and returns them with the `checkpoint`.
    """

    def __init__(self, run: Callable[..., Any], check_options: Callable[..., Any]):
        self._run, self._check_options = run, check_options
        self._checked: tuple[Any, ...] = ()
        """The factor and the options that were checked last, and their checkpoint."""

    def upscale(self, image: Picture, factor: int, options: Any, device: torch.device, kernel: str) -> Picture:
        """Return the result of the function."""
        arguments = {**asdict(options), "weights": self._checkpoint(factor, options, device)}
        return self._run(image, factor, **arguments, device=device, progress=False)

    def check(self, factor: int, options: Any, device: torch.device | None) -> None:
        """Load the weights, and raise what the function raises for options that cannot be used."""
        checked = self._check_options(factor, **asdict(options), device=device)
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


@dataclass(frozen=True)
class SRGANOptions:
    """The options of SRGAN in an evaluation."""

    weights: str | None = field(
        default=None,
        metadata={
            "help": f"Path, URL or name of a checkpoint.  [default: {DEFAULTS['srgan']}; up to x2 {SRGAN_UP_TO_2}]"
        },
    )
    ensemble: bool = field(default=False, metadata={"help": "Average the results of the 8 flips and rotations."})
    tile: int | None = field(
        default=None,
        metadata={"help": "Largest side of a tile, in pixels of the input.  [default: what fits into memory]"},
    )
    dtype: str | None = field(default=None, metadata={"help": DTYPE})
    consistency: bool = field(default=False, metadata={"help": "Make the result agree with the input."})


@dataclass(frozen=True)
class SR3Options:
    """The options of SR3 in an evaluation."""

    weights: str | None = field(
        default=None, metadata={"help": f"Path, URL or name of a checkpoint.  [default: {DEFAULTS['sr3']}]"}
    )
    steps: int = field(default=20, metadata={"help": "Number of denoising steps; more is slower."})
    sampler: str = field(default="dpm-solver++", metadata={"help": "dpm-solver++, ddim or ddpm."})
    spacing: str | None = field(
        default=None,
        metadata={"help": "log-snr, time or karras.  [default: time for ddpm, log-snr for the others]"},
    )
    seed: int = field(default=0, metadata={"help": "Random seed."})
    consistency: bool = field(default=True, metadata={"help": "Make the result agree with the input."})
    tile: int | None = field(
        default=None,
        metadata={"help": "Largest side of a tile, in pixels of the result.  [default: twice that of the training]"},
    )
    dtype: str | None = field(default=None, metadata={"help": DTYPE})


@dataclass(frozen=True)
class PulseOptions:
    """The options of PULSE in an evaluation."""

    weights: str | None = field(
        default=None,
        metadata={
            "help": f"Path, URL or name of a StyleGAN, or the folder of PULSE's.  [default: {DEFAULTS['pulse']}]"
        },
    )
    steps: int = field(default=100, metadata={"help": "Optimiser steps, at most."})
    eps: float = field(default=2e-3, metadata={"help": "The mean squared error at which a picture is found."})
    seed: int = field(default=0, metadata={"help": "Random seed."})
    restarts: int = field(default=1, metadata={"help": "Searches for each picture, of which the best is kept."})
    optimizer: str = field(default="adam", metadata={"help": "adam, adamw, adamax or sgd."})
    learning_rate: float = field(default=0.4, metadata={"help": "The largest learning rate."})
    schedule: str = field(default="linear1cycledrop", metadata={"help": "linear1cycledrop, linear1cycle or fixed."})
    loss: str = field(default=LOSS, metadata={"help": "A sum of L2, L1 and GEOCROSS with weights."})
    tile_latent: bool = field(default=False, metadata={"help": "Search one latent row for all layers."})
    noise: str = field(default="trainable", metadata={"help": "zero, fixed or trainable."})
    trainable_noise: int = field(default=5, metadata={"help": "How many noise maps are searched, at most."})
    consistency: bool = field(default=False, metadata={"help": "Make the result agree with the input."})
    dtype: str | None = field(default=None, metadata={"help": DTYPE})


def _check_options(method: str, *args: Any, **options: Any) -> Any:
    return importlib.import_module(f"fastsr.{method}.arguments").check_options(*args, **options)


def _trained(name: str, summary: str, options: type, run: Callable[..., Any]) -> Method:
    method = TrainedMethod(run, partial(_check_options, name))
    return Method(name, summary, options, method.upscale, method.check, method.details)


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
            DipOptions,
            upscale_by_dip,
            check_dip,
            dip_details,
        ),
        _trained("srgan", "SRGAN, SRResNet, ESRGAN or MSRResNet, with anybody's weights.", SRGANOptions, srgan),
        _trained("sr3", "SR3, a diffusion model.", SR3Options, sr3),
        _trained("pulse", "PULSE, a search for a face in the latent space of a StyleGAN.", PulseOptions, pulse),
    )
}
