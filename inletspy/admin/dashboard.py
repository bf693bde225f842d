"""`inletspy dashboard`: a link that opens the server's page, signed in.

Owns the words at the terminal, and what `--admin` signs in with. How the server is asked is
the matter of `statusport`, what the link is good for the server's.
"""

from __future__ import annotations

import argparse
import os
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.task import deferLater

from inletspy.admin.accounts import accounts_table, say
from inletspy.admin.reaching import add_server_options
from inletspy.errors import Conflict, UsageError
from inletspy.policy.signins import SIGN_IN_SECONDS
from inletspy.policy.tokens import readable_start

if TYPE_CHECKING:
    from inletspy.admin.statusport import StatusPort

__all__ = ["register"]

EXAMPLES: Final = """\
examples:
  inletspy dashboard                           of the server on this machine
  inletspy dashboard --admin --open            everybody's tunnels, and the settings
  inletspy dashboard --status-url https://tunnel.example.com --token-file ops.token

The link alone is printed on standard output. Who opens it is signed in as whose the token is;
it is good once, for five minutes. On the server's machine the shared token is used where none
is named; one with the scope admin shows everybody's tunnels, and the settings. Who can write
into the server's database needs none for that: --admin signs in as the user operator, with a
token that nobody gets to see and that is over after 12 hours.
"""

#: Whom `--admin` signs in as; made when first needed.
OPERATOR: Final = "operator"
#: Seconds after which the server is asked, again and again, for a token it has to hear of.
_PAUSES: Final = (0.2, 0.5, 1.0, 2.0, 4.0)


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others; see `config.register`."""
    dashboard = commands.add_parser(
        "dashboard",
        help="print a link that opens the server's page",
        description="Print a link that opens the server's page, signed in.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[common],
    )
    dashboard.add_argument(
        "--admin",
        action="store_true",
        help="sign in as admin, for who can write into the server's database",
    )
    dashboard.add_argument(
        "--open", action="store_true", help="open it in a browser on this machine, too"
    )
    add_server_options(dashboard)
    dashboard.set_defaults(run=_run)


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    # Late, as it is slow to load: `--help` needs none of it.
    from inletspy.admin.statusport import StatusPort

    if arguments.admin:
        url, user = await _admin_link(reactor, arguments)
    else:
        url, user = await StatusPort.find(reactor, arguments, os.environ).sign_in_link()
    print(url, flush=True)
    say(f"good once, for five minutes, for whoever opens it; signs in as {user}")
    if arguments.open and not webbrowser.open(url):
        say("no browser was found here: open the link yourself")


async def _admin_link(reactor: Any, arguments: argparse.Namespace) -> tuple[str, str]:
    """A link that signs in as admin, and as whom.

    By a token like any other, so that it is listed, can be revoked, and the server has no
    second way in; it goes to the server alone, and is over when the sign-in is.
    """
    from inletspy.admin.statusport import StatusPort

    if arguments.token_file:
        raise UsageError("--admin makes a token of its own: leave --token-file out")
    # Before anything is changed.
    port = StatusPort.find(reactor, arguments, {**os.environ, "INLETS_TOKEN": ""})
    async with accounts_table(reactor, arguments) as table:
        with suppress(Conflict):  # there is that user already, or whoever adds it wins
            await table.add_user(OPERATOR)
        token = await table.create_token(
            OPERATOR, scopes=("status", "admin"), expires_in=SIGN_IN_SECONDS
        )
        try:
            return await _once_known(reactor, port.with_token(token))
        except BaseException:
            await table.revoke_token(readable_start(token))
            raise


async def _once_known(reactor: Any, port: StatusPort) -> tuple[str, str]:
    """The link, as soon as the server has heard of a token that was just made."""
    from inletspy.admin.statusport import TokenRefused

    for seconds in _PAUSES:
        await deferLater(reactor, seconds)
        with suppress(TokenRefused):
            return await port.sign_in_link()
    return await port.sign_in_link()
