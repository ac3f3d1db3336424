"""A scene: resolved geometry and imaging conditions of one field, in micrometres; JSON, hashed, no pixels.

Row 0 is the top edge of the field, column 0 its left edge; the centre of pixel (r, c) lies at
``((r + 1/2) pixel_um, (c + 1/2) pixel_um)``. Every back end reads the scene alone.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wootz.synthetic.documents import fingerprint, read_document
from wootz.synthetic.geometry.cracks import Crack
from wootz.synthetic.geometry.grains import GrainSet
from wootz.synthetic.geometry.inclusions import Inclusion
from wootz.synthetic.geometry.interfaces import Profile

SCENE_SCHEMA = "wootz-scene/1"
OVERLAP_RULE = (
    "pores, precipitates and cracks never overlap each other; pores and precipitates never leave their host; "
    "cracks lie over the phase that they cross"
)


@dataclass(frozen=True)
class Layer:
    """A phase of the stack, from interface `top` to interface `bottom` ("" is the field edge)."""

    phase: str
    top: str
    bottom: str


@dataclass(frozen=True)
class Look:
    """Grey level, fine texture (amplitude and length) and relief of a phase in this field."""

    phase: str
    se_level: float
    bse_level: float
    texture: float
    texture_um: float
    relief_um: float


@dataclass(frozen=True)
class Imaging:
    """Imaging conditions of this field. Levels and amplitudes are fractions of full scale."""

    mode: str
    dose_e_per_px: float
    defocus_um: float
    azimuth_deg: float
    edge_gain: float
    shading: float
    shading_angle_deg: float
    charging: float
    line_noise: float
    drift_px: float
    scratches: float
    curtaining: float
    brightness: float
    contrast: float
    gamma: float


@dataclass(frozen=True)
class Scene:
    """One field: what is where, what it looks like, how it is imaged."""

    schema: str
    recipe: str
    recipe_hash: str
    index: int
    noise_seed: int
    width_um: float
    height_um: float
    tilt_deg: float
    interfaces: list[Profile]
    stack: list[Layer]
    grains: list[GrainSet]
    inclusions: list[Inclusion]
    cracks: list[Crack]
    looks: list[Look]
    imaging: Imaging
    overlap_rule: str = OVERLAP_RULE

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return fingerprint(self)

    def profile(self, name: str) -> Profile:
        """Find an interface by its name."""
        return next(p for p in self.interfaces if p.name == name)

    def bounds(self, phase: str, col_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last row of a phase of the stack at the given columns, in µm."""
        layer = next(item for item in self.stack if item.phase == phase)
        top = self.profile(layer.top).at(col_um) if layer.top else np.zeros_like(col_um)
        if not layer.bottom:
            return top, np.full_like(col_um, self.height_um)
        return top, self.profile(layer.bottom).at(col_um)

    def look(self, phase: str) -> Look:
        """Find the look of a phase."""
        return next(look for look in self.looks if look.phase == phase)


def read_scene(path: str | Path) -> Scene:
    """Read a scene from a JSON file; `WootzError` names the file and key that do not fit."""
    return read_document(Scene, Path(path))
