"""Load on one way to the upstreams: requests, and transfers in both directions.

Nothing here knows how the way was made, or what else is measured on it; `traffic` has
the kinds of load that are no plain requests.
"""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.programs import CHECKOUT, BenchError

__all__ = [
    "BROWSER_FIELDS",
    "PATIENCE",
    "Place",
    "Requests",
    "at_once",
    "connect",
    "download",
    "downloading",
    "generator_name",
    "read_head",
    "requests",
    "tcp_download",
    "tcp_upload",
    "upload",
]

_BLOCK: Final = 262_144
#: Seconds that anything may take that is waited for.
PATIENCE: Final = 60.0

#: Ten fields that a browser sends.
BROWSER_FIELDS: Final = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Upgrade-Insecure-Requests: 1",
    "Sec-Fetch-Dest: document",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Site: same-origin",
    "Priority: u=0, i",
)

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
            _transfer(self, f"GET {target}", 0, 0)
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
    """What makes the load of requests here."""
    return "wrk" if shutil.which("wrk") else "a generator in Python (there is no wrk)"


def requests(
    place: Place,
    target: str,
    connections: int,
    seconds: float,
    folder: Path,
    fields: Sequence[str] = (),
) -> Requests:
    """Ask for the same again and again over connections that are kept.

    Args:
        place: whom to ask.
        target: what to ask for.
        connections: each has one request under way at a time.
        seconds: for how long.
        folder: for a temporary file.
        fields: further header fields; `Connection: close` makes it a connection a request.

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
        command += [word for field in fields for word in ("-H", field)]
        command += [f"http://127.0.0.1:{place.port}{target}"]
    else:
        command = [sys.executable, "-m", "bench.generator", str(place.port), place.host]
        command += [target, str(connections), str(seconds), *fields]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=CHECKOUT, timeout=seconds + PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"the load generator failed: {error}") from error
    try:
        found = Requests(**json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError, TypeError):
        raise BenchError(f"the load generator failed:\n{done.stdout}{done.stderr}") from None
    if not found.requests:
        raise BenchError(f"no request to {place.host} (port {place.port}) was answered")
    return found


# -- transfers -------------------------------------------------------------------------


def download(place: Place, size: int) -> None:
    """Download `size` bytes; raises BenchError."""
    _transfer(place, f"GET /{size}", 0, size)


def upload(place: Place, size: int) -> None:
    """Upload `size` bytes; raises BenchError."""
    _transfer(place, "POST /", size, len(str(size)))


def tcp_download(port: int, size: int) -> None:
    """Get `size` bytes over plain TCP; raises BenchError."""
    try:
        with connect(port) as connection:
            connection.sendall(b"D" + size.to_bytes(8, "big"))
            _read(connection, size)
    except OSError as error:
        raise BenchError(f"a transfer through port {port} failed: {error}") from error


def tcp_upload(port: int, size: int) -> None:
    """Send `size` bytes over plain TCP, and get them all back; raises BenchError."""
    block = b"x" * _BLOCK
    try:
        with connect(port) as connection:

            def send() -> None:
                for start in range(0, size, _BLOCK):
                    connection.sendall(block[: size - start])

            sender = threading.Thread(target=send, daemon=True)
            sender.start()
            _read(connection, size)
            sender.join()
    except OSError as error:
        raise BenchError(f"a transfer through port {port} failed: {error}") from error


def at_once(count: int, task: Callable[[], None]) -> float:
    """Run so many of a task at once, each in a thread; gives the seconds it took.

    Raises:
        BenchError: of the first that failed.
    """
    failures: list[Exception] = []

    def run() -> None:
        try:
            task()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(count)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    if failures:
        raise failures[0]
    return took


@contextmanager
def downloading(place: Place, limit: float = math.inf) -> Iterator[None]:
    """Download without end while the context lasts, in a process of its own.

    Args:
        place: where to download from.
        limit: bytes in a second, at most.
    """
    command = [sys.executable, "-m", "bench.load", str(place.port), place.host, str(limit)]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise BenchError(f"a download through {place.host} did not begin")
        yield
        if process.poll() is not None:
            raise BenchError(f"a download through {place.host} ended by itself")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _download_without_end(place: Place, limit: float) -> None:
    buffer = bytearray(_BLOCK)
    with connect(place.port) as connection:
        _ask(connection, place, f"GET /{1 << 40}", 0)
        read_head(connection)
        print("it has begun", flush=True)
        due = time.perf_counter()
        while size := connection.recv_into(buffer):
            due += size / limit
            time.sleep(max(0.0, due - time.perf_counter()))


def connect(port: int) -> socket.socket:
    """A connection to a port of this machine."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_head(connection: socket.socket, status: int = 200) -> bytes:
    """Read an answer's head, which must have that status; gives what came after it."""
    start = b""
    while b"\r\n\r\n" not in start:
        data = connection.recv(_BLOCK)
        if not data:
            raise OSError("closed without an answer")
        start += data
    head, _, rest = start.partition(b"\r\n\r\n")
    status_line = head.split(b"\r\n", 1)[0]
    if b" %d" % status not in status_line:
        raise OSError(f"it answered {status_line.decode('latin-1')}")
    return rest


def _ask(connection: socket.socket, place: Place, request: str, length: int) -> None:
    head = f"{request} HTTP/1.1\r\nHost: {place.host}\r\nConnection: close\r\n"
    if length:
        head += f"Content-Length: {length}\r\n"
    connection.sendall(f"{head}\r\n".encode())


def _transfer(place: Place, request: str, sent: int, expected: int) -> None:
    """Send a request with `sent` bytes of body, and read an answer with `expected` bytes."""
    block = b"x" * _BLOCK
    try:
        with connect(place.port) as connection:
            _ask(connection, place, request, sent)
            for start in range(0, sent, _BLOCK):
                connection.sendall(block[: sent - start])
            _read(connection, expected - len(read_head(connection)))
    except OSError as error:
        raise BenchError(f"a transfer through {place.host} failed: {error}") from error


def _read(connection: socket.socket, expected: int) -> None:
    """Read so many bytes, or fail."""
    buffer = bytearray(_BLOCK)
    while expected > 0:
        size = connection.recv_into(buffer)
        if not size:
            raise OSError(f"closed {expected} bytes too early")
        expected -= size


if __name__ == "__main__":
    _download_without_end(Place(int(sys.argv[1]), sys.argv[2]), float(sys.argv[3]))
