"""Who may have a session, and what it may serve.

Decides, with the rules of `policy`, on each client that comes: gives its services names
and ports, all or none, and takes them back when the session ends. It keeps the list of
sessions, sees to what a change of settings means for them, and is what status and
files ask for the tunnels there are. How clients get here is `control`'s business, what
visitors do with a route the edge's.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final, Protocol

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.errors import Code, Refused
from inletspy.interfaces import ISettings, ISnapshot, ITunnels
from inletspy.observers import Observers
from inletspy.policy import names
from inletspy.policy.addresses import UpstreamAddress
from inletspy.policy.routes import RouteTable, Taken
from inletspy.policy.tokens import Owner
from inletspy.settings import Settings
from inletspy.tunnel.session import Service, Session
from inletspy.wire.control import Resume, ServiceOffer

__all__ = ["Admission", "PublicAddress", "PublicPorts"]

_log = Logger()

#: How long a client has to answer before another of the same id takes its name.
_PROBE_SECONDS: Final = 2.0


class PublicPorts(Protocol):
    """Opens public TCP ports; the edge does."""

    def open(self, port: int, service: Service) -> None:
        """Forward connections to `port` to the service; raises CannotListenError."""

    def close(self, port: int) -> None:
        """Take no more connections on `port`; those that are there go on."""


class PublicAddress(Protocol):
    """How the outside sees the server."""

    def http_url(self, hostname: str) -> str:
        """Where visitors reach `hostname`."""

    def tcp_url(self, port: int) -> str:
        """Where visitors reach a public TCP port."""


@implementer(ITunnels, ISnapshot)
class Admission:
    """Admits sessions, and knows them all.

    Args:
        clock: the present time, and timers.
        settings: the settings in force.
        routes: where visitors' requests go.
        ports: opens public TCP ports.
        address: how the outside sees the server.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ISettings,
        routes: RouteTable[Service],
        ports: PublicPorts,
        address: PublicAddress,
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self._clock = clock
        self._settings = settings
        self._routes = routes
        self._ports = ports
        self._address = address
        #: Sessions whose names and ports are being decided on.
        self._admitting: set[Session] = set()
        self._observers: Observers[[]] = Observers()
        #: Set once, when the server stops.
        self._closing = False
        settings.subscribe(self._settings_changed)

    # -- admission

    def check_open(self) -> None:
        """Refuse if nobody is let in just now.

        Raises:
            Refused: tunnels are disabled, or the server is going away.
        """
        if self._closing:
            raise Refused(Code.QUOTA, "the server is going away", retry=True)
        if not self._settings.current.tunnels_enabled:
            raise Refused(
                Code.TUNNELS_DISABLED,
                "tunnels are disabled on this server; its operator can turn them on with "
                "`inletspy config set tunnels_enabled true`",
                retry=True,
            )

    async def admit(
        self,
        session: Session,
        offers: Sequence[ServiceOffer],
        *,
        proof: Callable[[Session], bool] = lambda other: False,
    ) -> None:
        """Let a session in with all the services it announces.

        Args:
            session: has no services yet.
            offers: what it announces.
            proof: whether the same client stands behind another session for certain.

        Raises:
            Refused: something can't be granted; then nothing is.
        """
        self.check_open()
        self._admitting.add(session)
        try:
            for offer in offers:
                await self.add_service(session, offer, proof=proof, announce=False)
        except BaseException:
            self._release(session)
            raise
        finally:
            self._admitting.discard(session)
        self.sessions[session.id] = session
        self._observers.tell()

    async def add_service(
        self,
        session: Session,
        offer: ServiceOffer,
        *,
        proof: Callable[[Session], bool] = lambda other: False,
        announce: bool = True,
    ) -> Service:
        """Grant one more service to a session.

        Raises:
            Refused: it can't be granted.
        """
        services = session.services
        if session.over or session.draining:
            raise self._too_late(session)
        limit = int(self._settings.current.services_per_session)
        if len(services) >= limit:
            raise Refused(Code.QUOTA, f"a client may have {limit} services at most: end one first")
        if any(service.offer.name == offer.name for service in services.values()):
            raise Refused(Code.INVALID, f"there is a service {offer.name!r} already")
        try:
            address = UpstreamAddress.parse(offer.upstream)
        except ValueError as error:
            raise Refused(Code.INVALID, str(error)) from error
        if (address.scheme == "tcp") != (offer.proto == "tcp"):
            raise Refused(Code.INVALID, f"{offer.upstream} is no {offer.proto} upstream")
        number = next(number for number in count(1) if number not in services)
        service = services[number] = Service(session, number, offer, address)  # it counts already
        try:
            if offer.proto == "tcp":
                await self._grant_port(service, proof)
            else:
                await self._grant_name(service, proof)
            if services.get(number) is not service:  # given up, while others were asked
                raise self._too_late(session)
        except BaseException as error:
            if services.get(number) is service:
                del services[number]
            self._release_service(service)
            if session.over and isinstance(error, Refused):
                raise self._too_late(session) from error
            raise
        _log.info(
            "{service_proto} tunnel {public_url} for client {client_id}",
            service_proto=offer.proto,
            public_url=service.public_url,
            client_id=service.client_id,
        )
        if not service.dialable:
            _log.warn(
                "{public_url} answers 502: its client announced {upstream}, without a port",
                public_url=service.public_url,
                upstream=offer.upstream,
            )
        if announce:
            self._observers.tell()
        return service

    @staticmethod
    def _too_late(session: Session) -> Refused:
        return session.why or Refused(Code.INVALID, "the session is over, or ends", retry=True)

    def remove_service(self, session: Session, name: str) -> None:
        """End one service of a session; of no effect if it has none of that name."""
        for number, service in list(session.services.items()):
            if service.offer.name == name:
                del session.services[number]
                self._release_service(service)
                self._observers.tell()

    def resume(self, owner: Owner, resume: Resume) -> None:
        """End the session that a client had, if it proves that it was the client's."""
        old = self.sessions.get(resume.session)
        if old is None or old.owner != owner:
            return
        if hmac.compare_digest(old.key.encode(), resume.key.encode()):
            old.end(Refused(Code.REPLACED, "the client has come again"))

    def ended(self, session: Session) -> None:
        """A session is over: what it held is kept for its client, or free."""
        self._release(session)
        self._admitting.discard(session)
        if self.sessions.pop(session.id, None) is not None:
            _log.info("client {client_id} has gone", client_id=session.client_id)
            self._observers.tell()

    # -- names and ports

    async def _grant_name(self, service: Service, proof: Callable[[Session], bool]) -> None:
        settings = self._settings.current
        hostname = names.grant_hostname(
            service.offer.hostname,
            settings.tunnel_base_domain,
            custom_domains=settings.custom_domains_enabled,
        )
        service.hostname = hostname
        if not service.session.identified:
            container = names.container_of(hostname, settings.tunnel_base_domain)
            service.client_id = container or service.client_id
        # While the present target is asked whether it lives, somebody may be quicker.
        for _ in range(3):
            try:
                self._routes.names.claim(hostname, service.holder, service)
                break
            except Taken as taken:
                other: Service | None = taken.route.target
                await self._take_over(service, other, proof)
        else:
            raise self._taken(hostname)
        service.public_url = self._address.http_url(hostname)
        if service.session.mux_speaks_inlets and not service.offer.hostname:
            self._routes.add_catch_all(service)

    async def _take_over(
        self, service: Service, other: Service | None, proof: Callable[[Session], bool]
    ) -> None:
        """End the other session if it is the same client's and proven so, or dead.

        Raises:
            Refused: the name stays the other's.
        """
        if other is None or other.session is service.session:
            raise self._taken(service.hostname, kept=other is None)
        old = other.session
        if not proof(old):
            if old.owner != service.session.owner or other.client_id != service.client_id:
                raise self._taken(service.hostname)
            if not old.draining and await self._lives(old):
                raise self._taken(service.hostname, own=True)
        if old.draining:  # its streams may go on
            self._release(old)
        elif old.services.get(other.number) is other:
            old.end(Refused(Code.REPLACED, "another program of the same client took over"))

    @staticmethod
    async def _lives(session: Session) -> bool:
        """Whether a session's client answers; it can't be asked while nobody reads from it."""
        link = session.link
        return link is not None and (link.reading_stopped or await link.probe(_PROBE_SECONDS))

    @staticmethod
    def _taken(hostname: str, *, own: bool = False, kept: bool = False) -> Refused:
        if own:
            return Refused(
                Code.HOSTNAME_TAKEN,
                f"{hostname} is served by another tunnel of this client: end that one, or "
                "choose another name with --name",
            )
        if kept:
            return Refused(
                Code.HOSTNAME_TAKEN,
                f"{hostname} is kept for a client that was here a moment ago: choose another "
                "name with --name, or try again later",
            )
        return Refused(Code.HOSTNAME_TAKEN, f"{hostname} is taken: choose another name with --name")

    async def _grant_port(self, service: Service, proof: Callable[[Session], bool]) -> None:
        settings = self._settings.current
        allowed = settings.tcp_port_range
        wanted = service.offer.remote_port
        if wanted and wanted not in allowed:
            raise Refused(
                Code.PORT_UNAVAILABLE,
                f"port {wanted} can't be had: this server gives out ports "
                f"{allowed[0]} to {allowed[-1]}",
            )
        for port in [wanted] if wanted else self._candidates(service, allowed):
            if await self._open_port(service, port, proof):
                service.port = port
                service.hostname = settings.tunnel_base_domain
                service.public_url = self._address.tcp_url(port)
                return
        if wanted:
            text = f"port {wanted} is in use: ask for another with --remote-port, or for any"
        else:
            text = f"no port is free from {allowed[0]} to {allowed[-1]}: try again later"
        raise Refused(Code.PORT_UNAVAILABLE, text, retry=not wanted)

    async def _open_port(
        self, service: Service, port: int, proof: Callable[[Session], bool]
    ) -> bool:
        """Claim `port` and listen on it; False if it can't be had."""
        ports = self._routes.ports
        try:
            ports.claim(port, service.holder, service)
        except Taken as taken:
            if taken.route.target is None or taken.route.holder != service.holder:
                return False
            try:
                await self._take_over(service, taken.route.target, proof)
                ports.claim(port, service.holder, service)
            except (Refused, Taken):
                return False
        try:
            self._ports.open(port, service)
        except CannotListenError:
            ports.free(port, service)
            return False
        return True

    def _candidates(self, service: Service, allowed: range) -> list[int]:
        """Ports to try: the one kept for the client, then from one that its name leads to.

        The second makes it likely that a client gets the same port even after its lease,
        and keeps ports from being handed on at once.
        """
        holder = service.holder
        kept = self._routes.ports.kept_for(holder) if holder is not None else None
        start = zlib.crc32(f"{service.client_id}/{service.offer.name}".encode()) % len(allowed)
        order = [*allowed[start:], *allowed[:start]]
        return [kept, *order] if kept is not None and kept in allowed else order

    # -- what ends

    def _release(self, session: Session) -> None:
        for service in session.services.values():
            self._release_service(service)
        session.services.clear()

    def _release_service(self, service: Service) -> None:
        if service.port:
            self._ports.close(service.port)
            self._routes.ports.release(service.port, service)
        else:
            self._routes.names.release(service.hostname, service)
            self._routes.remove_catch_all(service)
        if service.pool is not None:
            service.pool.close()

    def end_all(self, why: Refused | None) -> None:
        """End every session."""
        for session in self._all():
            session.end(why)

    def drain_all(self) -> None:
        """Admit nobody any more, and let the streams that there are run out."""
        self._closing = True
        why = "the server is going away"
        for session in list(self._admitting):
            session.end(Refused(Code.QUOTA, why, retry=True))
        for session in list(self.sessions.values()):
            session.drain(why)

    def _all(self) -> list[Session]:
        """Also those that are not admitted yet: what was decided for them may not hold."""
        return [*self._admitting, *self.sessions.values()]

    def _settings_changed(self, new: Settings, old: Settings) -> None:
        for session in self._all():
            session.mux.max_streams = int(new.streams_per_session)
        if not new.tunnels_enabled and old.tunnels_enabled:
            for session in list(self.sessions.values()):
                session.notice("the operator of the server has turned tunnels off")
            self.end_all(
                Refused(Code.TUNNELS_DISABLED, "tunnels were turned off on the server", retry=True)
            )
        elif new.inlets_shared_token != old.inlets_shared_token:
            self.end_all(Refused(Code.UNAUTHORIZED, "the shared token was changed"))
        elif new.tunnel_base_domain != old.tunnel_base_domain:
            self.end_all(
                Refused(Code.HOSTNAME_INVALID, "the server's base domain was changed", retry=True)
            )
        elif old.custom_domains_enabled and not new.custom_domains_enabled:
            self._end_custom_domains(new.tunnel_base_domain)

    def _end_custom_domains(self, base_domain: str) -> None:
        why = Refused(
            Code.HOSTNAME_NOT_YOURS, f"names outside {base_domain} are served here no longer"
        )
        for session in self._all():
            names_served = [s.hostname for s in session.services.values() if s.offer.proto != "tcp"]
            if any(names.base_label(name, base_domain) is None for name in names_served):
                session.end(why)

    # -- what there is

    def sweep(self) -> None:
        """Forget what is over; called every so often, see `services`."""
        self._routes.expire()
        for session in list(self.sessions.values()):
            session.sweep()

    def rows(self) -> list[dict[str, Any]]:
        """See `inletspy.interfaces.ITunnels`."""
        return [
            service.row()
            for session in self.sessions.values()
            for service in session.services.values()
            if service.public_url  # granted already
        ]

    def subscribe(self, observer: Callable[[], None]) -> Callable[[], None]:
        """See `inletspy.interfaces.ITunnels`."""
        return self._observers.subscribe(observer)

    def snapshot(self) -> dict[str, Any]:
        """See `inletspy.interfaces.ISnapshot`."""
        sessions = self.sessions.values()
        return {
            "sessions": len(sessions),
            "services": sum(len(session.services) for session in sessions),
            "streams": sum(len(session.mux.streams) for session in sessions),
        }
