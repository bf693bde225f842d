"""The server as a process on its machine: data directory, limits, exit status.

Knows nothing of what the server does.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from inletspy.errors import StartError

__all__ = [
    "DataDirectory",
    "complain",
    "exit_with",
    "memory",
    "open_descriptors",
    "raise_descriptor_limit",
]

_log = Logger()


class DataDirectory:
    """The data directory, while one server has it for itself.

    Args:
        path: is made if it is missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    def take(self) -> None:
        """Make it, and keep other servers out.

        Raises:
            StartError: it can't be written to, or another server has it.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(
                f"can't use the data directory {self.path}: {error.strerror}; "
                "choose another with --data-dir"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise StartError(
                f"another inletspy server uses the data directory {self.path}; "
                "stop it, or choose another with --data-dir"
            ) from None
        self._lock = lock

    def announce(self, content: dict[str, Any]) -> None:
        """Tell programs on this machine, in `server.json`, how to reach the server.

        Raises:
            StartError: it can't be written.
        """
        draft = self.path / "server.json.new"
        try:
            draft.touch(mode=0o600)
            draft.chmod(0o600)
            draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
            draft.replace(self.path / "server.json")
        except OSError as error:
            raise StartError(f"can't write {self.path}/server.json: {error.strerror}") from error

    def leave(self) -> None:
        """Take the announcement back, and let others in."""
        if self._lock is not None:
            try:
                (self.path / "server.json").unlink(missing_ok=True)
            except OSError as error:
                _log.error("Can't remove server.json: {reason}", reason=error.strerror)
            os.close(self._lock)
            self._lock = None


def complain(text: str) -> None:
    """Say in one line what is wrong: at the terminal, or in the log of a daemon."""
    line = f"inletspy: {text}"
    if os.path.samestat(os.fstat(2), os.stat(os.devnull)):
        _log.critical("{line}", line=line)
    else:
        print(line, file=sys.__stderr__, flush=True)


def exit_with(status: int) -> None:
    """Have the process end with `status`, which neither twistd nor twist lets a service say."""

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    atexit.register(end)


def raise_descriptor_limit() -> int:
    """Allow this process as many files as it may have; gives that number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        hard = max(soft, 65536)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard


def memory() -> int | None:
    """Bytes of memory that this process has; None where that can't be known."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * resource.getpagesize()


def open_descriptors() -> int | None:
    """How many files this process has open; None where that can't be known."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return None
