"""``wootz assign``: tiles that came after a clustering, into its clusters or into none of these."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wootz.clustering.as_objects import store_objects
from wootz.clustering.assign_config import AssignConfig
from wootz.clustering.assigned import AssignReport, assigned_table, draw_assigned, more_than_expected
from wootz.clustering.config import cluster_column, member_column, outlier_column
from wootz.clustering.limits import Limits, calibrate, sample_members
from wootz.clustering.regions import NONE_OF_THESE
from wootz.clustering.regrouping import groups_of_new
from wootz.clustering.stored import StoredClustering, find_clustering, fingerprints_of
from wootz.clustering.votes import Votes, neighbour_votes
from wootz.errors import WootzError
from wootz.progress import say
from wootz.storage import write_json


@dataclass(frozen=True)
class _Found:
    """New tiles with their votes; `labels` says `NONE_OF_THESE` beyond the limits."""

    votes: Votes
    limits: Limits
    labels: np.ndarray
    scores: np.ndarray
    n_images: int


def assign(tiles: Any, cfg: AssignConfig, *, run: Any) -> AssignReport:
    """Give new tiles the clusters of a stored clustering; tiles that were clustered stay where they are.

    Parameters
    ----------
    tiles : TileSet
        Clustered and new tiles; those that are not in it are not looked at.
    cfg : AssignConfig
    run : Run
        Its folder receives ``assigned.csv``, ``assign.json`` and ``assigned.png``.

    Returns
    -------
    AssignReport

    Raises
    ------
    WootzError
        If there is no such clustering, its column was changed, or the embedding is of another encoder or
        does not cover a tile.
    """
    archive, folder = tiles.archive, Path(run.folder)
    stored = find_clustering(archive, cfg.name)
    embedding = _embedding(archive, stored, cfg.embedding)
    every = archive.tiles()
    members = every.select(pd.Index(every.tile_ids).get_indexer(pd.Index(stored.tile_ids)))
    new = tiles.select(~pd.Index(tiles.tile_ids).isin(stored.tile_ids))
    images = new.columns(["image_id"])["image_id"].unique()
    if not stored.keep_uninformative and "uninformative" in new.column_names:
        flags = new.columns(["uninformative"])["uninformative"].fillna(False).to_numpy(bool)
        new = new.select(~flags)
    if not len(new):
        table = assigned_table(stored.labels, np.zeros(0, int), None, names=stored.names)
        return AssignReport(stored.name, table, 0, 0, 0.0, is_new_kind=False, folder=folder)
    say(f"assigning {len(new)} tiles to {int(stored.labels.max()) + 1} clusters of {stored.name!r}")
    found = _find(members, new, stored, cfg, embedding=embedding)
    looked_at = [*stored.image_ids, *(image for image in images if image not in set(stored.image_ids))]
    _store(archive, new, found, stored, image_ids=looked_at if cfg.objects else None)
    n_none = int((found.labels == NONE_OF_THESE).sum())
    table = assigned_table(stored.labels, found.labels, found.limits, names=stored.names)
    table.to_csv(folder / "assigned.csv", index=False)
    picture = None
    if cfg.pictures:
        picture = draw_assigned(new, found.labels, found.scores, names=stored.names, folder=folder)
    rates = found.limits.rate[found.votes.labels]
    report = AssignReport(
        name=stored.name,
        table=table,
        n_new=len(new),
        n_none=n_none,
        expected_none=float(rates.sum()),
        is_new_kind=more_than_expected(n_none, len(new), float(rates.mean())),
        folder=folder,
        notes=_notes(found, cfg),
        picture=picture,
    )
    write_json(folder / "assign.json", report.outputs())
    return report


def _embedding(archive: Any, stored: StoredClustering, wanted: str) -> str:
    """Choose the embedding and make sure that it is of the encoder that was clustered by."""
    name = wanted or stored.embedding
    if not name:
        raise WootzError(
            f"the clustering {stored.name!r} trained its own encoder; embed all tiles with it, "
            f"`wootz embed {archive.path} name=NEW encoder={stored.folder / 'encoder.pt'}`, and give "
            "embedding=NEW."
        )
    given = fingerprints_of(archive.embedding_provenance(name))
    differ = sorted(k for k in {*given, *stored.fingerprints} if given.get(k) != stored.fingerprints.get(k))
    if differ:
        raise WootzError(
            f"the embedding {name!r} was not made like the one that {stored.name!r} clustered "
            f"({', '.join(differ)} differs); its features cannot be compared. Give the embedding of the same "
            "encoder, or cluster again."
        )
    return name


def _find(members: Any, new: Any, stored: StoredClustering, cfg: AssignConfig, *, embedding: str) -> _Found:
    """Prepare features as they were clustered, calibrate the limits and let members vote."""
    rng = np.random.default_rng(cfg.seed)
    old_groups = new_groups = None
    if stored.groups is not None:
        both = members.archive.tiles()
        ids = np.concatenate([members.tile_ids, new.tile_ids])
        both = both.select(pd.Index(both.tile_ids).get_indexer(pd.Index(ids)))
        named = {"n_members": len(members), "groups": stored.groups}
        old_groups, new_groups = stored.groups, groups_of_new(both, stored.standardise_by, **named)
    sure = np.flatnonzero(stored.sure)
    kept = sure[sample_members(stored.labels[sure], rng=rng, n_max=cfg.members_max, n_each=1_000)]
    labels = stored.labels[kept]
    prepare = stored.preparation.apply
    raw = members.select(kept).embedding(embedding)
    points = prepare(raw, None if old_groups is None else old_groups[kept])
    images = _originals(members)[kept]
    n_neighbors = min(cfg.n_neighbors, len(kept) - 1)
    limits = calibrate(
        points,
        labels,
        images,
        rng=rng,
        rate=cfg.reject_rate,
        n_neighbors=n_neighbors,
        n_max=cfg.calibration_max,
    )
    features = prepare(new.embedding(embedding), new_groups)
    votes = neighbour_votes(features, points, labels, n_neighbors=n_neighbors)
    usual = limits.median[votes.labels]
    scores = np.where(usual > 0, votes.distance / np.where(usual > 0, usual, 1.0), 1.0)
    none = limits.reject(votes)
    return _Found(votes, limits, np.where(none, NONE_OF_THESE, votes.labels), scores, len(np.unique(images)))


def _originals(tiles: Any) -> np.ndarray:
    """Give each image of the tiles a number, and a copy of an image that of the image: (N,) int."""
    frame = tiles.columns(["image_id", "duplicate_of"])
    same = frame["duplicate_of"].where(frame["duplicate_of"] != "", frame["image_id"])
    return np.unique(same.to_numpy(str), return_inverse=True)[1]


def _store(
    archive: Any, new: Any, found: _Found, stored: StoredClustering, *, image_ids: list[str] | None
) -> None:
    """Write the columns of the new tiles, and regions of all images unless `image_ids` is None."""
    share = np.where(found.labels >= 0, found.votes.share, 0.0)
    columns = {
        cluster_column(stored.name): pd.array(found.labels, "Int64"),
        outlier_column(stored.name): pd.array(found.scores, "Float64"),
        member_column(stored.name): pd.array(share, "Float64"),
    }
    with archive.transaction():
        for column, values in columns.items():
            archive.set_tile_column(column, new.tile_ids, values)
        if image_ids is not None:
            store_objects(archive, stored.name, image_ids=image_ids, names=stored.names)


def _notes(found: _Found, cfg: AssignConfig) -> tuple[str, ...]:
    notes = []
    if found.n_images == 1:
        notes.append(
            "all clustered tiles are of one image: how much images differ is not known, and tiles of another "
            "image may be called none of these too often"
        )
    few = np.flatnonzero(found.limits.n < 1 / cfg.reject_rate - 1)
    if len(few):
        words = ", ".join(map(str, few[:8].tolist())) + (", ..." if len(few) > 8 else "")
        notes.append(
            f"cluster {words}: too few tiles that other images vote for; the limit is the larger of their "
            "largest distance and the limit of all clusters"
        )
    return tuple(notes)
