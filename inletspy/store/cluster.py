"""A PostgreSQL of our own: made, started, found again and stopped in one directory.

Who may connect: it trusts local connections, but listens on no TCP port, and its socket
is open to its own account (and root) only. Everything here blocks; `embedded.py` is the
same for the reactor. Nothing here knows what is stored.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from twisted.logger import Logger

from inletspy.errors import StartError
from inletspy.store.postmaster import PORT, SOCKET, USER, Postmaster, running_url
from inletspy.store.programs import Account, account_for, let_pass, program, spawn, telling_line

__all__ = ["Cluster"]

#: `sun_path` holds 104 bytes on macOS and 108 on Linux, with a NUL at the end.
SOCKET_PATH_LIMIT: Final = 103

#: Seconds; a start may have to recover from a crash first.
START_LIMIT: Final = 60.0
STOP_LIMIT: Final = 30.0
POLL: Final = 0.02

#: Small and quick to start; durability (fsync) stays at its default, which is on.
TUNING: Final = {
    "max_connections": "30",
    "shared_buffers": "16MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "min_wal_size": "8MB",
    "max_wal_size": "64MB",
    "jit": "off",
    "log_checkpoints": "off",
}

#: What PostgreSQL says while the other processes of one that was killed are still there.
STILL_ENDING: Final = "pre-existing shared memory block"

#: Bytes; with less on the disk PostgreSQL can't even say that it is full.
ROOM_FOR_WORDS: Final = 1 << 20

T = TypeVar("T")

log = Logger()


class Cluster:
    """The PostgreSQL cluster in one directory.

    Several processes may use one cluster at a time (a server and the command line): the
    first starts it, the others find it running, and the last to stop ends it. What a
    killed process left running is taken over.

    Args:
        directory: where the cluster is or will be; made when missing.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = Path(os.path.realpath(directory))
        self._process: subprocess.Popen[bytes] | None = None
        self._in_use: int | None = None

    def start(self) -> str:
        """Make the cluster if it is missing, start it if it does not run.

        Returns:
            Its URL.

        Raises:
            StartError: it can't be had; the text says why.
        """
        try:
            with self._turn():
                url = running_url(self.directory) or self._start()
                if self._in_use is None:
                    self._in_use = os.open(self.directory, os.O_RDONLY)
                    fcntl.flock(self._in_use, fcntl.LOCK_SH)
                return url
        except OSError as error:
            raise self._failed(error.strerror or str(error)) from error

    def stop(self) -> None:
        """End the cluster, unless another process still uses it; a failure is logged."""
        if self._in_use is None:
            return
        try:
            with self._turn():
                fcntl.flock(self._in_use, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._stop()
        except BlockingIOError:
            log.info("left running for another process: {path}", path=str(self.directory))
        except (OSError, StartError, subprocess.TimeoutExpired) as error:
            log.warn("the embedded database did not stop: {error}", error=error)
        finally:
            os.close(self._in_use)
            self._in_use = None

    def _failed(self, reason: str) -> StartError:
        return StartError(f"the embedded database in {self.directory} can't start: {reason}")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Be the only one who starts or stops the cluster."""
        self.directory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = self.directory.with_name(f"{self.directory.name}.lock")
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            if not _soon(lambda: _try_lock(lock), START_LIMIT):
                raise self._failed("another process is busy with it")
            yield
        finally:
            os.close(lock)

    def _start(self) -> str:
        self._process = None
        account = account_for(self.directory)
        postmaster = Postmaster.of(self.directory)
        if postmaster is None or not postmaster.answers():
            if not (self.directory / "PG_VERSION").exists():
                self._create(account)
            if postmaster is not None:
                self._forget(postmaster)
            self._launch(account)
        url = _soon(lambda: self._ready(account), START_LIMIT)
        if url is None:
            raise self._failed(f"not ready after {START_LIMIT:g} s")
        return url

    def _ready(self, account: Account | None) -> str | None:
        if self._process is not None and self._process.poll() is not None:
            words = (self.directory / "log").read_text(errors="replace")
            if STILL_ENDING not in words:
                full = shutil.disk_usage(self.directory).free < ROOM_FOR_WORDS
                raise self._failed("no space left" if full else telling_line(words))
            self._launch(account)
        return running_url(self.directory)

    def _create(self, account: Account | None) -> None:
        """Make the cluster beside its place, so that a half-made one is never in it."""
        new = self.directory.with_name(f"{self.directory.name}.new")
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        try:
            if account is not None:
                os.chown(new, *account)
                let_pass(new)
            command = [
                *(program("initdb", None, account), "-D", str(new), "-U", USER, "--auth=trust"),
                *("--encoding=UTF8", "--no-locale", "--wal-segsize=1"),
                *(f"--set={name}={value}" for name, value in TUNING.items()),
            ]
            with tempfile.TemporaryFile() as output:
                process = spawn(command, account, output.fileno())
                try:
                    process.wait(START_LIMIT)
                except subprocess.TimeoutExpired:
                    process.kill()
                if process.wait() != 0:
                    output.seek(0)
                    raise self._failed(telling_line(output.read().decode(errors="replace")))
            os.rename(new, self.directory)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _forget(self, dead: Postmaster) -> None:
        """Remove the mark of a dead PostgreSQL whose number some other program now has.

        PostgreSQL itself would take that program for its predecessor and refuse to
        start; restarted containers number their processes nearly alike.
        """
        with suppress(OSError):
            if Path(f"/proc/{dead.pid}/comm").read_text().strip() != "postgres":
                (self.directory / "postmaster.pid").unlink()

    def _launch(self, account: Account | None) -> None:
        version = int((self.directory / "PG_VERSION").read_text())
        if account is not None:
            let_pass(self.directory)
        command = [
            *(program("postgres", version, account), "-D", str(self.directory)),
            *("-k", self._listening_folder(account), "-p", str(PORT)),
            *("-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"),
        ]
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW
        output = os.open(self.directory / "log", flags, 0o600)
        try:
            self._process = spawn(command, account, output)
        finally:
            os.close(output)

    def _listening_folder(self, account: Account | None) -> str:
        """Where the socket goes: the directory itself, unless its name is too long."""
        path = os.fsencode(self.directory / SOCKET)
        if len(path) <= SOCKET_PATH_LIMIT and b"," not in path:
            return "."
        digest = hashlib.sha256(os.fsencode(self.directory)).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"inletspy-{digest}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if account is not None:
                os.chown(folder, *account)
        # Anybody may have put something of that name there before.
        found = folder.lstat()
        owner = os.geteuid() if account is None else account.uid
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & 0o077:
            raise self._failed(f"{folder} belongs to somebody else; use a shorter data directory")
        return str(folder)

    def _stop(self) -> None:
        postmaster = Postmaster.of(self.directory)
        if postmaster is not None and postmaster.answers():
            os.kill(postmaster.pid, signal.SIGINT)
            mark = self.directory / "postmaster.pid"
            if not _soon(lambda: not mark.exists(), STOP_LIMIT):
                raise StartError(f"still there after {STOP_LIMIT:g} s")
        if self._process is not None:
            self._process.wait(STOP_LIMIT)
            self._process = None


def _soon(probe: Callable[[], T | None], limit: float) -> T | None:
    """What `probe` gives as soon as it gives something within the limit, in seconds."""
    deadline = time.monotonic() + limit
    while not (found := probe()) and time.monotonic() < deadline:
        time.sleep(POLL)
    return found


def _try_lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
