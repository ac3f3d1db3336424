"""Options of `wootz pretrain` and `wootz embed`; no torch here, so that help is instant."""

from dataclasses import dataclass, field
from typing import Any

from wootz.augment.config import AugmentConfig
from wootz.encoder_names import ENCODERS, NORMALISATIONS
from wootz.errors import WootzError
from wootz.options import check_choice, check_range, option
from wootz.ssl.lens_options import LensConfig
from wootz.ssl.methods.options import SimCLRConfig
from wootz.ssl.sampling_options import SamplingConfig

OPTIMIZERS = ("adamw", "lars")
PRECISIONS = ("auto", "float32", "bf16")


@dataclass
class PretrainConfig:
    """Options of `wootz pretrain`."""

    method: Any = field(
        default_factory=SimCLRConfig,
        metadata={
            "help": "simclr, byol, moco, mocov3, vicreg, swav, dino, densecl; pirl, cpc, relpatch, gapfill "
            "(convolutional encoders); mae (ViT)"
        },
    )
    encoder: str = option("resnet18", f"Architecture, small for a CPU: {', '.join(ENCODERS)}")
    init: str = option(
        "random",
        "Weights to start from: random, imagenet (downloaded), the id of a run, or a checkpoint file",
    )
    init_normalisation: str = option(
        "imagenet", "What a file with three channels was given: imagenet, half (mean and std .5) or none"
    )
    epochs: int = option(100, "Passes over the tiles")
    max_minutes: float | None = option(
        None, "Budget: the learning rate falls by the clock and training ends on time", unit="min"
    )
    batch_size: int = option(128, "Tiles per step and device")
    accumulate: int = option(
        1, "Batches whose gradients make one step, to save memory; tiles are compared within a batch only"
    )
    optimizer: str = option("adamw", "adamw; lars for batches of 1024 and more")
    lr: float | None = option(
        None, "Largest learning rate; none: 1e-3 (adamw), 0.3 batch / 256 (lars)", unit="> 0"
    )
    weight_decay: float | None = option(None, "None: 1e-4 (adamw), 1e-6 (lars); not on norms and biases")
    warmup_frac: float = option(0.1, "Part of the training in which the learning rate rises", unit="[0, 1)")
    precision: str = option("auto", "auto: bf16 where the hardware is made for it; float32, bf16")
    devices: int = option(1, "GPUs, or processes on a CPU, of each node")
    nodes: int = option(1, "Machines; start the command on each of them, with srun or torchrun")
    requeue: bool = option(
        False, "A SLURM job that is told to stop (SIGTERM, SIGUSR1) saves and goes back in the queue"
    )
    include_uninformative: bool = option(False, "Train on tiles without contrast too")
    downscale: int = option(
        1,
        "Shrink tiles by this whole factor first, as `wootz finetune` does fields: for what is told at a "
        "coarser scale",
    )
    single_image: str = option(
        "", "Id or file name of one large image to train on, by windows at random places; empty: all tiles"
    )
    windows: int = option(4096, "Windows of the single image, in place of tiles; the same in every epoch")
    windows_scale_max: float = option(
        2.0, "Largest window of the single image, shrunk to a tile", unit="sides of a tile, at least 1"
    )
    probe_column: str = option(
        "", "Column of known classes for probes on the way; empty: label or truth_*, where there; none: off"
    )
    seed: int = option(0, "Seed of weights, order and views")
    augment: AugmentConfig = field(
        default_factory=AugmentConfig, metadata={"help": "what may differ between two views of a tile"}
    )
    sampling: SamplingConfig = field(
        default_factory=SamplingConfig, metadata={"help": "which tiles are drawn, and how often"}
    )
    lens: LensConfig = field(
        default_factory=LensConfig, metadata={"help": "an adversary that takes shortcuts out of the views"}
    )

    def __post_init__(self) -> None:
        check_choice("encoder", self.encoder, ENCODERS)
        check_choice("init_normalisation", self.init_normalisation, NORMALISATIONS)
        check_range("epochs", self.epochs, 1)
        if self.max_minutes is not None:
            check_range("max_minutes", self.max_minutes, 0.01)
        check_range("batch_size", self.batch_size, 2)
        check_range("accumulate", self.accumulate, 1)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        for key in ("lr", "weight_decay"):
            value = getattr(self, key)
            if value is not None:
                check_range(key, value, 0)
        check_range("warmup_frac", self.warmup_frac, 0, 0.9)
        check_choice("precision", self.precision, PRECISIONS)
        check_range("devices", self.devices, 1)
        check_range("nodes", self.nodes, 1)
        check_range("downscale", self.downscale, 1)
        if self.downscale > 1 and (self.single_image or self.augment.scale_min_nm is not None):
            raise WootzError(
                "downscale goes with tiles at their own scale; leave out single_image (windows_scale_max "
                "shrinks its windows) and augment.scale_min_nm (which finds the scale itself)."
            )
        check_range("windows", self.windows, 2)
        check_range("windows_scale_max", self.windows_scale_max, 1, 16)
        check_range("seed", self.seed, 0)


@dataclass
class EmbedConfig:
    """Options of `wootz embed`."""

    encoder: str = option(
        "",
        "File, run id, filters (a filter bank, needs no training), or random:small, imagenet:resnet18 ... to "
        "compare with; empty: the newest run",
    )
    name: str = option("", "Name of the embedding; empty: the run's method, filters or random")
    pixel_size_nm: float | None = option(
        None, "Read all tiles at this pixel size; best the coarsest of the images", unit="nm, > 0"
    )
    batch_size: int = option(256, "Tiles per forward pass")
    shard_rows: int = option(16384, "Tiles per stored shard: what a kill loses at most")
    seed: int = option(0, "Seed of random weights")

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, 1)
        check_range("shard_rows", self.shard_rows, self.batch_size)
        if self.pixel_size_nm is not None:
            check_range("pixel_size_nm", self.pixel_size_nm, 1e-6)
        check_range("seed", self.seed, 0)
        if "/" in self.name:
            raise WootzError(f"name={self.name!r} holds a slash; choose a plain word.")
