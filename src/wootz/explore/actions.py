"""What a person can do: one record per action, checked before it goes into the log.

A record binds its action to tile ids, never to cluster numbers: numbers mean something else after the next
``wootz cluster``, ids do not.

======== ===================================== ==========================================================
op       fields                                effect, for its actor alone
======== ===================================== ==========================================================
define   class, name, definition, colour,      the class is called and described so (for everybody)
         examples (tiles)
name     class, tiles                          the tiles belong to the class
accept   class, tiles                          the same, on the program's proposal
refuse   class, tiles                          the tiles are not proposed for the class again
artefact tiles                                 the tiles show no specimen, but a fault of imaging
between  tiles                                 the tiles are of no class, or of several
clear    tiles                                 the tiles have no verdict
merge    into, tiles                           the tiles belong to the group `into`
move     into, tiles                           the same, of some tiles
split    parts: list of {group, tiles}, of     the tiles belong to the groups of their parts
adopt    parts: list of {verdict, tiles}       the tiles have the verdicts that a head gave them, unseen: as
                                               many as an audit bears out, by the program when it is asked to
note     about, text, tiles                    a note on a group or a class, or on tiles (about the first one)
train    head, counts                          a head was trained on so many tiles of each verdict
audit    head, least, seed, tiles, said, sizes the tiles were drawn to be judged; what the head said of each,
                                               and how many it would name so; sets nothing, as train
undo     target                                the action `target` counts as never done
redo     target                                the action `target` counts again
======== ===================================== ==========================================================

Every record also has ``id`` (of the action, unique), ``actor``, ``session``, ``when``, ``wootz``, ``basis``
(name and fingerprint of the clustering whose groups were looked at) and ``how`` (how the tiles were chosen).
Where the actor is "consensus", ``by`` says who settled it.
"""

from collections.abc import Mapping
from typing import Any

from wootz.errors import WootzError

VERDICT_OPS = ("name", "accept", "artefact", "between", "clear")
GROUP_OPS = ("merge", "move", "split")
ADOPT = "adopt"
"""Not among `VERDICT_OPS`: it passes several verdicts, and is neither an answer nor a thing to learn from."""
HISTORY_OPS = ("undo", "redo")
NOTED_OPS = ("train", "audit")
"""What the program notes of itself; it sets nothing, so that there is nothing to undo."""
OPS = (*VERDICT_OPS, *GROUP_OPS, ADOPT, "define", "refuse", "note", *NOTED_OPS, *HISTORY_OPS)
NEEDS_CLASS = ("define", "name", "accept", "refuse")
NEEDS_TILES = (*VERDICT_OPS, "merge", "move", "refuse", "audit")
ABOUT = ("tile", "group", "class")

NAME_MAX, TEXT_MAX, KEY_MAX = 100, 10_000, 120


class ActionError(WootzError):
    """An action cannot be done as asked; the message says why."""


def kept_action(record: Mapping[str, Any]) -> str:
    """Name the action that a person looked at again and kept as it was; "" where a record keeps none.

    To keep is to give the same tiles the same verdict again, with the action's id in ``how``. No op of its
    own: the person did judge these tiles anew, older versions read such a log, and undo brings the question
    back.
    """
    how = record.get("how")
    kept = how.get("kept") if isinstance(how, Mapping) and record.get("op") in VERDICT_OPS else ""
    return kept if isinstance(kept, str) else ""


def check_record(record: Mapping[str, Any]) -> None:
    """Raise `ActionError` unless a record holds what its op needs, in the right types and lengths.

    Parameters
    ----------
    record : mapping
        As it would stand in the log.
    """
    op = record.get("op")
    if op not in OPS:
        raise ActionError(f"{op!r} is no action; there are {', '.join(OPS)}.")
    for key in ("id", "actor"):
        check_text(record, key, longest=KEY_MAX)
    if op in NEEDS_CLASS:
        check_text(record, "class", longest=KEY_MAX)
    if op in NEEDS_TILES:
        _check_tiles(record)
    if op in ("merge", "move"):
        check_text(record, "into", longest=KEY_MAX)
    if op in GROUP_OPS:
        basis = record.get("basis")
        if not isinstance(basis, Mapping) or not isinstance(basis.get("fingerprint"), str):
            raise ActionError(f"{op} needs the fingerprint of the clustering that it changes.")
    _check_fields(record)


def _check_fields(record: Mapping[str, Any]) -> None:
    """Check what single ops need."""
    match record["op"]:
        case "define":
            check_text(record, "name", longest=NAME_MAX)
            check_text(record, "definition", longest=TEXT_MAX, optional=True)
            check_text(record, "colour", longest=7, optional=True)
            _check_ids(record.get("examples", []), what="examples")
        case "split":
            _check_parts(record, key="group", n_least=2)
            check_text(record, "of", longest=KEY_MAX, optional=True)
        case "adopt":
            _check_parts(record, key="verdict", n_least=1)
        case "note":
            _check_about(record.get("about"))
            check_text(record, "text", longest=TEXT_MAX)
            _check_ids(record.get("tiles", []), what="tiles")
        case "train":
            check_text(record, "head", longest=KEY_MAX)
        case "audit":
            check_text(record, "head", longest=KEY_MAX)
            _check_audit(record)
        case "undo" | "redo":
            check_text(record, "target", longest=KEY_MAX)


def check_text(record: Mapping[str, Any], key: str, *, longest: int, optional: bool = False) -> None:
    """Raise `ActionError` unless ``record[key]`` is text of 1 to `longest` characters."""
    value = record.get(key)
    if optional and value in (None, ""):
        return
    if not isinstance(value, str) or not value.strip() or len(value) > longest:
        raise ActionError(f"{record.get('op')} needs {key!r}: text of 1 to {longest} characters.")


def _check_tiles(record: Mapping[str, Any]) -> None:
    tiles = record.get("tiles")
    _check_ids(tiles, what="tiles")
    if not tiles:
        raise ActionError(f"{record['op']} needs at least one tile.")


def _check_ids(ids: Any, *, what: str) -> None:
    is_listed = isinstance(ids, list) and set(map(type, ids)) <= {str}
    if not is_listed or (ids and not 0 < min(map(len, ids)) <= max(map(len, ids)) <= KEY_MAX):
        raise ActionError(f"{what} must be a list of ids.")


def _check_parts(record: Mapping[str, Any], *, key: str, n_least: int) -> None:
    op, parts = record["op"], record.get("parts")
    if not isinstance(parts, list) or len(parts) < n_least:
        raise ActionError(f"{op} needs its parts, {n_least} or more.")
    seen: set[str] = set()
    for part in parts:
        if not isinstance(part, Mapping):
            raise ActionError(f"a part of {op} is {{{key}, tiles}}.")
        check_text({"op": op, **part}, key, longest=KEY_MAX)
        _check_tiles({"op": op, **part})
        if not seen.isdisjoint(part["tiles"]) or len(set(part["tiles"])) != len(part["tiles"]):
            raise ActionError(f"a tile can be in one part of {op} only, and once.")
        seen.update(part["tiles"])


def _check_audit(record: Mapping[str, Any]) -> None:
    said, sizes, least = record.get("said"), record.get("sizes"), record.get("least")
    _check_ids(said, what="said")
    if len(said or ()) != len(record["tiles"]) or not isinstance(sizes, Mapping):
        raise ActionError("an audit needs what the head said of each tile, and the sizes by verdict.")
    if not all(isinstance(n, int) and n >= 0 for n in sizes.values()) or not set(said or ()) <= set(sizes):
        raise ActionError("an audit needs the number of labels of every verdict that it holds.")
    if isinstance(least, bool) or not isinstance(least, int | float) or not 0 <= least <= 1:
        raise ActionError("least must be a number from 0 to 1.")


def _check_about(about: Any) -> None:
    if not isinstance(about, Mapping) or len(about) != 1 or next(iter(about)) not in ABOUT:
        raise ActionError("a note is about one of: " + ", ".join(f"{{{name!r}: id}}" for name in ABOUT))
    check_text({"op": "note", **about}, next(iter(about)), longest=KEY_MAX)
