"""`inletspy status`: the tunnels there are, for people and scripts.

Owns the words and the layout at the terminal, and how a list becomes news. How the server
is asked is the matter of `statusport`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from inletspy.admin.accounts import say
from inletspy.admin.reaching import add_data_dir, add_server_options
from inletspy.admin.tables import cell, table
from inletspy.errors import InletspyError

__all__ = ["changes", "register"]

EXAMPLES: Final = """\
examples:
  inletspy status                              of the server on this machine
  inletspy status --watch
  inletspy status --json --status-url https://tunnel.example.com --token-file ops.token

Without a token it is all tunnels, which a server tells on its own machine only. A token
shows its owner's tunnels; one with the scope admin all of them, and whose each is.
"""

#: Seconds between two looks.
PERIOD: Final = 1.0

Row = dict[str, Any]


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others; see `config.register`."""
    status = commands.add_parser(
        "status",
        help="show the tunnels there are",
        description="Show the tunnels there are.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    status.add_argument("--json", action="store_true", help="as a JSON array, for programs")
    status.add_argument(
        "--watch",
        action="store_true",
        help="go on showing what changes; with --json one object a line: event (added, changed or"
        " removed) and tunnel",
    )
    add_server_options(status)
    add_data_dir(status)
    status.set_defaults(run=_run)


async def _run(reactor: Any, arguments: argparse.Namespace) -> None:
    # Late, as it is slow to load: `--help` needs none of it.
    from inletspy.admin.statusport import StatusPort

    port = StatusPort.find(reactor, arguments, os.environ)
    rows = await port.rows()
    if arguments.watch:
        await _watch(reactor, port.rows, rows, _teller(reactor, arguments))
    elif arguments.json:
        print(json.dumps(rows, indent=2))
    else:
        from rich.console import Console

        Console(soft_wrap=True, highlight=False).print(_table(rows))


async def _watch(
    reactor: Any, ask: Callable[[], Any], rows: list[Row], tell: Callable[[list[Row]], None]
) -> None:
    """Tell of the rows, and again whenever they have changed, for ever."""
    from twisted.internet.task import deferLater

    tell(rows)
    trouble = ""
    while True:
        await deferLater(reactor, PERIOD)
        try:
            new = await ask()
        except InletspyError as error:
            if str(error) != trouble:
                say(f"inletspy: {error}; trying again")
            trouble = str(error)
            continue
        trouble = ""
        if new != rows:
            rows = new
            tell(rows)


def _teller(reactor: Any, arguments: argparse.Namespace) -> Callable[[list[Row]], None]:
    """What shows rows again and again, as the person wants them."""
    known: list[Row] = []

    def as_json(rows: list[Row]) -> None:
        for event, row in changes(known, rows):
            print(json.dumps({"event": event, "tunnel": row}), flush=True)
        known[:] = rows

    if arguments.json:
        return as_json

    from rich.console import Console
    from rich.live import Live

    if not sys.stdout.isatty():
        console = Console(soft_wrap=True, highlight=False)
        return lambda rows: console.print(_table(rows), "")
    live = Live(console=Console(highlight=False), auto_refresh=False, vertical_overflow="crop")
    live.start()
    # Also after Ctrl-C, which ends the reactor and leaves the rest where it is.
    reactor.addSystemEventTrigger("before", "shutdown", live.stop)
    return lambda rows: live.update(_table(rows), refresh=True)


def changes(before: list[Row], after: list[Row]) -> Iterator[tuple[str, Row]]:
    """What has come, gone and changed from one list of tunnels to the next."""
    old = {row["id"]: row for row in before}
    new = {row["id"]: row for row in after}
    for id, row in old.items():
        if id not in new:
            yield "removed", row
    for id, row in new.items():
        if id not in old:
            yield "added", row
        elif row != old[id]:
            yield "changed", row


def _table(rows: list[Row]) -> Any:
    """The rows for people."""
    if not rows:
        from rich.text import Text

        return Text("no tunnels", style="dim")
    titles = ["ADDRESS", "UPSTREAM", "CLIENT", "OWNER", "SINCE", "STATE"]
    lines = [[*_cells(row)] for row in rows]
    if not any("owner" in row for row in rows):
        titles.remove("OWNER")
        lines = [[*line[:3], *line[4:]] for line in lines]
    return table(titles, lines, ["" if row["status"] == "active" else "dim" for row in rows])


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    for key in ("public_url", "upstream", "client_id", "owner"):
        yield cell(row.get(key))
    try:
        yield cell(datetime.fromisoformat(row["connected_at"]))
    except ValueError:
        yield row["connected_at"]
    yield cell(row["status"])
