"""Public TCP ports: every connection to one becomes a stream to its service.

Knows nothing of the bytes that pass. Which port a service gets is decided at its
admission.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory

from inletspy.errors import ClientAway, StreamReset
from inletspy.policy.quotas import AddressQuota
from inletspy.policy.routes import Route
from inletspy.policy.sources import read_address
from inletspy.tunnel.metered import ConnectionEnd, ServiceEnd
from inletspy.tunnel.session import Service
from inletspy.tunnel.splice import splice

__all__ = ["PublicPorts"]


class _Visitor(ConnectionEnd):
    """A visitor's connection to a public port."""

    def __init__(self, service: Service, quota: AddressQuota) -> None:
        super().__init__(service)
        self._service = service
        self._quota = quota
        self._address: str | None = None

    def connectionMade(self) -> None:
        """Open a stream, or turn the visitor away."""
        transport: Any = self.transport
        transport.setTcpNoDelay(True)
        transport.setTcpKeepAlive(True)
        peer = transport.getPeer()
        rule = self._service.rule
        if rule is not None and not rule.admits(read_address(peer.host)):
            transport.abortConnection()
            return
        if not self._quota.take(peer.host):
            transport.abortConnection()
            return
        self._address = peer.host
        usage = self._service.session.usage
        if usage is not None and usage.take_connection():
            transport.abortConnection()
            return
        host = f"[{peer.host}]" if ":" in peer.host else peer.host
        stream = ServiceEnd(self._service.traffic)
        try:
            self._service.connect(stream, f"{host}:{peer.port}")
        except (ClientAway, StreamReset):
            transport.abortConnection()
            return
        self.begin(stream, peer.host)
        splice(self, stream)

    def connectionLost(self, reason: Any = None) -> None:
        """The visitor has gone."""
        if self._address is not None:
            self._quota.give_back(self._address)
            self._address = None
        super().connectionLost(reason)


class _PortFactory(Factory):
    noisy = False

    def __init__(self, route: Route[int, Service], quota: AddressQuota) -> None:
        self.route = route
        self._quota = quota

    def buildProtocol(self, addr: IAddress | None) -> _Visitor | None:
        service = self.route.choose(Service.load)
        return None if service is None else _Visitor(service, self._quota)


@dataclass
class _OpenPort:
    factory: _PortFactory
    listening: IListeningPort


class PublicPorts:
    """Opens and closes public ports; see `inletspy.tunnel.grants.PublicPorts`.

    Args:
        reactor: listens.
        interface: the address to listen on; empty for all.
        quota: connections per visitor's address.
    """

    def __init__(self, reactor: Any, interface: str, quota: AddressQuota) -> None:
        self._reactor = reactor
        self._interface = interface
        self._quota = quota
        self._open: dict[int, _OpenPort] = {}
        #: Ports that close at the end of the turn, unless they are wanted again by then.
        self._closing: dict[int, _OpenPort] = {}

    def open(self, port: int, route: Route[int, Service]) -> None:
        """Forward connections to `port` to the services of a route.

        Raises:
            twisted.internet.error.CannotListenError: the port is in use.
        """
        entry = self._closing.pop(port, None)
        if entry is not None:  # a client that takes over from itself
            entry.factory.route = route
        else:
            factory = _PortFactory(route, self._quota)
            listening = self._reactor.listenTCP(
                port, factory, backlog=1024, interface=self._interface
            )
            entry = _OpenPort(factory, listening)
        self._open[port] = entry

    def close(self, port: int) -> None:
        """Take no more connections on `port`; those that are there go on."""
        entry = self._open.pop(port, None)
        if entry is not None:
            self._closing[port] = entry
            self._reactor.callLater(0, self._close_now, port, entry)

    def _close_now(self, port: int, entry: _OpenPort) -> None:
        if self._closing.get(port) is entry:
            del self._closing[port]
            entry.listening.stopListening()

    def snapshot(self) -> dict[str, Any]:
        """See `inletspy.interfaces.ISnapshot`."""
        return {"ports": sorted(self._open)}
