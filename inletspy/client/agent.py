"""The agent: the client's end of a session, which relays streams to the upstreams.

On a link that is open it greets the server, learns where its services are reached, and
from then on joins each stream that the server opens with a connection to the upstream.
It relays bytes and asks nothing about them; whoever wants to see them gets a tap. Links
come and go: finding and keeping one is the dialer's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from inletspy.client.offers import Offers, OffersObserver, Served
from inletspy.client.reach import Reach
from inletspy.client.relay import Relay, StreamTap
from inletspy.errors import ProtocolViolation, Refused, ResetCode, StreamReset
from inletspy.tunnel.clientlink import ClientLink
from inletspy.tunnel.link import Link
from inletspy.tunnel.stream import Stream
from inletspy.wire.control import (
    Connected,
    Grant,
    Hello,
    Resume,
    ShareLink,
    ShareWish,
    Welcome,
    read_error,
    read_object,
    read_text,
)
from inletspy.wire.frames import NativeMux
from inletspy.wire.mux import Accept, Mux, MuxStream
from inletspy.wire.proxy import proxy_header
from inletspy.wire.remotedialer import RemoteDialerMux

__all__ = ["Agent", "Observer", "StreamTap"]

_log = Logger()

#: How long the server may take to answer `hello`, in seconds.
_WELCOME_SECONDS: Final = 20.0
#: A stock server gives up a minute after the last ping; its clients send one every so often.
_INLETS_PING_SECONDS: Final = 5.0
_INLETS_SILENCE: Final = 12
#: Heartbeats without a sign of life after which a link is given up.
_SILENT_HEARTBEATS: Final = 2


class Observer(OffersObserver, Protocol):
    """What the person's side of the client is told."""

    def listed(self, client_id: str) -> None:
        """What the server lists this client as, before it is `ready`."""

    def ready(self, grants: Sequence[Grant]) -> None:
        """The session is up, for the first time or again."""

    def disconnected(self, reason: str, retry_in: float) -> None:
        """The session is lost; the next try is in so many seconds."""

    def notice(self, text: str) -> None:
        """The server has something to say to the person."""

    def shared(self, link: ShareLink) -> None:
        """The server has made a share link that it was asked for."""

    def upstream_failed(self, service: str, reason: str) -> None:
        """A connection to an upstream could not be made."""

    def follow(self, service: str, visitor: str) -> StreamTap | None:
        """A tap for a new stream of an http service; None costs nothing."""


class Agent:
    """One session, on one link.

    Args:
        reactor: connects to the upstreams.
        client_id: how the client calls itself.
        offers: what it announces, now and later.
        observer: is told what people want to know.
        relay: joins streams with connections to upstreams.
        resume: the session before this one, if there was one.
        ended: is called once, when the session is over: with the refusal if the
            server gave one, and a text for people.
        derived: whether nobody chose `client_id`.
        reach: the private service that this client reaches; None for one that serves.
    """

    def __init__(
        self,
        reactor: Any,
        client_id: str,
        offers: Offers,
        observer: Observer,
        relay: Relay,
        resume: Resume | None,
        ended: Callable[[Refused | None, str], None],
        *,
        derived: bool = False,
        reach: Reach | None = None,
    ) -> None:
        #: What proves, on the next link, that the session was ours.
        self.resume: Resume | None = None
        #: Whether the session has been up.
        self.was_ready = False
        self._reactor = reactor
        self._client_id = client_id
        self._derived = derived
        self._resumed = resume
        self._offers = offers
        self._observer = observer
        self._relay = relay
        self._ended = ended
        self._reach = reach
        self._link: ClientLink | None = None
        self._mux: Mux | None = None
        self._refusal: Refused | None = None
        self._closing_reason = ""
        self._drain_timer: IDelayedCall | None = None
        self._welcome_timer: IDelayedCall | None = None
        self._pulse: LoopingCall | None = None
        self._silent = 0

    # -- life

    def begin_native(self, link: ClientLink) -> None:
        """Greet the server on an open link that speaks inletspy.v1."""
        mux = NativeMux(link.turn, link.send, server=False, control=self._control)
        mux.accept = _contained(self._accept_native)
        self._begin(link, mux)
        offers = self._offers.greeting()
        hello = Hello(self._client_id, offers, self._resumed, self._derived)
        mux.send_control(hello.message())
        self._welcome_timer = self._reactor.callLater(_WELCOME_SECONDS, self._unanswered)

    def begin_inlets(self, link: ClientLink) -> None:
        """Serve on an open link to a stock server, which gives no answer but the handshake."""
        mux = RemoteDialerMux(link.turn, link.send)
        mux.accept = _contained(self._accept_inlets)
        self._begin(link, mux)
        self._watch(_INLETS_PING_SECONDS, _INLETS_SILENCE)
        self.was_ready = True
        self._observer.ready([Grant(o.name, 0, o.hostname) for o in self._offers.announced])

    def _begin(self, link: ClientLink, mux: Mux) -> None:
        self._link = link
        self._mux = mux
        link.carry(mux, self)

    def ask_for_link(self, service: str, seconds: int) -> None:
        """Ask for a share link; of no effect with a stock server, which knows none."""
        if isinstance(self._mux, NativeMux):
            self._mux.send_control(ShareWish(service, seconds).message())

    def close(self) -> None:
        """End the session in order."""
        if self._link is not None:
            self._link.close(1000, "the client ends")

    def link_lost(self, link: Link, code: int | None, reason: str) -> None:
        """See `inletspy.tunnel.link.LinkEvents`."""
        self._link = self._mux = None
        self._offers.lost()
        if self._reach is not None:
            self._reach.lost()
        if self._welcome_timer is not None and self._welcome_timer.active():
            self._welcome_timer.cancel()
        if self._pulse is not None and self._pulse.running:
            self._pulse.stop()
        if self._drain_timer is not None and self._drain_timer.active():
            self._drain_timer.cancel()
        text = self._closing_reason or _plain_reason(code, reason)
        self._ended(self._refusal, text)

    def _unanswered(self) -> None:
        self._give_up("the server does not answer")

    def _give_up(self, reason: str) -> None:
        self._closing_reason = reason
        if self._link is not None:
            self._link.abort()

    def _watch(self, seconds: float, silence: int) -> None:
        """Ping the server every so many seconds; give the link up after so many unanswered."""
        self._pulse = LoopingCall(self._beat, silence)
        self._pulse.clock = self._reactor
        self._pulse.start(seconds, now=False)

    def _beat(self, silence: int) -> None:
        link = self._link
        if link is None:
            return
        self._silent = 0 if link.heard or link.reading_stopped else self._silent + 1
        link.heard = False
        if self._silent >= silence:
            self._give_up("the server has fallen silent")
        else:
            link.sendPing()

    # -- control messages

    def _control(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "welcome":
            self._welcomed(Welcome.read(message))
        elif kind == "error":
            self._refused(read_error(message))
        elif kind == "service_added":
            self._offers.added(Grant.read(read_object(message, "service") or {}))
        elif kind == "service_removed":
            self._offers.removed(read_text(message, "name"))
        elif kind == "shared":
            self._observer.shared(ShareLink.read(message))
        elif kind == "connected" and self._reach is not None:
            self._reach.connected(Connected.read(message))
        elif kind == "connect_refused" and self._reach is not None:
            self._not_connected(self._reach, read_error(message))
        elif kind == "notice":
            self._observer.notice(read_text(message, "message"))
        elif kind == "goaway":
            self._go_away(read_text(message, "message", default="the server asks to reconnect"))
        # What later versions say is none of this one's business.

    def _welcomed(self, welcome: Welcome) -> None:
        if self.was_ready:
            raise ProtocolViolation("a second welcome")
        if self._welcome_timer is not None:
            self._welcome_timer.cancel()
        assert isinstance(self._mux, NativeMux)
        self._offers.welcomed(welcome.services, self._mux.send_control)
        self.resume = Resume(welcome.session, welcome.key)
        self.was_ready = True
        self._watch(welcome.heartbeat, _SILENT_HEARTBEATS)
        self._observer.listed(welcome.client_id or self._client_id)
        if self._reach is None:
            self._observer.ready(welcome.services)
        else:
            self._reach.welcomed(self._mux)

    def _not_connected(self, reach: Reach, error: Refused) -> None:
        if not reach.refused(error):
            self._refused(error)
            self.close()

    def _refused(self, error: Refused) -> None:
        if error.service and self.was_ready:
            self._offers.refused(error)
        else:
            self._refusal = error
            self._closing_reason = error.message

    def _go_away(self, reason: str) -> None:
        self._closing_reason = reason
        if self._drain_timer is None:
            self._close_if_drained()

    def _close_if_drained(self) -> None:
        if self._mux is not None and self._mux.streams:
            self._drain_timer = self._reactor.callLater(0.1, self._close_if_drained)
        else:
            self.close()

    # -- streams

    def _accept_native(self, stream: MuxStream, service: int, visitor: str) -> None:
        served = self._offers.numbered(service)
        if served is None:
            raise StreamReset(ResetCode.REFUSED, "no such service")
        scheme = served.address.scheme
        tap = self._observer.follow(served.offer.name, visitor) if scheme != "tcp" else None
        self._join(stream, served, visitor, tap, tls=scheme == "https")

    def _accept_inlets(self, stream: MuxStream, dial: str, visitor: str) -> None:
        # Dial nothing but what was announced: the server is no better than its operator.
        served = self._offers.dialled(dial)
        if served is None:
            raise StreamReset(ResetCode.REFUSED, f"connect not allowed: {dial[:60]}")
        is_http = served.address.scheme == "http"
        tap = self._observer.follow(served.offer.name, visitor) if is_http else None
        # A stock server speaks TLS to the upstream itself.
        self._join(stream, served, visitor, tap, tls=False)

    def _join(
        self,
        carried: MuxStream,
        served: Served,
        visitor: str,
        tap: StreamTap | None,
        *,
        tls: bool,
    ) -> None:
        if self._mux is None:
            raise StreamReset(ResetCode.CANCELLED)
        stream = Stream(self._mux, lambda call: self._reactor.callLater(0, call), visitor)
        carried.events = stream
        name = served.offer.name
        version = served.offer.options.get("proxy_protocol")
        self._relay.join(
            stream,
            carried,
            served.address,
            tap,
            tls=tls,
            failed=lambda reason: self._observer.upstream_failed(name, reason),
            preface=partial(proxy_header, version, visitor) if version else None,
        )


def _contained(accept: Accept) -> Accept:
    """`accept`, with whatever goes wrong in it ending one stream and not the session."""

    def accept_or_refuse(stream: MuxStream, service: Any, visitor: str) -> None:
        try:
            accept(stream, service, visitor)
        except StreamReset:
            raise
        except Exception:
            _log.failure("A stream could not be taken up")
            raise StreamReset(ResetCode.INTERNAL) from None

    return accept_or_refuse


def _plain_reason(code: int | None, reason: str) -> str:
    if reason:
        return reason
    if code is not None:
        return f"the server closed the connection (code {code})"
    return "the connection to the server was lost"
