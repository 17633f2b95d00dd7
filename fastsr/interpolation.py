"""Interpolation as methods to compare with: MATLAB's bicubic and Lanczos kernels."""

from __future__ import annotations

import torch

from .images import Picture
from .methods import Method, NoOptions, register
from .resize import resize


def _interpolate(name: str, kernel: str, summary: str) -> Method:
    def upscale(picture: Picture, factor: int, options: NoOptions, device: torch.device, made_by: str) -> Picture:
        return resize(picture, factor, kernel=kernel)

    return Method(name, summary, NoOptions, upscale)


register(_interpolate("bicubic", "bicubic", "Bicubic interpolation, MATLAB's to the last digit."))
register(_interpolate("lanczos", "lanczos3", "Lanczos-3 interpolation, MATLAB's to the last digit."))
