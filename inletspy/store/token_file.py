"""`token.txt`: the shared token, for the clients of the same user on this machine.

Owns that one file and nothing else; it never tells the token to a log.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from inletspy.errors import StartError
from inletspy.interfaces import ISettings
from inletspy.settings import Settings

__all__ = ["TokenFile"]

log = Logger()


class TokenFile:
    """Keeps a file the same as the shared token in force; without a token there is none.

    Args:
        path: the file; only its owner can read it, from the first moment on.
        settings: whose `shared_token` it is.
    """

    def __init__(self, path: Path, settings: ISettings) -> None:
        self._path = path
        self._settings = settings
        self._end: Callable[[], None] = lambda: None

    def start(self) -> None:
        """Write it now and after each change; raises StartError if it can't be written."""
        try:
            self._write(self._settings.current.shared_token)
        except OSError as error:
            raise StartError(f"can't write {self._path}: {error.strerror}") from error
        self._end = self._settings.subscribe(self._changed)

    def stop(self) -> None:
        """Write it no more; the file stays."""
        self._end()

    def _changed(self, new: Settings, old: Settings) -> None:
        if new.shared_token != old.shared_token:
            try:
                self._write(new.shared_token)
            except OSError as error:
                log.error("can't write {path}: {reason}", path=self._path, reason=error.strerror)

    def _write(self, token: str) -> None:
        if not token:
            self._path.unlink(missing_ok=True)
            return
        # mkstemp gives mode 600; renaming shows readers the old or the new, never a part.
        descriptor, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(f"{token}\n")
            os.replace(name, self._path)
        except OSError:
            with suppress(OSError):
                os.unlink(name)
            raise
