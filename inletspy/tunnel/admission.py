"""Who may have a session, and what it may serve.

Decides on each client that comes: all its services are granted (see `grants`) or none.
Keeps the list of sessions, sees to what a change of settings or accounts means for them,
and is what status and files ask for the tunnels there are. How clients get here is
`control`'s business, what visitors do with a route the edge's.
"""

from __future__ import annotations

import hmac
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from twisted.logger import Logger
from zope.interface import implementer

from inletspy.errors import Code, OverLimit, Refused
from inletspy.interfaces import IAccounts, ISettings, ISnapshot, ITunnels
from inletspy.observers import Observers
from inletspy.policy.addresses import UpstreamAddress
from inletspy.policy.routes import Claims, Route, RouteTable
from inletspy.policy.tokens import SHARED, Credential, Owner, TokenPolicy
from inletspy.policy.traffic import Traffic
from inletspy.policy.usage import Usages
from inletspy.policy.visits import VisitRule
from inletspy.settings import Settings
from inletspy.tunnel.grants import Grants, PublicAddress, PublicPorts
from inletspy.tunnel.private import PrivateServices
from inletspy.tunnel.session import Service, Session
from inletspy.wire.control import Resume, ServiceOffer, error_message

__all__ = ["Admission"]

_log = Logger()

#: What one client may add in the long run, and at once besides as many as it may have.
_ADDED_PER_SECOND: Final = 10
_ADDED_AT_ONCE: Final = 64
#: The options that are asked for once a service is granted, and the longest text in one.
_KEPT_OPTIONS: Final = ("derived", "host_header", "share")
_MAX_OPTION: Final = 512


@implementer(ITunnels, ISnapshot)
class Admission:
    """Admits sessions, and knows them all.

    Args:
        settings: the settings in force.
        accounts: the users and their names.
        tokens: tells whether a credential is still good.
        usages: count what owners have, and hold it against their limits.
        routes: where visitors' requests go.
        ports: opens public TCP ports.
        address: how the outside sees the server.
    """

    def __init__(
        self,
        settings: ISettings,
        accounts: IAccounts,
        tokens: TokenPolicy,
        usages: Usages,
        routes: RouteTable[Service],
        ports: PublicPorts,
        address: PublicAddress,
    ) -> None:
        self.sessions: dict[str, Session] = {}
        self._settings = settings
        self._accounts = accounts
        self._tokens = tokens
        self._usages = usages
        self._routes = routes
        self._grants = Grants(settings, accounts, routes, ports, address)
        #: How clients reach the private services of others.
        self.private = PrivateServices(routes, settings)
        #: Sessions whose names and ports are being decided on.
        self._admitting: set[Session] = set()
        self._observers: Observers[[]] = Observers()
        #: Set once, when the server stops.
        self._closing = False
        settings.subscribe(self._settings_changed)
        accounts.subscribe(self._check_all)

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
            self._renew(session)  # its token may be older than what is known by now
            session.count_with(self._usages.of(session.credential))
            for offer in offers:
                try:
                    await self.add_service(session, offer, proof=proof, announce=False)
                except Refused as error:
                    if not session.over:  # else it is about more than this session, even
                        error.service = offer.name
                    raise
        except BaseException:
            self._grants.release_all(session)
            session.uncount()
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
        if not session.credential.allows("connect"):
            raise Refused(Code.UNAUTHORIZED, "a share token is for `tunnel connect` alone")
        self._check_count(session)
        if any(service.offer.name == offer.name for service in services.values()):
            raise Refused(Code.INVALID, f"there is a service {offer.name!r} already")
        try:
            address = UpstreamAddress.parse(offer.upstream)
        except ValueError as error:
            raise Refused(Code.INVALID, str(error)) from error
        if (address.scheme == "tcp") != (offer.proto == "tcp"):
            raise Refused(Code.INVALID, f"{offer.upstream} is no {offer.proto} upstream")
        rule = VisitRule.read(offer.proto, offer.options)
        number = next(number for number in count(1) if number not in services)
        service = Service(session, number, _without_ballast(offer), address)
        if session.usage is not None:
            session.usage.take_service(service)
        services[number] = service  # it counts already
        service.rule = rule
        try:
            await self._grants.grant(service, proof)
            if services.get(number) is not service:  # given up, while others were asked
                raise self._too_late(session)
        except BaseException as error:
            if services.get(number) is service:
                del services[number]
            self._grants.release(service)
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

    def _check_count(self, session: Session) -> None:
        most = self._settings.current.services_per_session
        if len(session.services) >= most:
            text = f"a client may have {most} services at most: end one first"
            self._usages.refusals.note("services_per_session", text, session.owner.name)
            raise OverLimit(text, retry=False)
        wait = session.additions.take(session.seconds(), _ADDED_PER_SECOND, most + _ADDED_AT_ONCE)
        if wait:  # each costs much more than the message that asks for it
            text = f"a client may add {_ADDED_PER_SECOND} services a second in the long run"
            self._usages.refusals.note("services_per_second", text, session.owner.name)
            raise OverLimit(f"{text}: wait a while", math.ceil(wait))

    @staticmethod
    def _too_late(session: Session) -> Refused:
        return session.why or Refused(Code.INVALID, "the session is over, or ends", retry=True)

    def remove_service(self, session: Session, name: str) -> None:
        """End one service of a session; of no effect if it has none of that name."""
        for number, service in list(session.services.items()):
            if service.offer.name == name:
                del session.services[number]
                self._grants.release(service)
                self._observers.tell()

    def close(self, id: str) -> bool:
        """See `inletspy.interfaces.ITunnels`."""
        service = self._service(id)
        if service is not None:
            self._close(service.session, service)
            return True
        for claims, route in self._kept():
            if route.past.row["id"] == id:
                claims.forget(route.key)
                self._observers.tell()
                return True
        return False

    def rule(self, id: str) -> VisitRule | None:
        """See `inletspy.interfaces.ITunnels`."""
        service = self._service(id)
        return None if service is None else service.rule or VisitRule()

    def _service(self, id: str) -> Service | None:
        """The service of that id that was granted."""
        return next(
            (
                service
                for session in self.sessions.values()
                for service in session.services.values()
                if service.id == id and service.public_url
            ),
            None,
        )

    def _close(self, session: Session, service: Service) -> None:
        why = Refused(Code.CLOSED, f"{service.public_url} was closed through the server's API")
        _log.info("closed {public_url} as the API was asked to", public_url=service.public_url)
        if len(session.services) == 1:
            session.end(why)
            return
        name = service.offer.name
        session.cut(service)
        session.send_control({**error_message(why), "service": name})
        self.remove_service(session, name)

    def client_id(self, credential: Credential, wanted: str, *, derived: bool) -> str:
        """What a client is called that comes with this credential; see `Accounts`."""
        if credential.reaches:
            return wanted  # a guest has nothing that is listed
        return self._accounts.current.own_client_id(credential.owner, wanted, derived=derived)

    def resume(self, owner: Owner, resume: Resume) -> None:
        """End the session that a client had, if it proves that it was the client's."""
        old = self.sessions.get(resume.session)
        if old is None or old.owner.name != owner.name:
            return
        if hmac.compare_digest(old.key.encode(), resume.key.encode()):
            old.end(Refused(Code.REPLACED, "the client has come again"))

    def ended(self, session: Session) -> None:
        """A session is over: what it held is kept for its client, or free."""
        self._grants.release_all(session)
        session.uncount()
        self._admitting.discard(session)
        if self.sessions.pop(session.id, None) is not None:
            _log.info("client {client_id} has gone", client_id=session.client_id)
            self._observers.tell()

    # -- what ends

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
        self._observers.tell()

    def drain(self, session: Session, why: str) -> None:
        """Let the streams of one session run out, and open no new ones."""
        session.drain(why)
        self._observers.tell()

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
        elif new.tunnel_base_domain != old.tunnel_base_domain:
            self.end_all(
                Refused(Code.HOSTNAME_INVALID, "the server's base domain was changed", retry=True)
            )
        else:
            self._check_all()

    def _check_all(self) -> None:
        """End the sessions that may not go on as they are, and forget users that are removed."""
        owners = self._accounts.current.owners
        for _, route in self._kept():
            owner = route.past.row["owner"]
            if owner != SHARED.name and owner not in owners:
                route.past = None  # another of the same name must not see it
                self._observers.tell()
        for session in self._all():
            try:
                self._renew(session)
                if session.usage is not None:
                    session.count_with(self._usages.of(session.credential))
                for service in session.services.values():
                    objection = self._grants.objection(service)
                    if objection is not None:
                        raise objection
            except Refused as why:
                session.end(why)

    def _renew(self, session: Session) -> None:
        """Go by what a session's token is good for now; raises Refused if for nothing."""
        session.credential = credential = self._tokens.renew(session.credential)
        if not credential.opens_sessions:
            raise Refused(Code.UNAUTHORIZED, "the token is not good for tunnels")

    # -- what there is

    def sweep(self) -> None:
        """Forget what is over; called every so often, see `services`."""
        if self._routes.expire():
            self._observers.tell()
        self._usages.expire()
        for session in list(self.sessions.values()):
            try:
                self._renew(session)
            except Refused as why:
                session.end(why)
            else:
                if not session.credential.reaches:
                    self._tokens.used(session.credential)
                session.sweep()

    def rows(self) -> list[dict[str, Any]]:
        """See `inletspy.interfaces.ITunnels`."""
        return [
            service.row()
            for session in self.sessions.values()
            for service in session.services.values()
            if service.public_url  # granted already
        ]

    def away(self) -> list[dict[str, Any]]:
        """See `inletspy.interfaces.ITunnels`."""
        return [
            {
                **route.past.row,
                "status": "away",
                "held_until": datetime.fromtimestamp(route.until, UTC).strftime(
                    "%Y-%m-%dT%H:%M:%SZ"
                ),
            }
            for _, route in self._kept()
        ]

    def _kept(self) -> Iterator[tuple[Claims[Any, Service], Route[Any, Service]]]:
        """The names and ports that are kept for owners whose client has gone."""
        for claims in self._routes.claims:
            for route in claims.kept():
                if route.past is not None:
                    yield claims, route

    def traffic(self) -> dict[str, Traffic]:
        """See `inletspy.interfaces.ITunnels`."""
        of_live = {
            service.id: service.traffic
            for session in self.sessions.values()
            for service in session.services.values()
        }
        return {route.past.row["id"]: route.past.traffic for _, route in self._kept()} | of_live

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
            **self._usages.snapshot(),
        }


def _without_ballast(offer: ServiceOffer) -> ServiceOffer:
    """The offer less all options that nobody asks for later: they may be of any size."""
    options = {
        key: value
        for key in _KEPT_OPTIONS
        if isinstance(value := offer.options.get(key), (bool, str))
        and len(str(value)) <= _MAX_OPTION
    }
    return replace(offer, options=options)
