import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fastsr.sr3.checkpoint import Checkpoint
from fastsr.sr3.formats import save
from fastsr.sr3.network import UNet, UNetConfig
from fastsr.sr3.schedules import Schedule


def randomised(network: UNet, gain: float = 1.0) -> UNet:
    """Draw all weights anew, with those of the last convolution, and let every norm and bias matter."""
    random = torch.Generator().manual_seed(1)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=random)
        if parameter.ndim > 1:
            noise /= parameter[0].numel() ** 0.5
            parameter.data = noise * gain if name.startswith("last.") else noise
        else:
            parameter.data = 0.1 * noise + (1 if "norm" in name and name.endswith("weight") else 0)
    return network.eval().requires_grad_(False)


@pytest.fixture
def small() -> Callable[..., Checkpoint]:
    """A function that makes a checkpoint of a tiny network, which by default says pictures about middle grey."""

    def make(
        prediction: str = "x0",
        factor: int | None = 4,
        size: int | None = 16,
        curve: Tensor | None = None,
        gain: float = 0.25,
        **config: object,
    ) -> Checkpoint:
        shape = {"width": 8, "multipliers": (1, 2), "blocks": 1, "attention": (1,), "groups": 4, "dropout": 0.2}
        network = randomised(UNet(UNetConfig(**{**shape, **config})), gain)
        curve = Schedule().curve() if curve is None else curve
        return Checkpoint(network, curve, prediction, factor, size, "fastsr", "weights='small'")

    return make


@pytest.fixture
def weights(small: Callable[..., Checkpoint], tmp_path: Path) -> Path:
    """A file of such a network, which enlarges four times."""
    path = tmp_path / "weights" / "small.safetensors"
    path.parent.mkdir()
    save(small(), path)
    return path


class Published:
    """The best-known implementation: its keys, what its network computes, and its schedule, stated independently.

    A network is named by its first channels, their multiples at each size, the sides with attention, the blocks at
    each size, and the side of its pictures.
    """

    def __init__(
        self, width: int, multiples: tuple[int, ...], sides: tuple[int, ...], blocks: int, side: int, groups: int = 32
    ):
        self.width, self.multiples, self.sides, self.blocks = width, multiples, sides, blocks
        self.side, self.groups = side, groups

    def layers(self) -> list[tuple[str, str, int, int, bool]]:
        """Return name, kind, channels in, channels out, and whether there is attention."""
        now, side, found, kept = self.width, self.side, [("downs.0", "conv", 6, self.width, False)], [self.width]
        for level, multiple in enumerate(self.multiples):
            channels = multiple * self.width
            for _ in range(self.blocks):
                found.append((f"downs.{len(found)}", "block", now, channels, side in self.sides))
                now = channels
                kept.append(now)
            if level + 1 < len(self.multiples):
                found.append((f"downs.{len(found)}", "down", now, now, False))
                kept.append(now)
                side //= 2
        found += [("mid.0", "block", now, now, True), ("mid.1", "block", now, now, False)]
        count = 0
        for level in range(len(self.multiples) - 1, -1, -1):
            channels = self.multiples[level] * self.width
            for _ in range(self.blocks + 1):
                found.append((f"ups.{count}", "block", now + kept.pop(), channels, side in self.sides))
                now, count = channels, count + 1
            if level:
                found.append((f"ups.{count}", "up", now, now, False))
                count, side = count + 1, side * 2
        return found

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of each weight of the network."""
        found: dict[str, tuple[int, ...]] = {}

        def add(name: str, *shape: int, bias: bool = True) -> None:
            found[f"denoise_fn.{name}.weight"] = shape
            if bias:
                found[f"denoise_fn.{name}.bias"] = shape[:1]

        add("noise_level_mlp.1", 4 * self.width, self.width)
        add("noise_level_mlp.3", self.width, 4 * self.width)
        for name, kind, inputs, outputs, attends in self.layers():
            if kind != "block":
                add(name if kind == "conv" else f"{name}.conv", outputs, inputs, 3, 3)
                continue
            add(f"{name}.res_block.noise_func.noise_func.0", outputs, self.width)
            for part, channels in (("block1", inputs), ("block2", outputs)):
                add(f"{name}.res_block.{part}.block.0", channels)
                add(f"{name}.res_block.{part}.block.3", outputs, channels, 3, 3)
            if inputs != outputs:
                add(f"{name}.res_block.res_conv", outputs, inputs, 1, 1)
            if attends:
                add(f"{name}.attn.norm", outputs)
                add(f"{name}.attn.qkv", 3 * outputs, outputs, 1, 1, bias=False)
                add(f"{name}.attn.out", outputs, outputs, 1, 1)
        add("final_conv.block.0", self.width * self.multiples[0])
        add("final_conv.block.3", 3, self.width * self.multiples[0], 3, 3)
        return found

    def weights(self) -> dict[str, Tensor]:
        """Return random ones."""
        random = torch.Generator().manual_seed(2)
        found = {}
        for key, shape in self.shapes().items():
            noise = torch.randn(shape, generator=random)
            found[key] = noise / math.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 1 + 0.1 * noise
        return found

    def says(self, weights: Mapping[str, Tensor], condition: Tensor, noisy: Tensor, level: Tensor) -> Tensor:
        """Return what the network says, layer by layer."""

        def of(name: str) -> tuple[Tensor, Tensor | None]:
            return weights[f"denoise_fn.{name}.weight"], weights.get(f"denoise_fn.{name}.bias")

        def conv(name: str, x: Tensor, stride: int = 1) -> Tensor:
            weight, bias = of(name)
            return F.conv2d(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)

        def part(name: str, x: Tensor) -> Tensor:
            h = F.group_norm(x, self.groups, *of(f"{name}.block.0"))
            return conv(f"{name}.block.3", h * torch.sigmoid(h))

        def attention(name: str, x: Tensor) -> Tensor:
            h = F.group_norm(x, self.groups, *of(f"{name}.norm"))
            q, k, v = conv(f"{name}.qkv", h).chunk(3, 1)
            scores = torch.einsum("nchw,ncyx->nhwyx", q, k) / x.shape[1] ** 0.5
            scores = torch.softmax(scores.flatten(3), -1).view_as(scores)
            return x + conv(f"{name}.out", torch.einsum("nhwyx,ncyx->nchw", scores, v))

        count = self.width // 2
        angles = level[:, None] * torch.tensor([math.exp(-math.log(1e4) * i / count) for i in range(count)])
        told = F.linear(torch.cat([torch.sin(angles), torch.cos(angles)], 1), *of("noise_level_mlp.1"))
        told = F.linear(told * torch.sigmoid(told), *of("noise_level_mlp.3"))
        x, kept = torch.cat([condition, noisy], 1), []
        for name, kind, inputs, outputs, attends in self.layers():
            if kind == "block":
                if name.startswith("ups"):
                    x = torch.cat([x, kept.pop()], 1)
                h = part(f"{name}.res_block.block1", x)
                h = h + F.linear(told, *of(f"{name}.res_block.noise_func.noise_func.0"))[:, :, None, None]
                h = part(f"{name}.res_block.block2", h)
                x = h + (x if inputs == outputs else conv(f"{name}.res_block.res_conv", x))
                x = attention(f"{name}.attn", x) if attends else x
            elif kind == "up":
                x = conv(f"{name}.conv", x.repeat_interleave(2, -1).repeat_interleave(2, -2))
            else:
                x = conv(name, x) if kind == "conv" else conv(f"{name}.conv", x, 2)
            if name.startswith("downs"):
                kept.append(x)
        assert not kept
        return part("final_conv", x)

    @staticmethod
    def key(ours: str) -> str:
        """Return the name there of one of our keys."""
        name = re.sub(r"^downs\.(\d+)", lambda match: f"downs.{int(match[1]) + 1}", ours)
        for pattern, theirs in (
            (r"^level\.first\.", "noise_level_mlp.1."),
            (r"^level\.second\.", "noise_level_mlp.3."),
            (r"^first\.", "downs.0."),
            (r"^norm\.", "final_conv.block.0."),
            (r"^last\.", "final_conv.block.3."),
            (r"\.residual\.level\.", ".res_block.noise_func.noise_func.0."),
            (r"\.residual\.norm(\d)\.", r".res_block.block\1.block.0."),
            (r"\.residual\.conv(\d)\.", r".res_block.block\1.block.3."),
            (r"\.residual\.skip\.", ".res_block.res_conv."),
            (r"\.attention\.", ".attn."),
        ):
            name = re.sub(pattern, theirs, name)
        return f"denoise_fn.{name}"

    @staticmethod
    def buffers(betas: Tensor) -> dict[str, Tensor]:
        """Return what the file has of a schedule, float64."""
        alphas = 1 - betas
        left = torch.cumprod(alphas, 0)
        before = torch.cat([torch.ones(1, dtype=torch.float64), left[:-1]])
        variance = betas * (1 - before) / (1 - left)
        return {
            "betas": betas,
            "alphas_cumprod": left,
            "alphas_cumprod_prev": before,
            "sqrt_alphas_cumprod": left.sqrt(),
            "sqrt_one_minus_alphas_cumprod": (1 - left).sqrt(),
            "log_one_minus_alphas_cumprod": (1 - left).log(),
            "sqrt_recip_alphas_cumprod": (1 / left).sqrt(),
            "sqrt_recipm1_alphas_cumprod": (1 / left - 1).sqrt(),
            "posterior_variance": variance,
            "posterior_log_variance_clipped": variance.clamp(min=1e-20).log(),
            "posterior_mean_coef1": betas * before.sqrt() / (1 - left),
            "posterior_mean_coef2": (1 - before) * alphas.sqrt() / (1 - left),
        }


@pytest.fixture
def published() -> type[Published]:
    """The best-known implementation, stated independently."""
    return Published
