"""The embedded PostgreSQL, for the reactor.

Runs the blocking `Cluster` in the reactor's thread pool, one call at a time, and knows
no more of PostgreSQL than that.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from inletspy.store.cluster import Cluster

__all__ = ["EmbeddedPostgres"]

T = TypeVar("T")


class EmbeddedPostgres:
    """A PostgreSQL server that belongs to this installation.

    Args:
        directory: where its data is or will be (`DATA_DIR/postgres`).
        reactor: whose thread pool the waiting is done in.
    """

    def __init__(self, directory: Path, reactor: Any) -> None:
        self._cluster = Cluster(directory)
        self._reactor = reactor
        self._turn = DeferredLock()

    def start(self) -> Deferred[str]:
        """Make it if it is missing, start it if it does not run.

        May be called again at any time, to bring it back after it was killed.

        Returns:
            Fires with its URL, or fails with StartError.
        """
        return self._turn.run(self._in_thread, self._cluster.start)

    def stop(self) -> Deferred[None]:
        """End it, unless another process still uses it; a failure is logged only."""
        return self._turn.run(self._in_thread, self._cluster.stop)

    def _in_thread(self, call: Callable[[], T]) -> Deferred[T]:
        return deferToThreadPool(self._reactor, self._reactor.getThreadPool(), call)
