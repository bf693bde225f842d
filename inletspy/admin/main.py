"""The command `inletspy`, for those who run a server.

Each subcommand is a module with a function `register`. What they have in common is
here: the options that say which server is meant, and how errors are told.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

from inletspy import __version__
from inletspy.admin import config, dashboard, names, setup, share, status, tokens, top, users
from inletspy.admin.completion import SHELLS, script
from inletspy.errors import InletspyError, UsageError

__all__ = ["main"]

#: The modules with the subcommands, in the order of the help text.
COMMANDS = (setup, status, top, dashboard, config, users, tokens, names, share)


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command and end the process.

    Exit status: 0 done, 1 it can't be done, 2 called in a wrong way, 130 after Ctrl-C.

    Args:
        argv: the arguments; those of the process where None.
    """
    try:
        arguments = _parser().parse_args(argv)
        from twisted.internet import task

        task.react(_run, (arguments,))
    finally:
        _flush()


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    try:
        await arguments.run(reactor, arguments)
    except InletspyError as error:
        print(f"inletspy: {error}", file=sys.stderr)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from None
    except KeyboardInterrupt:  # while a person is asked for a value
        raise SystemExit(130) from None
    except OSError as error:
        # Errors of files have a name, and are told by the commands themselves.
        if error.filename is not None:
            raise
        _give_up_output(error)


def _flush() -> None:
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        _give_up_output(error)


def _give_up_output(error: OSError) -> None:
    """Print nothing any more; unless whoever read has seen enough, as `head` does, say why."""
    # What is left of it must not fail again when the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        print(f"inletspy: can't write to standard output: {error.strerror}", file=sys.stderr)
        raise SystemExit(1) from None


class _Completion(argparse.Action):
    """Prints the script for a shell, of all that the parser has."""

    def __call__(self, parser: argparse.ArgumentParser, *rest: Any) -> None:
        print(script(str(rest[1]), parser), end="")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    server = common.add_argument_group("which server")
    server.add_argument("--data-dir", metavar="DIR", help="its data directory")
    server.add_argument(
        "--database",
        metavar="URL",
        help="its database, where the data directory does not tell (or INLETSPY_DATABASE, which"
        " keeps a password out of sight)",
    )
    parser = argparse.ArgumentParser(
        prog="inletspy",
        description="Manage an inletspy server.",
        epilog="`inletspy COMMAND --help` tells more of each.",
        parents=[common],
    )
    parser.add_argument("--version", action="version", version=f"inletspy {__version__}")
    parser.add_argument(
        "--completion",
        action=_Completion,
        choices=sorted(SHELLS),
        help="print a completion script and exit",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands, common)
    return parser


if __name__ == "__main__":
    main()
