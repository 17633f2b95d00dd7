"""Weights that others have published, by name."""

from __future__ import annotations

from dataclasses import dataclass

_LEFTTHOMAS = "https://raw.githubusercontent.com/leftthomas/SRGAN/master/epochs"
_REAL_ESRGAN = "https://github.com/xinntao/Real-ESRGAN/releases/download"


@dataclass(frozen=True)
class NamedWeights:
    """Weights on the web.

    Attributes:
        address: of the file.
        sha256: of the file.
        what: the network and what it was trained for.
        licence: of the weights, as their authors state it.
    """

    address: str
    sha256: str
    what: str
    licence: str

    @property
    def url(self) -> str:
        """The address with the hash, as `fastsr.checkpoints.sources.locate` takes it."""
        return f"{self.address}#sha256={self.sha256}"


NAMED = {
    "leftthomas-srgan-x4": NamedWeights(
        f"{_LEFTTHOMAS}/netG_epoch_4_100.pth",
        "f4c381640826a48d2440583e4920c6bb4041804f4e285c3c6d585f03961fe87c",
        "SRGAN of 5 blocks, for bicubic pictures",
        "MIT",
    ),
    "realesrgan-x4plus": NamedWeights(
        f"{_REAL_ESRGAN}/v0.1.0/RealESRGAN_x4plus.pth",
        "4fa0d38905f75ac06eb49a7951b426670021be3018265fd191d2125df9d682f1",
        "RRDBNet of 23 blocks, for photos from the web",
        "BSD-3-Clause",
    ),
    "realesrgan-x2plus": NamedWeights(
        f"{_REAL_ESRGAN}/v0.2.1/RealESRGAN_x2plus.pth",
        "49fafd45f8fd7aa8d31ab2a22d14d91b536c34494a5cfe31eb5d89c2fa266abb",
        "the same, x2, for photos from the web",
        "BSD-3-Clause",
    ),
    "realesrgan-anime-x4": NamedWeights(
        f"{_REAL_ESRGAN}/v0.2.2.4/RealESRGAN_x4plus_anime_6B.pth",
        "f872d837d3c90ed2e05227bed711af5671a6fd1c9f7d7e91c911a61f155e99da",
        "RRDBNet of 6 blocks, for drawings",
        "BSD-3-Clause",
    ),
}
