"""`inletspy share`: a link that lets visitors in where a service is private.

Puts the link together from what is stored; no running server is asked. Who may use it
where is the business of `inletspy.policy.links`.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any
from urllib.parse import urlsplit

from inletspy.admin.accounts import say
from inletspy.config import DEFAULT_DOMAIN
from inletspy.errors import InletspyError, NotThere, UsageError
from inletspy.policy.durations import parse_duration
from inletspy.policy.links import LONGEST_LINK, link_with, new_link_token
from inletspy.policy.names import check_hostname
from inletspy.policy.tokens import SHARED

__all__ = ["register"]

EXAMPLES = """\
examples:
  inletspy share shop --expires 2h
  inletspy share https://shop.tunnel.example.com --expires 7d

The link alone is printed on standard output. It works while a client serves the name with
`tunnel --private-http`, for whoever has it. `inletspy config set link_signing_key -` ends
all links at once.
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
        help="make a link to a private service",
        description="Make a link that lets visitors in where a service is private.",
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
        help="whose service it is for; default: who serves the name, or else would",
    )
    share.set_defaults(run=_share)


async def _share(reactor: Any, arguments: argparse.Namespace) -> None:
    seconds = _read_seconds(arguments.expires)
    given = arguments.name if "://" in arguments.name else f"//{arguments.name}"
    try:
        url = urlsplit(given)
        hostname = check_hostname(url.hostname or "")
        port = url.port
    except ValueError as error:
        raise UsageError(f"{arguments.name!r} is no public address: {error}") from error
    if url.scheme not in ("", "http", "https") or url.path not in ("", "/"):
        raise UsageError(f"{arguments.name!r} is no public address like https://shop.example.com")

    # Late, as these are slow to load: a mistake on the command line needs none of them.
    from inletspy.admin.location import opened, running_server
    from inletspy.store.accounts_table import AccountsTable
    from inletspy.store.table import SettingsTable

    server, tunnels = running_server(arguments, os.environ)
    async with opened(reactor, arguments) as database:
        settings = SettingsTable(database)
        key = (await settings.get("link_signing_key")).text
        stored_domain = (await settings.get("tunnel_base_domain")).text
        accounts = await AccountsTable(database).accounts()
    if not key:
        raise InletspyError(
            "there is no key to sign links with; start the server anew, or set one: "
            "inletspy config set link_signing_key -"
        )
    base_domain = str(server.get("domain") or stored_domain or DEFAULT_DOMAIN)
    if "." not in hostname:
        hostname = f"{hostname}.{base_domain}"
    if url.scheme:
        public_url = f"{url.scheme}://{hostname}" + (f":{port}" if port else "")
    else:
        outside = urlsplit(str(server.get("public_url") or ""))
        if not outside.scheme:
            raise InletspyError(
                f"no server runs here that could tell its public address; give all of it, like "
                f"https://{hostname}"
            )
        public_url = f"{outside.scheme}://{hostname}"
        public_url += f":{outside.port}" if outside.port else ""
    end = int(time.time()) + seconds
    if arguments.user and arguments.user != SHARED.name and arguments.user not in accounts.owners:
        raise NotThere(f"there is no user {arguments.user}")
    serving = (
        row.get("owner")
        for row in tunnels
        if isinstance(row, dict) and row.get("hostname") == hostname
    )
    owner = arguments.user or next(serving, None) or accounts.holder_of(hostname, base_domain)
    print(link_with(public_url, new_link_token(key, hostname, owner, end)))
    until = time.strftime("%Y-%m-%d %H:%M", time.localtime(end))
    say(f"good until {until}, while {owner} serves it, for whoever has it")


def _read_seconds(text: str) -> int:
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--expires: {error}") from error
    if seconds > LONGEST_LINK:
        raise UsageError(f"--expires: a link may last {LONGEST_LINK // 86400} days at most")
    return seconds
