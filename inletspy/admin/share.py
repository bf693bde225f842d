"""`inletspy share`: a link or a token for those who may reach a private service.

Puts it together from what is stored, and notes there that it was made; no running server is
asked. Who may use it where is the business of `policy.links` and `policy.private`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from inletspy.admin.accounts import say
from inletspy.config import DEFAULT_DOMAIN
from inletspy.errors import InletspyError, NotThere, UsageError
from inletspy.policy.accounts import Accounts
from inletspy.policy.durations import parse_duration
from inletspy.policy.links import LONGEST_LINK
from inletspy.policy.names import check_hostname, check_label
from inletspy.policy.ownership import NameRules
from inletspy.policy.private import PRIVATE
from inletspy.policy.sharing import make_link
from inletspy.policy.tokens import SHARED

if TYPE_CHECKING:
    from inletspy.store.database import Database

__all__ = ["register"]

EXAMPLES = """\
examples:
  inletspy share shop --expires 2h
  inletspy share https://shop.tunnel.example.com --expires 7d
  inletspy share db --private --user alice --expires 2h

The link alone is printed on standard output. It works while a client serves the name with
`tunnel --private-http`, for whoever has it. With --private it is a share token, for
`tunnel connect db LOCALPORT --share-token-file FILE`, where a client serves the name with
`tunnel --private`. Single ones are revoked on the server's page or by its API;
`inletspy config set link_signing_key -` ends all of both at once.
"""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others.

    Args:
        commands: gets the parser of this one.
        common: the options that each command takes.
    """
    share = commands.add_parser(
        "share",
        parents=[common],
        help="make a link, or a token, for a private service",
        description="Make a link that lets visitors in where a service is private, or a token "
        "for `tunnel connect`.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    share.add_argument("name", metavar="NAME", help="a name, hostname or public address")
    share.add_argument(
        "--expires", metavar="TIME", default="2h", help="how long it lasts; default: 2h"
    )
    share.add_argument(
        "--user",
        metavar="U",
        help="whose service it is for; default: the user whose name it is, else the shared "
        "token's; needed where others have tokens for the name, and with --private where there "
        "are users",
    )
    share.add_argument(
        "--private",
        action="store_true",
        help="make a share token for a private service (`tunnel --private`)",
    )
    share.set_defaults(run=_share)


async def _share(reactor: Any, arguments: argparse.Namespace) -> None:
    seconds = _read_seconds(arguments.expires)
    if arguments.private:
        await _share_token(reactor, arguments, seconds)
    else:
        await _share_link(reactor, arguments, seconds)


async def _share_token(reactor: Any, arguments: argparse.Namespace, seconds: int) -> None:
    try:
        name = check_label(arguments.name.removeprefix(PRIVATE))
    except ValueError as error:
        raise UsageError(str(error)) from error
    async with _opened(reactor, arguments) as stored:
        # The name alone does not tell: each owner may have a service of that name.
        if not arguments.user and stored.accounts.owners:
            raise UsageError(f"say whose service {name} is, with --user U or --user {SHARED.name}")
        await stored.make(arguments.user or SHARED.name, "", f"{PRIVATE}{name}", seconds)


async def _share_link(reactor: Any, arguments: argparse.Namespace, seconds: int) -> None:
    given = arguments.name if "://" in arguments.name else f"//{arguments.name}"
    try:
        url = urlsplit(given)
        hostname = check_hostname(url.hostname or "")
        port = url.port
    except ValueError as error:
        raise UsageError(f"{arguments.name!r} is no public address: {error}") from error
    if url.scheme not in ("", "http", "https") or url.path not in ("", "/"):
        raise UsageError(f"{arguments.name!r} is no public address like https://shop.example.com")

    async with _opened(reactor, arguments) as stored:
        base_domain = str(stored.server.get("domain") or stored.domain or DEFAULT_DOMAIN)
        if "." not in hostname:
            hostname = f"{hostname}.{base_domain}"
        if url.scheme:
            public_url = f"{url.scheme}://{hostname}" + (f":{port}" if port else "")
        else:
            public_url = _public_url(stored.server, hostname)
        owner = arguments.user or _owner_of(hostname, NameRules(stored.accounts, base_domain))
        await stored.make(owner, hostname, public_url, seconds)


def _public_url(server: Mapping[str, Any], hostname: str) -> str:
    outside = urlsplit(str(server.get("public_url") or ""))
    if not outside.scheme:
        raise InletspyError(
            f"no server runs here that could tell its public address; give all of it, like "
            f"https://{hostname}"
        )
    return f"{outside.scheme}://{hostname}" + (f":{outside.port}" if outside.port else "")


def _owner_of(hostname: str, rules: NameRules) -> str:
    user = rules.user_of(hostname)
    if user is not None:
        return user
    tokens = rules.accounts.tokens.values()
    others = {c.owner.name for c in tokens if rules.objection(c, hostname) is None}
    if others:
        few = ", ".join(sorted(others)[:3]) + (" and others" if len(others) > 3 else "")
        raise UsageError(
            f"{hostname} is no user's alone, and {few} may serve it, too: say whose service is "
            f"meant, with --user U or --user {SHARED.name}"
        )
    return SHARED.name


@dataclass(frozen=True)
class _Stored:
    """What is known of the server.

    Attributes:
        database: the server's.
        server: what it tells of itself, if it runs here.
        key: signs links and tokens.
        domain: the base domain; empty if none is set.
        accounts: the users there are.
    """

    database: Database
    server: Mapping[str, Any]
    key: str
    domain: str
    accounts: Accounts

    async def make(self, owner: str, hostname: str, public_url: str, seconds: int) -> None:
        """Make a link or token, note that, and print it."""
        from inletspy.store.links import LinksTable

        link, text = make_link(self.key, owner, hostname, public_url, time.time(), seconds)
        await LinksTable(self.database).add([link])
        print(text)
        until = time.strftime("%Y-%m-%d %H:%M", time.localtime(link.expires_at))
        say(f"good until {until}, while {owner} serves it, for whoever has it")


@asynccontextmanager
async def _opened(reactor: Any, arguments: argparse.Namespace) -> AsyncIterator[_Stored]:
    # Late, as these are slow to load: a mistake on the command line needs none of them.
    from inletspy.admin.location import opened, running_server
    from inletspy.store.accounts_table import AccountsTable
    from inletspy.store.table import SettingsTable

    server = running_server(arguments, os.environ)
    async with opened(reactor, arguments) as database:
        settings = SettingsTable(database)
        key = await settings.get("link_signing_key")
        domain = await settings.get("tunnel_base_domain")
        accounts = await AccountsTable(database).accounts()
        if key.problem:
            raise InletspyError(
                f"{key.problem}: no server takes what it signs; set another: "
                "inletspy config set link_signing_key -"
            )
        if not key.text:
            raise InletspyError(
                "there is no key to sign links with; start the server anew, or set one: "
                "inletspy config set link_signing_key -"
            )
        user = arguments.user
        if user and user != SHARED.name and user not in accounts.owners:
            raise NotThere(f"there is no user {user}")
        base_domain = "" if domain.problem else domain.text
        yield _Stored(database, server, key.text, base_domain, accounts)


def _read_seconds(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error
    if seconds > LONGEST_LINK:
        raise UsageError(f"--expires: a link may last {LONGEST_LINK // 86400} days at most")
    return seconds
