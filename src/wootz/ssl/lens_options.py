"""Options of the adversarial lens; no torch here, so that help is instant."""

from dataclasses import dataclass

from wootz.options import check_range, option


@dataclass
class LensConfig:
    """A small network that changes views as little as it can to make the task as hard as it can."""

    weight: float = option(
        0.0, "Strength of the lens against the method's loss; 0: no lens, 1: full strength", unit=">= 0"
    )
    penalty: float = option(
        10.0, "Weight of the mean squared change of the views: small lets the lens change more", unit="> 0"
    )
    width: int = option(8, "Channels of the lens at full resolution", unit=">= 1")
    lr_factor: float = option(3.0, "Learning rate of the lens over that of the method", unit="> 0")

    def __post_init__(self) -> None:
        check_range("lens.weight", self.weight, 0, 100)
        check_range("lens.penalty", self.penalty, 1e-3)
        check_range("lens.width", self.width, 1, 256)
        check_range("lens.lr_factor", self.lr_factor, 1e-3, 1e3)
