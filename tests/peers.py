"""Both ends of what is tested, played by a test byte by byte: visitors and upstreams.

A `Peer` is a raw connection that says what came and how it ended, and waits in a bounded
way. Nothing here knows HTTP, or what stands between the two ends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, cast

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, DeferredQueue, TimeoutError, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.posixbase import PosixReactorBase
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

__all__ = [
    "CLOSED",
    "CUT",
    "FINISHED",
    "Peer",
    "PeerFactory",
    "Upstream",
    "listen",
    "reactor",
    "until",
]

reactor = cast(PosixReactorBase, installed_reactor)

#: Seconds that anything may take on the slowest machine.
TIMEOUT: Final = 30.0

#: Bytes that the kernel may hold for a peer in each direction.
BUFFER: Final = 1 << 18

#: How a connection ended, as its peer sees it: half-closed, closed in order, reset.
FINISHED: Final = "finished"
CLOSED: Final = "closed"
CUT: Final = "cut"


async def until(condition: Callable[[], object], what: str | Callable[[], str]) -> None:
    """Wait until the condition holds.

    Args:
        condition: is asked again and again.
        what: is waited for; a function is asked when it was in vain.

    Raises:
        AssertionError: it never did.
    """
    deadline = reactor.seconds() + TIMEOUT
    while not condition():
        if reactor.seconds() > deadline:
            text = what if isinstance(what, str) else what()
            raise AssertionError(f"still not {text} after {TIMEOUT:.0f} s")
        await deferLater(reactor, 0.005)


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """One end of a connection.

    Attributes:
        received: what came and was not taken yet.
        total: how many bytes came.
        end: how the other side ended it: None, FINISHED, CLOSED or CUT.
    """

    def __init__(self, on_made: Callable[[Peer], None] | None = None) -> None:
        self.received = bytearray()
        self.total = 0
        self.end: str | None = None
        self.gone: Deferred[None] = Deferred()
        self._on_made = on_made
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    # -- what a test does

    async def read_until(self, mark: bytes) -> bytes:
        """Take what comes up to and with `mark`."""
        await self._wait(lambda: mark in self.received, f"{mark!r}")
        return self._take(self.received.index(mark) + len(mark))

    async def read(self, size: int) -> bytes:
        """Take exactly so many bytes."""
        await self._wait(lambda: len(self.received) >= size, f"{size} bytes")
        return self._take(size)

    async def read_to_end(self) -> bytes:
        """Take all that comes until the other side has ended the connection."""
        await self._wait(lambda: self.end is not None, "the end")
        return self._take(len(self.received))

    async def ended(self) -> str:
        """How the other side ends the connection, once it does."""
        await self._wait(lambda: self.end is not None, "the end")
        return cast(str, self.end)

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)  # type: ignore[union-attr]

    async def until_stuck(self) -> None:
        """Wait until what was sent gets no further, for as long as nobody reads."""
        transport: Any = self.transport
        looks: list[int] = []

        def stuck() -> bool:
            looks.append(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)
            # More than a look or two, since bytes rest on their way for some turns.
            return looks[-1] > 0 and looks[-10:] == [looks[-1]] * 10

        await until(stuck, lambda: f"stuck, with {looks[-1]} bytes left")

    def finish(self) -> None:
        """Send no more, and go on receiving."""
        transport: Any = self.transport
        transport.loseWriteConnection()

    def close(self) -> None:
        """Close in order, after what was sent."""
        transport: Any = self.transport
        transport.loseConnection()

    def cut(self) -> None:
        """Reset the connection."""
        transport: Any = self.transport
        transport.abortConnection()

    def pause(self) -> None:
        """Read nothing from now on."""
        transport: Any = self.transport
        transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        transport: Any = self.transport
        transport.resumeProducing()

    def _take(self, size: int) -> bytes:
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken

    async def _wait(self, condition: Callable[[], bool], what: str) -> None:
        if condition():
            return
        waiting: Deferred[None] = Deferred()
        self._waiting.append((condition, waiting))
        try:
            await waiting.addTimeout(TIMEOUT, reactor)
        except TimeoutError:
            raise AssertionError(
                f"{what} did not come; the connection is {self.end or 'open'}, "
                f"and there is {bytes(self.received[:1000])!r}"
            ) from None

    def _look(self) -> None:
        waiting, self._waiting = self._waiting, []
        for condition, deferred in waiting:
            if deferred.called:
                continue
            if condition():
                deferred.callback(None)
            elif self.end is not None:
                deferred.errback(
                    AssertionError(f"{self.end} too early, after {bytes(self.received[:1000])!r}")
                )
            else:
                self._waiting.append((condition, deferred))

    # -- IProtocol

    def connectionMade(self) -> None:
        transport: Any = self.transport
        with suppress(AttributeError):  # a UNIX socket has no such option
            transport.setTcpNoDelay(True)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            # Of a size that the kernel does not change, whatever the machine has set.
            transport.socket.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        if self._on_made is not None:
            self._on_made(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.total += len(data)
        self._look()

    def readConnectionLost(self) -> None:
        self.end = FINISHED
        self._look()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.end = CLOSED if reason.check(ConnectionDone) else CUT
        self._look()
        self.gone.callback(None)


class PeerFactory(Factory):
    """Makes peers, and ends with the test all connections that are still there."""

    noisy = False

    def __init__(self, case: TestCase, on_made: Callable[[Peer], None] | None = None) -> None:
        self.peers: list[Peer] = []
        self._on_made = on_made
        case.addCleanup(self._end)

    def buildProtocol(self, addr: Any) -> Peer:
        peer = Peer(self._on_made)
        self.peers.append(peer)
        return peer

    async def connect(self, endpoint: IStreamClientEndpoint) -> Peer:
        """Connect to where `endpoint` leads."""
        return cast(Peer, await endpoint.connect(self))

    async def connect_to(
        self, port: int, *, source: str = "127.0.0.1", tls: tuple[str, Certificate] | None = None
    ) -> Peer:
        """Connect to a port of the loopback interface.

        Args:
            port: the port.
            source: the address to come from.
            tls: for TLS, the server's name and the certificate to trust.
        """
        endpoint: IStreamClientEndpoint
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port, bindAddress=(source, 0))
        if tls is not None:
            endpoint = wrapClientTLS(optionsForClientTLS(tls[0], trustRoot=tls[1]), endpoint)
        return await self.connect(endpoint)

    async def _end(self) -> None:
        for peer in self.peers:
            if peer.transport is not None and peer.end not in (CLOSED, CUT):
                peer.cut()
                await peer.gone


def listen(
    factory: IProtocolFactory,
    *,
    port: int = 0,
    tls: PrivateCertificate | None = None,
    on: Any = reactor,
) -> Any:
    """Listen on the loopback interface; gives the listening port.

    Args:
        factory: builds the protocols.
        port: where; 0 for a free port.
        tls: what to show in TLS; None for plain TCP.
        on: the reactor, or one in its place.
    """
    if tls is None:
        return on.listenTCP(port, factory, interface="127.0.0.1")
    return on.listenSSL(port, factory, tls.options(), interface="127.0.0.1")


class Upstream:
    """A service on the loopback interface that does what the test says.

    Args:
        case: the test.
        port: where to listen; 0 for a free one.
        tls: what it shows where it speaks TLS; None where it does not.

    Attributes:
        port: where it listens.
        accepted: how many connections it has had.
    """

    def __init__(
        self, case: TestCase, *, port: int = 0, tls: PrivateCertificate | None = None
    ) -> None:
        self.accepted = 0
        self._new: DeferredQueue[Peer] = DeferredQueue()
        self._factory = PeerFactory(case, self._arrived)
        self._listening = listen(self._factory, port=port, tls=tls)
        self.port: int = self._listening.getHost().port
        case.addCleanup(self.stop)

    async def connection(self) -> Peer:
        """The next connection that comes in, of those not asked for yet."""
        try:
            return await self._new.get().addTimeout(TIMEOUT, reactor)
        except TimeoutError:
            raise AssertionError("no connection came to the upstream") from None

    async def stop(self) -> None:
        """Take no more connections."""
        await maybeDeferred(self._listening.stopListening)

    @property
    def peers(self) -> list[Peer]:
        """All connections that there have been."""
        return self._factory.peers

    def _arrived(self, peer: Peer) -> None:
        self.accepted += 1
        self._new.put(peer)
