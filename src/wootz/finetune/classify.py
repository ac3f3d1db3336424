"""`wootz finetune ARCHIVE task=classify`: from tiles that a person named to a class for every tile."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from wootz import storage
from wootz.classheads import ClassHead, fit_class_head
from wootz.errors import WootzError
from wootz.finetune.classify_figure import head_figure
from wootz.finetune.classify_files import save_class_head
from wootz.finetune.config import ClassifyConfig, FinetuneConfig
from wootz.finetune.finetune_report import FinetuneReport
from wootz.headscores import HeadScores, score_probabilities
from wootz.plotting import save_figure

LABEL = "label_"
TEST = "test"


def finetune_classify(archive: Any, cfg: FinetuneConfig, *, run: Any) -> FinetuneReport:
    """Train a head on named tiles, judge it on unseen images, and name all tiles by it.

    Tiles of images of split ``test`` are not learned from; where they are named, they are scored.

    Parameters
    ----------
    archive : Archive
    cfg : FinetuneConfig
        With a `ClassifyConfig` as task.
    run : Run
        Its folder receives head.pt, scores.json, classes.csv, confusion.csv and classes.png; the tiles table
        the columns ``class_<name>`` and ``confidence_<name>`` (calibrated probability of that class).

    Returns
    -------
    FinetuneReport

    Raises
    ------
    WootzError
        If there is no such embedding, column or person, or too little is named.
    """
    start, task, folder = time.monotonic(), cfg.task, Path(run.folder)
    embedding = choose_embedding(archive, task.embedding)
    column = task.column or embedding
    tiles = archive.tiles(images=cfg.images or None)
    labels, source = named_tiles(tiles, task)
    features = tiles.embedding(embedding)
    groups = _groups(tiles, together=task.together)
    is_test = tiles.columns(["split"])["split"].fillna("").to_numpy(object) == TEST
    rng = np.random.default_rng(cfg.seed)
    learned = np.where(is_test, "", labels)
    fitted = fit_class_head(
        features, learned, groups=groups, rng=rng, balanced=task.balanced, n_max=task.max_tiles
    )
    names = fitted.head.class_names
    scores = score_probabilities(fitted.held_out, fitted.codes, class_names=names, groups=groups[fitted.rows])
    facts: dict[str, Any] = {"labels": source, "embedding": embedding, "strength": fitted.head.strength}
    facts |= {"temperature": fitted.head.temperature, "n_named": len(fitted.rows)}
    facts |= {"cross_validated": scores.as_dict()}
    lines = [f"{len(fitted.rows)} tiles of {len(names)} classes, named in {source}", *_say(scores)]
    held = _score_test(fitted.head, features, np.where(is_test, labels, ""), groups=groups)
    if held is not None:
        facts["test"] = held.as_dict()
        lines.append(f"split test: accuracy {held.accuracy:.3f}, balanced {held.balanced_accuracy:.3f}")
    about = {"embedding": embedding, "column": column, "labels": source, "run": run.id}
    save_class_head(folder / "head.pt", fitted.head, about=about)
    _write(scores, facts, folder=folder)
    lines += predict_classes(archive.tiles(), fitted.head, embedding=embedding, column=column)
    return FinetuneReport(folder / "head.pt", facts, time.monotonic() - start, tuple(lines))


def predict_classes(tiles: Any, head: ClassHead, *, embedding: str, column: str) -> list[str]:
    """Name tiles by a head: columns ``class_<column>`` and ``confidence_<column>``.

    Parameters
    ----------
    tiles : TileSet
    head : ClassHead
    embedding : str
        What the head reads.
    column : str
        Name of the result.

    Returns
    -------
    list of str
        For the terminal: how many tiles of each class, and how sure.
    """
    probabilities = head.probabilities(tiles.embedding(embedding))
    said, sure = probabilities.argmax(axis=1), probabilities.max(axis=1)
    names = np.array(head.class_names, object)
    archive, ids = tiles.archive, tiles.tile_ids
    with archive.transaction():
        archive.set_tile_column(f"class_{column}", ids, names[said])
        archive.set_tile_column(f"confidence_{column}", ids, sure.astype(np.float64))
    counts = ", ".join(f"{name} {int((said == k).sum())}" for k, name in enumerate(names))
    return [
        f"all {len(ids)} tiles named, columns class_{column} and confidence_{column}: {counts}",
        f"{int((sure >= 0.9).sum())} of them with confidence 0.9 or more",
    ]


def choose_embedding(archive: Any, wanted: str) -> str:
    """Return the embedding asked for, or the only one.

    Raises
    ------
    WootzError
        If it does not exist, or there are several and none is named.
    """
    names = archive.embedding_names()
    if wanted in names:
        return wanted
    listed = ", ".join(names) or "none"
    command = f"make one with `wootz embed {archive.path}{f' name={wanted}' if wanted else ''}`"
    if wanted or not names:
        raise WootzError(f"{archive.path} has the embeddings: {listed}; {command}.")
    if len(names) > 1:
        raise WootzError(f"set task.embedding=..., since {archive.path} has these: {listed}.")
    return names[0]


def named_tiles(tiles: Any, task: ClassifyConfig) -> tuple[np.ndarray, str]:
    """Return the class of each tile, (N,) object with "" for none, and the column it stands in.

    Raises
    ------
    WootzError
        If there is no such column, or several and none is chosen.
    """
    columns = tiles.column_names
    known = [name for name in columns if name.startswith(LABEL)]
    people = ", ".join(name.removeprefix(LABEL) for name in known) or "nobody"
    path = tiles.archive.path
    wanted = task.labels or (LABEL + task.expert if task.expert else "")
    if not wanted:
        if not known:
            raise WootzError(f"no tile of {path} is named yet; name some with `wootz explore {path}`.")
        if len(known) > 1:
            raise WootzError(f"tiles of {path} were named by {people}; choose one with task.expert=...")
        wanted = known[0]
    if wanted not in columns:
        who = f"task.expert={task.expert!r}" if task.expert else f"task.labels={task.labels!r}"
        raise WootzError(f"{who}: {path} has no tile column {wanted}; labels were given by {people}.")
    return tiles.columns([wanted])[wanted].fillna("").astype(str).to_numpy(object), wanted


def _groups(tiles: Any, *, together: str) -> np.ndarray:
    """Name what stays together: the image (a duplicate counts as its original) or the specimen."""
    if together == "specimen":
        names = tiles.columns(["specimen"])["specimen"].fillna("").astype(str).to_numpy(object)
        if (names == "").any():
            raise WootzError(
                "task.together=specimen: the specimen of some images is not known; give metadata=table.csv "
                "at ingest, or task.together=image."
            )
        return names
    frame = tiles.columns(["image_id", "duplicate_of"]).fillna("").astype(str)
    return frame["duplicate_of"].where(frame["duplicate_of"] != "", frame["image_id"]).to_numpy(object)


def _score_test(
    head: ClassHead, features: np.ndarray, labels: np.ndarray, *, groups: np.ndarray
) -> HeadScores | None:
    """Score the head on tiles that it was kept from; None where none of its classes is named there."""
    rows = np.flatnonzero(np.isin(labels, head.class_names))
    if not len(rows):
        return None
    codes = np.array([head.class_names.index(name) for name in labels[rows]])
    probabilities = head.probabilities(features[rows])
    return score_probabilities(probabilities, codes, class_names=head.class_names, groups=groups[rows])


def _say(scores: HeadScores) -> list[str]:
    if not scores.confusion.sum():
        return ["not judged: named tiles lie on one image, or each class on images of its own"]
    figures = {"accuracy": scores.accuracy, "balanced": scores.balanced_accuracy}
    figures["calibration error"] = scores.calibration_error
    lines = ["on unseen images: " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items())]
    alone = [n for n, k in zip(scores.class_names, scores.n_groups, strict=True) if k < 2]
    if alone:
        lines.append(f"named on one image only, so not judged: {', '.join(alone)}")
    return lines


def _write(scores: HeadScores, facts: dict[str, Any], *, folder: Path) -> None:
    import pandas as pd

    storage.write_json(folder / "scores.json", facts)
    classes = pd.DataFrame(scores.as_dict()["classes"])
    storage.write_bytes(folder / "classes.csv", classes.to_csv(index=False).encode())
    names = list(scores.class_names)
    table = pd.DataFrame(scores.confusion, index=pd.Index(names, name="named"), columns=names)
    storage.write_bytes(folder / "confusion.csv", table.to_csv().encode())
    save_figure(head_figure(scores), folder / "classes.png")
