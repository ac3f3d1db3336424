"""Options of ``wootz demo``."""

from dataclasses import dataclass

from wootz.options import check_range, option


@dataclass
class DemoConfig:
    """The whole chain on rendered fields; the defaults take about five minutes on two cores."""

    seed: int = option(0, "seed of the rendered fields, the training and the clustering", unit=">= 0")
    n_fields: int = option(30, "normal fields: labelled, 2 to validate, 12 to test, the rest unlabelled")
    n_defects: int = option(8, "fields with a defect that no other field holds", unit=">= 2")
    n_labelled: int = option(4, "labelled fields that fine-tuning learns from", unit="1 to 8")
    size_px: int = option(384, "height and width of a field", unit="px")
    pretrain_epochs: int = option(12, "epochs of contrastive pretraining")
    finetune_steps: int = option(600, "training steps of the segmentation head")
    small: bool = option(False, "a few steps of everything in about a minute: a smoke test, not a result")

    def __post_init__(self) -> None:
        check_range("seed", self.seed, 0)
        check_range("n_labelled", self.n_labelled, 1, 8)
        check_range("n_fields", self.n_fields, self.n_labelled + 6)
        check_range("n_defects", self.n_defects, 2)
        check_range("size_px", self.size_px, 288, 2048)
        check_range("pretrain_epochs", self.pretrain_epochs, 1)
        check_range("finetune_steps", self.finetune_steps, 1)
