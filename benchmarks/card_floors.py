"""What weights that come with fastsr must reach, or are not to be shipped."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.card_scores import Figures


@dataclass(frozen=True)
class Floor:
    """A bound on a figure.

    Attributes:
        data: the pictures.
        measure: a key of `card_scores.MEASURES`.
        least: what the figure is to be at least.
        most: what it is to be at most.
        than: the row whose figure is taken off before; None for none.
    """

    data: str
    measure: str
    least: float | None = None
    most: float | None = None
    than: str | None = None

    def missed(self, figures: Figures, name: str) -> str | None:
        """Return in words that weights do not keep it; None where they do.

        Raises:
            KeyError: there is no such figure.
        """
        value = figures[self.data, name][self.measure]
        if self.than is not None:
            value -= figures[self.data, self.than][self.measure]
        if (self.least is None or value >= self.least) and (self.most is None or value <= self.most):
            return None
        bound = f"at least {self.least}" if self.least is not None else f"at most {self.most}"
        beside = "" if self.than is None else f" more than {self.than}"
        return f"{name} on {self.data}: {self.measure} {value:.4f}{beside}, to be {bound}"


FACES = "val faces x8"
EXACT = 60.0
"""LR-PSNR from which on a result agrees with its input in all but the rounding of its own 8 bits."""
FLOORS: dict[str, tuple[Floor, ...]] = {
    "srresnet-x4": (Floor("Set5 x4", "psnr_y", least=30.9), Floor("Set14 x4", "psnr_y", least=27.7)),
    "srresnet-x2": (Floor("Set5 x2", "psnr_y", least=36.5),),
    "srgan-x4": (
        Floor("Set5 x4", "psnr_y", least=29.4),
        Floor("Set14 x4", "niqe", most=0, than="srresnet-x4"),
        Floor("Set14 x4", "detail", least=0.05, than="srresnet-x4"),
    ),
    "sr3-faces-x8": (
        Floor(FACES, "psnr_y", least=-0.5, than="bicubic"),
        Floor(FACES, "detail", least=0.2, than="bicubic"),
        Floor(FACES, "lr_psnr", least=EXACT),
        Floor(FACES, "shift_lr", most=0.5),
    ),
    "faces-64": (Floor(FACES, "reached", least=90),),
    "faces-128": (Floor(FACES, "reached", least=90),),
}


def missed(figures: Figures, name: str) -> list[str]:
    """Return in words each floor that the weights `name` do not keep."""
    return [words for floor in FLOORS[name] if (words := floor.missed(figures, name)) is not None]
