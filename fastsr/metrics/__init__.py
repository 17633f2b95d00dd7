"""How good an image is: PSNR, SSIM and LR consistency against a reference by named protocols, and NIQE without one.

A PSNR without its protocol is not a number: on the same image, protocols differ by more than methods do.

- "rgb8", what networks report: both images rounded to 8-bit RGB, luma Y in floating point;
- "matlab8", what MATLAB code reports: both rounded to 8-bit RGB, Y rounded to 8 bits too;
- "float", what Deep Image Prior reports: nothing is rounded.

Y is BT.601 luma from 16 to 235, Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255 of R, G, B from 0 to 255. A grey
image is its own Y, unscaled, as MATLAB code has it; beside a color image it counts as one of equal R, G, B.
The peak is 255 in every protocol. Alpha is ignored. Tables of networks use channel="y" with shave = factor,
Deep Image Prior channel="y" with shave=4.

`niqe` needs no reference: see docs/niqe.md.
"""

from .niqe_score import niqe
from .reference import lr_consistency, psnr, ssim

__all__ = ["lr_consistency", "niqe", "psnr", "ssim"]
