"""What the report shows of each part of an archive, and which command makes what is missing."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.apps import report_pictures as pictures
from wootz.apps.report import Part, Section
from wootz.apps.report_measured import spread, value_cards

N_OVERLAYS = 4
N_FIELDS = 8
N_MONTAGES = 24


def cards(archive: Any) -> list[dict[str, str]]:
    """Return the results for the first screen: pooled values with intervals, then held-out scores."""
    found = value_cards(archive)
    scores = _held_out(archive)
    if scores is not None:
        split, mean_iou, n = scores
        found.append(
            {
                "value": f"{mean_iou:.3f}",
                "name": "mean IoU of the segmentation",
                "about": f"{n} classes, pooled over the pixels of {split}",
            }
        )
    return found


def facts(archive: Any) -> str:
    """Return one line on what the archive holds."""
    images = archive.images
    words = [f"{len(images)} fields"]
    specimens = images["specimen"].replace("", np.nan).nunique()
    words += [f"{specimens} specimens"] if specimens else []
    words += [f"{len(archive.tile_table)} tiles", f"{len(archive.annotations)} drawn masks"]
    words += [f"{len(archive.predictions)} predicted masks", f"{len(archive.set_aside)} files set aside"]
    return ", ".join(words)


def segmentation(archive: Any) -> Part:
    """Scores per class and split of the newest scored prediction, and its overlays."""
    run = _newest(archive, "predict", holds="scores.csv")
    if run is None and archive.predictions.empty:
        missing = f"wootz finetune {archive.path} task=segment, then wootz predict {archive.path}"
        return Part("segmentation", "Segmentation", missing=missing)
    if run is None:
        note = f"{len(archive.predictions)} predicted masks; none of these fields is annotated, so no scores."
        return Part("segmentation", "Segmentation", [Section("", note=note)])
    scores = pd.read_csv(run / "scores.csv")
    scores = scores[["split", *(c for c in scores.columns if c != "split")]].fillna({"split": ""})
    overlays = sorted((run / "overlays").glob("*.png"))
    blocks = [
        Section("Scores by class", table=scores, note="Only split test is held out."),
        Section("On the micrographs", figure=spread(overlays, N_OVERLAYS),
                note="Right is turquoise, wrong is red, missed is yellow."),
    ]  # fmt: skip
    return Part("segmentation", "Segmentation", blocks)


def anomaly(archive: Any) -> Part:
    """Scores of the fields, and the heat maps of the most and the least anomalous ones."""
    images = archive.images
    if "pred_anomaly_score" not in images or images["pred_anomaly_score"].isna().all():
        missing = f"wootz finetune {archive.path} task=anomaly, then wootz predict {archive.path}"
        return Part("anomaly", "Anomalies", missing=missing)
    scored = images.dropna(subset=["pred_anomaly_score"])
    ranked = scored.sort_values("pred_anomaly_score", ascending=False)
    shown = (
        [*ranked["image_id"].head(3), *ranked["image_id"].tail(1)]
        if len(ranked) > 3
        else list(ranked["image_id"])
    )
    table = ranked[["file", "set", "specimen", "pred_anomaly_score", "pred_anomalous"]].head(30)
    table = table.assign(file=table["file"].map(lambda f: Path(f).name))
    table.columns = ["file", "set", "specimen", "score", "above threshold"]
    uri = pictures.figure_uri(pictures.heat_figure(archive, shown, name="anomaly"))
    blocks = [
        Section("Heat maps", uris=[uri], note="The three highest scores and the lowest, on one scale."),
        Section("Highest scores", table=table, folded=True),
    ]
    return Part("anomaly", "Anomalies", blocks)


def clusters(archive: Any) -> Part:
    """Figures, map and montages of the newest clustering."""
    run = _newest(archive, "cluster", holds="clusters.json")
    if run is None:
        return Part("clusters", "Candidate classes", missing=f"wootz cluster {archive.path}")
    found = json.loads((run / "clusters.json").read_text())
    named = [run / name for name in found.get("pictures", [])]
    maps = [p for p in named if p.name.startswith("map")]
    rest = [p for p in named if not p.name.startswith(("map", "cluster_", "shortcuts"))]
    montages = [p for p in named if p.name.startswith("cluster_")]
    keys = ("n_clusters", "n_tiles", "n_skipped", "silhouette", "stability")
    facts_table = pd.DataFrame([{k: found[k] for k in keys if k in found} | found.get("agreement", {})])
    note = "A cluster is a candidate: an expert names, merges or rejects it."
    note = f"{found['reasons']} {note}" if found.get("reasons") else note
    shown = f"{min(len(montages), N_MONTAGES)} of {len(montages)}: typical tiles, then outliers."
    blocks = [
        Section("", table=facts_table, note=note),
        Section("Map of the embedding", figure=maps, note="Neighbours are alike; far distances mean little."),
        Section("Overview", figure=rest),
        *_followed(run, found.get("shortcuts") or {}),
        Section("One montage per cluster", figure=montages[:N_MONTAGES], note=shown, folded=True),
    ]
    return Part("clusters", "Candidate classes", [b for b in blocks if b.table is not None or b.figure])


def _followed(run: Path, found: dict[str, Any]) -> list[Section]:
    """Show what clusters follow beside the material: in words, drawn, and as badges."""
    if not found:
        return []
    words = "".join(f"<li>{_escaped(line)}</li>" for line in found["words"])
    badges = pd.DataFrame(found["badges"], columns=["cluster", "text", "p"])
    badges.columns = ["cluster", "badge", "p"]
    title = "What clusters follow beside the material"
    note = "Tested against shuffled images, and corrected for the number of tests."
    return [
        Section(title, html=f"<ul>{words}</ul>", figure=run / "shortcuts.png", table=badges, note=note),
    ]


def pretraining(archive: Any) -> Part:
    """Curves and summary of the newest finished pretraining."""
    run = _newest(archive, "pretrain", holds="history.csv")
    if run is None:
        return Part("pretraining", "Pretraining", missing=f"wootz pretrain {archive.path}")
    curves = [run / "history.png"] if (run / "history.png").is_file() else []
    blocks = [
        Section(
            "Curves", figure=curves, note=_record(run).get("outputs", {}).get("summary", "").split("\n")[0]
        ),
        Section("Every epoch", table=pd.read_csv(run / "history.csv"), folded=True),
    ]
    return Part("pretraining", "Pretraining", blocks)


def fields(archive: Any) -> Part:
    """Fields by origin, some of them drawn, the tile grid, and what was set aside."""
    images = archive.images
    if images.empty:
        return Part("fields", "Fields", missing=f"wootz ingest {archive.path} FOLDER")
    keys = [k for k in ("set", "specimen", "condition", "split", "instrument") if (images[k] != "").any()]
    known = images["pixel_size_col_nm"].notna()
    size = images["pixel_size_col_nm"]
    note = f"Pixel size known for {int(known.sum())} of {len(images)} fields"
    note += f": {size.min():.4g} to {size.max():.4g} nm." if known.any() else "; lengths are in px."
    copies = int((images["duplicate_of"] != "").sum())
    note += f" {copies} exact or near duplicates." if copies else ""
    blocks = []
    chosen = spread(list(images.loc[images["duplicate_of"] == "", "image_id"]), N_FIELDS)
    if chosen:
        uri = pictures.figure_uri(pictures.fields_figure(archive, chosen))
        blocks.append(Section("", uris=[uri], note=note))
    if keys:
        counts = images.groupby(keys, sort=True).size().reset_index(name="fields")
        blocks.append(Section("By origin", table=counts.head(60), folded=len(counts) > 12))
    tiles = archive.tile_table
    if len(tiles):
        blocks.append(_tile_block(archive, tiles))
    aside = archive.set_aside
    if len(aside):
        aside = aside.assign(file=aside["file"].map(lambda f: Path(f).name))
        blocks.append(Section(f"Set aside: {len(aside)} files", table=aside.head(100), folded=True))
    return Part("fields", "Fields", blocks)


def computations(archive: Any) -> Part:
    """All runs with their settings."""
    runs = archive.runs
    if runs.empty:
        return Part("runs", "Runs", missing=f"wootz pretrain {archive.path}")
    table = runs[["run", "status", "started", "seconds", "seed", "version"]]
    blocks = [Section("", table=table)]
    for run in runs["run"]:
        record = _record(archive.path / "runs" / run)
        config = json.dumps(record.get("config", {}), indent=1, ensure_ascii=False)
        blocks.append(Section(run, html=f"<pre>{_escaped(config)}</pre>", folded=True))
    return Part("runs", "Runs and their settings", blocks)


def _tile_block(archive: Any, tiles: pd.DataFrame) -> Section:
    image_id = tiles["image_id"].iloc[0]
    uri = pictures.figure_uri(pictures.tile_grid_figure(archive, image_id))
    sizes = " and ".join(
        f"{h} x {w}" for h, w in sorted(set(zip(tiles["height"], tiles["width"], strict=True)))
    )
    flags = f"{int(tiles['uninformative'].sum())} uninformative (orange, crossed), "
    note = f"{len(tiles)} tiles of {sizes} px; {flags}{int(tiles['duplicate'].sum())} duplicates."
    return Section("Tile grid", uris=[uri], note=note, folded=True)


def _held_out(archive: Any) -> tuple[str, float, int] | None:
    run = _newest(archive, "predict", holds="scores.csv")
    if run is None:
        return None
    scores = pd.read_csv(run / "scores.csv").fillna({"split": ""})
    split = "test" if (scores["split"] == "test").any() else str(scores["split"].iloc[0])
    iou = scores.loc[scores["split"] == split, "iou"].dropna()
    name = f"held-out fields (split {split})" if split == "test" else f"split {split!r}, not held out"
    return (name, float(iou.mean()), len(iou)) if len(iou) else None


def _newest(archive: Any, command: str, *, holds: str) -> Path | None:
    runs = archive.runs
    for run in reversed(list(runs.loc[runs["command"] == command, "run"])):
        folder = archive.path / "runs" / run
        if (folder / holds).is_file():
            return folder
    return None


def _record(run: Path) -> dict[str, Any]:
    try:
        return json.loads((run / "run.json").read_text())
    except (OSError, ValueError):
        return {}


def _escaped(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))
