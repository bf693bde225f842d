"""A simple load generator, for machines without wrk.

`python -m bench.generator PORT HOST TARGET CONNECTIONS SECONDS [FIELD…]` keeps one request at a
time under way on each connection, and prints one JSON object: `requests`, `seconds`,
`errors`, and the latencies `p50_ms` and `p99_ms`. It is one process of Python, and so
may itself be what limits the figures.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time

__all__ = ["Visitor", "summary"]

_find_length = re.compile(rb"\r\ncontent-length: *([0-9]+)", re.IGNORECASE).search


class Visitor(asyncio.Protocol):
    """One connection that asks for the same again and again.

    Args:
        request: the whole request.
        latencies: gets the seconds that each request took.
        errors: gets a word for each that failed.
    """

    _transport: asyncio.Transport

    def __init__(self, request: bytes, latencies: list[float], errors: list[str]) -> None:
        self._request = request
        self._latencies = latencies
        self._errors = errors
        self._buffer = b""
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Take an answer, and ask again once it is whole."""
        self._buffer += data
        head, separator, body = self._buffer.partition(b"\r\n\r\n")
        length = _find_length(head)
        if not separator or (length and len(body) < int(length[1])):
            return
        self._buffer = b""
        self._latencies.append(time.perf_counter() - self._began)
        if length is None or head[9:12] != b"200":
            self._errors.append("status")
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over, which it should not be."""
        self._errors.append("closed")


async def summary(
    port: int, host: str, target: str, connections: int, seconds: float, fields: list[str]
) -> dict[str, float]:
    """Ask for so many seconds; gives what the module prints."""
    lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
    request = "\r\n".join(lines).encode()
    latencies: list[float] = []
    errors: list[str] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: Visitor(request, latencies, errors), "127.0.0.1", port)
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    ordered = sorted(latencies) or [0.0]
    return {
        "requests": len(latencies),
        "seconds": took,
        "errors": len(errors),
        "p50_ms": ordered[len(ordered) // 2] * 1000,
        "p99_ms": ordered[len(ordered) * 99 // 100] * 1000,
    }


if __name__ == "__main__":
    port, host, target, connections, seconds, *fields = sys.argv[1:]
    found = summary(int(port), host, target, int(connections), float(seconds), fields)
    print(json.dumps(asyncio.run(found)))
