"""The reactor's way to and from a socket, shortened.

Twisted queues what is written, asks the reactor to tell when the socket takes it, and
sends it then: three system calls and a round of the reactor where the socket would have
taken it right away. A reactor wrapped by `eager` makes connections that try the socket
first and leave to Twisted only what the kernel refuses; everything else about them is
Twisted's.

Before it tells a socket of an event, Twisted prepares what a log message would say of
it: a third of what an event costs. `quicken` has the epoll reactor leave that out. A
reactor that is quickened also tells when a round of events is over, and small pieces are
sent only then: one after the other, they wake up those who read them less often than each
would by itself.

All of it rests on private attributes of Twisted's. Where they are missing, all stays as it
is.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

from twisted.internet import tcp
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy

__all__ = ["eager", "quicken", "takes_buffers"]

_log = Logger()

#: Bytes from which on a copy is dearer than a system call that takes several pieces, and
#: how many pieces such a call takes everywhere (POSIX, limits.h: IOV_MAX).
_MUCH: Final = 16_384
_MAX_PIECES: Final = 16


#: The connections that have something to send at the end of the round, where that is told.
_holding: list[_WriteAtOnce] | None = None


class _WriteAtOnce:
    """Mixed into Twisted's TCP transports.

    What waits for the end of the round is in Twisted's own buffer, so that all else it does
    with a connection (finish, close, pause who writes) reckons with it.
    """

    _is_holding = False

    # Of FileDescriptor, and of the transports for TCP:
    socket: Any
    reactor: Any
    stopReading: Callable[[], None]
    dataBuffer: bytes
    connected: int
    disconnected: int
    disconnecting: int
    TLS: bool
    _aborting: bool
    _tempDataBuffer: list[bytes]
    _tempDataLen: int
    _writeDisconnected: bool

    @property
    def _takes_now(self) -> bool:
        """Whether nothing is to be sent before, and the connection is as it should be."""
        return not (self._tempDataBuffer or self.dataBuffer) and self._is_open

    @property
    def _is_open(self) -> bool:
        """Whether nothing but what is to be sent before stands in the way."""
        return not (
            self.TLS
            or self._writeDisconnected
            or self.disconnecting
            or self._aborting
            or self.disconnected
            or not self.connected
        )

    def write(self, data: bytes) -> None:
        """Send `data` as soon as it may be; the rest of what the socket takes as Twisted would."""
        if self._is_holding:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            if self._tempDataLen >= _MUCH:
                self._send_held()
        elif not self._takes_now:
            super().write(data)  # type: ignore[misc]
        elif _holding is None or len(data) >= _MUCH:
            self._send(data)
        else:
            self._tempDataBuffer.append(data)
            self._tempDataLen += len(data)
            self._is_holding = True
            _holding.append(self)

    def _send(self, data: bytes) -> None:
        """Send `data` now, as far as the socket takes it."""
        try:
            sent = self.socket.send(data)
        except OSError as error:
            sent = self._not_sent(error)
        if sent < len(data):
            super().write(data[sent:])  # type: ignore[misc]

    def _send_held(self) -> None:
        """Send what was held, unless Twisted has it in hand by now."""
        self._is_holding = False
        if self._is_open:
            data = b"".join(self._tempDataBuffer)
            self._tempDataBuffer.clear()
            self._tempDataLen = 0
            self._send(data)

    def _not_sent(self, error: OSError) -> int:
        """Leave the rest to Twisted, unless the connection is broken.

        The kernel tells of a reset but once: who only reads on then finds an orderly end.
        """
        if error.errno not in (errno.EWOULDBLOCK, errno.ENOBUFS, errno.EINTR):
            self._aborting = True
            self.stopReading()
            self.reactor.callLater(0, self.connectionLost, Failure(ConnectionLost(str(error))))
        return 0

    def writeSequence(self, data: Iterable[bytes | bytearray]) -> None:
        """Send several pieces as one; what is much is not put together before."""
        pieces = list(data)
        size = sum(map(len, pieces))
        if self._is_holding or not self._takes_now:
            self.write(b"".join(pieces))
            return
        if size < _MUCH or len(pieces) > _MAX_PIECES:
            self._send(b"".join(pieces))
            return
        try:
            sent = self.socket.sendmsg(pieces)
        except OSError as error:
            sent = self._not_sent(error)
        if sent < size:
            super().write(b"".join(pieces)[sent:])  # type: ignore[misc]

    def abortConnection(self) -> None:
        """See `ITCPTransport`; what was written before it is sent, if the socket takes it."""
        if self._is_holding:
            self._send_held()
        super().abortConnection()  # type: ignore[misc]

    def connectionLost(self, reason: Failure) -> None:
        """See `IReadDescriptor`; of what was held, the socket gets what it still takes."""
        if self._is_holding and self._is_open:
            with suppress(OSError):
                self.socket.send(b"".join(self._tempDataBuffer))
        super().connectionLost(reason)  # type: ignore[misc]


class _Server(_WriteAtOnce, tcp.Server):
    pass


class _Client(_WriteAtOnce, tcp.Client):
    pass


class _Port(tcp.Port):
    transport = _Server


class _Connector(tcp.Connector):
    def _makeTransport(self) -> _Client:
        return _Client(self.host, self.port, self.bindAddress, self, self.reactor)


class _EagerReactor:
    """A reactor, but for how it makes TCP connections."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See `IReactorTCP`."""
        listening = _Port(port, factory, backlog, interface, self._reactor)
        listening.startListening()
        return listening

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: Any,
        timeout: float = 30,
        bindAddress: tuple[str, int] | None = None,
    ) -> Any:
        """See `IReactorTCP`."""
        connector = _Connector(host, port, factory, timeout, bindAddress, self._reactor)
        connector.connect()
        return connector


def eager(reactor: Any) -> Any:
    """The reactor, with TCP connections that write at once where that is possible."""
    stock = FileDescriptor()
    supported = all(hasattr(stock, name) for name in ("_tempDataBuffer", "_tempDataLen")) and all(
        hasattr(tcp.Connection, name) for name in ("_writeDisconnected", "_aborting")
    )
    # Anything but the reactor that runs, such as a test's, keeps its own connections.
    return _EagerReactor(reactor) if supported and hasattr(reactor, "addReader") else reactor


def takes_buffers(transport: Any) -> bool:
    """Whether what is written to a transport may also be a bytearray, which Twisted refuses."""
    return isinstance(transport, _WriteAtOnce)


def quicken(reactor: Any) -> Callable[[], None]:
    """Spare the reactor the log context of each event, and tell the end of each round.

    Where that is not possible, nothing is changed. A message that is logged while a socket
    is told something does not name that socket any more; ours name their modules.

    Returns:
        What undoes it.
    """
    global _holding
    needed = ("_poller", "_selectables", "_doReadOrWrite")
    # By its name: there is no such module where there is no epoll.
    epoll = any(kind.__name__ == "EPollReactor" for kind in type(reactor).__mro__)
    if not epoll or not all(hasattr(reactor, name) for name in needed):
        return lambda: None
    poll = reactor._poller.poll
    selectables = reactor._selectables
    tell = reactor._doReadOrWrite
    slow = reactor.doIteration
    holding = _holding = []

    def iterate(timeout: float | None) -> None:
        # All that happens between two calls is one round: events, and what was due by then.
        _send_all(holding)
        try:
            events = poll(-1 if timeout is None else timeout, len(selectables))
        except OSError as error:
            if error.errno == errno.EINTR:
                return
            raise
        for descriptor, event in events:
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # one before it in this round has closed it
            try:
                tell(selectable, descriptor, event)
            except Exception:  # the others must be told all the same
                _log.failure("An event could not be told")

    def undo() -> None:
        global _holding
        _holding = None
        reactor.doIteration = slow
        _send_all(holding)

    reactor.doIteration = iterate
    return undo


def _send_all(holding: list[_WriteAtOnce]) -> None:
    """Have connections send what they hold; those that hold something then stay."""
    present = holding[:]
    holding.clear()
    for connection in present:
        try:
            if connection._is_holding:  # else there was too much to wait with
                connection._send_held()
        except Exception:  # as above
            _log.failure("What was written could not be sent")
