"""Standard output that never makes the tunnel wait.

A terminal may be stopped by Ctrl-S, and a pipe's reader may have stopped reading: a
plain `print` would then block the reactor and with it every stream of the tunnel. Text
is handed to a thread instead, in order. It knows nothing of what the text says.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable
from typing import Final

__all__ = ["SteadyOutput"]

#: Characters waiting to be written, past which `offer` leaves text out.
MAX_WAITING: Final = 1 << 20


class SteadyOutput:
    """A text stream whose writes return at once; enough of a file for rich.

    Args:
        descriptor: where to write; it is not closed.
        encoding: of the text; what it can't encode becomes `?`.
        broken: is called, in the writing thread, once nobody can read any more.
    """

    def __init__(
        self,
        descriptor: int,
        encoding: str = "utf-8",
        broken: Callable[[], None] = lambda: None,
    ) -> None:
        self.encoding = encoding
        self._descriptor = descriptor
        self._broken = broken
        self._texts: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        # Each number has one writer only, so that they need no lock.
        self._given = 0
        self._written = 0
        self._closed = False
        self._thread = threading.Thread(target=self._write_all, daemon=True)

    @property
    def idle(self) -> bool:
        """Whether all that was given has been written."""
        return self._given == self._written

    def write(self, text: str) -> int:
        """Have `text` written; returns at once."""
        if text and not self._closed:
            if not self._given:
                self._thread.start()
            self._given += len(text)
            self._texts.put(text)
        return len(text)

    def offer(self, text: str) -> bool:
        """As `write`, for text that can be done without where much is waiting already.

        Returns:
            Whether it was taken.
        """
        if self._given - self._written > MAX_WAITING:
            return False
        self.write(text)
        return True

    def flush(self) -> None:
        """Nothing to do: text is never held back."""

    def isatty(self) -> bool:
        """Whether a person reads it on a terminal."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Where it is written."""
        return self._descriptor

    def close(self, patience: float = 0.3) -> None:
        """Take no more text, and wait until all of it is written.

        Args:
            patience: how many seconds to wait for a reader that has stopped reading.
        """
        if not self._closed:
            self._closed = True
            if self._given:
                self._texts.put(None)
                self._thread.join(patience)

    def _write_all(self) -> None:
        broken = False
        while (text := self._texts.get()) is not None:
            data = text.encode(self.encoding, "replace")
            # The descriptor itself: a file object's lock, held by a thread that is
            # stuck, would be in the way when the interpreter ends.
            while data and not broken:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except OSError:
                    broken = True
                    self._broken()
            self._written += len(text)
