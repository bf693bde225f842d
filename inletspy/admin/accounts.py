"""What `inletspy user`, `token` and `name` have in common.

The access to the tables of accounts, and the ways to list rows. Which words lead here is
each command's own matter.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from inletspy.admin.tables import cell, json_ready, print_table

if TYPE_CHECKING:
    from inletspy.store.accounts_table import AccountsTable

__all__ = ["accounts_table", "base_domain", "list_rows", "say"]


@asynccontextmanager
async def accounts_table(
    reactor: Any, arguments: argparse.Namespace
) -> AsyncIterator[AccountsTable]:
    """The tables of the server that the arguments name, for as long as the context lasts."""
    # Late, as these are slow to load: `--help` and a mistyped value need none of them.
    from inletspy.admin.location import opened
    from inletspy.store.accounts_table import AccountsTable

    async with opened(reactor, arguments) as database:
        yield AccountsTable(database)


async def base_domain(table: AccountsTable) -> str:
    """The server's base domain."""
    from inletspy.store.table import SettingsTable

    return (await SettingsTable(table.database).get("tunnel_base_domain")).text


def list_rows(
    rows: Sequence[dict[str, Any]],
    columns: Sequence[str],
    arguments: argparse.Namespace,
    styles: Sequence[str] = (),
) -> None:
    """Print rows as the person wants them: as a table, or whole as a JSON array."""
    if arguments.json:
        shown = [{key: json_ready(value) for key, value in row.items()} for row in rows]
        print(json.dumps(shown, indent=2))
        return
    titles = [column.replace("_at", "").replace("_", " ").upper() for column in columns]
    print_table(titles, [[cell(row[column]) for column in columns] for row in rows], styles)


def say(text: str) -> None:
    """Tell a person something that no program is to read."""
    print(text, file=sys.stderr)
