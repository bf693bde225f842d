"""The numbered SQL files of `schema/`, applied in order, each once.

Knows nothing of connections: it gets a cursor inside a transaction.
"""

from __future__ import annotations

from importlib import resources
from typing import Final

from inletspy.store.connection import Cursor

__all__ = ["apply", "names"]

FOLDER: Final = resources.files("inletspy.store") / "schema"

#: The number of the advisory lock, "inletspy" as bytes: one migrates at a time.
LOCK: Final = int.from_bytes(b"inletspy", "big")

#: Seconds to wait for others who use a table that is to be changed, and for the lock.
LOCK_PATIENCE: Final = 30


def names() -> list[str]:
    """The migrations' names, in the order to apply them."""
    return sorted(file.name for file in FOLDER.iterdir() if file.name.endswith(".sql"))


async def apply(cursor: Cursor, name: str) -> None:
    """Apply a migration, unless the database has it already.

    To be run in a transaction of its own; others who come at the same time wait.

    Raises:
        psycopg2.Error: it can't be applied.
    """
    await cursor.execute(f"SET LOCAL lock_timeout = '{LOCK_PATIENCE}s'")
    await cursor.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
    await cursor.execute("SELECT to_regclass('inletspy_migrations') IS NULL")
    if cursor.fetchone()[0]:
        await cursor.execute(
            "CREATE TABLE inletspy_migrations"
            " (name TEXT PRIMARY KEY, applied_at TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)"
        )
    await cursor.execute("SELECT 1 FROM inletspy_migrations WHERE name = %s", (name,))
    if cursor.fetchone() is None:
        await cursor.execute((FOLDER / name).read_text(encoding="utf-8"))
        await cursor.execute("INSERT INTO inletspy_migrations (name) VALUES (%s)", (name,))
