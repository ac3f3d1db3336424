"""The verbs on an archive: start or resume a run, let the unit work, write down what came out.

The command line, the demo, the studies and the notebook all go through these functions, so that each
computation leaves the same trace: a folder under ``runs/`` with the resolved options, the inputs and the
outputs.
"""

import functools
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TypeVar

from wootz.archive import Archive
from wootz.errors import WootzError
from wootz.launch import follow, lead, process_rank
from wootz.progress import say
from wootz.runs import Run
from wootz.tiles import TileSet

Result = TypeVar("Result")


def run_verb(archive: Archive, command: str, cfg: Any, *, work: Callable[[Run], Result]) -> Result:
    """Do `work` inside a run; an unfinished run of the same command on the same input is resumed.

    Parameters
    ----------
    archive : Archive
    command : str
        Name of the verb; the run's id starts with it.
    cfg : dataclass
        Resolved options, stored with the run.
    work : callable
        Takes the `Run`; its result may have ``checkpoint`` (path) and ``summary()``.

    Returns
    -------
    object
        What `work` returned.
    """
    run = _run(archive, command, cfg)
    if run.resumed:
        say(f"{command}: going on with {run.id}")
    try:
        result = work(run)
    except Exception as error:
        run.fail(f"{type(error).__name__}: {error}")
        raise
    outputs = {"summary": result.summary()} if hasattr(result, "summary") else {}  # type: ignore[attr-defined]
    run.finish(outputs, checkpoint=getattr(result, "checkpoint", None))
    return result


def _run(archive: Archive, command: str, cfg: Any) -> Run:
    """Start or resume a run; the further processes of a training join that of the first."""
    n_processes = getattr(cfg, "devices", 1) * getattr(cfg, "nodes", 1)
    if process_rank(n_processes=n_processes) > 0:
        return follow(archive.path, command)
    about = {"seed": getattr(cfg, "seed", None), "inputs": _inputs(archive)}
    run = archive.start_run(command, asdict(cfg), **about, resume=True)
    return lead(run) if n_processes > 1 else run


def pretrain(archive: Archive, cfg: Any, *, tiles: TileSet | None = None) -> Any:
    """Pretrain an encoder on the archive's tiles, or on a selection of them; see `wootz.ssl.pretrain`."""
    from wootz.ssl import pretrain as work

    selection = _tiles(archive) if tiles is None else tiles
    return run_verb(archive, "pretrain", cfg, work=lambda run: work(selection, cfg, run=run))


def embed(archive: Archive, cfg: Any) -> Any:
    """Embed every tile; see `wootz.ssl.embed`."""
    from wootz.ssl import embed as work

    return run_verb(archive, "embed", cfg, work=lambda run: work(_tiles(archive), cfg, run=run))


def probe(archive: Archive, cfg: Any) -> Any:
    """Probe an embedding for what it should not depend on; see `wootz.ssl.probe`."""
    from wootz.ssl import probe as work

    return run_verb(archive, "probe", cfg, work=lambda run: work(_tiles(archive), cfg, run=run))


def cluster(archive: Archive, cfg: Any, *, tiles: TileSet | None = None) -> Any:
    """Cluster the tiles, or a selection of them; see `wootz.clustering.cluster`."""
    from wootz.clustering import cluster as work

    selection = _tiles(archive) if tiles is None else tiles
    return run_verb(archive, "cluster", cfg, work=lambda run: work(selection, cfg, run=run))


def assign(archive: Archive, cfg: Any, *, tiles: TileSet | None = None) -> Any:
    """Give tiles that came after a clustering its clusters, or none; see `wootz.clustering.assign`."""
    from wootz.clustering import assign as work

    selection = _tiles(archive) if tiles is None else tiles
    return run_verb(archive, "assign", cfg, work=lambda run: work(selection, cfg, run=run))


def finetune(archive: Archive, cfg: Any) -> Any:
    """Train a segmentation or anomaly head, or a head of tile classes; see `wootz.finetune.finetune`.

    Classes are learned from the columns ``label_<person>``, which are brought up to the log first.
    """
    from wootz.finetune import finetune as work

    if cfg.task.name == "classify":
        from wootz.explore.labelcolumns import write_label_columns

        write_label_columns(archive)
    return run_verb(archive, "finetune", cfg, work=functools.partial(_with_run, work, archive, cfg))


def predict(archive: Archive, cfg: Any) -> Any:
    """Apply a head to fields; see `wootz.finetune.predict`."""
    from wootz.finetune import predict as work

    return run_verb(archive, "predict", cfg, work=functools.partial(_with_run, work, archive, cfg))


def measure(archive: Archive, cfg: Any) -> Any:
    """Measure masks; see `wootz.measure.measure`."""
    from wootz.measure import measure as work

    return run_verb(archive, "measure", cfg, work=functools.partial(_with_run, work, archive, cfg))


def _with_run(work: Callable[..., Result], archive: Archive, cfg: Any, run: Run) -> Result:
    return work(archive, cfg, run=run)


def _tiles(archive: Archive) -> TileSet:
    tiles = archive.tiles()
    if not len(tiles):
        raise WootzError(
            f"{archive.path} holds no tiles; ingest images that are at least one tile large, or give a "
            f"smaller tile: wootz ingest {archive.path} PATH tile_px=64"
        )
    return tiles


def _inputs(archive: Archive) -> dict[str, int]:
    return {
        "images": len(archive.images),
        "tiles": len(archive.tile_table),
        "annotations": len(archive.annotations),
    }
