"""Actions in words, as the history lists them."""

from typing import Any

from wootz.explore.actions import kept_action
from wootz.explore.state import Action

WORDS = {
    "name": "named {n} as {class}",
    "accept": "accepted {n} as {class}",
    "refuse": "refused {n} as {class}",
    "artefact": "rejected {n} as artefact",
    "between": "set {n} aside as in between",
    "clear": "cleared the verdict on {n}",
    "adopt": "accepted {n} unseen",
    "merge": "merged {n} into cluster {into}",
    "move": "moved {n} to cluster {into}",
    "split": "split {n} into {parts} parts",
    "define": "described class {name}",
    "note": "noted: {text}",
    "train": "trained on what was named",
    "audit": "drew {n} for an audit",
}


def describe(action: Action) -> str:
    """Say what an action did, such as "named 12 tiles as pore"."""
    record: dict[str, Any] = dict(action.record)
    parts = record.get("parts") or []
    n = len(record.get("tiles") or ()) + sum(len(part["tiles"]) for part in parts)
    text = str(record.get("text", ""))
    words = {"n": f"{n} tile{'' if n == 1 else 's'}", "parts": len(parts), "into": record.get("into", "")}
    words |= {"class": record.get("class", ""), "name": record.get("name", "")}
    said = "kept {n} as {class}" if kept_action(record) else WORDS[action.op]
    words["class"] = words["class"] or action.op
    return said.format(**words, text=text if len(text) <= 60 else text[:57] + "...")
