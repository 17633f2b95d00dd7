"""The discriminator of SRGAN (Ledig et al., arXiv 1609.04802)."""

from __future__ import annotations

from torch import Tensor, nn

WIDTHS = (64, 64, 128, 128, 256, 256, 512, 512)
HIDDEN = 1024
LEAKY_SLOPE = 0.2
SHRINKS = 2 ** (len(WIDTHS) // 2)


class Discriminator(nn.Module):
    """Says by one number how real a picture looks: a logit, positive for real.

    Eight 3x3 convolutions, every second one halving the size, and two dense layers. The first dense layer fixes the
    size of the pictures: there is no pooling.

    Args:
        crop: the side of the square pictures, a multiple of 16. The paper's 96 has 23,563,649 parameters.
        channels: of the pictures.

    Raises:
        ValueError: `crop` is no multiple of 16.
    """

    def __init__(self, crop: int = 96, channels: int = 3):
        super().__init__()
        if crop < SHRINKS or crop % SHRINKS:
            raise ValueError(f"crop={crop!r} is no multiple of {SHRINKS}")
        self.crop = crop
        layers: list[nn.Module] = []
        before = channels
        for index, width in enumerate(WIDTHS):
            layers.append(nn.Conv2d(before, width, 3, stride=1 + index % 2, padding=1, bias=index == 0))
            if index:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.LeakyReLU(LEAKY_SLOPE, inplace=True))
            before = width
        self.convolutions = nn.Sequential(*layers)
        self.judgement = nn.Sequential(
            nn.Linear(before * (crop // SHRINKS) ** 2, HIDDEN),
            nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
            nn.Linear(HIDDEN, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures (N, channels, crop, crop) to logits (N, 1).

        Raises:
            ValueError: the pictures have another size.
        """
        if x.shape[-2:] != (self.crop, self.crop):
            raise ValueError(f"x is {x.shape[-1]}x{x.shape[-2]} pixels; this discriminator judges {self.crop} a side")
        return self.judgement(self.convolutions(x).flatten(1))
