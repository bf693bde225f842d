"""What is measured on one way to the upstream: small requests, and bulk in both directions.

Nothing here knows how the way was made.
"""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.programs import CHECKOUT, BenchError

__all__ = ["Place", "Requests", "download", "generator_name", "requests", "upload"]

_BLOCK: Final = 262_144
_MEGABYTE: Final = 1_000_000
#: Seconds that a transfer may pause.
_PATIENCE: Final = 60.0

_REPORT: Final = """
done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\\n{"requests": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f}\\n',
    summary.requests, summary.duration / 1e6,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
"""


@dataclass(frozen=True)
class Place:
    """Where a visitor asks: a port of this machine, and the Host to ask for."""

    port: int
    host: str

    def answers(self, target: str) -> bool:
        """Whether a request gets its answer, and no error, just now."""
        try:
            _transfer(self, f"GET {target}", 0, 0, 0)
        except BenchError:
            return False
        return True


@dataclass(frozen=True)
class Requests:
    """What a load of small requests met.

    Attributes:
        requests: how many were answered.
        seconds: for how long it went on.
        errors: how many failed, whatever the fault.
        p50_ms: how long the median request took, in milliseconds.
        p99_ms: what 99 of 100 did not exceed, in milliseconds.
    """

    requests: int
    seconds: float
    errors: int
    p50_ms: float
    p99_ms: float

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return self.requests / self.seconds


def generator_name() -> str:
    """What makes the load here."""
    return "wrk" if shutil.which("wrk") else "a generator in Python (there is no wrk)"


def requests(place: Place, target: str, connections: int, seconds: float, folder: Path) -> Requests:
    """Ask for the same again and again over connections that are kept.

    Args:
        place: whom to ask.
        target: what to ask for.
        connections: each has one request under way at a time.
        seconds: for how long.
        folder: for a temporary file.

    Raises:
        BenchError: no request at all was answered, or the generator failed.
    """
    wrk = shutil.which("wrk")
    if wrk is not None:
        script = folder / "report.lua"
        script.write_text(_REPORT)
        # wrk counts in whole seconds.
        command = [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
        command += ["-s", str(script), "-H", f"Host: {place.host}"]
        command += [f"http://127.0.0.1:{place.port}{target}"]
    else:
        command = [sys.executable, "-m", "bench.generator", str(place.port), place.host]
        command += [target, str(connections), str(seconds)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=CHECKOUT, timeout=seconds + _PATIENCE
    )
    try:
        found = Requests(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        raise BenchError(f"the load generator failed:\n{done.stdout}{done.stderr}") from None
    if not found.requests:
        raise BenchError(f"no request to {place.host} (port {place.port}) was answered")
    return found


def download(place: Place, size: int) -> float:
    """Megabytes a second of a download of `size` bytes; raises BenchError."""
    return _transfer(place, f"GET /{size}", 0, size, size)


def upload(place: Place, size: int) -> float:
    """Megabytes a second of an upload of `size` bytes; raises BenchError."""
    return _transfer(place, "POST /", size, len(str(size)), size)


def _transfer(place: Place, request: str, sent: int, expected: int, size: int) -> float:
    """Send a request with `sent` bytes of body, and read an answer with `expected` bytes."""
    head = f"{request} HTTP/1.1\r\nHost: {place.host}\r\nConnection: close\r\n"
    if sent:
        head += f"Content-Length: {sent}\r\n"
    block = b"x" * _BLOCK
    began = time.perf_counter()
    try:
        with socket.create_connection(("127.0.0.1", place.port), timeout=_PATIENCE) as connection:
            connection.sendall(f"{head}\r\n".encode())
            for start in range(0, sent, _BLOCK):
                connection.sendall(block[: sent - start])
            came = _read_answer(connection, expected)
    except OSError as error:
        raise BenchError(f"a transfer through {place.host} failed: {error}") from error
    if came < expected:
        raise BenchError(f"{place.host}: {came} of {expected} bytes came")
    return size / _MEGABYTE / (time.perf_counter() - began)


def _read_answer(connection: socket.socket, expected: int) -> int:
    """Read an answer until as many bytes of its body came, or it ended; gives how many came."""
    start = b""
    while b"\r\n\r\n" not in start:
        data = connection.recv(_BLOCK)
        if not data:
            raise OSError("closed without an answer")
        start += data
    head, _, body = start.partition(b"\r\n\r\n")
    status_line = head.split(b"\r\n", 1)[0]
    if b" 200 " not in status_line:
        raise OSError(f"it answered {status_line.decode('latin-1')}")
    came = len(body)
    buffer = bytearray(_BLOCK)
    while came < expected and (size := connection.recv_into(buffer)):
        came += size
    return came
