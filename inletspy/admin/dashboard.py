"""`inletspy dashboard`: a link that opens the server's page, signed in.

Owns the words at the terminal. How the server is asked is the matter of `statusport`, what
the link is good for the server's.
"""

from __future__ import annotations

import argparse
import os
import webbrowser
from typing import Any, Final

from inletspy.admin.accounts import say

__all__ = ["register"]

EXAMPLES: Final = """\
examples:
  inletspy dashboard                           of the server on this machine
  inletspy dashboard --open
  inletspy dashboard --status-url https://tunnel.example.com --token-file ops.token

The link alone is printed on standard output. Who opens it is signed in as whose the token is;
it is good once, for five minutes. On the server's machine the shared token is used where none
is named; one with the scope admin shows everybody's tunnels, and the settings.
"""


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
    )
    dashboard.add_argument(
        "--open", action="store_true", help="open it in a browser on this machine, too"
    )
    dashboard.add_argument("--status-url", metavar="URL", help="where the status port is")
    dashboard.add_argument(
        "--token-file", metavar="FILE", help="whose tunnels to show (or INLETS_TOKEN)"
    )
    dashboard.add_argument(
        "--data-dir",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="the server's data directory, which tells where the status port is",
    )
    dashboard.set_defaults(run=_run)


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    # Late, as it is slow to load: `--help` needs none of it.
    from inletspy.admin.statusport import StatusPort

    url, user = await StatusPort.find(reactor, arguments, os.environ).sign_in_link()
    print(url, flush=True)
    say(f"good once, for five minutes, for whoever opens it; signs in as {user}")
    if arguments.open and not webbrowser.open(url):
        say("no browser was found here: open the link yourself")
