"""Which database the command works on, and the connection to it.

The server's own rules decide (option over environment over configuration file); without
a database named there, the data directory does. Knows nothing of what is asked.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.errors

from inletspy.config import ServerConfig
from inletspy.errors import InletspyError
from inletspy.store.connection import first_line
from inletspy.store.database import Database
from inletspy.store.embedded import EmbeddedPostgres

__all__ = ["opened", "running_server"]


@asynccontextmanager
async def opened(
    reactor: Any, arguments: argparse.Namespace, *, new: bool = False
) -> AsyncIterator[Database]:
    """Connect to the database, for as long as the context lasts.

    An embedded database that does not run is started, and stopped again.

    Args:
        reactor: what all of it runs in.
        arguments: may have `data_dir` and `database`.
        new: whether what is missing is made: an embedded database, its tables.

    Raises:
        UsageError: an option is wrong.
        InletspyError: there is no database, or it can't be reached or used.
    """
    found = locate(arguments, os.environ, new=new)
    embedded = EmbeddedPostgres(found, reactor) if isinstance(found, Path) else None
    if embedded is not None:
        # Also after Ctrl-C, which ends the reactor and leaves this function where it is.
        reactor.addSystemEventTrigger("before", "shutdown", embedded.stop)
        url = await embedded.start()
    else:
        url = str(found)
    database = Database(url, reactor)
    try:
        await database.start()
        if new:
            await database.migrate()
        yield database
    except psycopg2.errors.UndefinedTable:
        raise InletspyError(
            f"the database {database.description} lacks what this version needs; start a server "
            "with it once"
        ) from None
    except psycopg2.Error as error:
        raise InletspyError(f"the database refuses: {first_line(error)}") from error
    finally:
        await database.stop()
        if embedded is not None:
            await embedded.stop()


def locate(
    arguments: argparse.Namespace, environ: Mapping[str, str], *, new: bool = False
) -> str | Path:
    """The database's URL, or the directory of an embedded one, which is there unless `new`.

    Raises:
        UsageError: an option is wrong.
        InletspyError: there is no database; the text says what to do.
    """
    config = _config(arguments, environ)
    if config.database:
        return config.database
    used = _described(config).get("database", "embedded")
    if isinstance(used, str) and used != "embedded":
        return used
    embedded = config.data_dir / "postgres"
    try:
        embedded.stat()
    except FileNotFoundError:
        if new:
            return embedded
        raise InletspyError(
            f"no server has run with the data directory {config.data_dir} yet; start one"
            " (twistd inletspy), or name a data directory (--data-dir) or a database (--database)"
        ) from None
    except OSError as error:
        raise InletspyError(
            f"can't look into {config.data_dir}: {error.strerror}; use the server's own user"
        ) from None
    return embedded


def running_server(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Mapping[str, Any]:
    """What a server that runs here tells of itself.

    Empty if there is none, or if others may not read what it tells.

    Raises:
        UsageError: an option is wrong.
    """
    return _described(_config(arguments, environ))


def _config(arguments: argparse.Namespace, environ: Mapping[str, str]) -> ServerConfig:
    names = ("data-dir", "database")
    options = {name: getattr(arguments, name.replace("-", "_"), None) for name in names}
    variables = {v for name in (*names, "config") for v in ServerConfig.ENVIRONMENT[name]}
    variables |= {"HOME", "XDG_STATE_HOME"}
    return ServerConfig.load(options, {v: environ[v] for v in variables & environ.keys()})


def _described(config: ServerConfig) -> Mapping[str, Any]:
    try:
        described = json.loads((config.data_dir / "server.json").read_bytes())
    except (OSError, ValueError):
        return {}
    return described if isinstance(described, dict) else {}
