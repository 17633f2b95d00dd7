from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from fastsr.pulse.checkpoint import Checkpoint
from fastsr.pulse.formats import save
from fastsr.pulse.gaussian_fit import fit_gaussian
from fastsr.pulse.network import Architecture, StyleGAN


def drawn(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Return weights of these shapes, of a size that lets every one of them matter."""
    random = torch.Generator().manual_seed(1)
    found = {}
    for key, shape in shapes.items():
        found[key] = torch.randn(shape, generator=random)
        if key.startswith(("dense", "mapping", "g_mapping")):
            found[key] *= 100
        elif len(shape) == 1:
            found[key] *= 0.3
    return found


@pytest.fixture
def small() -> Callable[..., Checkpoint]:
    """A function that makes a checkpoint of a tiny network, of which nothing is at its initial value."""

    def make(resolution: int = 16, latent: int = 8, fit: bool = True) -> Checkpoint:
        feature_maps = tuple(10 - level for level in range((resolution // 4).bit_length()))
        network = StyleGAN(Architecture(resolution, latent, mapping_layers=2, feature_maps=feature_maps))
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        network.load_state_dict(drawn(shapes))
        network.eval().requires_grad_(False)
        found = fit_gaussian(network.mapping, latent, draws=1000) if fit else None
        return Checkpoint(network, found, "fastsr", "weights='small'")

    return make


@pytest.fixture
def weights(small: Callable[..., Checkpoint], tmp_path: Path) -> Path:
    """A file of such a network, which makes pictures of 16x16."""
    path = tmp_path / "weights" / "small.safetensors"
    path.parent.mkdir()
    save(small(), path)
    return path


class Published:
    """The files of PULSE and what they compute, stated independently.

    Args:
        channels: at sides of 4, 8, 16 and so on.
        latent: numbers in a row.
        dense: layers of the mapping network.
    """

    def __init__(self, channels: tuple[int, ...] = (6, 5, 4), latent: int = 7, dense: int = 3):
        self.channels, self.latent, self.dense = channels, latent, dense

    def mapping_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the keys of mapping.pt, and the shape of each tensor."""
        found: dict[str, tuple[int, ...]] = {}
        for index in range(self.dense):
            found |= {f"dense{index}.weight": (self.latent, self.latent), f"dense{index}.bias": (self.latent,)}
        return found

    def synthesis_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the keys of synthesis.pt, and the shape of each tensor."""
        found: dict[str, tuple[int, ...]] = {}
        before = 0
        for level, now in enumerate(self.channels):
            block = f"blocks.{4 << level}x{4 << level}"
            if level:
                found |= {f"{block}.conv0_up.weight": (now, before, 3, 3), f"{block}.conv0_up.bias": (now,)}
                found |= {f"{block}.conv0_up.intermediate.kernel": (1, 1, 3, 3)}
                found |= {f"{block}.conv1.weight": (now, now, 3, 3), f"{block}.conv1.bias": (now,)}
            else:
                found |= {f"{block}.const": (1, now, 4, 4), f"{block}.bias": (now,)}
                found |= {f"{block}.conv.weight": (now, now, 3, 3), f"{block}.conv.bias": (now,)}
            for epilogue in (f"{block}.epi1", f"{block}.epi2"):
                found |= {f"{epilogue}.noise.weight": (now,), f"{epilogue}.style_mod.lin.bias": (2 * now,)}
                found |= {f"{epilogue}.style_mod.lin.weight": (2 * now, self.latent)}
            before = now
        return found | {"torgb.weight": (3, before, 1, 1), "torgb.bias": (3,)}

    def weights(self) -> dict[str, Tensor]:
        """Return random ones, of both files, but for the kernels of the blur."""
        found = drawn({**self.mapping_shapes(), **self.synthesis_shapes()})
        blur = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16
        return {key: blur if key.endswith(".kernel") else value for key, value in found.items()}

    @staticmethod
    def single(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return them with the keys of lernapparat's file."""
        return {
            f"g_mapping.{key}" if key.startswith("dense") else f"g_synthesis.{key.replace('.noise', '.top_epi.noise')}":
            value
            for key, value in weights.items()
        }  # fmt: skip

    def write(self, folder: Path, weights: Mapping[str, Tensor]) -> None:
        """Write the two files."""
        folder.mkdir(exist_ok=True)
        dense = {key: value for key, value in weights.items() if key.startswith("dense")}
        torch.save(dense, folder / "mapping.pt")
        torch.save({key: value for key, value in weights.items() if key not in dense}, folder / "synthesis.pt")

    def maps(self, weights: Mapping[str, Tensor], z: Tensor) -> Tensor:
        """Return the latent rows of numbers (N, latent)."""
        x = z / (z.square().mean(1, keepdim=True) + 1e-8).sqrt()
        for index in range(self.dense):
            weight, bias = weights[f"dense{index}.weight"], weights[f"dense{index}.bias"]
            x = F.leaky_relu(F.linear(x, weight * 0.01 * (2 / self.latent) ** 0.5, bias * 0.01), 0.2)
        return x

    def makes(self, weights: Mapping[str, Tensor], latents: Tensor, noises: list[Tensor]) -> Tensor:
        """Return the pictures of latents (N, layers, latent)."""
        place = iter(range(len(noises)))

        def conv(x: Tensor, key: str, *, doubles: bool = False) -> Tensor:
            weight = weights[key] * (2 / weights[key][0].numel()) ** 0.5
            if not doubles:
                return F.conv2d(x, weight, padding=1)
            if 2 * x.shape[-1] < 128:
                return F.conv2d(x.repeat_interleave(2, -1).repeat_interleave(2, -2), weight, padding=1)
            wide = torch.zeros(*weight.shape[:2], 4, 4)
            for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
                wide[:, :, down : down + 3, right : right + 3] += weight
            return F.conv_transpose2d(x, wide.permute(1, 0, 2, 3), stride=2, padding=1)

        def styled(x: Tensor, bias: str, epilogue: str) -> Tensor:
            index = next(place)
            x = x + weights[bias].view(1, -1, 1, 1)
            x = x + noises[index] * weights[f"{epilogue}.noise.weight"].view(1, -1, 1, 1)
            x = F.instance_norm(F.leaky_relu(x, 0.2), eps=1e-5)
            weight, bias_ = (weights[f"{epilogue}.style_mod.lin.{part}"] for part in ("weight", "bias"))
            style = F.linear(latents[:, index], weight * self.latent**-0.5, bias_).view(len(x), 2, -1, 1, 1)
            return x * (style[:, 0] + 1) + style[:, 1]

        x = weights["blocks.4x4.const"].expand(len(latents), -1, -1, -1)
        for level, now in enumerate(self.channels):
            block = f"blocks.{4 << level}x{4 << level}"
            if level:
                x = conv(x, f"{block}.conv0_up.weight", doubles=True)
                blur = weights[f"{block}.conv0_up.intermediate.kernel"].expand(now, 1, 3, 3)
                x = F.conv2d(x, blur, padding=1, groups=now)
            x = styled(x, f"{block}.conv0_up.bias" if level else f"{block}.bias", f"{block}.epi1")
            second = f"{block}.conv1" if level else f"{block}.conv"
            x = styled(conv(x, f"{second}.weight"), f"{second}.bias", f"{block}.epi2")
        weight = weights["torgb.weight"] * self.channels[-1] ** -0.5
        return F.conv2d(x, weight, weights["torgb.bias"])


@pytest.fixture
def published() -> type[Published]:
    """The published implementations, stated independently."""
    return Published
