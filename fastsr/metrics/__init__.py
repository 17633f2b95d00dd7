"""Metrics: PSNR, SSIM and LR consistency against a reference, by named protocols, and NIQE without a reference.

A PSNR means nothing without its protocol: on the same image, protocols differ by more than methods do.

- "rgb8", used in papers on networks: both images are rounded to 8-bit RGB, luma Y is in floating point;
- "matlab8", used by MATLAB code: both are rounded to 8-bit RGB, and Y to 8 bits too;
- "float", used by Deep Image Prior: nothing is rounded.

Y is BT.601 luma from 16 to 235, Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 of R, G, B from 0 to 255. A grey
image is its own Y, unscaled, as in MATLAB code; compared with a colour image it counts as one with equal R, G, B.
The peak is 255 in every protocol. Alpha is ignored. Tables in papers on networks use channel="y" with shave = factor,
Deep Image Prior channel="y" with shave=4.

See docs/niqe.md for `niqe`.
"""

from .niqe_score import niqe
from .reference import lr_consistency, psnr, ssim

__all__ = ["lr_consistency", "niqe", "psnr", "ssim"]
