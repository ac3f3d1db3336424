"""How many tiles does an expert name correctly for each thing looked at or done? A simulated one knows.

The expert sees the true class of what is on the screen, and gives a wrong answer now and then. Looking at a
tile or at a card costs one, and so does every action. What is looked at comes from the explorer's own
functions: clusters, cards, splits, training, ranking, audit.
"""

from pathlib import Path
from typing import Any

import numpy as np

from wootz.apps.studies.clustering import TRUTH, features_of, prepare
from wootz.apps.studies.expert_desk import Desk, Work
from wootz.apps.studies.expert_work import Plan, label_by_reviews, label_in_random_order, label_one_by_one
from wootz.archive import Archive
from wootz.errors import WootzError

__all__ = ["cell", "judge_work", "prepare"]


def cell(params: dict[str, Any], folder: Path, *, shared: Path) -> dict[str, Any]:  # noqa: ARG001
    """Let the expert work through one set in one way, and compare with the truth.

    Parameters
    ----------
    params : dict
        ``set``; ``features`` (see `wootz.apps.studies.tile_features.make_features`; made with seed 0);
        ``way`` (one_by_one, random_order or reviews); ``seed`` of the expert; ``wrong_frac``: share of wrong
        answers; ``slips``: answer, or tile where each tile on a card can be mistaken by itself;
        ``images_frac``: part of the images; ``audit_cards`` of each list, by which the last head is judged;
        ``aim``: expected precision of what is accepted unseen (an expert who mistakes single tiles sees less
        of it as right, and accepts from that on).
    folder : Path
        Not used.
    shared : Path
        Folder that `prepare` filled.

    Returns
    -------
    dict
        See `judge_work`.
    """
    archive = Archive(shared / params["set"])
    tiles = archive.tiles()
    made = params | {"seed": 0}
    features, _ = features_of(tiles, made, folder=shared / params["set"] / "features")
    frame = tiles.columns([TRUTH, "image_id"])
    truth = frame[TRUTH].fillna("").to_numpy(object)
    images = np.unique(frame["image_id"].astype(str), return_inverse=True)[1]
    rng = np.random.default_rng([params["seed"], 7])
    kept = rng.permutation(images.max() + 1)[: max(2, round(params["images_frac"] * (images.max() + 1)))]
    known = (truth != "") & np.isin(images, kept)
    by_tile = params["slips"] == "tile"
    options = {"wrong_frac": params["wrong_frac"], "each_tile": by_tile}
    desk = Desk(features[known], images[known], truth[known], rng=rng, **options)
    aim = params["aim"] * (1 - params["wrong_frac"] if by_tile else 1.0)
    plan = Plan(n_audit=params["audit_cards"], precision=aim)
    match params["way"]:
        case "one_by_one":
            work = label_one_by_one(desk)
        case "random_order":
            work = label_in_random_order(desk, plan)
        case "reviews":
            work = label_by_reviews(desk, plan)
        case other:
            raise WootzError(f"way={other!r} is not known; choose one_by_one, random_order or reviews.")
    return judge_work(work, truth[known])


def judge_work(work: Work, truth: np.ndarray) -> dict[str, Any]:
    """Compare labels with the truth.

    Parameters
    ----------
    work : Work
    truth : (N,) object

    Returns
    -------
    dict
        ``correct_per_cost``, ``precision`` and ``share`` of the tiles that are labelled, ``rare_recall`` (of
        the rarest class that has ten tiles), ``cost``, ``n_tiles``, and what the work noted.
    """
    labelled = work.labels != ""
    right = labelled & (work.labels == truth)
    names, counts = np.unique(truth.astype(str), return_counts=True)
    counts = np.where(counts >= min(10, counts.max()), counts, counts.max() + 1)
    rare = truth == names[int(counts.argmin())]
    return {
        "correct_per_cost": float(right.sum() / work.cost),
        "precision": float(right.sum() / max(labelled.sum(), 1)),
        "share": float(labelled.mean()),
        "rare_recall": float(right[rare].mean()),
        "cost": int(work.cost),
        "n_tiles": len(truth),
        **work.noted,
    }
