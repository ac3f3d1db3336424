"""Training on what is named so far, the rest ranked by it, and audits of a random sample."""

import hashlib
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from wootz.audits import draw_audit
from wootz.classheads import ClassHead, fit_class_head
from wootz.errors import WootzError
from wootz.explore.actions import ActionError
from wootz.explore.auditing import audit_cards, audit_result, latest_audit
from wootz.explore.state import BETWEEN, CLASS_PREFIX
from wootz.explore.workspace import Workspace
from wootz.headscores import score_probabilities

TRAIN_MAX = 5_000
STRENGTHS = (0.01, 0.1)
RANKED_MAX = 50_000


@dataclass(frozen=True)
class Trained:
    """A head of one person, applied to all tiles.

    head : its id.
    words : verdicts that it knows, such as "class:pore" or "artefact".
    codes : (N,) int64 into `words`, the likeliest of each tile.
    confidence : (N,) float32, its calibrated probability.
    model : the head itself; probabilities of other classes are computed when a card needs them.
    about : plain values for the page.
    """

    head: str
    words: tuple[str, ...]
    codes: np.ndarray
    confidence: np.ndarray
    model: ClassHead
    about: dict[str, Any]


class Trainer:
    """Heads of the people at one workspace; they are gone with the session, and trained again in seconds.

    Parameters
    ----------
    workspace : Workspace
    images : (N,) int
        Image of each tile: tiles of one image are never on both sides of the cross-validation.
    """

    def __init__(self, workspace: Workspace, *, images: np.ndarray) -> None:
        self.workspace = workspace
        self._images = images
        self._trained: dict[str, Trained] = {}
        self.busy = threading.Lock()
        """Held while a head is fitted: two at once would both be slow."""

    def train(self, expert: str) -> dict[str, Any]:
        """Train on what a person judged, see `taught`, and note it in the log.

        Raises
        ------
        ActionError
            Without an embedding, or with too little named.
        """
        features = self.features
        with self.busy:
            start = time.monotonic()
            labels, _ = self.taught(expert)
            try:
                fitted = fit_class_head(features, labels, groups=self._images, **fit_options())
            except WootzError as error:
                raise ActionError(str(error).replace(CLASS_PREFIX, "")) from error
            names = fitted.head.class_names
            scores = score_probabilities(
                fitted.held_out, fitted.codes, class_names=names, groups=self._images[fitted.rows]
            )
            probabilities = fitted.head.probabilities(features)
            digest = hashlib.sha256(fitted.head.weights.tobytes() + "\n".join(names).encode())
            about = scores.as_dict() | {"head": digest.hexdigest()[:16], "n_named": int((labels != "").sum())}
            said = probabilities.argmax(axis=1), probabilities.max(axis=1)
            trained = Trained(about["head"], names, *said, fitted.head, about)
            self._log_training(expert, trained)
            self._trained = self._trained | {expert: trained}
            about["seconds"] = round(time.monotonic() - start, 2)
        return self.head(expert)

    def head(self, expert: str) -> dict[str, Any]:
        """Describe the head of a person; {} where none was trained in this session."""
        trained = self._trained.get(expert)
        if trained is None:
            return {}
        free = self.free(expert)
        counts = np.bincount(trained.codes[free], minlength=len(trained.words))
        classes = [
            found | {"word": word, "n_rest": int(n)}
            for found, word, n in zip(trained.about["classes"], trained.words, counts, strict=True)
        ]
        return trained.about | {"classes": classes}

    def ranked(self, expert: str, word: str, *, n: int, least: float = 0.0) -> dict[str, list]:
        """List the unnamed tiles that the head takes for a verdict, surest first.

        Parameters
        ----------
        expert : str
        word : str
            Such as "class:pore" or "artefact". Tiles that were refused for a class are left out.
        n : int
        least : float in [0, 1]
            Lowest confidence.

        Raises
        ------
        ActionError
            If there is no head, or it does not know the verdict.
        """
        trained, code = self.need(expert), self.code_of(expert, word)
        wanted = self.possible(expert, word) & (trained.codes == code) & (trained.confidence >= least)
        rows = np.flatnonzero(wanted)
        rows = rows[np.argsort(-trained.confidence[rows], kind="stable")][: min(n, RANKED_MAX)]
        return {"rows": rows.tolist(), "scores": np.round(trained.confidence[rows], 4).tolist()}

    def draw(self, expert: str, *, n: int, least: float = 0.0) -> dict[str, Any]:
        """Draw a random sample of the tiles that the head would name, and note it in the log.

        Parameters
        ----------
        expert : str
        n : int
            Tiles, shared out over predicted classes by size, with some of each.
        least : float in [0, 1]
            Lowest confidence of the labels that the audit is about.

        Raises
        ------
        ActionError
            If there is no head, or nothing left to audit.
        """
        trained = self.need(expert)
        inside = self.free(expert) & (trained.confidence >= least)
        if not inside.any():
            raise ActionError("no tile without a verdict is left that the head is so sure of.")
        seed = self.workspace.catch_up()
        strata = np.where(inside, trained.codes, -1)
        rows = draw_audit(strata, n_strata=len(trained.words), n=n, rng=np.random.default_rng(seed))
        return self.log_audit(expert, rows, strata=strata, least=least, seed=seed)

    def log_audit(
        self, expert: str, rows: np.ndarray, *, strata: np.ndarray, least: float, seed: int, **how: Any
    ) -> dict[str, Any]:
        """Note an audit in the log: its tiles, what the head said of each, and how many labels it is about.

        Parameters
        ----------
        expert : str
        rows : (n,) int
            Tiles, in the order in which they are shown.
        strata : (N,) int
            Class that the head says of each tile the audit is about; -1 for the others.
        least, seed
            See `draw`.
        **how
            How the tiles are shown.
        """
        trained = self.need(expert)
        sizes = np.bincount(strata[strata >= 0], minlength=len(trained.words)).tolist()
        record = {"op": "audit", "actor": expert, "head": trained.head, "least": least, "seed": seed}
        record |= {"rows": rows.tolist(), "said": [trained.words[code] for code in trained.codes[rows]]}
        record |= {"sizes": dict(zip(trained.words, sizes, strict=True)), "how": how or None}
        self.workspace.act(record)
        return self.audit(expert)

    def audit(self, expert: str) -> dict[str, Any]:
        """Say what the latest audit of a person comes to so far; {} where there is none.

        The answer holds the rows that are still to be judged, and not what the head said of them.
        """
        self.workspace.catch_up()
        with self.workspace.lock:
            action = latest_audit(self.workspace.state, expert)
            if action is None:
                return {}
            found = audit_result(self.workspace.state, action)
            cards = audit_cards(self.workspace.state, action)
        trained, known = self._trained.get(expert), self.workspace.known_rows
        found["cards"] = [card | {"rows": known(card["rows"]), "open": known(card["open"])} for card in cards]
        found["rows"] = self.workspace.known_rows(found.pop("open"))
        head = action.record["head"]
        return found | {"head": head, "is_current": trained is not None and trained.head == head}

    @property
    def features(self) -> np.ndarray:
        """(N, D) float32; an `ActionError` says how to make them."""
        if self.workspace.clusters.features is None:
            path = self.workspace.archive.path
            raise ActionError(f"training needs an embedding of all tiles; make it with `wootz embed {path}`.")
        return self.workspace.clusters.features

    def taught(self, expert: str) -> tuple[np.ndarray, np.ndarray]:
        """Give what a head learns from: the verdict of each tile, (N,) object, and its action, (N,) int64.

        "In between" teaches nothing. What was accepted unseen teaches nothing either: the next head would
        learn from its own opinion, and be judged by it.
        """
        with self.workspace.lock:
            codes, words = self.workspace.verdicts(expert)
            written = self.workspace.written(expert)
            unseen = self.workspace.state.unseen
        labels = np.array(["" if word == BETWEEN else word for word in words], object)[codes]
        labels[np.isin(written, unseen)] = ""
        return labels, written

    def free(self, expert: str) -> np.ndarray:
        """Find the tiles without a verdict: (N,) bool."""
        return self.workspace.verdicts(expert)[0] == 0

    def possible(self, expert: str, word: str) -> np.ndarray:
        """Find the tiles without a verdict that were not refused for one: (N,) bool."""
        free, key = self.free(expert), word.removeprefix(CLASS_PREFIX)
        free[self.workspace.known_rows(self.workspace.state.refused(expert, key))] = False
        return free

    def need(self, expert: str) -> Trained:
        """Give the head of a person; an `ActionError` without one."""
        if expert not in self._trained:
            raise ActionError("train first: there is no head of what you named in this session.")
        return self._trained[expert]

    def code_of(self, expert: str, word: str) -> int:
        """Give the number of a verdict in the head of a person; an `ActionError` where it knows no such."""
        words = self.need(expert).words
        if word not in words:
            raise ActionError(f"the head does not know {word.removeprefix(CLASS_PREFIX)!r}; train it again.")
        return words.index(word)

    def _log_training(self, expert: str, trained: Trained) -> None:
        counts = {word: c["n_named"] for word, c in zip(trained.words, trained.about["classes"], strict=True)}
        record = {"op": "train", "actor": expert, "head": trained.head, "counts": counts}
        self.workspace.act(record | {"how": {"embedding": self.workspace.clusters.embedding}})


def fit_options() -> dict[str, Any]:
    """Give the options of a fit: the same answers make the same head."""
    return {"strengths": STRENGTHS, "n_max": TRAIN_MAX, "rng": np.random.default_rng(0)}
