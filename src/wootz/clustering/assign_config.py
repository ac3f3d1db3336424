"""Options of ``wootz assign``."""

from dataclasses import dataclass

from wootz.errors import WootzError
from wootz.options import check_range, option


@dataclass
class AssignConfig:
    """Give tiles that came later the clusters that are there, or none of these."""

    name: str = option("", "name of the clustering; may be left out where the archive holds only one")
    embedding: str = option("", "embedding of all tiles; by default the one that was clustered")
    n_neighbors: int = option(10, "clustered tiles that vote on a new one", unit=">= 1")
    reject_rate: float = option(
        0.05, "share of tiles of the known clusters that may be called none of these", unit="in (0, 1)"
    )
    calibration_max: int = option(5_000, "clustered tiles that the limits are taken from", unit=">= 100")
    members_max: int = option(500_000, "most clustered tiles that are compared with", unit=">= 1000")
    objects: bool = option(True, "write connected regions anew, with the new images")
    pictures: bool = option(True, "draw a sheet of the new tiles")
    seed: int = option(0, "seed of the draws", unit=">= 0")

    def __post_init__(self) -> None:
        check_range("n_neighbors", self.n_neighbors, 1)
        if not 0 < self.reject_rate < 1:
            raise WootzError(f"reject_rate={self.reject_rate!r} is out of range; it must be in (0, 1).")
        check_range("calibration_max", self.calibration_max, 100)
        check_range("members_max", self.members_max, 1000)
        check_range("seed", self.seed, 0)
