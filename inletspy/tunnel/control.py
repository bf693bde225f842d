"""The control plane: what happens on a link until it carries a session.

One port, one path, two protocols: the client's offer of a subprotocol decides. Here a
client is authenticated and greeted, its control messages are answered, and links that
have fallen silent are cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any, Final

from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.errors import Code, OverLimit, ProtocolViolation, Refused
from inletspy.interfaces import ISettings, ISharedLinks, ISnapshot
from inletspy.policy.links import LONGEST_LINK
from inletspy.policy.sharing import make_link
from inletspy.policy.tokens import Credential
from inletspy.tunnel.admission import Admission
from inletspy.tunnel.serverlink import ServerLink
from inletspy.tunnel.session import Session
from inletspy.tunnel.strangers import Strangers
from inletspy.wire.control import (
    Connected,
    ConnectWish,
    Grant,
    Hello,
    ServiceOffer,
    ShareLink,
    ShareWish,
    connect_refused,
    error_message,
    read_text,
)
from inletspy.wire.frames import SUBPROTOCOL, NativeMux

__all__ = ["PATH", "ControlPlane"]

_log = Logger()

#: The path of the control plane.
PATH: Final = "/tunnel"
#: How long a client may take to say `hello`, in seconds.
_HELLO_SECONDS: Final = 10.0
#: How long links may take to close when the server stops, in seconds.
_GOODBYE_SECONDS: Final = 1.0
#: A link is cut at the so-manieth heartbeat in a row that finds it silent.
_SILENT_HEARTBEATS: Final = 2
#: When a stock client that is over a limit may try again, where nothing else is known.
_RETRY_SECONDS: Final = 10
_STATUS: Final = {
    Code.TUNNELS_DISABLED: 503,
    Code.QUOTA: 503,  # the server is going away
    Code.HOSTNAME_TAKEN: 409,
    Code.INVALID: 400,
}


class _Greeting:
    """A native link that has not said `hello` yet; its session until then."""

    def __init__(self, plane: ControlPlane, link: ServerLink, credential: Credential) -> None:
        self._plane = plane
        self._link: ServerLink | None = link
        self._credential = credential
        self._mux = NativeMux(link.turn, link.send, server=True, control=self._said)
        self._mux.accept = self._too_early
        self._timer: IDelayedCall | None = plane.clock.callLater(_HELLO_SECONDS, self._too_late)
        link.carry(self._mux, self)

    def link_lost(self, link: Any, code: int | None, reason: str) -> None:
        """See `inletspy.tunnel.link.LinkEvents`."""
        self._stop_timer()
        self._link = None

    def _stop_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self._link is not None:
            self._link.close(1002, "no hello")

    def _too_early(self, *stream: Any) -> None:
        raise ProtocolViolation("something other than one hello")

    def _said(self, message: dict[str, Any]) -> None:
        if self._timer is None or message["type"] != "hello":
            raise ProtocolViolation("something other than one hello")
        self._stop_timer()
        try:
            hello = Hello.read(message)
        except Refused as error:
            self._refuse(error)
            return
        ensureDeferred(self._greet(hello)).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        _log.failure("A greeting failed", failure=failure)
        if self._link is not None:
            self._link.close(1011, "internal error")

    async def _greet(self, hello: Hello) -> None:
        link = self._link
        if link is None:
            return
        plane = self._plane
        if hello.resume is not None:
            plane.admission.resume(self._credential.owner, hello.resume)
            self._refuse(Refused(Code.SESSION_EXPIRED, "the session is over", retry=True))
            return
        try:
            client_id = plane.admission.client_id(
                self._credential, hello.client_id, derived=hello.derived
            )
            session = plane.new_session(self._credential, client_id, link, native=True)
            await plane.admission.admit(session, hello.services)
        except Refused as error:
            self._refuse(error)
            return
        if self._link is None:  # lost while the names were decided on
            session.end()
            return
        plane.strangers.leave(link)
        session.attach(link)
        session.welcome(plane.settings.current.heartbeat_seconds)

    def _refuse(self, error: Refused) -> None:
        if self._link is not None:
            if error.code is not Code.SESSION_EXPIRED:  # the common way back after a loss
                _log.info(
                    "client refused: {code}: {reason}", code=error.code.value, reason=str(error)
                )
            self._mux.send_control(error_message(error))
            self._link.close(error.code.close_code, error.message)


@implementer(ISnapshot)
class ControlPlane:
    """Greets clients; see `inletspy.tunnel.serverlink.ServerEvents`.

    Args:
        clock: the reactor's, for time-outs.
        settings: the settings in force.
        strangers: the links without a session.
        admission: decides on sessions.
        shared_links: is told of the share links that clients have made.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: ISettings,
        strangers: Strangers,
        admission: Admission,
        shared_links: ISharedLinks,
    ) -> None:
        self.clock = clock
        self.settings = settings
        self.strangers = strangers
        self.admission = admission
        self._shared_links = shared_links
        #: Every link whose handshake is done, with the heartbeats it has been silent for.
        self._links: dict[ServerLink, int] = {}
        self._credentials: dict[ServerLink, Credential] = {}
        self._admitted: dict[ServerLink, Session] = {}
        self._heartbeat: IDelayedCall | None = None
        #: Fires when no links are left, once nobody wants any.
        self._gone: Deferred[None] | None = None

    def start(self) -> None:
        """Begin to watch the links."""
        self._schedule_beat()

    def _schedule_beat(self) -> None:
        self._heartbeat = self.clock.callLater(self.settings.current.heartbeat_seconds, self._beat)

    def stop(self) -> Deferred[None]:
        """Close all links; fires when they are gone."""
        if self._heartbeat is not None and self._heartbeat.active():
            self._heartbeat.cancel()
        for link in list(self._links):
            link.close(1001, "the server is going away")
        patience = self.clock.callLater(_GOODBYE_SECONDS, self._cut)
        gone: Deferred[None] = Deferred()
        gone.addCallback(lambda _: patience.cancel() if patience.active() else None)
        self._gone = gone
        self._tell_if_gone()
        return gone

    def _cut(self) -> None:
        for link in list(self._links):
            link.abort()

    def _tell_if_gone(self) -> None:
        if self._gone is not None and not self._links:
            gone, self._gone = self._gone, None
            gone.callback(None)

    # -- links

    def connected(self, link: ServerLink) -> None:
        """See `inletspy.tunnel.serverlink.ServerEvents`."""
        self.strangers.come(link)

    def check(self, link: ServerLink, path: str, headers: Mapping[str, str]) -> Credential:
        """See `inletspy.tunnel.serverlink.ServerEvents`; gives what the client came with."""
        if path != PATH:
            raise ConnectionDeny(404, f"Not found: the control plane is at {PATH}")
        return self.strangers.authenticate(link, headers)

    def connecting(self, link: ServerLink, request: ConnectionRequest) -> Any:
        """See `inletspy.tunnel.serverlink.ServerEvents`."""
        headers: Mapping[str, str] = request.headers
        self._credentials[link] = credential = self.check(link, request.path, headers)
        if SUBPROTOCOL in request.protocols:
            return SUBPROTOCOL
        if request.protocols:
            raise ConnectionDeny(400, f"unknown subprotocol: this server speaks {SUBPROTOCOL}")
        return ensureDeferred(self._connecting_inlets(link, credential, headers))

    async def _connecting_inlets(
        self, link: ServerLink, credential: Credential, headers: Mapping[str, str]
    ) -> None:
        inlets_id = headers.get("x-inlets-id", "")
        offers = _inlets_offers(headers.get("x-inlets-upstream", ""))
        acceptable = inlets_id.isascii() and inlets_id.isprintable() and len(inlets_id) <= 128
        if not inlets_id or not acceptable or not offers:
            raise ConnectionDeny(401, "failed authentication")
        # The id is random and fresh for each process: knowing it proves enough. Lists show
        # what is made from it, so that nobody learns it there.
        client_id = hashlib.sha256(inlets_id.encode()).hexdigest()[:32]
        session = self.new_session(credential, client_id, link, native=False)
        try:
            await self.admission.admit(
                session,
                offers,
                proof=lambda other: (
                    other.mux_speaks_inlets
                    and other.owner == credential.owner
                    and other.client_id == client_id
                ),
            )
        except Refused as error:
            _log.info("client refused: {code}: {reason}", code=error.code.value, reason=str(error))
            status = _STATUS.get(error.code, 403)
            if isinstance(error, OverLimit):
                status, link.retry_after = 429, error.wait or _RETRY_SECONDS
            raise ConnectionDeny(status, error.message) from error
        if link in self._credentials:
            self._admitted[link] = session
        else:  # the connection went meanwhile
            session.end()

    def opened(self, link: ServerLink) -> None:
        """See `inletspy.tunnel.serverlink.ServerEvents`."""
        self._links[link] = 0
        session = self._admitted.pop(link, None)
        if session is not None:
            self.strangers.leave(link)
            session.attach(link)
        else:
            _Greeting(self, link, self._credentials[link])

    def dropped(self, link: ServerLink) -> None:
        """See `inletspy.tunnel.serverlink.ServerEvents`."""
        self.strangers.leave(link)
        self._links.pop(link, None)
        self._credentials.pop(link, None)
        session = self._admitted.pop(link, None)
        if session is not None:  # admitted, but never opened
            session.end()
        self._tell_if_gone()

    def _beat(self) -> None:
        """Ping every link; cut those that have been silent for too long."""
        self._schedule_beat()
        for link, silent in list(self._links.items()):
            silent = 0 if link.heard or link.reading_stopped else silent + 1
            link.heard = False
            self._links[link] = silent
            if silent >= _SILENT_HEARTBEATS:
                link.abort()
            else:
                link.sendPing()

    def snapshot(self) -> Mapping[str, Any]:
        """See `inletspy.interfaces.ISnapshot`."""
        return {"links": len(self._links)}

    # -- sessions

    def new_session(
        self, credential: Credential, client_id: str, link: ServerLink, *, native: bool
    ) -> Session:
        """A session on `link` that is not admitted yet."""
        session = Session(
            self.clock,
            credential,
            client_id,
            link,
            native=native,
            identified=native,
            on_end=self.admission.ended,
            control=self._control,
        )
        session.mux.max_streams = int(self.settings.current.streams_per_session)
        if native:
            session.mux.accept = partial(self.admission.private.accept, session)
        return session

    def _control(self, session: Session, message: dict[str, Any]) -> None:
        """Answer a control message of an attached native session."""
        kind = message["type"]
        if session.over:
            pass  # the link is closing
        elif kind == "add_service":
            service = message.get("service")
            if not isinstance(service, dict):
                raise ProtocolViolation("add_service without a service")
            name = read_text(service, "name")
            try:
                offer = ServiceOffer.read(service)
            except Refused as error:
                _refuse_service(session, name, error)
                return
            ensureDeferred(self._add_service(session, offer)).addErrback(
                lambda failure: _log.failure("A service could not be added", failure=failure)
            )
        elif kind == "remove_service":
            name = read_text(message, "name")
            self.admission.remove_service(session, name)
            # From here on the client hears no more of its number.
            session.send_control({"type": "service_removed", "name": name})
        elif kind == "connect":
            self._connect(session, ConnectWish.read(message).name)
        elif kind == "share":
            self._share(session, ShareWish.read(message))
        elif kind == "goaway":
            self.admission.drain(session, "as the client asked")
        elif kind == "hello":
            raise ProtocolViolation("a second hello")
        # What later versions say is none of this one's business.

    def _connect(self, session: Session, name: str) -> None:
        """Let the client open streams to a private service, or say why it can't."""
        try:
            number = self.admission.private.connect(session, name)
        except Refused as error:
            session.send_control(connect_refused(name, error))
        else:
            session.send_control(Connected(name, number).message())

    def _share(self, session: Session, wish: ShareWish) -> None:
        """Make a link or token for a private service of the session, or say why there is none."""
        service = next((s for s in session.services.values() if s.offer.name == wish.service), None)
        key = self.settings.current.link_signing_key
        if service is None or not service.public_url:
            session.notice("no link: there is no such service")
        elif not service.private and (service.rule is None or not service.rule.private):
            session.notice("no link: the service is not private (--private-http or --private)")
        elif not 0 < wish.seconds <= LONGEST_LINK:
            session.notice(f"no link: it may last {LONGEST_LINK // 86400} days at most")
        elif not key:
            session.notice(
                "no link: the server has no key to sign it with; its operator can set one with "
                "`inletspy config set link_signing_key -`"
            )
        else:
            owner = session.owner.name
            try:
                self._shared_links.current.check_room(owner)
            except Refused as error:
                session.notice(f"no link: {error.message}")
                return
            now = self.clock.seconds()
            link, url = make_link(
                key, owner, service.hostname, service.public_url, now, wish.seconds
            )
            self._shared_links.note(link)
            session.send_control(ShareLink(wish.service, url, int(link.expires_at)).message())

    async def _add_service(self, session: Session, offer: ServiceOffer) -> None:
        try:
            service = await self.admission.add_service(session, offer)
        except Refused as error:
            _refuse_service(session, offer.name, error)
            return
        grant = Grant(offer.name, service.number, service.public_url)
        session.send_control({"type": "service_added", "service": grant.message()})


def _refuse_service(session: Session, name: str, error: Refused) -> None:
    session.send_control({**error_message(error), "service": name})


def _inlets_offers(value: str) -> list[ServiceOffer]:
    """What a stock client announces; malformed items are skipped."""
    offers = []
    for number, item in enumerate(value.split(","), 1):
        hostname, separator, upstream = item.strip().partition("=")
        if separator and upstream.startswith(("http://", "https://")) and len(upstream) <= 512:
            offers.append(ServiceOffer(f"upstream-{number}", "http", upstream, hostname.strip()))
    return offers
