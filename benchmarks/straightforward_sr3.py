"""The U-Net of SR3 as one writes it in plain PyTorch: what the library's steps are timed against."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from fastsr.nn import GroupNorm
from fastsr.sr3.network import Attention, UNet


class Norm(nn.Module):
    """Group norm, and then x sigmoid(x), each a function of its own; what is to be added is added before."""

    def __init__(self, norm: GroupNorm):
        super().__init__()
        self.norm = nn.GroupNorm(norm.num_groups, norm.num_channels, norm.eps)
        self.norm.load_state_dict(norm.state_dict())
        self.swish = norm.swish

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.norm(x if shift is None else x + shift[:, :, None, None])
        return y * torch.sigmoid(y) if self.swish else y


class PlainAttention(nn.Module):
    """Attention by two products and a softmax between them, over the whole matrix."""

    def __init__(self, attention: Attention):
        super().__init__()
        self.norm, self.qkv, self.out = attention.norm, attention.qkv, attention.out

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        q, k, v = self.qkv(self.norm(x)).chunk(3, 1)
        scores = torch.einsum("nchw,ncyx->nhwyx", q, k) / x.shape[1] ** 0.5
        weights = scores.flatten(3).softmax(-1).view_as(scores)
        return x + self.out(torch.einsum("nhwyx,ncyx->nchw", weights, v))


def straightforward(network: UNet) -> UNet:
    """Return a copy of a network that computes the same, by PyTorch's own functions one after the other."""
    plain = copy.deepcopy(network)
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, Attention):
                setattr(parent, name, PlainAttention(child))
    for parent in list(plain.modules()):
        for name, child in parent.named_children():
            if isinstance(child, GroupNorm):
                setattr(parent, name, Norm(child))
    return plain
