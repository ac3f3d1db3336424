"""What `wootz finetune` leaves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class FinetuneReport:
    """What `finetune` left.

    Parameters
    ----------
    checkpoint : Path
        head.pt
    scores : dict
        Plain numbers: validation scores of a segmentation, threshold and held-out scores of an anomaly
        head, cross-validation of a head of classes.
    seconds : float
    lines : tuple of str
        For the terminal.
    """

    checkpoint: Path
    scores: dict[str, Any]
    seconds: float
    lines: tuple[str, ...]

    def summary(self) -> str:
        """Return a few lines for the terminal."""
        return "\n".join([*self.lines, f"head: {self.checkpoint}"])
