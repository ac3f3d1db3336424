"""``--help``: the commands in a table, and each command's options with units and defaults."""

from wootz.cli.commands import COMMANDS, resolve
from wootz.options import describe

_HEAD = """wootz {version}: unlabelled electron micrographs to classes, masks, measurements with error bars

usage: wootz <command> [ARCHIVE] [PATH ...] [key=value ...]

commands:
"""
_TAIL = """
'wootz <command> --help' lists its options with units and defaults.
'wootz <command> ... key=a,b --multirun' runs every combination.
Start here: wootz demo"""


def overview(version: str) -> str:
    """Return the text of ``wootz --help``."""
    rows = [f"  {name:<10} {command.summary}" for name, command in COMMANDS.items()]
    return _HEAD.format(version=version) + "\n".join(rows) + "\n" + _TAIL


def command_help(name: str) -> str:
    """Return the text of ``wootz <name> --help``."""
    command = COMMANDS[name]
    lines = [f"usage: wootz {name} {command.usage} [key=value ...]", "", command.summary, "", "options:"]
    lines += _rows(describe(resolve(command.schema)), skip=tuple(command.groups))
    for key, table in command.presets.items():
        choices = "|".join(resolve(table))
        lines += ["", f"{key}={choices}: many {key} options at once; single ones override it"]
    for group, choices in command.groups.items():
        default = next(iter(choices))
        lines += ["", f"{group}={'|'.join(choices)} (default {default})"]
        for choice, reference in choices.items():
            lines += [f"  with {group}={choice}:"]
            lines += _rows(describe(resolve(reference)), prefix=f"{group}.", indent="    ")
    return "\n".join(lines)


def _rows(
    options: list[tuple[str, str, str]], *, prefix: str = "", indent: str = "  ", skip: tuple[str, ...] = ()
) -> list[str]:
    shown = [(f"{prefix}{key}={default}", text) for key, default, text in options if key not in skip]
    if prefix:  # the name of a choice is the choice itself
        shown = [(head, text) for head, text in shown if not head.startswith(f"{prefix}name=")]
    width = min(34, max((len(head) for head, _ in shown), default=0))
    return [f"{indent}{head:<{width}}  {text}".rstrip() for head, text in shown]
