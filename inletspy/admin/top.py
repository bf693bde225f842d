"""`inletspy top`: what passes through the tunnels, live, for people and programs.

Owns the words on the command line. What is made of what the server tells is the matter of
`watching`, which is slow to load: `--help` needs none of it.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from inletspy.admin.reaching import add_data_dir, add_server_options

__all__ = ["register"]

EXAMPLES: Final = """\
examples:
  inletspy top                                 of the server on this machine
  inletspy top --sort p                        the slowest first
  inletspy top --json | jq -c '.changed[]?.traffic.per_second'
  inletspy top --status-url https://tunnel.example.com --token-file ops.token

Keys sort by the column they stand for, and the other way round when pressed again; the arrows
and page keys move; v shows the own tunnels or everybody's, with the scope admin; q quits. On
the server's machine the shared token is used where none is named.
"""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others; see `config.register`."""
    top = commands.add_parser(
        "top",
        help="watch what passes through the tunnels",
        description="Watch what passes through the tunnels.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument(
        "--json",
        action="store_true",
        help="one JSON object a line, for programs: event (tunnels, changes, health, away) and"
        " what the API tells with it",
    )
    top.add_argument(
        "--sort", metavar="KEY", default="r", help="the key of the column to sort by (r)"
    )
    top.add_argument("--own", action="store_true", help="begin with the own tunnels alone")
    add_server_options(top)
    add_data_dir(top)
    top.set_defaults(run=_run)


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    from inletspy.admin.watching import watch

    await watch(reactor, arguments)
