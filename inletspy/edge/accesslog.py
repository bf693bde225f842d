"""The access log: one line for each of the visitors' requests.

Lines are gathered and written once a second, since a logging call for each would cost
as much as a request. The file may be moved away at any time (logrotate); the next lines
go to a new one. A full disk loses lines, not requests.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Final

from twisted.logger import Logger

from inletspy.policy.links import without_secrets

__all__ = ["AccessLog"]

_log = Logger()

#: Lines that are kept while they can't be written, at most.
_MAX_LINES: Final = 100_000


def _quoted(target: bytes) -> bytes:
    """A target that can't end its field, whatever a visitor sent.

    A head that was let through has no white space or control characters in its target,
    and nothing but a token for a method and a name for a host.
    """
    if target.isascii() and b'"' not in target:
        return target
    text = target.decode("latin-1").replace('"', "%22")
    return text.encode("ascii", "backslashreplace")


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


class AccessLog:
    """Writes the log.

    Args:
        path: the file, or `-` for standard output.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lines: list[bytes] = []
        self._stamp = b""
        self._failing = False
        self.tick()

    def tick(self) -> None:
        """Write what has gathered, and note the time for what comes; call it once a second."""
        if self._lines:
            lines, self._lines = self._lines, []
            self._write(b"".join(lines))
        self._stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()

    def record(
        self,
        visitor: bytes,
        host: bytes,
        method: bytes,
        target: bytes,
        status: int,
        size: int,
        seconds: float,
    ) -> None:
        """Note one request.

        Args:
            visitor: its address.
            host: the host it asked for.
            method: its method.
            target: its target.
            status: of the answer; 499 if the visitor did not wait for it.
            size: bytes of the answer that were sent, its head included.
            seconds: from its head to the answer's end.
        """
        if len(self._lines) < _MAX_LINES:
            parts = (
                self._stamp,
                visitor,
                host or b"-",
                method,
                _quoted(without_secrets(target)),
                status,
                size,
                seconds * 1000,
            )
            self._lines.append(b'%b %b %b %b "%b" %d %d %.1fms\n' % parts)

    def _write(self, text: bytes) -> None:
        try:
            if self._path == "-":
                # Past sys.stdout, which twistd makes into log messages.
                _write_all(1, text)
            else:
                # Opened anew each time: a file that was moved away is left alone.
                descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
                try:
                    _write_all(descriptor, text)
                finally:
                    os.close(descriptor)
            self._failing = False
        except OSError as error:
            if not self._failing:
                _log.error("The access log can't be written: {reason}", reason=str(error))
            self._failing = True
