"""What the noise ops do to an element, given its noise."""

from __future__ import annotations

from .backend import jit, tl


@jit
def add_at(z: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, noise: tl.tensor) -> None:
    """z + noise."""
    tl.store(out + offset, tl.load(z + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit
def diffuse_at(
    x: tl.tensor, out: tl.tensor, offset: tl.tensor, mask: tl.tensor, signal: tl.tensor, noise: tl.tensor
) -> None:
    """signal * x + noise."""
    tl.store(out + offset, signal * tl.load(x + offset, mask=mask).to(tl.float32) + noise, mask=mask)


@jit
def load_six(row: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """Return the coefficients of a sample."""
    return (
        tl.load(row),
        tl.load(row + 1),
        tl.load(row + 2),
        tl.load(row + 3),
        tl.load(row + 4),
        tl.load(row + 5),
    )


@jit
def step_at(
    x: tl.tensor,
    prediction: tl.tensor,
    previous: tl.tensor,
    x_next: tl.tensor,
    x0: tl.tensor,
    offset: tl.tensor,
    mask: tl.tensor,
    k0: tl.tensor,
    k1: tl.tensor,
    k2: tl.tensor,
    k3: tl.tensor,
    k4: tl.tensor,
    clip: tl.tensor,
    noise: tl.tensor,
) -> None:
    """x0 = clamp(k0 x + k1 prediction) and the next state, k2 x + k3 x0 + k4 previous + noise."""
    value = tl.load(x + offset, mask=mask).to(tl.float32)
    clean = k0 * value + k1 * tl.load(prediction + offset, mask=mask).to(tl.float32)
    # NaN is neither above nor below, and stays.
    clean = tl.where(clean > clip, clip, tl.where(clean < -clip, -clip, clean))
    following = k2 * value + k3 * clean + noise
    if previous is not None:
        following += k4 * tl.load(previous + offset, mask=mask).to(tl.float32)
    tl.store(x_next + offset, following, mask=mask)
    tl.store(x0 + offset, clean, mask=mask)
