"""A recipe: the distributions from which scenes are drawn. All lengths are micrometres, none is a pixel."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wootz.errors import WootzError
from wootz.options import check_choice, check_range
from wootz.synthetic.documents import fingerprint, read_document

RECIPE_SCHEMA = "wootz-recipe/1"


@dataclass(frozen=True)
class ClassRow:
    """One class of the scheme: mask value, name, colour for drawing, role."""

    id: int
    name: str
    colour: str
    role: str


CLASSES = (
    ClassRow(0, "resin", "#3b3f4a", "background"),
    ClassRow(1, "Fe2Al5", "#2a9d8f", "phase"),
    ClassRow(2, "FeAl", "#8ab17d", "phase"),
    ClassRow(3, "steel", "#8d99ae", "phase"),
    ClassRow(4, "pore", "#e63946", "defect"),
    ClassRow(5, "precipitate", "#e9c46a", "phase"),
    ClassRow(6, "crack", "#f3722c", "defect"),
)
CLASS_IDS = {row.name: row.id for row in CLASSES}
STACK = ("resin", "Fe2Al5", "FeAl", "steel")


@dataclass
class Spread:
    """A distribution: uniform on [low, high], or log-uniform."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low <= self.high or (self.log and self.low <= 0):
            raise WootzError(f"Spread({self.low}, {self.high}): low must not exceed high (log: low > 0).")

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        if self.log:
            return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        return float(rng.uniform(self.low, self.high))


def at(value: float) -> Spread:
    """Build the distribution that always gives `value`."""
    return Spread(value, value)


@dataclass
class InterfaceSpec:
    """Roughness of an interface: self-affine part plus tongues that grow downwards."""

    rq_um: Spread = field(default_factory=lambda: Spread(0.2, 0.5))
    correlation_um: Spread = field(default_factory=lambda: Spread(4.0, 8.0))
    hurst: Spread = field(default_factory=lambda: Spread(0.6, 0.9))
    tongue_length_um: Spread = field(default_factory=lambda: at(0.0))
    tongue_pitch_um: Spread = field(default_factory=lambda: Spread(6.0, 10.0))


@dataclass
class LayerSpec:
    """A layer between resin and steel: its mean thickness along the normal and its lower interface."""

    phase: str = "Fe2Al5"
    thickness_um: Spread = field(default_factory=lambda: Spread(14.0, 24.0))
    present_prob: float = 1.0
    bottom: InterfaceSpec = field(default_factory=InterfaceSpec)

    def __post_init__(self) -> None:
        check_choice("layers.phase", self.phase, STACK[1:3])
        check_range("layers.thickness_um.low", self.thickness_um.low, 1e-3)
        check_range("layers.present_prob", self.present_prob, 0, 1)


@dataclass
class GrainSpec:
    """Grains of a phase: size, elongation along the surface normal, channelling contrast, wavy boundaries."""

    phase: str = "steel"
    size_um: Spread = field(default_factory=lambda: Spread(5.0, 9.0))
    aspect: Spread = field(default_factory=lambda: Spread(0.8, 1.3))
    contrast: Spread = field(default_factory=lambda: Spread(0.06, 0.10))
    waviness: Spread = field(default_factory=lambda: Spread(0.13, 0.20))

    def __post_init__(self) -> None:
        check_choice("grains.phase", self.phase, STACK[1:])
        check_range("grains.size_um.low", self.size_um.low, 1e-3)
        check_range("grains.waviness.high", self.waviness.high, 0, 0.3)


@dataclass
class InclusionSpec:
    """A group of pores or precipitates in a host phase.

    ``pattern``: "random" fills `area_frac` of the host; "line" sets them at `depth_um` below the mean
    surface, `pitch_um` apart; "cluster" sets `count` of them within `radius_um` of one point.
    """

    group: str = "pores"
    phase: str = "pore"
    host: str = "Fe2Al5"
    pattern: str = "random"
    diameter_um: Spread = field(default_factory=lambda: Spread(1.0, 3.0, log=True))
    aspect: Spread = field(default_factory=lambda: Spread(1.0, 1.6))
    lobes: float = 0.12
    clearance_um: float = 0.4
    area_frac: Spread = field(default_factory=lambda: Spread(0.02, 0.05))
    depth_um: Spread = field(default_factory=lambda: Spread(5.0, 8.0))
    pitch_um: Spread = field(default_factory=lambda: Spread(2.5, 4.0))
    jitter_um: Spread = field(default_factory=lambda: Spread(0.2, 0.5))
    count: Spread = field(default_factory=lambda: Spread(12, 20))
    radius_um: Spread = field(default_factory=lambda: Spread(4.0, 6.0))
    defect: bool = False

    def __post_init__(self) -> None:
        check_choice("inclusions.phase", self.phase, ("pore", "precipitate"))
        check_choice("inclusions.host", self.host, STACK[1:])
        check_choice("inclusions.pattern", self.pattern, ("random", "line", "cluster"))
        check_range("inclusions.lobes", self.lobes, 0, 0.25)
        check_range("inclusions.clearance_um", self.clearance_um, 0)
        check_range("inclusions.diameter_um.low", self.diameter_um.low, 1e-3)
        check_range("inclusions.aspect.low", self.aspect.low, 1)
        check_range("inclusions.area_frac.high", self.area_frac.high, 0, 0.35)
        check_range("inclusions.pitch_um.low", self.pitch_um.low, 1e-3)


@dataclass
class CrackSpec:
    """Cracks: "across" run from the surface into the coating, "along" follow its lower interface."""

    group: str = "cracks"
    kind: str = "across"
    count: Spread = field(default_factory=lambda: Spread(0, 3))
    length_um: Spread = field(default_factory=lambda: Spread(6.0, 15.0))
    opening_um: Spread = field(default_factory=lambda: Spread(0.25, 0.6))
    defect: bool = False

    def __post_init__(self) -> None:
        check_choice("cracks.kind", self.kind, ("across", "along"))
        check_range("cracks.opening_um.low", self.opening_um.low, 0)
        check_range("cracks.length_um.low", self.length_um.low, 1e-3)


@dataclass
class LookSpec:
    """How a phase looks: grey level in each mode (0 black, 1 white), fine texture, relief after polishing."""

    phase: str
    se_level: Spread
    bse_level: Spread
    texture: Spread = field(default_factory=lambda: Spread(0.01, 0.02))
    texture_um: float = 0.4
    relief_um: Spread = field(default_factory=lambda: at(0.0))

    def __post_init__(self) -> None:
        check_choice("looks.phase", self.phase, CLASS_IDS)
        check_range("looks.texture_um", self.texture_um, 1e-3)


@dataclass
class ImagingSpec:
    """Microscope and detector: one model for both modes."""

    mode: str = "se"
    dose_e_per_px: Spread = field(default_factory=lambda: Spread(120, 350, log=True))
    defocus_um: Spread = field(default_factory=lambda: Spread(0.05, 0.14))
    azimuth_deg: Spread = field(default_factory=lambda: Spread(0, 360))
    edge_gain: Spread = field(default_factory=lambda: Spread(0.15, 0.35))
    shading: Spread = field(default_factory=lambda: Spread(0.0, 0.10))
    charging: Spread = field(default_factory=lambda: Spread(0.0, 0.08))
    line_noise: Spread = field(default_factory=lambda: Spread(0.002, 0.008))
    drift_px: Spread = field(default_factory=lambda: Spread(0.0, 0.3))
    scratches: Spread = field(default_factory=lambda: Spread(0.0, 0.03))
    curtaining: Spread = field(default_factory=lambda: Spread(0.0, 0.015))
    brightness: Spread = field(default_factory=lambda: Spread(-0.05, 0.05))
    contrast: Spread = field(default_factory=lambda: Spread(0.9, 1.1))
    gamma: Spread = field(default_factory=lambda: Spread(0.9, 1.1))

    def __post_init__(self) -> None:
        check_choice("imaging.mode", self.mode, ("se", "bse"))
        check_range("imaging.dose_e_per_px.low", self.dose_e_per_px.low, 1)
        check_range("imaging.drift_px.high", self.drift_px.high, 0, 1)  # more would void the masks
        check_range("imaging.gamma.low", self.gamma.low, 0.1)
        check_range("imaging.contrast.low", self.contrast.low, 0.1)


@dataclass
class Recipe:
    """Everything that a family of fields has in common.

    `surface_frac` is the height of the resin, as a fraction of the field height, on average.
    """

    name: str
    looks: list[LookSpec]
    layers: list[LayerSpec]
    grains: list[GrainSpec]
    inclusions: list[InclusionSpec] = field(default_factory=list)
    cracks: list[CrackSpec] = field(default_factory=list)
    surface: InterfaceSpec = field(default_factory=InterfaceSpec)
    surface_frac: Spread = field(default_factory=lambda: Spread(0.18, 0.30))
    tilt_deg: Spread = field(default_factory=lambda: Spread(-3.0, 3.0))
    imaging: ImagingSpec = field(default_factory=ImagingSpec)
    pixel_um: float = 0.12
    seed: int = 0
    schema: str = RECIPE_SCHEMA

    def __post_init__(self) -> None:
        check_choice("schema", self.schema, (RECIPE_SCHEMA,))
        check_range("pixel_um", self.pixel_um, 1e-6)
        check_range("seed", self.seed, 0)
        check_range("surface_frac", self.surface_frac.low, 0, 1)
        check_range("tilt_deg.low", self.tilt_deg.low, -30)
        check_range("tilt_deg.high", self.tilt_deg.high, -30, 30)
        missing = sorted(set(CLASS_IDS) - {look.phase for look in self.looks})
        if missing:
            raise WootzError(f"recipe {self.name!r} has no look for {', '.join(missing)}; add one to looks.")
        order = [layer.phase for layer in self.layers]
        if not order or order != sorted(set(order), key=STACK.index):
            raise WootzError(f"recipe {self.name!r}: layers must be Fe2Al5, FeAl or both in this order.")

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, 64 hexadecimal digits."""
        return fingerprint(self)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a JSON file; `WootzError` names the file and key that do not fit."""
    return read_document(Recipe, Path(path))
