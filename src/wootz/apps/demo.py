"""``wootz demo``: the whole chain on rendered coating cross-sections, each figure against exact truth."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import wootz
from wootz import storage
from wootz.apps import chain
from wootz.apps.demo_config import DemoConfig
from wootz.apps.demo_truth import LAYER, compare_with_truth, image_ids
from wootz.apps.grey_baseline import grey_baseline
from wootz.apps.steps import Steps
from wootz.progress import say

RECIPE = "coating-demo"
DEFECT_RECIPE = "coating-demo-defect"
SOLID = ["Fe2Al5", "steel", "pore", "precipitate"]
ENCODER = "small"
TILE_PX = 128
STRIDE_PX = 64


@dataclass(frozen=True)
class DemoReport:
    """What the demo made."""

    folder: Path
    results: dict[str, Any]

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        r = self.results
        s, m = r["segmentation"], r["measurement"]
        return "\n".join(
            [
                f"segmentation   mean IoU {s['mean_iou']:.3f} on {s['n_test']} held-out fields",
                f"               (grey levels alone: {s['grey_baseline_mean_iou']:.3f})",
                f"thickness      {100 * m['thickness_rel_error']:.1f} % mean error against exact truth",
                f"porosity       {100 * m['porosity_abs_error']:.2f} percentage points mean error",
                f"anomaly        image AUROC {r['anomaly']['image_auroc']:.3f}",
                f"clustering     {r['clustering']['n_clusters']} clusters",
                f"               (NMI with the true phases: {r['clustering']['nmi']:.2f})",
                f"pretraining    RankMe {r['pretrain']['rankme']:.1f}",
                f"time           {r['seconds']['total']:.0f} s",
                f"report         {self.folder / 'report.html'}",
                f"numbers        {self.folder / 'results.json'}",
            ]
        )


def demo_command(paths: Sequence[str], cfg: DemoConfig) -> DemoReport:
    """Run the demo in the folder named on the command line, ``wootz-demo`` by default."""
    return demo(Path(paths[0]) if paths else Path("wootz-demo"), cfg)


def demo(folder: Path, cfg: DemoConfig) -> DemoReport:
    """Run the whole chain in `folder`; an interrupted demo goes on where it stopped.

    Parameters
    ----------
    folder : Path
        Receives ``fields/`` and ``defects/`` (images, masks, truth), ``archive/``, ``report.html`` and
        ``results.json`` (its keys are documented in docs/results-json.md).
    cfg : DemoConfig

    Returns
    -------
    DemoReport

    Raises
    ------
    WootzError
        If the folder holds a demo that was begun with other settings.
    """
    start = time.monotonic()
    if cfg.small:
        cfg = _shrink(cfg)
    steps = Steps(folder / "steps", asdict(cfg) | {"version": wootz.__version__})
    rendered = steps.do("render", "Rendering fields with exact truth", lambda: _render(folder, cfg))
    steps.do("ingest", "Ingesting them into an archive", lambda: _ingest(folder, cfg))
    archive = wootz.open(folder / "archive")
    pretrained = steps.do("pretrain", "Pretraining without labels", lambda: _pretrain(archive, cfg))
    encoder = pretrained["encoder"]
    clustered = steps.do("cluster", "Embedding and clustering tiles", lambda: _cluster(archive, encoder, cfg))
    segmented = steps.do(
        "segment", f"Fine-tuning on {cfg.n_labelled} labelled fields", lambda: _segment(archive, encoder, cfg)
    )
    grey = steps.do("grey", "Trying grey levels alone", lambda: _grey_baseline(archive))
    anomaly = steps.do(
        "anomaly", "Looking for an unseen defect", lambda: _anomaly(archive, segmented["head"], cfg)
    )
    measured = steps.do("measure", "Measuring against exact truth", lambda: _measure(archive, folder))
    results = {
        "wootz": wootz.__version__,
        "seed": cfg.seed,
        "small": cfg.small,
        "recipe": rendered,
        "pretrain": pretrained,
        "clustering": clustered,
        "segmentation": segmented | grey,
        "anomaly": anomaly,
        "measurement": measured,
    }
    say("Writing the report ...")
    _write_report(archive, folder, results)
    results["seconds"] = steps.seconds | {"total": _total_seconds(steps, start)}
    storage.write_json(folder / "results.json", results)
    return DemoReport(folder, results)


def _shrink(cfg: DemoConfig) -> DemoConfig:
    return DemoConfig(
        seed=cfg.seed,
        n_fields=10,
        n_defects=3,
        n_labelled=2,
        size_px=288,
        pretrain_epochs=1,
        finetune_steps=20,
        small=True,
    )


def _total_seconds(steps: Steps, start: float) -> float:
    """Time of this process, or of all steps where some were done by an earlier one."""
    return round(max(time.monotonic() - start, sum(steps.seconds.values())), 1)


def _render(folder: Path, cfg: DemoConfig) -> dict[str, Any]:
    from wootz.synthetic import RenderConfig, build_recipe, render

    options = RenderConfig(n=cfg.n_fields, seed=cfg.seed, recipe=RECIPE, size_px=cfg.size_px)
    render(folder / "fields", options)
    defects = replace(options, n=cfg.n_defects, recipe=DEFECT_RECIPE, prefix="defect")
    render(folder / "defects", defects)
    return {
        "name": RECIPE,
        "hash": build_recipe(RECIPE).hash,
        "defect_hash": build_recipe(DEFECT_RECIPE).hash,
        "n_fields": cfg.n_fields,
        "n_defects": cfg.n_defects,
    }


def _ingest(folder: Path, cfg: DemoConfig) -> dict[str, Any]:
    from wootz.ingest import IngestConfig, ingest

    table = _split_table(folder / "fields" / "images", cfg)
    table.to_csv(folder / "fields" / "fields.csv", index=False)
    archive = folder / "archive"
    ingest(
        archive,
        [folder / "fields"],
        IngestConfig(
            set="fields",
            metadata=str(folder / "fields" / "fields.csv"),
            scheme="coating",
            tile_px=TILE_PX,
            stride_px=STRIDE_PX,
        ),
    )
    ingest(
        archive,
        [folder / "defects"],
        IngestConfig(set="defects", scheme="coating", tile_px=TILE_PX, stride_px=STRIDE_PX),
    )
    opened = wootz.open(archive)
    return {"n_images": len(opened.images), "n_tiles": len(opened.tile_table)}


def _split_table(images: Path, cfg: DemoConfig) -> pd.DataFrame:
    """Fix the splits by order: labelled, validation, test; the rest is pretrained on without labels."""
    names = sorted(path.name for path in images.glob("*.tif"))
    n_test = min(12, cfg.n_fields - cfg.n_labelled - 2)
    splits = ["train"] * cfg.n_labelled + ["val"] * 2 + ["test"] * n_test
    splits += [""] * (len(names) - len(splits))
    return pd.DataFrame(
        {"file": names, "specimen": [f"coupon {i:02d}" for i in range(len(names))], "split": splits}
    )


def _pretrain(archive: Any, cfg: DemoConfig) -> dict[str, Any]:
    from wootz.ssl import PretrainConfig

    tiles = archive.tiles(images=image_ids(archive, of="fields"))
    options = PretrainConfig(encoder=ENCODER, epochs=cfg.pretrain_epochs, seed=cfg.seed)
    if cfg.small:
        options.batch_size = 32
    result = chain.pretrain(archive, options, tiles=tiles)
    return {
        "encoder": str(result.checkpoint),
        "method": options.method.name,
        "rankme": float(result.rankme),
        "n_tiles": len(tiles),
    }


def _cluster(archive: Any, encoder: str, cfg: DemoConfig) -> dict[str, Any]:
    from wootz.clustering import ClusterConfig, KMeansConfig
    from wootz.ssl import EmbedConfig

    chain.embed(archive, EmbedConfig(encoder=encoder, name="simclr"))
    options = ClusterConfig(
        embedding="simclr", truth_scheme="coating", seed=cfg.seed, method=KMeansConfig(n_clusters_max=12)
    )
    report = chain.cluster(archive, options, tiles=archive.tiles(images=image_ids(archive, of="fields")))
    found = report.agreement
    return {
        "n_clusters": report.n_clusters,
        "silhouette": report.silhouette,
        "accuracy": found.accuracy,
        "purity": found.purity,
        "nmi": found.nmi,
        "ari": found.ari,
    }


def _segment(archive: Any, encoder: str, cfg: DemoConfig) -> dict[str, Any]:
    from wootz.finetune import FinetuneConfig, PredictConfig, SegmentConfig

    task = SegmentConfig(
        steps=cfg.finetune_steps,
        crop_px=192,
        intensity=0.25,  # held-out fields come from the same instrument at the same magnification
        zoom=1.2,
        plain_prob=0.5,
        validate_every=100,
    )
    options = FinetuneConfig(task=task, encoder=encoder, scheme="coating", seed=cfg.seed)
    head = chain.finetune(archive, options)
    test = image_ids(archive, of="fields", split="test")
    predicted = chain.predict(archive, PredictConfig(head=str(head.checkpoint), images=test))
    scores = predicted.scores["test"]
    present = np.isfinite(scores.recall)  # classes that the held-out masks hold
    return {
        "head": str(head.checkpoint),
        "mean_iou": float(scores.iou[present].mean()),
        "pixel_accuracy": scores.pixel_accuracy,
        "iou": {scores.class_names[i]: float(scores.iou[i]) for i in np.flatnonzero(present)},
        "n_train": cfg.n_labelled,
        "n_test": len(test),
    }


def _grey_baseline(archive: Any) -> dict[str, Any]:
    ids = image_ids(archive, of="fields", split="test")
    masks = [archive.mask(i, scheme="coating") for i in ids]
    return {"grey_baseline_mean_iou": grey_baseline([archive.field(i) for i in ids], masks)}


def _anomaly(archive: Any, head_path: str, cfg: DemoConfig) -> dict[str, Any]:
    from sklearn.metrics import roc_auc_score

    from wootz.finetune import AnomalyConfig, FinetuneConfig, PredictConfig

    test, defects = image_ids(archive, of="fields", split="test"), image_ids(archive, of="defects")
    normal = [i for i in image_ids(archive, of="fields") if i not in set(test)]
    options = FinetuneConfig(
        task=AnomalyConfig(layers=[1, 2]), encoder=head_path, images=normal, seed=cfg.seed
    )
    head = chain.finetune(archive, options)
    report = chain.predict(archive, PredictConfig(head=str(head.checkpoint), images=[*test, *defects]))
    scores = report.image_scores.set_index("image_id")["score"]
    return {
        "image_auroc": float(roc_auc_score([0] * len(test) + [1] * len(defects), scores[[*test, *defects]])),
        "n_normal": len(test),
        "n_defect": len(defects),
    }


def _measure(archive: Any, folder: Path) -> dict[str, Any]:
    from wootz.measure import CoatingConfig, FractionsConfig, MeasureConfig

    for source in ("annotation", "prediction"):
        common = {"source": source, "split": "test"}
        coating = CoatingConfig(layer=[LAYER], inside=["pore", "precipitate"])
        chain.measure(archive, MeasureConfig(measure=coating, **common))
        fractions = FractionsConfig(classes=["pore", "precipitate"], within=SOLID)
        chain.measure(archive, MeasureConfig(measure=fractions, **common))
    return compare_with_truth(archive, folder / "fields" / "truth.json")


def _write_report(archive: Any, folder: Path, results: dict[str, Any]) -> None:
    from wootz.apps.demo_figures import draw_demo
    from wootz.apps.report import Section, build_report

    figures = draw_demo(archive, folder / "figures", results)
    measured, anomaly = results["measurement"], results["anomaly"]
    sections = [
        Section(
            "Against exact truth",
            figure=figures["truth"],
            note=f"Each point is a held-out field. Mean error of the thickness "
            f"{100 * measured['thickness_rel_error']:.1f} %, of the porosity "
            f"{100 * measured['porosity_abs_error']:.2f} percentage points; crosses show the error that "
            "remains when the masks are exact.",
        ),
        Section(
            "What the network found",
            figure=figures["segmentation"],
            note=f"Fields that it never saw, after {results['segmentation']['n_train']} labelled ones. Grey "
            f"levels alone reach a mean IoU of {results['segmentation']['grey_baseline_mean_iou']:.2f}.",
        ),
        Section(
            "An unseen defect",
            figure=figures["anomaly"],
            note=f"PatchCore learned from normal fields alone; image AUROC {anomaly['image_auroc']:.2f} on "
            f"{anomaly['n_normal']} normal fields and {anomaly['n_defect']} with a defect.",
        ),
    ]
    build_report(archive, folder / "report.html", title="wootz demo: a rendered coating", extra=sections)
