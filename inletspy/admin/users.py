"""`inletspy user`: who has tunnels of their own.

Owns the words at the terminal; what a user may be called is decided in `policy`.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from inletspy.admin.accounts import accounts_table, list_rows, say

__all__ = ["register"]

EXAMPLES: Final = """\
examples:
  inletspy user add alice
  inletspy user add u12@example.com --prefix claude-web-user-12
  inletspy user remove alice

A user's hostnames and client ids begin with the user's prefix. A change takes effect in
a running server at once; removing a user ends the user's tunnels.
"""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others; see `config.register`."""
    user = commands.add_parser(
        "user",
        help="add, list and remove users",
        description="Add, list and remove the users of a server.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = user.add_subparsers(metavar="ACTION", required=True)

    add = actions.add_parser("add", parents=[common], help="add a user")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--prefix", metavar="P", help="what the user's names begin with; default: the name"
    )
    add.set_defaults(run=_add)

    show = actions.add_parser("list", parents=[common], help="show all users")
    show.add_argument("--json", action="store_true", help="as a JSON array, for programs")
    show.set_defaults(run=_list)

    remove = actions.add_parser(
        "remove", parents=[common], help="remove a user with all tokens and reserved names"
    )
    remove.add_argument("name", metavar="NAME")
    remove.set_defaults(run=_remove)


async def _add(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        owner = await table.add_user(arguments.name, arguments.prefix)
    say(f"added {owner.name}, whose names begin with {owner.prefix}-")
    say(f"next: inletspy token create --user {owner.name}")


async def _list(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        rows = await table.users()
    list_rows(rows, ("name", "prefix", "tokens", "names", "created_at"), arguments)


async def _remove(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        await table.remove_user(arguments.name)
    say(f"removed {arguments.name}")
