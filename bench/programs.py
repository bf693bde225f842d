"""The programs of a measurement: started, waited for, and ended by their process ids.

Knows nothing of what they do or of what is measured but the processor time they take.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

__all__ = ["CHECKOUT", "BenchError", "Program", "Programs", "free_port", "listens"]

CHECKOUT: Final = Path(__file__).resolve().parent.parent

#: Seconds that a program may take to get ready, and to end.
_READY_SECONDS: Final = 60.0
_END_SECONDS: Final = 30.0

#: Prefixes of variables that would reach the programs from the user's own shell.
_FOREIGN: Final = ("INLETS", "CLAUDE_WEB", "TUNNEL_", "STATUS_PORT", "TOKEN", "XDG_")

T = TypeVar("T")


class BenchError(Exception):
    """The measurement can't go on; the text is for people."""


class Program:
    """A running program, with all that it started itself.

    Args:
        name: for messages.
        command: the program and its arguments.
        folder: where it runs, and where what it prints is kept.
        environ: variables to add to the user's own.
    """

    def __init__(
        self, name: str, command: list[str], folder: Path, environ: Mapping[str, str]
    ) -> None:
        self.name = name
        self._output = folder / f"{name}.log"
        inherited = {n: v for n, v in os.environ.items() if not n.startswith(_FOREIGN)}
        with open(self._output, "wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env={**inherited, "HOME": str(folder), "PYTHONPATH": str(CHECKOUT), **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the measurement, which ends the others
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._output.read_text(errors="replace")

    def until(self, what: str, probe: Callable[[], T | None]) -> T:
        """What `probe` gives, as soon as that is something.

        Raises:
            BenchError: the program ended, or took too long, before that.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not (found := probe()):
            ended = self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                state = "ended" if ended else f"took over {_READY_SECONDS:.0f} s"
                raise BenchError(f"{self.name} {state} before {what}:\n{self.output[-2000:]}")
            time.sleep(0.02)
        return found

    def cpu_seconds(self) -> float:
        """Processor time so far, user and system, of it and of all that it started."""
        return sum(map(_cpu_seconds, [self.pid, *_descendants(self.pid)]))

    def memory(self) -> int:
        """Bytes of memory that are its alone; of the program itself, not of what it started."""
        for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_Dirty:"):
                return int(line.split()[1]) * 1024
        raise BenchError(f"the kernel does not say what memory {self.name} uses")

    def end(self) -> None:
        """End it, politely first, and whatever of its own processes outlives it."""
        started = _descendants(self.pid)
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        for pid in [self.pid, *started]:
            if _parent(pid) is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


class Programs:
    """The programs of one measurement, in a temporary directory, for as long as it lasts."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="inletspy-bench-"))
        self._programs: list[Program] = []
        self._former: dict[int, Any] = {}

    def start(self, name: str, command: list[str], **environ: str) -> Program:
        """Start a program; keywords are variables for it."""
        program = Program(name, command, self.folder, environ)
        self._programs.append(program)
        return program

    def ask(self, *command: str) -> str:
        """What a command prints that ends by itself; raises BenchError."""
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, cwd=self.folder, timeout=_READY_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BenchError(f"can't run {command[0]}: {error}") from error
        return done.stdout + done.stderr

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._programs)

    def end_after(self, count: int) -> None:
        """End all that were started after the first so many: clients before their servers."""
        while self.count > count:
            self.end(self._programs[-1])

    def end(self, program: Program) -> None:
        """End one of the programs before the others."""
        program.end()
        self._programs.remove(program)

    def __enter__(self) -> Programs:
        self._former[signal.SIGINT] = signal.getsignal(signal.SIGINT)
        self._former[signal.SIGTERM] = signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in self._former:
            signal.signal(number, signal.SIG_IGN)  # a second one must not cut this short
        self.end_after(0)
        shutil.rmtree(self.folder, ignore_errors=True)
        for number, former in self._former.items():
            signal.signal(number, former)


def free_port() -> int:
    """A TCP port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/PID/stat` from the third on; see proc(5)."""
    # The second one is the program's name, which may hold spaces and parentheses.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int | None:
    try:
        return int(_stat(pid)[1])
    except (OSError, IndexError):
        return None


def _cpu_seconds(pid: int) -> float:
    try:
        fields = _stat(pid)
        # With that of the children that have ended, lest it seem to go backwards.
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def _descendants(pid: int) -> list[int]:
    parents = {p: _parent(p) for p in map(int, _numbers(os.listdir("/proc")))}
    found = [pid]
    for ancestor in found:  # grows while it is gone through
        found += [child for child, parent in parents.items() if parent == ancestor]
    return found[1:]


def _numbers(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.isdecimal()]
