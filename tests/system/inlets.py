"""The stock inlets programs as processes, and what is served and called through them.

Which programs, the variable INLETS_BIN says: one path or several, with the separator of
PATH between them. What works with them, the tests know.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import subprocess
import sys
from functools import cache, partial
from typing import Any, Final, cast

from autobahn.twisted.websocket import (
    WebSocketClientFactory,
    WebSocketClientProtocol,
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.trial.unittest import TestCase
from twisted.web.server import NOT_DONE_YET, Request
from twisted.web.static import Data

from tests.system.http import EchoResource
from tests.system.processes import TIMEOUT, Program, ServerProcess, reactor

__all__ = [
    "BINARIES",
    "BULK",
    "OurClient",
    "Service",
    "SocketVisitor",
    "StockClient",
    "StockServer",
    "bulk",
    "echo_sockets",
    "open_socket",
    "rows",
]

#: The stock programs that there are.
BINARIES: Final = [
    os.path.abspath(path)
    for path in os.environ.get("INLETS_BIN", "").split(os.pathsep)
    if path.strip()
]

#: Bytes of a large transfer.
BULK: Final = 64 << 20


@cache
def bulk() -> bytes:
    """The content of a large transfer, in which no part is like another."""
    return random.Random(1).randbytes(BULK)


def rows(server: ServerProcess) -> list[dict[str, Any]]:
    """The tunnels that our server has, as `tunnels.json` tells."""
    try:
        listed: list[dict[str, Any]] = json.loads((server.data_dir / "tunnels.json").read_text())
    except FileNotFoundError:
        return []
    return listed


# -- programs


@cache
def _flags(binary: str) -> str:
    """What the stock client says about its flags."""
    done = subprocess.run([binary, "client", "--help"], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


class StockClient(Program):
    """`inlets client` of a stock program, at our server.

    Args:
        case: the test.
        binary: the program.
        server: our server; has been started.
        upstream: what it announces, as a person types it.
        options: more of them.
        token: in place of the server's.

    Attributes:
        reconnects: whether this version comes again after its connection is lost.
    """

    def __init__(
        self,
        case: TestCase,
        binary: str,
        server: ServerProcess,
        upstream: str,
        *options: str,
        token: str | None = None,
    ) -> None:
        super().__init__(case, [binary, "client", "--upstream", upstream, *options])
        self._server = server
        self._upstream = upstream
        self.reconnects = "--remote" in _flags(binary)
        if self.reconnects:
            self.command += ["--remote", f"127.0.0.1:{server.control_port}"]
        else:
            self.command += ["--url", server.control_url, "--insecure"]
        self.command.append("--print-token=false")
        token_file = server.token_file
        if token is not None:
            token_file = self.home / "token"
            self.home.mkdir(parents=True)
            token_file.write_text(f"{token}\n")
        self.command += ["--token-from", str(token_file)]

    async def start(self) -> None:
        """Start it, and wait until our server has all that it announces."""
        before = {row["session"] for row in rows(self._server)}
        self.spawn()
        await self.until("served", lambda: self._is_served(before) or None)

    def _is_served(self, before: set[str]) -> bool:
        announced = len(self._upstream.split(","))
        return sum(row["session"] not in before for row in rows(self._server)) == announced

    async def says(self, text: str) -> None:
        """Wait until it has printed that."""
        await self.until(f"saying {text!r}", lambda: text in self.stdout + self.stderr or None)


class StockServer(Program):
    """`inlets server` of a stock program.

    Args:
        case: the test.
        binary: the program.
        ports: of visitors and of clients; None for free ones.
    """

    TOKEN: Final = "a-token-of-the-stock-server"

    def __init__(self, case: TestCase, binary: str, ports: tuple[int, int] | None = None) -> None:
        self.ports = self.data_port, self.control_port = ports or _free_ports()
        command = [binary, "server", "--print-token=false"]
        command += ["--port", str(self.data_port), "--control-port", str(self.control_port)]
        super().__init__(case, command, {"TOKEN": self.TOKEN})

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        self.spawn()
        for port in self.ports:
            await self.until("listening", partial(_probe, port))

    def url(self, path: str = "/") -> str:
        """The address of visitors."""
        return f"http://any.example.com:{self.data_port}{path}"


def _free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on: a stock server can't be asked which it took."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        return one.getsockname()[1], two.getsockname()[1]


def _probe(port: int) -> bool | None:
    """True if somebody listens there, else None."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0 or None


class OurClient(Program):
    """`inlets client`, the shim, at a stock server.

    Args:
        case: the test.
        server: has been started.
        upstream: what it announces, as a person types it.
        token: in place of the server's.
    """

    def __init__(
        self,
        case: TestCase,
        server: StockServer,
        upstream: str,
        token: str = StockServer.TOKEN,
    ) -> None:
        shim = "import sys; from inletspy.compat.inlets import main; sys.exit(main())"
        command = [sys.executable, "-c", shim, "client", "--upstream", upstream]
        command += ["--remote", f"127.0.0.1:{server.control_port}"]
        super().__init__(case, command)
        self._token = token

    def spawn(self) -> None:
        token_file = self.home / "token"
        self.home.mkdir(parents=True, exist_ok=True)
        token_file.write_text(f"{self._token}\n")
        self.command += ["--token-from", str(token_file)]
        super().spawn()

    async def start(self) -> None:
        """Start it, and wait until it is connected."""
        self.spawn()
        await self.connects(1)

    async def connects(self, times: int) -> None:
        """Wait until it has connected so often."""
        await self.until("connected", lambda: self.stderr.count("Connected: ") >= times or None)


# -- upstreams


class Service(EchoResource):
    """What the tests serve: an echo, large content, digests of uploads, and events.

    Attributes:
        events: requests for /events, to be answered by the test.
    """

    def __init__(self) -> None:
        super().__init__()
        self.events: DeferredQueue[Request] = DeferredQueue()

    def render(self, request: Request) -> Any:
        if request.path == b"/bulk":
            return Data(bulk(), "application/octet-stream").render(request)
        if request.path == b"/digest":
            assert request.content is not None
            return hashlib.file_digest(request.content, "sha256").hexdigest().encode()
        if request.path == b"/events":
            request.setHeader(b"content-type", b"text/event-stream")
            self.events.put(request)
            return NOT_DONE_YET
        # A header of the kind that stock servers take away.
        request.setHeader(b"access-control-allow-origin", b"https://ide.example.com")
        return super().render(request)


class _EchoSocket(WebSocketServerProtocol):
    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if payload == b"goodbye":
            self.sendClose(4321, "as you wish")
        else:
            self.sendMessage(payload, isBinary)


def echo_sockets() -> WebSocketServerFactory:
    """An upstream that sends WebSocket messages back, and closes on `goodbye`."""
    factory = WebSocketServerFactory()
    factory.protocol = _EchoSocket
    factory.noisy = False
    return factory


# -- visitors


class SocketVisitor(WebSocketClientProtocol):
    """A visitor by WebSocket.

    Attributes:
        messages: what came.
        closed: fires with the close code.
    """

    def __init__(self) -> None:
        super().__init__()
        self.opened: Deferred[None] = Deferred()
        self.messages: DeferredQueue[bytes | str] = DeferredQueue()
        self.closed: Deferred[int | None] = Deferred()

    async def message(self) -> bytes | str:
        """The next message."""
        return await self.messages.get().addTimeout(TIMEOUT, reactor)

    def onOpen(self) -> None:
        self.opened.callback(None)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.messages.put(payload if isBinary else payload.decode())

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.closed.callback(code)
        if not self.opened.called:
            self.opened.errback(AssertionError(f"no WebSocket: {reason}"))


async def open_socket(case: TestCase, url: str) -> SocketVisitor:
    """Open a WebSocket on the loopback interface, whatever the host is; ends with the test."""
    factory = WebSocketClientFactory(url.replace("http://", "ws://"))
    factory.protocol = SocketVisitor
    factory.noisy = False
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", factory.port)
    visitor = cast(SocketVisitor, await endpoint.connect(factory))

    async def end() -> None:
        if not visitor.closed.called:
            visitor.dropConnection(abort=True)
            await visitor.closed

    case.addCleanup(end)
    await visitor.opened.addTimeout(TIMEOUT, reactor)
    return visitor
