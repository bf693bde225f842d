"""A session: one client's presence at the server, and the services it announced.

Both wire protocols end here; above a session nobody asks which of them carries it. A
session opens streams to its services over whatever link it has, and knows how its life
goes from admission to end. Whether a client may have what it asks for is decided by
`admission`.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from automat import TypeMachineBuilder
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.errors import ClientAway, Refused, ResetCode, StreamReset
from inletspy.interfaces import ISnapshot, IUpstream
from inletspy.policy.addresses import UpstreamAddress
from inletspy.policy.private import PrivateName
from inletspy.policy.quotas import Rate
from inletspy.policy.routes import Holder
from inletspy.policy.tokens import Credential, Owner
from inletspy.policy.traffic import Traffic
from inletspy.policy.usage import Usage
from inletspy.policy.visits import VisitRule
from inletspy.tunnel.link import Link
from inletspy.tunnel.stream import Stream
from inletspy.wire.control import Grant, ServiceOffer, Welcome, error_message
from inletspy.wire.frames import NativeMux
from inletspy.wire.mux import MuxStream
from inletspy.wire.remotedialer import RemoteDialerMux

__all__ = ["Past", "Service", "Session"]

#: How long others are preferred to a service whose upstream was out of reach, in seconds.
_AVOIDED_SECONDS: Final = 5.0
#: How long a client has to show that it lives, where others could take its place.
_ANSWER_SECONDS: Final = 2.0
_OUT_OF_REACH: Final = (ResetCode.REFUSED, ResetCode.UNREACHABLE, ResetCode.TIMEOUT)


@dataclass(frozen=True)
class Past:
    """What is remembered of a service while its name or port is kept for its owner.

    Attributes:
        row: what the status API had of it.
        traffic: what passed through it.
    """

    row: dict[str, Any]
    traffic: Traffic


@implementer(IUpstream)
class Service:
    """One service of a session, as visitors reach it.

    Attributes:
        id: what the API calls it; no other service ever has the same.
        session: whose it is.
        number: what OPEN frames call it.
        offer: as the client announced it.
        address: where the client says it is; None if that is no address.
        hostname: the name that it is served under; of a TCP service the base domain, of a
            private one nothing.
        client_id: how its client is called in lists.
        port: the public port of a TCP service, else 0.
        private: what it goes by if it is a private service; else None.
        public_url: where visitors reach it, or `private:` and its private name.
        pool: what the edge keeps for it between requests; the edge's own.
        rule: who may visit it; None for everybody.
        visitors: what the edge remembers of visitors whom it let in; the edge's own.
        streams: how many it has at the moment.
        traffic: what passes through it.
    """

    def __init__(
        self,
        session: Session,
        number: int,
        offer: ServiceOffer,
        address: UpstreamAddress | None,
    ) -> None:
        self.id = secrets.token_hex(8)
        self.session = session
        self.number = number
        self.offer = offer
        self.address = address
        self.hostname = ""
        self.client_id = session.client_id
        self.port = 0
        self.private: PrivateName | None = None
        self.public_url = ""
        self.pool: Any = None
        self.rule: VisitRule | None = None
        self.visitors: set[bytes] = set()
        self.streams = 0
        self.traffic = Traffic(self._active)
        self._avoided_until = 0.0

    @property
    def holder(self) -> Holder | None:
        """Who keeps its name or port while the client is away."""
        owner = self.session.owner
        if owner.is_shared and not self.session.identified:
            return None
        has_port = self.offer.proto == "tcp" and not self.offer.private
        return Holder(
            owner.name,
            self.session.client_id,
            self.offer.name if has_port else "",
            one_user=not owner.is_shared,
            shares=self.offer.shares,
        )

    @property
    def tls_through_stream(self) -> bool:
        """Whether TLS to the upstream is spoken from this side of the stream.

        A stock client only dials; our own speaks TLS where the upstream is.
        """
        return (
            self.session.mux_speaks_inlets
            and self.address is not None
            and self.address.scheme == "https"
        )

    @property
    def dialable(self) -> bool:
        """Whether the client can be asked to connect at all."""
        return not self.session.mux_speaks_inlets or (
            self.address is not None and self.address.port is not None
        )

    def connect(self, protocol: IProtocol, visitor: str) -> Stream:
        """See `inletspy.interfaces.IUpstream`."""
        return self.session.open_stream(self, protocol, visitor)

    def opened(self) -> None:
        """A stream to it has been opened."""
        self.streams += 1

    def ended(self, reason: Failure) -> None:
        """A stream to it is over."""
        self.streams -= 1
        if isinstance(reason.value, StreamReset) and reason.value.code in _OUT_OF_REACH:
            self._avoided_until = self.session.seconds() + _AVOIDED_SECONDS

    def resume(self, past: Past) -> None:
        """Go on counting where the one before it left off, under the same name or port."""
        self.traffic = past.traffic
        self.traffic.active = self._active

    def cease(self) -> Past:
        """It is over; gives what may be remembered of it."""
        self.traffic.rest()
        return Past(self.row(), self.traffic)

    @property
    def under_way(self) -> int:
        """Requests and connections of visitors that it has at the moment."""
        return self.streams - (self.pool.idle if self.pool is not None else 0)

    def _active(self) -> int:
        return self.under_way

    @property
    def away(self) -> bool:
        """Whether no stream to it can be opened."""
        session = self.session
        return (
            session.link is None
            or session.draining
            # The number of a service that was removed may be another's.
            or session.services.get(self.number) is not self
        )

    def load(self) -> tuple[bool, bool, bool, int]:
        """What speaks against one more stream; the least of several is the best choice."""
        session = self.session
        avoided = session.seconds() < self._avoided_until
        return self.away, session.silent, avoided, self.under_way

    def row(self) -> dict[str, Any]:
        """The service in the status API."""
        session = self.session
        row = {
            "id": self.id,
            "hostname": self.hostname,
            "public_url": self.public_url,
            "upstream": self.offer.upstream,
            "protocol": self.offer.proto,
            "client_id": self.client_id,
            "connected_at": session.connected_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "status": "draining" if session.draining else "active",
            "session": session.id,
            "wire": "inlets" if session.mux_speaks_inlets else "inletspy.v1",
            "shared": self.offer.shares,
            "owner": session.owner.name,
        }
        return {**row, "private": True} if self.private else row


class _Life(Protocol):
    """What can happen to a session."""

    def attach(self, link: Link) -> None:
        """It has got its link."""

    def drain(self, reason: str) -> None:
        """It is to end once its streams are done."""

    def lose(self) -> None:
        """Its link is gone."""

    def end(self, why: Refused | None) -> None:
        """It is to end now."""


def _build_machine() -> Callable[[Session], _Life]:
    builder = TypeMachineBuilder(_Life, Session)
    admitted = builder.state("admitted")
    attached = builder.state("attached")
    draining = builder.state("draining")
    ended = builder.state("ended")

    def take_link(life: _Life, session: Session, link: Link) -> None:
        session.link = link
        link.carry(session.mux, session)

    def close_late_link(life: _Life, session: Session, link: Link) -> None:
        link.close(1001, "the session has ended")

    def begin_drain(life: _Life, session: Session, reason: str) -> None:
        session.draining = True
        session.send_control({"type": "goaway", "message": reason})
        for service in session.services.values():
            if service.pool is not None:
                service.pool.close()  # idle connections are not worth waiting for

    def cease(life: _Life, session: Session) -> None:
        session.over = True
        session.link = None
        session.on_end(session)

    def say_why_and_cease(life: _Life, session: Session, why: Refused | None) -> None:
        session.why = why
        link = session.link
        cease(life, session)
        if link is None:
            return
        if why is None:
            link.close(1001, "the server is going away")
        else:
            if isinstance(session.mux, NativeMux):
                session.mux.send_control(error_message(why))
            link.cease(why.code.close_code, why.message)

    # The only way out of `attached` by a lost link is `ended`: a session that survives
    # the loss of its link would wait in a state of its own between these two.
    admitted.upon(_Life.attach).to(attached)(take_link)
    admitted.upon(_Life.lose).to(ended)(cease)
    admitted.upon(_Life.end).to(ended)(say_why_and_cease)
    admitted.upon(_Life.drain).to(admitted).returns(None)
    attached.upon(_Life.drain).to(draining)(begin_drain)
    attached.upon(_Life.lose).to(ended)(cease)
    attached.upon(_Life.end).to(ended)(say_why_and_cease)
    draining.upon(_Life.drain).to(draining).returns(None)
    draining.upon(_Life.lose).to(ended)(cease)
    draining.upon(_Life.end).to(ended)(say_why_and_cease)
    ended.upon(_Life.attach).to(ended)(close_late_link)
    ended.upon(_Life.drain).to(ended).returns(None)
    ended.upon(_Life.lose).to(ended).returns(None)
    ended.upon(_Life.end).to(ended).returns(None)
    return builder.build()


@implementer(ISnapshot)
class Session:
    """One client's presence. It begins admitted, without a link.

    Attributes:
        id: its public id.
        key: proves to the server that a later connection is the same client's; secret.
        credential: what it came in with.
        usage: counts what it takes with all else of its owner; None until it is admitted.
        client_id: how the client is called.
        identified: whether `client_id` stays the same when the client comes again.
        services: by number.
        additions: how fast services are added.
        reaches: the private services that the client may open streams to, by the number
            that its OPEN frames call them.
        link: the control connection; None before the first and after the last.
        mux: carries the streams.
        draining: whether no new streams are opened.
        silent: whether the client does not answer just now; looked at only where others
            serve what it does.
        over: whether it has ended.
        why: why it was ended, if the client is to know.
        connected_at: when it began, UTC.
        seconds: the present time on its clock.
    """

    def __init__(
        self,
        clock: IReactorTime,
        credential: Credential,
        client_id: str,
        link: Link,
        *,
        native: bool,
        identified: bool,
        on_end: Callable[[Session], None],
        control: Callable[[Session, dict[str, Any]], None],
    ) -> None:
        self.id = secrets.token_hex(8)
        self.key = secrets.token_hex(16)
        self.credential = credential
        self.usage: Usage | None = None
        self.client_id = client_id
        self.identified = identified
        self.services: dict[int, Service] = {}
        self.additions = Rate()
        self.reaches: dict[int, PrivateName] = {}
        self.link: Link | None = None
        self.draining = False
        self.silent = False
        self.over = False
        self.why: Refused | None = None
        self.connected_at = datetime.now(UTC)
        self.on_end = on_end
        self._clock = clock
        self.seconds = clock.seconds
        self._lingering: set[Any] = set()
        self._asked = False
        self.mux: NativeMux | RemoteDialerMux
        if native:
            self.mux = NativeMux(
                link.turn, link.send, server=True, control=lambda m: control(self, m)
            )
        else:
            self.mux = RemoteDialerMux(link.turn, link.send)
        self._life = _make_life(self)

    # -- what happens to it

    def attach(self, link: Link) -> None:
        """Live on `link` from now on."""
        self._life.attach(link)

    def drain(self, reason: str) -> None:
        """Open no new streams, and have the client go elsewhere once the old are done."""
        self._life.drain(reason)

    def end(self, why: Refused | None = None) -> None:
        """End now; the client is told why."""
        self._life.end(why)

    def link_lost(self, link: Link, code: int | None, reason: str) -> None:
        """See `inletspy.tunnel.link.LinkEvents`."""
        self._life.lose()

    def count_with(self, usage: Usage) -> None:
        """Count what it takes there from now on, and what it has.

        Raises:
            OverLimit: it is new, and one session too many.
        """
        old, self.usage = self.usage, usage
        if old is usage:
            return
        if old is None:
            usage.take_session(self)
        else:
            usage.move_session(self, self.services.values(), old)
        self.mux.count_with(usage.streams)

    def uncount(self) -> None:
        """It is over, and counts no more; its services are released one by one."""
        if self.usage is not None:
            self.usage.give_back_session(self)

    # -- what it does

    @property
    def owner(self) -> Owner:
        """Whom it acts for."""
        return self.credential.owner

    @property
    def mux_speaks_inlets(self) -> bool:
        """Whether the client is one of inlets OSS."""
        return isinstance(self.mux, RemoteDialerMux)

    def open_stream(self, service: Service, protocol: IProtocol, visitor: str) -> Stream:
        """Open a stream to one of its services; see `inletspy.interfaces.IUpstream`."""
        if service.away:
            raise ClientAway
        stream = Stream(self.mux, self._later, service.offer.upstream)
        stream.target = service
        if isinstance(self.mux, NativeMux):
            carried = self.mux.open(service.number, visitor, stream)
        else:
            if service.address is None:
                raise ClientAway
            carried = self.mux.open(service.address.authority, visitor, stream)
        service.opened()
        stream.start(carried, protocol)
        return stream

    def take_stream(self, carried: MuxStream, protocol: IProtocol, peer: str) -> None:
        """Make a stream that the client opens the transport of a protocol."""
        stream = Stream(self.mux, self._later, peer)
        carried.events = stream
        stream.start(carried, protocol)

    def welcome(self, heartbeat: float) -> None:
        """Tell the client what it was granted."""
        grants = tuple(
            Grant(service.offer.name, service.number, service.public_url)
            for service in self.services.values()
        )
        welcome = Welcome(self.id, self.key, heartbeat, grants, self.client_id)
        self.send_control(welcome.message())

    def notice(self, text: str) -> None:
        """Say something to the person at the client, where the protocol can."""
        self.send_control({"type": "notice", "message": text})

    def cut(self, service: Service) -> None:
        """End all streams to one of its services at once."""
        for carried in list(self.mux.streams.values()):
            stream = carried.events
            if isinstance(stream, Stream) and stream.target is service:
                stream.abortConnection()

    def send_control(self, message: dict[str, Any]) -> None:
        """Send a control message, where the protocol has such."""
        if isinstance(self.mux, NativeMux) and self.link is not None:
            self.mux.send_control(message)

    def sweep(self) -> None:
        """Look after it; called every so often.

        Streams that only wait for a peer's close, seen so twice in a row, are reset.
        """
        self._ask_for_life()
        lingering = {
            stream.events
            for stream in self.mux.streams.values()
            if isinstance(stream.events, Stream) and stream.events.lingering
        }
        for stream in lingering & self._lingering:
            stream.abortConnection()
        self._lingering = lingering

    def _ask_for_life(self) -> None:
        """Ask whether the client lives, if others could take what is on its way to it.

        A heartbeat finds out as well, but so late that visitors would have left.
        """
        link = self.link
        if link is None or self._asked:
            return
        if link.reading_stopped:  # then it could not be heard
            self.silent = False
        elif self.silent or (
            self.mux.streams and any(service.offer.shares for service in self.services.values())
        ):
            self._asked = True
            link.probe(_ANSWER_SECONDS).addCallback(self._answered)

    def _answered(self, alive: bool) -> None:
        self._asked = False
        self.silent = not alive

    def snapshot(self) -> dict[str, Any]:
        """See `inletspy.interfaces.ISnapshot`."""
        return {
            "session": self.id,
            "owner": self.owner.name,
            "client_id": self.client_id,
            "services": len(self.services),
            "streams": len(self.mux.streams),
            "draining": self.draining,
        }

    def _later(self, function: Callable[[], None]) -> None:
        self._clock.callLater(0, function)


_make_life = _build_machine()
