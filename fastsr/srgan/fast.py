"""An SRResNet for inference: the same function in fewer and larger steps."""

from __future__ import annotations

from torch import nn

from .network import Doubling, SRResNet, fold_batch_norm


def for_inference(network: SRResNet) -> SRResNet:
    """Return a copy of `network` that computes the same but for rounding, and has no gradients.

    Batch norms are folded. PReLU, which has one slope, works in place. The last convolution, where it pads with zeros,
    is done on the pixels before they are shuffled: its three channels leave most of a vector unit idle, and twelve of
    them, with a kernel of half the side, do not.
    """
    fast = fold_batch_norm(network)
    for parent in list(fast.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.PReLU):
                setattr(parent, name, nn.LeakyReLU(child.weight.item(), inplace=True))
    if network.config.padding == "zeros":
        step = fast.upsampling[-1]
        assert isinstance(step, Doubling)
        fast.last = nn.Sequential(before_shuffle(fast.last), step.shuffle)  # type: ignore[assignment]
        step.shuffle = nn.Identity()  # type: ignore[assignment]
    return fast.requires_grad_(False)


def before_shuffle(convolution: nn.Conv2d) -> nn.Conv2d:
    """Return the convolution C with shuffle(C(x)) = convolution(shuffle(x)), for shuffles of 2x2 pixels.

    Output pixel (2 i + a, 2 j + b) reads input pixels (2 i + a + dy, 2 j + b + dx), which before the shuffle are at
    (i + (a + dy) // 2, j + (b + dx) // 2) in the channel of their parity.

    Args:
        convolution: with an odd square kernel, padded with zeros by half of it.
    """
    outputs, inputs, kernel, _ = convolution.weight.shape
    half = kernel // 2
    small = (half + 1) // 2
    weight = convolution.weight.new_zeros(outputs, 2, 2, inputs, 2, 2, 2 * small + 1, 2 * small + 1)
    for a in range(2):
        for b in range(2):
            for dy in range(-half, half + 1):
                for dx in range(-half, half + 1):
                    (row, u), (column, v) = divmod(a + dy, 2), divmod(b + dx, 2)
                    tap = convolution.weight.detach()[:, :, half + dy, half + dx]
                    weight[:, a, b, :, u, v, small + row, small + column] = tap
    made = nn.Conv2d(4 * inputs, 4 * outputs, 2 * small + 1, padding=small, device="meta")
    made.weight = nn.Parameter(weight.reshape(made.weight.shape))
    assert convolution.bias is not None
    made.bias = nn.Parameter(convolution.bias.detach().repeat_interleave(4))
    return made
