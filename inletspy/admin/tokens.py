"""`inletspy token`: what users' clients come in with.

Owns the words at the terminal. A new token goes to standard output, alone, and nowhere
else; afterwards only its readable start is known.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from inletspy.admin.accounts import accounts_table, list_rows, say
from inletspy.admin.tables import cell
from inletspy.errors import UsageError
from inletspy.policy.addresses import parse_port_range
from inletspy.policy.durations import parse_duration
from inletspy.policy.limits import parse_limit
from inletspy.policy.tokens import SCOPES, readable_start

__all__ = ["register"]

EXAMPLES: Final = """\
examples:
  inletspy token create --user alice > alice.token
  inletspy token create --user alice --expires 30d --names 'alice-ci-*' --scopes connect
  inletspy token create --user ops --scopes status,admin
  inletspy token create --user ci --limit sessions=200 --limit names_per_hour=2000
  inletspy token list --user alice
  inletspy token revoke ipy_Ab3dE5fG

The token itself is shown this once, alone on standard output. A token that is revoked or
expires ends the tunnels that were opened with it, within a second.
"""

_COLUMNS: Final = ("token", "user", "state", "scopes", "names", "ports", "limits", "expires_at")


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others; see `config.register`."""
    token = commands.add_parser(
        "token",
        help="create, list and revoke users' tokens",
        description="Create, list and revoke the tokens of users.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = token.add_subparsers(metavar="ACTION", required=True)

    create = actions.add_parser("create", parents=[common], help="create a token for a user")
    create.add_argument("--user", metavar="U", required=True, help="whom it stands for")
    create.add_argument("--expires", metavar="SPAN", help="like 90m, 12h or 30d; default: never")
    create.add_argument(
        "--names",
        metavar="PATTERN",
        help="only for names like this, such as 'ci-*'; several with commas between them",
    )
    create.add_argument(
        "--ports", metavar="FIRST-LAST", help="only for these public TCP ports, or for one"
    )
    create.add_argument(
        "--scopes",
        metavar="SCOPES",
        default=",".join(SCOPES[:2]),
        help="what it allows: connect, status, admin, with commas; default: %(default)s",
    )
    create.add_argument(
        "--limit",
        metavar="NAME=NUMBER",
        action="append",
        default=[],
        help="in place of the one in user_limits, such as sessions=5; 0: any number; may be "
        "given several times. A token with limits is counted by itself",
    )
    create.set_defaults(run=_create)

    show = actions.add_parser("list", parents=[common], help="show tokens, by their starts")
    show.add_argument("--user", metavar="U", help="those of one user only")
    show.add_argument("--json", action="store_true", help="as a JSON array, for programs")
    show.set_defaults(run=_list)

    revoke = actions.add_parser("revoke", parents=[common], help="make a token good for nothing")
    revoke.add_argument("prefix", metavar="PREFIX", help="its start, as listed")
    revoke.set_defaults(run=_revoke)


async def _create(reactor: Any, arguments: argparse.Namespace) -> None:
    seconds, ports = None, None
    if arguments.expires is not None:
        try:
            seconds = parse_duration(arguments.expires)
        except ValueError as error:
            raise UsageError(f"--expires: {error}") from None
    if arguments.ports is not None:
        first, dash, last = arguments.ports.partition("-")
        try:
            ports = parse_port_range(f"{first}-{last if dash else first}")
        except ValueError as error:
            raise UsageError(f"--ports {error}") from None
    try:
        limits = dict(map(parse_limit, arguments.limit))
    except ValueError as error:
        raise UsageError(f"--limit {error}") from None
    async with accounts_table(reactor, arguments) as table:
        token = await table.create_token(
            arguments.user,
            scopes=_items(arguments.scopes),
            names=_items(arguments.names or "") if arguments.names is not None else (),
            ports=ports,
            expires_in=seconds,
            limits=limits,
        )
    print(token, flush=True)
    until = "until it is revoked"
    if seconds is not None:
        until = f"until {cell(datetime.now(UTC) + timedelta(seconds=seconds))}"
    start = readable_start(token)
    say(f"{arguments.user}'s token {start}… is good {until}; it is not shown again")


async def _list(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        rows = await table.tokens(arguments.user)
    styles = ["" if row["state"] == "good" else "dim" for row in rows]
    list_rows(rows, (*_COLUMNS, "last_used_at"), arguments, styles)


async def _revoke(reactor: Any, arguments: argparse.Namespace) -> None:
    async with accounts_table(reactor, arguments) as table:
        start = await table.revoke_token(arguments.prefix)
    say(f"revoked {start}…")


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]
