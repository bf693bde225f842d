"""Load that is no plain request: messages, connections, events, and single requests in time.

Each function loads one way for a time and gives what it found. All of it runs in this
one process, which takes a part of the machine: figures compare within one run.
"""

from __future__ import annotations

import base64
import math
import os
import selectors
import socket
import time
from contextlib import ExitStack
from typing import Any, Final

from bench.load import PATIENCE, Place, connect, read_head
from bench.programs import BenchError
from bench.upstream import ECHO_FRAME, ECHO_SIZE

__all__ = ["connects", "event_delays", "latencies", "messages", "percentile"]

#: Bytes of an echoed message as the server sends it.
_ECHOED: Final = 2 + ECHO_SIZE


def percentile(values: list[float], percent: float) -> float:
    """The value that so many percent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def messages(place: Place, connections: int, seconds: float) -> float:
    """WebSocket messages echoed in a second; each connection has one under way.

    Raises:
        BenchError: a connection failed.
    """

    def upgrade(connection: socket.socket) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        connection.sendall(
            f"GET /ws HTTP/1.1\r\nHost: {place.host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        read_head(connection, 101)

    with ExitStack() as stack:
        sockets = []
        try:
            for _ in range(connections):
                connection = stack.enter_context(connect(place.port))
                upgrade(connection)
                sockets.append(connection)
            return _ping_pong(sockets, ECHO_FRAME, _ECHOED, seconds)
        except OSError as error:
            raise BenchError(f"no WebSocket through {place.host}: {error}") from error


def _ping_pong(
    sockets: list[socket.socket], message: bytes, answer_size: int, seconds: float
) -> float:
    """Answers in a second, to a message sent again on each connection whenever one is there."""
    poll = selectors.EpollSelector()
    missing = dict.fromkeys(sockets, answer_size)
    for each in sockets:
        poll.register(each, selectors.EVENT_READ)
        each.sendall(message)
    count = 0
    began = now = time.perf_counter()
    heard = began
    while now < began + seconds:
        for key, _ in poll.select(1.0):
            connection: Any = key.fileobj
            data = connection.recv(65536)
            if not data:
                raise BenchError("a connection was closed in the middle")
            missing[connection] -= len(data)
            if missing[connection] <= 0:
                missing[connection] = answer_size
                count += 1
                connection.sendall(message)
            heard = now
        now = time.perf_counter()
        if now - heard > PATIENCE:
            raise BenchError("nothing comes back")
    poll.close()
    return count / (now - began)


def connects(port: int, at_once: int, seconds: float) -> float:
    """TCP connections in a second that each send a byte, get it back, and are reset.

    Raises:
        BenchError: a connection failed.
    """
    poll = selectors.EpollSelector()
    count = 0

    def start() -> None:
        new = socket.socket()
        new.setblocking(False)
        # An orderly close would leave each port unusable for a minute, and soon all of them.
        new.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        new.connect_ex(("127.0.0.1", port))
        poll.register(new, selectors.EVENT_WRITE)

    began = now = heard = time.perf_counter()
    try:
        for _ in range(at_once):
            start()
        while now < began + seconds:
            for key, mask in poll.select(1.0):
                connection: Any = key.fileobj
                if mask & selectors.EVENT_WRITE:
                    connection.send(b"x")
                    poll.modify(connection, selectors.EVENT_READ)
                elif connection.recv(1):
                    poll.unregister(connection)
                    connection.close()
                    count += 1
                    heard = now
                    start()
                else:
                    raise OSError("closed without an answer")
            now = time.perf_counter()
            if now - heard > PATIENCE:
                raise OSError("nothing comes back")
    except OSError as error:
        raise BenchError(f"a connection to port {port} failed: {error}") from error
    finally:
        for key in list(poll.get_map().values()):
            unfinished: Any = key.fileobj
            unfinished.close()
        poll.close()
    return count / (now - began)


def event_delays(place: Place, count: int) -> list[float]:
    """Milliseconds that each of so many server-sent events took on its way."""
    delays: list[float] = []
    try:
        with connect(place.port) as connection:
            connection.sendall(f"GET /events HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode())
            data = read_head(connection)
            while len(delays) <= count:
                end = data.find(b"\n\n")
                if end < 0:
                    more = connection.recv(65536)
                    if not more:
                        raise OSError("the events ended")
                    data += more
                    continue
                came = time.monotonic_ns()
                sent = int(data[:end].rpartition(b"data: ")[2])
                data = data[end + 2 :]
                delays.append((came - sent) / 1e6)
    except OSError as error:
        raise BenchError(f"no events through {place.host}: {error}") from error
    return delays[1:]  # the first was on its way with the head


def latencies(place: Place, target: str, per_second: float, seconds: float) -> list[float]:
    """Milliseconds that requests took which were sent at fixed times over one connection.

    A request that is late because the one before it was, counts from when it was due.
    """
    took: list[float] = []
    request = f"GET {target} HTTP/1.1\r\nHost: {place.host}\r\n\r\n".encode()
    size = int(target.strip("/"))
    try:
        with connect(place.port) as connection:
            began = time.perf_counter()
            for number in range(int(per_second * seconds)):
                due = began + number / per_second
                time.sleep(max(0.0, due - time.perf_counter()))
                connection.sendall(request)
                missing = size - len(read_head(connection))
                while missing > 0:
                    data = connection.recv(65536)
                    if not data:
                        raise OSError("closed in the middle of an answer")
                    missing -= len(data)
                took.append((time.perf_counter() - due) * 1000)
    except OSError as error:
        raise BenchError(f"requests through {place.host} failed: {error}") from error
    return took
