"""From a few labels to segmentation and anomaly heads on a wootz encoder."""

from importlib import import_module
from typing import Any

_EXPORTS = {
    "AnomalyConfig": "config",
    "ClassifyConfig": "config",
    "FinetuneConfig": "config",
    "PredictConfig": "config",
    "SegmentConfig": "config",
    "Segmenter": "segmenter",
    "load_segmenter": "segmenter",
    "SegmentResult": "segment",
    "train_segmenter": "segment",
    "confusion_counts": "scores",
    "SegmentScores": "scores",
    "scores_from_counts": "scores",
    "confusion_overlay": "overlay",
    "Detector": "patchcore",
    "fit_detector": "patchcore",
    "load_detector": "patchcore",
    "greedy_coreset": "coreset",
    "train_quick_pick": "quick_pick",
    "finetune_classify": "classify",
    "predict_classes": "classify",
    "load_class_head": "classify_files",
    "save_class_head": "classify_files",
    "FinetuneReport": "finetune_report",
    "finetune": "run_finetune",
    "PredictReport": "run_predict",
    "predict": "run_predict",
}
__all__ = list(_EXPORTS)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import wootz.finetune`` loads no torch."""
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_EXPORTS[name]}"), name)
