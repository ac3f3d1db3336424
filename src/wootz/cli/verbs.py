"""One function per command: positional words and a configuration in, something with ``summary()`` out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wootz
from wootz.apps import chain


@dataclass(frozen=True)
class Written:
    """A file that a command made."""

    path: Path

    def summary(self) -> str:
        """Return the line for the terminal."""
        return f"wrote {self.path}"


def ingest(paths: Sequence[str], cfg: Any) -> Any:
    """Read files and folders into an archive."""
    from wootz.ingest import ingest as work

    return work(Path(paths[0]), [Path(p) for p in paths[1:]], cfg)


def render(paths: Sequence[str], cfg: Any) -> Any:
    """Render fields with masks and truth into a folder."""
    from wootz.synthetic import render as work

    return work(Path(paths[0]), cfg)


def pretrain(paths: Sequence[str], cfg: Any) -> Any:
    """Pretrain an encoder on an archive."""
    return chain.pretrain(wootz.open(paths[0]), cfg)


def views(paths: Sequence[str], cfg: Any) -> Any:
    """Draw augmented views of an archive's tiles, by default into its own folder."""
    from wootz.apps.views import draw_views

    archive = wootz.open(paths[0])
    out = Path(paths[1]) if len(paths) > 1 else archive.path / "views.png"
    return draw_views(archive, out, cfg)


def embed(paths: Sequence[str], cfg: Any) -> Any:
    """Embed the tiles of an archive."""
    return chain.embed(wootz.open(paths[0]), cfg)


def probe(paths: Sequence[str], cfg: Any) -> Any:
    """Probe an embedding of an archive for shortcuts."""
    return chain.probe(wootz.open(paths[0]), cfg)


def cluster(paths: Sequence[str], cfg: Any) -> Any:
    """Cluster the tiles of an archive."""
    return chain.cluster(wootz.open(paths[0]), cfg)


def assign(paths: Sequence[str], cfg: Any) -> Any:
    """Give new tiles of an archive the clusters that are there."""
    return chain.assign(wootz.open(paths[0]), cfg)


def explore(paths: Sequence[str], cfg: Any) -> Any:
    """Serve the explorer of an archive until it is interrupted."""
    from wootz.explore import explore as work

    return work(wootz.open(paths[0]), cfg)


def finetune(paths: Sequence[str], cfg: Any) -> Any:
    """Train a head on an archive."""
    return chain.finetune(wootz.open(paths[0]), cfg)


def predict(paths: Sequence[str], cfg: Any) -> Any:
    """Apply a head to an archive."""
    return chain.predict(wootz.open(paths[0]), cfg)


def measure(paths: Sequence[str], cfg: Any) -> Any:
    """Measure the masks of an archive."""
    return chain.measure(wootz.open(paths[0]), cfg)


@dataclass(frozen=True)
class Repaired:
    """What `repair` found and set aside."""

    archive: Path
    found: list[str]

    def summary(self) -> str:
        """Return a line for each damaged part."""
        if not self.found:
            return f"{self.archive} is sound: every file is what was written."
        aside = f"{len(self.found)} damaged parts set aside in {self.archive / 'damaged'}:"
        again = "Run the commands that made them again (ingest, embed, ...): they fill the gaps."
        return "\n".join([aside, *(f"- {line}" for line in self.found), again])


def repair(paths: Sequence[str], cfg: Any) -> Repaired:
    """Look at every file of an archive and set aside what is not what was written."""
    archive = wootz.open(paths[0])
    found = archive.repair(deep=cfg.deep)
    lines = [f"{row['file']} ({row['what']}): {row['problem']}" for row in found.to_dict("records")]
    return Repaired(archive.path, lines)


def report(paths: Sequence[str], cfg: Any) -> Written:
    """Write the report of an archive, by default into its own folder."""
    from wootz.apps.report import build_report

    archive = wootz.open(paths[0])
    out = Path(paths[1]) if len(paths) > 1 else archive.path / "report.html"
    return Written(build_report(archive, out, title=cfg.title or archive.path.name))


def study(paths: Sequence[str], cfg: Any) -> Any:
    """Run a study by its name."""
    from wootz.apps.study import run_study

    return run_study(paths[0], cfg)
