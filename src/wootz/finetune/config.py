"""Options of `wootz finetune` and `wootz predict`."""

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option


@dataclass
class SegmentConfig:
    """A U-Net on a wootz encoder: one class for each pixel."""

    name: str = option("segment", "kind of head")
    steps: int = option(600, "training steps; with max_minutes the schedule ends at whichever comes first")
    max_minutes: float | None = option(None, "stop the training after this time", unit="min")
    batch_size: int = option(8, "crops a step")
    crop_px: int = option(256, "side of a crop and of a prediction window, after downscale", unit="px")
    downscale: int = option(1, "shrink fields by this whole factor first, so that a crop sees more context")
    lr: float = option(1e-3, "peak learning rate of AdamW's one-cycle schedule")
    encoder_lr_factor: float | None = option(
        None,
        "learning rate of the encoder over the decoder's; none: 0.1 for a pretrained one with one or two "
        "labelled fields, else 1",
        unit="in [0, 1]",
    )
    weight_decay: float = option(1e-2, "weight decay of AdamW")
    average_decay: float = option(0.98, "decay of the running mean of the weights that predicts; 0 = none")
    class_weights: str = option("auto", "auto: fourth root of the inverse frequency; none: all classes alike")
    rotation_deg: float = option(15.0, "largest random rotation of a crop", unit="deg")
    zoom: float = option(1.6, "largest random zoom in or out of a crop", unit="factor")
    flip_rows: bool = option(True, "also learn fields upside down; switch off where up has a meaning")
    elastic: float = option(0.0, "size of smooth random shifts over the crop's side", unit="in [0, 0.2]")
    plain_prob: float = option(
        0.0, "chance that a crop is only flipped: pixels as recorded, not resampled", unit="in [0, 1]"
    )
    intensity: float = option(
        1.0, "strength of random grey curves, shading, blur and noise", unit="in [0, 2]"
    )
    inversion: float = option(0.0, "chance that a crop's greys are inverted", unit="in [0, 1]")
    validate_every: int = option(50, "steps of an epoch, after which val is looked at")
    channels_last: bool = option(True, "memory layout that suits convolutions on CPUs and tensor cores")

    def __post_init__(self) -> None:
        """Check ranges."""
        check_choice("task.class_weights", self.class_weights, ("auto", "none"))
        for key in ("steps", "batch_size", "downscale", "validate_every"):
            check_range(f"task.{key}", getattr(self, key), 1)
        check_range("task.crop_px", self.crop_px, 32)
        check_range("task.lr", self.lr, 1e-8, 1.0)
        check_range("task.zoom", self.zoom, 1.0, 4.0)
        check_range("task.rotation_deg", self.rotation_deg, 0.0, 180.0)
        check_range("task.intensity", self.intensity, 0.0, 2.0)
        check_range("task.elastic", self.elastic, 0.0, 0.2)
        check_range("task.weight_decay", self.weight_decay, 0.0, 1.0)
        check_range("task.average_decay", self.average_decay, 0.0, 0.9999)
        for key in ("inversion", "plain_prob"):
            check_range(f"task.{key}", getattr(self, key), 0.0, 1.0)
        if self.encoder_lr_factor is not None:
            check_range("task.encoder_lr_factor", self.encoder_lr_factor, 0.0, 1.0)
        if self.max_minutes is not None:
            check_range("task.max_minutes", self.max_minutes, 0.0)


@dataclass
class AnomalyConfig:
    """PatchCore: how far each patch is from the patches of normal fields."""

    name: str = option("anomaly", "kind of head")
    downscale: int = option(1, "shrink fields by this whole factor first")
    layers: list[int] = option([2, 3], "maps of the encoder: 1, 2, 3, 4 for strides 4, 8, 16, 32")
    coreset: int = option(2000, "patches kept in memory")
    max_patches: int = option(100_000, "patches drawn from the normal fields before the coreset")
    neighbours: int = option(3, "nearest patches whose mean distance is the score")
    false_alarm_frac: float = option(0.05, "share of normal fields that may be called so", unit="in (0, 1)")
    smoothing_px: float = option(4.0, "Gaussian smoothing of the heat map, after downscale", unit="px")

    def __post_init__(self) -> None:
        """Check ranges."""
        for key in ("downscale", "coreset", "max_patches", "neighbours"):
            check_range(f"task.{key}", getattr(self, key), 1)
        for layer in self.layers:
            check_range("task.layers", layer, 0, 4)
        check_range("task.false_alarm_frac", self.false_alarm_frac, 1e-4, 0.5)
        check_range("task.smoothing_px", self.smoothing_px, 0.0)


@dataclass
class ClassifyConfig:
    """A linear head on an embedding: one class for each tile, learned from named tiles."""

    name: str = option("classify", "kind of head")
    embedding: str = option("", "embedding to learn on; may be left out where the archive holds only one")
    expert: str = option("", "learn from what this person named in the explorer (column label_<person>)")
    labels: str = option("", "learn from this tile column instead, such as label_consensus or truth")
    column: str = option(
        "", "name of the result: columns class_<name>, confidence_<name>; by default the embedding's name"
    )
    balanced: bool = option(True, "weigh classes alike, however many tiles of each are named")
    together: str = option(
        "image", "what stays on one side in cross-validation: image or specimen", unit="image or specimen"
    )
    max_tiles: int = option(20_000, "named tiles to learn from; above it the largest classes are thinned")

    def __post_init__(self) -> None:
        """Check ranges."""
        check_choice("task.together", self.together, ("image", "specimen"))
        check_range("task.max_tiles", self.max_tiles, 10)
        if self.expert and self.labels:
            raise WootzError("give task.expert or task.labels, not both.")


@dataclass
class FinetuneConfig:
    """Train a head on labelled (segment) or normal (anomaly) fields, or named tiles, of an archive."""

    task: Any = dataclass_field(
        default_factory=SegmentConfig, metadata={"help": "segment, anomaly or classify"}
    )
    encoder: str = option(
        "random:resnet18",
        "encoder.pt, the id of a pretrain run, random:small (or another architecture), imagenet:resnet18, or "
        "resnet18:FILE for weights of torchvision or timm",
    )
    scheme: str = option("", "scheme of the masks; empty: the only one of the archive")
    images: list[str] = option([], "image ids to train on; empty: split train, or all without splits")
    n_labels: int | None = option(None, "use only this many training fields, drawn with the seed")
    use_val: bool = option(
        True, "labelled fields of split val choose the step of a segmentation; no: the last"
    )
    seed: int = option(0, "seed of weights, crops and augmentation")
    precision: str = option("auto", "auto, bf16 (fast on new hardware) or float32 (exact)")
    device: str = option("auto", "auto, cpu or cuda")

    def __post_init__(self) -> None:
        """Check ranges."""
        check_choice("precision", self.precision, ("auto", "bf16", "float32"))
        check_choice("device", self.device, ("auto", "cpu", "cuda"))
        if self.n_labels is not None:
            check_range("n_labels", self.n_labels, 1)


@dataclass
class PredictConfig:
    """Apply a head to fields of an archive."""

    head: str = option("", "head.pt or the id of a finetune run; empty: the latest finetune run")
    images: list[str] = option([], "image ids; empty: all fields")
    flips: bool = option(True, "average over the flips that the head was trained with")
    overlap: float = option(0.5, "overlap of neighbouring windows", unit="in [0, 0.9]")
    overlays: int = option(24, "draw this many overlay PNGs into the run's folder")
    device: str = option("auto", "auto, cpu or cuda")

    def __post_init__(self) -> None:
        """Check ranges."""
        check_range("overlap", self.overlap, 0.0, 0.9)
        check_range("overlays", self.overlays, 0)
        check_choice("device", self.device, ("auto", "cpu", "cuda"))
