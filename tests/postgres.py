"""A real PostgreSQL for the tests, and another program that works on it.

One cluster for each process that runs tests, started when first asked for and gone when
the process ends; a test that stops or breaks a cluster takes one of its own.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
from twisted.trial.unittest import TestCase

from inletspy.store.cluster import Cluster

__all__ = ["execute", "own_cluster", "url_of_new_database"]

_numbers = itertools.count(1)


def url_of_new_database() -> str:
    """The URL of an empty database that nobody else uses."""
    name = f"test{next(_numbers)}"
    url = _shared_cluster()
    execute(url, f"CREATE DATABASE {name}")
    return url.replace("/postgres?", f"/{name}?", 1)


def own_cluster(test: TestCase, *, made: bool = True) -> Cluster:
    """A cluster, not started, for one test only.

    Args:
        test: after which it is gone.
        made: whether it is there already, which is quicker; else its start makes it.
    """
    cluster = Cluster(_folder(test.addCleanup) / "postgres")
    if made:
        subprocess.run(["cp", "-a", _template(), cluster.directory], check=True, timeout=60)
    test.addCleanup(cluster.stop)
    return cluster


def execute(url: str, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of its own, and give its rows, if any."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
            return rows


@cache
def _template() -> Path:
    cluster = Cluster(_folder(atexit.register) / "postgres")
    cluster.start()
    cluster.stop()
    return cluster.directory


@cache
def _shared_cluster() -> str:
    cluster = Cluster(_folder(atexit.register) / "postgres")
    atexit.register(cluster.stop)
    return cluster.start()


def _folder(at_the_end: Callable[..., object]) -> Path:
    """A folder whose name leaves room for a socket's."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    at_the_end(shutil.rmtree, folder)
    return folder
