"""Finding the PostgreSQL that runs on a directory, whoever started it.

Reads what PostgreSQL itself leaves there, and asks its socket: after the crash of a
container the recorded process number often belongs to some other program. Starts and
stops nothing.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

__all__ = ["PORT", "SOCKET", "USER", "Postmaster", "running_url"]

#: No TCP port, but a part of the socket's name.
PORT: Final = 5432
SOCKET: Final = f".s.PGSQL.{PORT}"

#: The database's user, and the database.
USER: Final = "postgres"


@dataclass(frozen=True)
class Postmaster:
    """What `postmaster.pid` says, true or not any more.

    Attributes:
        pid: the main process.
        folder: where its socket is.
        ready: whether it takes connections, not still recovering.
    """

    pid: int
    folder: Path
    ready: bool

    @classmethod
    def of(cls, directory: Path) -> Postmaster | None:
        """The one recorded in a data directory."""
        try:
            lines = (directory / "postmaster.pid").read_text(errors="replace").splitlines()
            # The socket's folder is "." where it is the data directory itself.
            return cls(int(lines[0]), directory / lines[4], lines[7].strip() == "ready")
        except (OSError, ValueError, IndexError):
            return None

    def answers(self) -> bool:
        """Whether something listens there."""
        with closing(socket.socket(socket.AF_UNIX)) as probe:
            probe.settimeout(2)
            try:
                probe.connect(str(self.folder / SOCKET))
            except OSError:
                return False
        return True


def running_url(directory: Path) -> str | None:
    """The URL of the PostgreSQL that runs on `directory`; None if none is ready there."""
    postmaster = Postmaster.of(directory)
    if postmaster is None or not postmaster.ready or not postmaster.answers():
        return None
    return f"postgresql://{USER}@/{USER}?host={quote(os.fsencode(postmaster.folder))}&port={PORT}"
