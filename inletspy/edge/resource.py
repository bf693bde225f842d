"""Where a visitor's request goes: the Host, a route, and a head fit to be passed on.

`EdgeSite` is the factory of visitors' connections and what they share: settings,
counters, the access log, the sweep. `HostProxyResource` looks the Host up and makes the
exchange, or answers with a page.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from twisted.internet.interfaces import IAddress, IReactorTime, ISSLTransport
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from inletspy.edge import pages
from inletspy.edge.accesslog import AccessLog
from inletspy.edge.channel import EdgeChannel
from inletspy.edge.exchange import Exchange
from inletspy.edge.login import Login
from inletspy.edge.upstreams import UpstreamPool
from inletspy.edge.visits import COOKIE, Visits, without_leave
from inletspy.interfaces import ISettings, ISnapshot
from inletspy.policy.links import PARAMETER
from inletspy.policy.names import base_label
from inletspy.policy.quotas import AddressQuota
from inletspy.policy.routes import RouteTable
from inletspy.policy.sources import UNIX, is_proxy
from inletspy.tunnel.session import Service
from inletspy.wire.http1 import RequestHead

if TYPE_CHECKING:
    from inletspy.policy.usage import Usage

__all__ = ["EdgeSite", "HostProxyResource"]

_log = Logger()

#: What stands in a request that may hold leave to visit, also where nobody is asked.
_IN_TARGET: Final = PARAMETER.encode()
_IN_FIELDS: Final = COOKIE.encode()


class HostProxyResource(Resource):
    """Finds out where a request goes.

    Args:
        settings: the settings in force.
        routes: who serves which name.
        public_url: scheme, host and port that the outside sees.
        visits: lets visitors in where not everybody may come.
        reserved: whether a hostname is one user's, so that no catch-all gets its requests.
    """

    isLeaf = True

    def __init__(
        self,
        settings: ISettings,
        routes: RouteTable[Service],
        public_url: str,
        visits: Visits,
        reserved: Callable[[str], bool],
    ) -> None:
        super().__init__()
        self._visits = visits
        self._settings = settings
        self._routes = routes
        self._reserved = reserved
        url = urlsplit(public_url)
        self._scheme = url.scheme.encode()
        self._port = b"%d" % (url.port or (443 if url.scheme == "https" else 80))
        self._id_prefix = secrets.token_hex(8).encode()
        self._id_count = 0
        self.pools: set[UpstreamPool] = set()

    def exchange(self, channel: EdgeChannel, request: RequestHead) -> Exchange | Login | None:
        """The exchange for a request; None if a page has answered it already."""
        route = self._routes.names.get(request.host.decode("latin-1"))
        if route is not None:
            service = route.target or route.choose(Service.load)
            if service is None:
                if route.past is not None:
                    channel.traffic = route.past.traffic
                channel.answer_page(pages.CLIENT_AWAY)
                return None
        else:
            service = self._catch_all(request)
            if service is None:
                channel.answer_page(pages.UNKNOWN_HOST)
                return None
        channel.traffic = service.traffic
        if not service.dialable:
            channel.answer_page(pages.NO_PORT)
            return None
        visit = None
        if service.rule is not None:
            visit = self._visits.visit(channel, request, service, service.rule)
            if visit is None:
                return None
        usage = service.session.usage
        if usage is not None and usage.who not in channel.owners and not _count(channel, usage):
            return None
        if visit is not None:
            return self._visits.enter(visit, partial(self._admit, channel, service))
        if _IN_TARGET in request.target or _IN_FIELDS in request.lines:
            request = without_leave(request)
        return self._admit(channel, service, request)

    def _admit(self, channel: EdgeChannel, service: Service, request: RequestHead) -> Exchange:
        pool = service.pool or self._new_pool(service)
        return Exchange(channel, request, self._head(channel, request, pool), pool)

    def _new_pool(self, service: Service) -> UpstreamPool:
        base_domain = self._settings.current.tunnel_base_domain
        pool = service.pool = UpstreamPool(service, base_domain)
        self.pools.add(pool)
        return pool

    def elsewhere(
        self, channel: EdgeChannel, request: RequestHead, tried: Sequence[Service]
    ) -> tuple[UpstreamPool, bytes] | None:
        """Where else a request can go, and its head there; None if there is nowhere.

        Args:
            channel: the visitor's.
            request: as it was let in.
            tried: the services that it went to before.
        """
        first = tried[0]
        route = self._routes.names.get(first.hostname)
        # The name may be another owner's, or another service's by now, with other visitors.
        if route is None or route.holder is None or not route.holder.may_share(first.holder):
            return None
        others = [s for s in route.targets if s.rule != first.rule or s.session.silent]
        service = route.choose(Service.load, besides=(*tried, *others))
        if service is None:
            return None
        channel.traffic = service.traffic
        pool = service.pool or self._new_pool(service)
        return pool, self._head(channel, request, pool)

    def _catch_all(self, request: RequestHead) -> Service | None:
        settings = self._settings.current
        if not settings.catch_all_enabled:
            return None
        host = request.host.decode("latin-1")
        base = settings.tunnel_base_domain
        if base_label(host, base) is not None or self._reserved(host):
            return None
        return self._routes.catch_all

    def _head(self, channel: EdgeChannel, request: RequestHead, pool: UpstreamPool) -> bytes:
        """The request's head as the upstream gets it."""
        cached = channel.forwarding
        if request.forwarded and channel.site.trusts(channel):
            extra = self._extended(channel, request)
        elif cached is None or cached[0] != request.authority:
            extra = self._forwarded(channel, request)
            channel.forwarding = (request.authority, extra)
        else:
            extra = cached[1]
        if not request.has_request_id:
            self._id_count += 1
            extra += b"X-Request-Id: %b%08x\r\n" % (self._id_prefix, self._id_count)
        host = pool.host
        if host is None and not request.has_host:
            # RFC 9112, 3.2.2: the target's, where there is no Host
            host = request.authority or pool.authority
        if pool.origin and self._from_own_page(request):
            return request.forward(extra + pool.origin, host, (b"origin",))
        return request.forward(extra, host)

    @staticmethod
    def _from_own_page(request: RequestHead) -> bool:
        """Whether a page of the tunnel itself asks (RFC 6454, 7), and no other site's.

        An upstream that is told its own address as the host takes such a page for a
        stranger's, unless the origin is changed in the same way.
        """
        origin = request.field(b"origin")
        return origin is not None and origin.lower().partition(b"://")[2] == request.authority

    def _forwarded(self, channel: EdgeChannel, request: RequestHead) -> bytes:
        """The fields that tell the upstream about the visitor (RFC 7239)."""
        address = b"unknown" if channel.address == UNIX else channel.address.encode()
        node = b'"[%b]"' % address if b":" in address else address
        scheme = b"https" if ISSLTransport.providedBy(channel.transport) else self._scheme
        lines = [
            b"X-Forwarded-For: " + address,
            b"X-Forwarded-Proto: " + scheme,
            b"X-Forwarded-Port: " + self._port,
        ]
        forwarded = b"Forwarded: for=%b;proto=%b" % (node, scheme)
        if request.authority:
            lines.append(b"X-Forwarded-Host: " + request.authority)
            forwarded += b';host="%b"' % request.authority
        return b"\r\n".join([*lines, forwarded, b""])

    def _extended(self, channel: EdgeChannel, request: RequestHead) -> bytes:
        """What a trusted proxy says about the visitor, and the proxy's own address."""
        address = channel.address.encode()
        node = b'"[%b]"' % address if b":" in address else address
        addresses, nodes = ([], []) if channel.address == UNIX else ([address], [b"for=" + node])
        scheme = b"https" if ISSLTransport.providedBy(channel.transport) else self._scheme
        kept = []
        # Many programs read only the first line of a field, so each list stays one line.
        lists: dict[bytes, list[bytes]] = {b"x-forwarded-for": [], b"forwarded": []}
        present = set()
        for line in request.forwarding_fields:
            name, _, value = line.partition(b":")
            name = name.lower()
            present.add(name)
            if name in lists:
                lists[name].append(value.strip(b" \t"))
            else:
                kept.append(line)
        addresses = lists[b"x-forwarded-for"] + addresses
        if addresses:
            kept.append(b"X-Forwarded-For: " + b", ".join(addresses))
        if b"forwarded" in present:
            kept.append(b"Forwarded: " + b", ".join(lists[b"forwarded"] + nodes))
        if b"x-forwarded-proto" not in present:
            kept.append(b"X-Forwarded-Proto: " + scheme)
        if b"x-forwarded-port" not in present:
            kept.append(b"X-Forwarded-Port: " + self._port)
        if b"x-forwarded-host" not in present and request.authority:
            kept.append(b"X-Forwarded-Host: " + request.authority)
        return b"\r\n".join([*kept, b""])


def _count(channel: EdgeChannel, usage: Usage) -> bool:
    """Count a connection for the owner of what it asks for; False if it is one too many.

    It counts once for each, as a proxy's may ask for the services of one after another.
    """
    wait = usage.take_connection()
    if wait:
        channel.answer_page(replace(pages.TOO_MANY_VISITORS, retry_after=math.ceil(wait)))
        return False
    channel.owners.add(usage.who)
    return True


@implementer(ISnapshot)
class EdgeSite(Site):
    """Makes visitors' connections, and holds what they share.

    Args:
        resource: finds out where requests go.
        clock: the present time.
        settings: the settings in force.
        quota: connections per address, shared with the TCP ports.
        access_log: where requests are noted; None for nowhere.
        max_connections: visitors at once, whatever their addresses.

    Attributes:
        control: the factory of the control plane where it shares this port, else None.
        control_path: the target that leads there.
        answers: how many there were of each status.
    """

    protocol = EdgeChannel  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        resource: HostProxyResource,
        clock: IReactorTime,
        settings: ISettings,
        quota: AddressQuota,
        access_log: AccessLog | None,
        max_connections: int,
    ) -> None:
        super().__init__(resource, reactor=clock)
        self.resource: HostProxyResource = resource
        self.settings = settings
        self.access_log = access_log
        self.seconds = clock.seconds
        self.control: Factory | None = None
        self.control_path = b""
        self.channels: set[EdgeChannel] = set()
        self.answers: Counter[int] = Counter()
        self._quota = quota
        self._max_connections = max_connections

    def startFactory(self) -> None:
        """Of Site's own business, only the base's is wanted: it logs and times by itself."""

    def stopFactory(self) -> None:
        """See `startFactory`."""

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A channel for a new visitor; None, which closes, when there is no room."""
        if len(self.channels) >= self._max_connections:
            return None
        return EdgeChannel(self)

    # -- what channels ask and tell

    def joined(self, channel: EdgeChannel) -> None:
        """A visitor has come."""
        self.channels.add(channel)

    def left(self, channel: EdgeChannel) -> None:
        """A visitor has gone."""
        self.channels.discard(channel)

    def count_visitor(self, address: str) -> bool:
        """Count a connection; False if its address has too many. Proxies may have any."""
        exempt = is_proxy(address, self.settings.current.trusted_proxies)
        return self._quota.take(address, exempt=exempt)

    def forget_visitor(self, address: str) -> None:
        """A counted connection has ended."""
        self._quota.give_back(address)

    def trusts(self, channel: EdgeChannel) -> bool:
        """Whether the visitor is a proxy whose word on forwarding is believed."""
        networks = self.settings.current.trusted_proxies
        if channel.trust is None or channel.trust[0] is not networks:
            channel.trust = (networks, is_proxy(channel.address, networks))
        return channel.trust[1]

    def takes_over(self, request: RequestHead) -> bool:
        """Whether the control plane, sharing the port, is what is asked for."""
        return (
            self.control is not None
            and request.upgrade.lower() == b"websocket"
            and request.target == self.control_path
        )

    def control_protocol(self, addr: Any) -> Any:
        """The control plane's protocol for a connection that it takes over."""
        return self.control.buildProtocol(addr) if self.control is not None else None

    # -- what the composition root calls

    def sweep(self) -> None:
        """A second has gone by: see to time-outs, pools and the log."""
        for channel in tuple(self.channels):
            try:
                channel.sweep()
            except Exception:  # one visitor's trouble must not keep the others waiting
                _log.failure("A visitor's connection failed in the sweep")
                channel.abort()
        for pool in tuple(self.resource.pools):
            if pool.closed:
                self.resource.pools.discard(pool)
            else:
                pool.sweep()
        if self.access_log is not None:
            self.access_log.tick()

    def drain(self) -> None:
        """Close idle connections, and the others after their present answer."""
        for channel in tuple(self.channels):
            channel.drain()

    @property
    def busy(self) -> int:
        """Connections that still have something under way."""
        return sum(channel.busy for channel in self.channels)

    def snapshot(self) -> dict[str, Any]:
        """See `inletspy.interfaces.ISnapshot`."""
        return {
            "connections": len(self.channels),
            "requests": sum(self.answers.values()),
            "answers": {str(status): count for status, count in sorted(self.answers.items())},
        }
