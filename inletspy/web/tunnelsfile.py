"""`tunnels.json`: the array of `/status`, for those who monitor a file.

Owns when and how that file is written. Knows nothing of what is in the rows.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from inletspy.interfaces import ITunnels
from inletspy.web.rows import shown

__all__ = ["INTERVAL_SECONDS", "TunnelsFile"]

_log = Logger()

#: Changes within so long of one another are written at once.
INTERVAL_SECONDS: Final = 0.1


class TunnelsFile:
    """Keeps a file in step with the tunnels there are.

    A reader finds the file whole at any time: a new one takes the old one's place. If
    it can't be written, that is logged once, and every further change tries again.
    """

    def __init__(self, path: Path, tunnels: ITunnels, clock: IReactorTime) -> None:
        """Touch nothing yet.

        Args:
            path: the file; its directory is there.
            tunnels: what to write.
            clock: for putting changes together.
        """
        self._path = path
        self._draft = path.with_name(f".{path.name}.new")
        self._tunnels = tunnels
        self._clock = clock
        self._pending: IDelayedCall | None = None
        self._failing = False

    def start(self) -> None:
        """Write the file and follow the tunnels."""
        self._unsubscribe = self._tunnels.subscribe(self._changed)
        self._write(self._tunnels.rows())

    def stop(self) -> None:
        """Follow no more, and leave an empty array: with the server its tunnels end."""
        self._unsubscribe()
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        self._write([])

    def _changed(self) -> None:
        if self._pending is None:
            self._pending = self._clock.callLater(INTERVAL_SECONDS, self._write_pending)

    def _write_pending(self) -> None:
        self._pending = None
        self._write(self._tunnels.rows())

    def _write(self, rows: list[dict[str, Any]]) -> None:
        try:
            # Always the same draft, so that one cut short is not left lying about.
            self._draft.write_text(json.dumps(shown(rows)) + "\n", encoding="ascii")
            os.replace(self._draft, self._path)
        except OSError as error:
            if not self._failing:
                _log.error("Can't write {path}: {reason}", path=self._path, reason=error.strerror)
            self._failing = True
        else:
            if self._failing:
                _log.info("Writing {path} again", path=self._path)
            self._failing = False
