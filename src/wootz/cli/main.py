"""The entry point ``wootz``."""

import difflib
import os
import sys
from collections.abc import Sequence

from wootz import __version__
from wootz.cli.arguments import Arguments, split_arguments
from wootz.cli.commands import COMMANDS, resolve
from wootz.errors import WootzError

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 2 the input is wrong, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Threads that wait for work sleep. By default they spin, and where another program uses a core they take
    # it from the threads that have work: prediction then took four times as long. Read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # numba (a UMAP map) takes all cores whatever OMP_NUM_THREADS says, and torch then does so too. At the
    # start of a process alone: numba refuses another number later.
    if argv is None and os.environ.get("OMP_NUM_THREADS", "").isdecimal():
        os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])
    try:
        status = _dispatch(words)
        sys.stdout.flush()
        return status
    except WootzError as error:
        print(f"wootz: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("wootz: interrupted; the same command goes on where this one stopped.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough: wootz pretrain --help | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _dispatch(words: list[str]) -> int:
    from wootz.cli.helptext import command_help, overview

    if not words or words[0] in ("-h", "--help", "help"):
        print(overview(__version__))
        return 0
    if words[0] in ("-V", "--version"):
        print(f"wootz {__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f" Did you mean 'wootz {near[0]}'?" if near else ""
        raise WootzError(f"{name!r} is no command.{hint} 'wootz --help' lists them.")
    arguments = split_arguments(words[1:])
    if arguments.help:
        print(command_help(name))
        return 0
    _check_paths(name, arguments)
    _run(name, arguments)
    return 0


def _check_paths(name: str, arguments: Arguments) -> None:
    command = COMMANDS[name]
    low, high = command.n_paths
    n = len(arguments.paths)
    if n < low or (high >= 0 and n > high):
        given = " ".join(arguments.paths) or "nothing"
        raise WootzError(f"{name} takes {command.usage}, not {given}. 'wootz {name} --help' tells more.")


def _run(name: str, arguments: Arguments) -> None:
    from wootz.cli.compose import compose_config, sweep

    function = resolve(COMMANDS[name].function)
    runs = sweep(arguments.overrides) if arguments.multirun else [arguments.overrides]
    for overrides in runs:
        if arguments.multirun:
            print(f"[{' '.join(overrides)}]", file=sys.stderr)
        config = compose_config(name, overrides, config_dir=arguments.config_dir)
        print(function(arguments.paths, config).summary())
