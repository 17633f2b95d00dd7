"""Batches for `diffuse` and `reverse_step`, and the noise that both draw for them."""

import torch

from fastsr_kernels import noise_kernels
from fastsr_kernels.philox import philox_normals

SEEDS = torch.tensor([3, -(2**40) - 1, 2**63 - 1])
STEP = 2**33 + 4


def layouts():
    """Batches of three."""
    x = torch.linspace(-1, 1, 3 * 3 * 5 * 7)
    even = torch.linspace(-1, 1, 3 * 6 * 4 * 18)
    return {
        "contiguous": x.view(3, 3, 5, 7),
        "channels_last": x.view(3, 5, 7, 3).permute(0, 3, 1, 2),
        "channels_last, sides even": even.view(3, 4, 18, 6).permute(0, 3, 1, 2),
        "one channel": x[:105].view(3, 1, 5, 7),
        "one pixel": x[:9].view(3, 3, 1, 1),
        "part of a larger one": even.view(3, 6, 4, 18)[:, 1:4, ::2, 5:-2],
        "transposed": x.view(105, 3).t(),
        "samples expanded": x[:35].view(1, 5, 7).expand(3, 5, 7),
        "numbers": x[:3],
        "volumes": x.view(3, 1, 3, 5, 7),
    }


KERNEL_LAYOUTS = {
    **layouts(),
    "two programs": torch.linspace(-1, 1, 3 * (noise_kernels.BLOCK + 5)).view(3, -1),
    "channels_last, two programs": torch.linspace(-1, 1, 9 * 33 * 17).view(3, 33, 17, 3).permute(0, 3, 1, 2),
    "channels_last, more channels than a block": torch.ones(3, 2, 3, 130).permute(0, 3, 1, 2),
}


def normals(x, step=STEP, seeds=SEEDS):
    """n for a batch like `x`, in float64: sample by sample."""
    alone = [philox_normals(x[0].numel(), seed, torch.tensor(step), torch.float64) for seed in seeds[: len(x)]]
    return torch.stack(alone).view(x.shape)


def each(values, x):
    return values.double().view(-1, *(1,) * (x.dim() - 1))


def strides_of_results(x, name):
    memory_format = torch.channels_last if "channels_last" in name else torch.contiguous_format
    return torch.empty(x.shape, memory_format=memory_format).stride()


def check_sums(out, expected, scale, size):
    """Compare with float64; `scale` is what each sample's noise was multiplied by, `size` bounds the summands."""
    error = (out.double().cpu() - expected).abs()
    rounding = torch.finfo(out.dtype).eps * (size + expected.abs())
    scale = each(scale.abs(), expected)
    # Where the radius is near 0, a logarithm that is right to 2^-22 leaves it right to 6e-4.
    assert (error <= 1e-3 * scale + rounding).all()
    assert (error - rounding).sum() <= (2e-6 * scale).expand(error.shape).sum()
