"""`inletspy name`: the names that are kept for users.

Owns the words at the terminal; what a name may be is decided in `policy`.
"""

from __future__ import annotations

import argparse
from typing import Any, Final

from inletspy.admin.accounts import accounts_table, base_domain, list_rows, say

__all__ = ["register"]

EXAMPLES: Final = """\
examples:
  inletspy name reserve shop --user alice               shop under the base domain
  inletspy name reserve shop.example.org --user alice   a name outside it
  inletspy name release shop

Nobody else gets a reserved name; who serves it when it is reserved loses it.
"""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others; see `config.register`."""
    name = commands.add_parser(
        "name",
        help="reserve names for users",
        description="Reserve names for users, list and release them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = name.add_subparsers(metavar="ACTION", required=True)

    reserve = actions.add_parser("reserve", parents=[common], help="reserve a name for a user")
    reserve.add_argument("name", metavar="NAME", help="under the base domain, or a full hostname")
    reserve.add_argument("--user", metavar="U", required=True, help="whose it is to be")
    reserve.set_defaults(run=_reserve)

    show = actions.add_parser("list", parents=[common], help="show all reserved names")
    show.add_argument("--json", action="store_true", help="as a JSON array, for programs")
    show.set_defaults(run=_list)

    release = actions.add_parser("release", parents=[common], help="reserve a name no longer")
    release.add_argument("name", metavar="NAME")
    release.set_defaults(run=_release)


async def _reserve(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        domain = await base_domain(table)
        name = await table.reserve_name(arguments.name, arguments.user, domain)
    say(f"reserved {name} for {arguments.user}")


async def _list(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        rows = await table.names()
    list_rows(rows, ("name", "user", "created_at"), arguments)


async def _release(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        name = await table.release_name(arguments.name, await base_domain(table))
    say(f"released {name}")
