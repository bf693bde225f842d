"""Finds the way to the server, and finds it again whenever it is lost.

Decides when to try, how long to wait, and when trying again is of no use. What happens
on a link, the agent knows.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Any, Final

from autobahn.websocket.types import ConnectionResponse
from OpenSSL import SSL
from service_identity import CertificateError, VerificationError
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectionRefusedError,
    DNSLookupError,
    TimeoutError,
)
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from inletspy.client.agent import Agent, Observer
from inletspy.client.offers import Offers
from inletspy.client.proxy import ProxyAddress, ProxyRefused, TunnelThroughProxy, proxy_for
from inletspy.client.reach import Reach
from inletspy.client.relay import Relay
from inletspy.client.server import ServerAddress
from inletspy.errors import Code, OverLimit, Refused, ServerUnreachable
from inletspy.policy.addresses import UpstreamAddress
from inletspy.tunnel.clientlink import ClientLink, ClientLinkFactory
from inletspy.tunnel.endpoint import eager
from inletspy.tunnel.tls import UnverifiedClient
from inletspy.wire.control import Resume, ServiceOffer
from inletspy.wire.frames import SUBPROTOCOL

__all__ = ["Dialer", "ProxyAddress", "ServerAddress", "proxy_for"]

_log = Logger()

_CONNECT_SECONDS: Final = 15
#: The longest that a server may have us wait before the next try, in seconds.
_MAX_RETRY_AFTER: Final = 900


def _longest_waits() -> Iterator[float]:
    """What the waits before the tries are at most, in seconds; full jitter.

    A server that is restarted is back within seconds, and then its clients should be as
    well. One that stays away is asked less and less often.
    """
    yield from (0.0, 0.25, 0.5, 1.0, 2.0)
    yield from repeat(3.0, 10)
    yield from (6.0, 12.0)
    yield from repeat(15.0)


class Dialer:
    """Keeps one session with the server for as long as it is wanted.

    Args:
        reactor: runs everything.
        server: where the server is.
        token: empty for none.
        client_id: how the client calls itself.
        services: what it announces at first; see `want`.
        observer: is told what people want to know.
        derived: whether nobody chose `client_id`.
        protocol: `native`, or `inlets` for a stock server.
        proxy: an HTTP proxy on the way; None for none.
        insecure: do not verify the server's certificate.
        reach: the private service that this client reaches; None for one that serves.
    """

    def __init__(
        self,
        reactor: Any,
        server: ServerAddress,
        token: str,
        client_id: str,
        services: Sequence[ServiceOffer],
        observer: Observer,
        *,
        derived: bool = False,
        protocol: str = "native",
        proxy: ProxyAddress | None = None,
        insecure: bool = False,
        reach: Reach | None = None,
    ) -> None:
        self._reactor = reactor
        self._server = server
        self._token = token
        self._client_id = client_id
        self._derived = derived
        self._offers = Offers(services, observer)
        self._observer = observer
        self._native = protocol == "native"
        self._proxy = proxy
        self._insecure = insecure
        self._reach = reach
        self._relay = Relay(reactor)
        #: Stays the same for the life of the process, as a stock client's does.
        self._inlets_id = secrets.token_hex(16)
        self._was_ready = False
        #: How long the last session was up, in seconds.
        self._lasted = 0.0
        self._resume: Resume | None = None
        self._agent: Agent | None = None
        #: Links that are not gone yet; those that close go on while the next is dialled.
        self._links: set[ClientLink] = set()
        self._waiting: Deferred[Any] | None = None
        self._stopping = False
        self._running: Deferred[None] | None = None

    def run(self) -> Deferred[None]:
        """Connect, and again whenever the connection is lost.

        Returns:
            Fires after `stop`; fails with Refused when trying again can't help, and
            with ServerUnreachable when the server could not be reached at the start.
        """
        self._running = ensureDeferred(self._run())
        return self._running

    def want(self, services: Sequence[ServiceOffer]) -> None:
        """Have other services served from now on; those that stay are not disturbed.

        Args:
            services: all that are wanted. Not for a stock server, which has to be greeted
                anew.
        """
        self._offers.want(services)

    def ask_for_link(self, service: str, seconds: int) -> bool:
        """Have the server make a share link; the observer is told what comes of it.

        Returns:
            Whether the server could be asked.
        """
        if self._agent is None or not self._agent.was_ready:
            return False
        self._agent.ask_for_link(service, seconds)
        return True

    def stop(self) -> Deferred[None]:
        """End in order; fires when nothing is left."""
        self._stopping = True
        if self._agent is not None:
            self._agent.close()
        elif self._waiting is not None:
            self._waiting.cancel()
        done: Deferred[None] = Deferred()

        def ended(result: Any) -> Any:
            self._abort_links()
            done.callback(None)
            return result

        if self._running is None:
            done.callback(None)
        else:
            self._running.addBoth(ended)
        return done

    def _abort_links(self) -> None:
        for link in list(self._links):
            link.abort()

    async def _run(self) -> None:
        waits = _longest_waits()
        longest = next(waits)
        while not self._stopping:
            self._lasted = 0.0
            told = 0.0
            try:
                reason = await self._session()
            except (Refused, ServerUnreachable) as error:
                if self._stopping:
                    return
                for_good = isinstance(error, Refused) and not error.retry
                if for_good or not self._was_ready:
                    raise
                reason = str(error)
                if isinstance(error, OverLimit):
                    told = float(min(error.wait, _MAX_RETRY_AFTER))
            if self._stopping:
                return
            if self._lasted > longest:  # what was up for long is dialled again at once
                waits = _longest_waits()
                longest = next(waits)
            if reason:
                # On top of what the server told, so that not all of its clients are punctual.
                wait = told + random.uniform(0, longest)
                longest = next(waits)
                self._observer.disconnected(reason, wait)
                await self._wait(deferLater(self._reactor, wait))

    async def _wait(self, waiting: Deferred[Any]) -> Any:
        """The result of `waiting`, or None if `stop` puts an end to it."""
        self._waiting = waiting
        try:
            return await waiting
        except CancelledError:
            if not self._stopping:
                raise
            return None
        finally:
            self._waiting = None

    async def _session(self) -> str:
        """One connection, from dialling to its end.

        Returns:
            Why the session ended; nothing if all there is to do is to dial again.

        Raises:
            Refused: the server says no.
            ServerUnreachable: no session came about.
        """
        ended: Deferred[tuple[Refused | None, str]] = Deferred()
        agent = Agent(
            self._reactor,
            self._client_id,
            self._offers,
            self._observer,
            self._relay,
            self._resume,
            lambda refusal, reason: ended.callback((refusal, reason)),
            derived=self._derived,
            reach=self._reach,
        )
        link = await self._wait(self._connect())
        if link is None:
            return ""
        opened = self._reactor.seconds()
        self._agent = agent
        if self._native:
            agent.begin_native(link)
        else:
            agent.begin_inlets(link)
        if self._stopping:
            agent.close()
        refusal, reason = await ended
        self._agent = None
        if agent.was_ready:
            self._was_ready = True
            self._lasted = self._reactor.seconds() - opened
        had_resume, self._resume = self._resume, agent.resume
        if refusal is not None:
            if refusal.code is Code.SESSION_EXPIRED and had_resume:
                return ""
            if self._was_ready and self._offers.leave_out(refusal.service):
                return ""  # one that is taken meanwhile shall not keep the others down
            raise refusal
        if not agent.was_ready:
            raise ServerUnreachable(f"{self._server}: {reason}")
        return reason

    # -- one connection

    def _connect(self) -> Deferred[ClientLink]:
        """Dial and shake hands.

        Returns:
            Fires with an open link; fails with Refused or ServerUnreachable.
        """

        def cancel(opened: Deferred[ClientLink]) -> None:
            opened.errback(CancelledError())  # first, since endpoints fail in other ways
            connecting.cancel()
            self._abort_links()

        def fail(error: Exception) -> None:
            if not opened.called:
                opened.errback(error)

        def accepted(link: ClientLink, response: ConnectionResponse) -> None:
            if self._native and response.protocol != SUBPROTOCOL:
                text = (
                    f"the server at {self._server} does not speak {SUBPROTOCOL}; to a stock "
                    "inlets server, use `inlets client`"
                )
                fail(Refused(Code.VERSION, text))
                link.abort()

        def dropped(link: ClientLink, reason: Failure) -> None:
            self._links.discard(link)
            fail(self._rejected(link, reason))

        opened: Deferred[ClientLink] = Deferred(cancel)
        factory = ClientLinkFactory(
            self._reactor,
            self._server.url,
            token=self._token,
            subprotocols=[SUBPROTOCOL] if self._native else [],
            headers={} if self._native else self._inlets_headers(),
        )
        factory.accepted = accepted
        factory.opened = lambda link: None if opened.called else opened.callback(link)
        factory.dropped = dropped
        connecting = self._endpoint().connect(factory)
        connecting.addCallbacks(self._links.add, lambda failure: fail(self._unreachable(failure)))
        return opened

    def _inlets_headers(self) -> dict[str, str | list[str]]:
        # A stock server dials all that follows the scheme, be it a final slash.
        upstreams = [
            f"{offer.hostname}={UpstreamAddress.parse(offer.upstream)}"
            for offer in self._offers.greeting()
        ]
        return {"x-inlets-id": self._inlets_id, "x-inlets-upstream": upstreams}

    def _endpoint(self) -> Any:
        server = self._server
        endpoint: Any
        if self._proxy is not None:
            endpoint = TunnelThroughProxy(self._reactor, self._proxy, server.host, server.port)
        else:
            endpoint = HostnameEndpoint(
                eager(self._reactor), server.host, server.port, timeout=_CONNECT_SECONDS
            )
        if server.secure:
            endpoint = wrapClientTLS(self._tls(), endpoint)
        return endpoint

    def _tls(self) -> Any:
        host = self._server.host
        if self._insecure:
            return UnverifiedClient(host)
        try:
            return optionsForClientTLS(host)
        except UnicodeError as error:  # of idna
            raise ServerUnreachable(
                f"can't trust {self._server}: no certificate can be for {host} ({error})"
            ) from error

    def _rejected(self, link: ClientLink, reason: Failure) -> Exception:
        """Why the handshake came to nothing."""
        if link.wasOpenHandshakeTimeout:
            return ServerUnreachable(f"can't reach {self._server}: it does not answer")
        if link.rejection is None:
            return self._unreachable(reason)
        status, text = link.rejection
        if status == 401:
            return Refused(
                Code.UNAUTHORIZED,
                "the server refused the token: check --token-file or INLETS_TOKEN",
            )
        if status == 503 and "disabled" in text:
            return Refused(Code.TUNNELS_DISABLED, text, retry=True)
        if status == 429:
            return OverLimit(text or "the server has too many clients", link.retry_after)
        if status in (400, 403, 409):
            return Refused(Code.INVALID, text or f"the server refused with HTTP {status}")
        return ServerUnreachable(
            f"{self._server} answers with HTTP {status}: "
            "is that the control address of an inletspy server?"
        )

    def _unreachable(self, failure: Failure) -> ServerUnreachable:
        server = self._server
        if failure.check(ProxyRefused):
            text = f"can't reach {server}: {failure.getErrorMessage()}"
        elif failure.check(ConnectionRefusedError):
            text = f"can't reach {server}: connection refused; is the server running?"
        elif failure.check(DNSLookupError):
            text = f"can't reach {server}: the host name {server.host} is unknown"
        elif failure.check(TimeoutError):
            text = f"can't reach {server}: it does not answer"
        elif failure.check(ValueError) and "hostname" in failure.getErrorMessage():
            text = f"can't reach {server}: {server.host} is no host name that can be looked up"
        elif failure.check(SSL.Error) and "wrong version" in _tls_problem(failure):
            text = f"{server} does not speak TLS: is it ws:// that is meant?"
        elif failure.check(SSL.Error, VerificationError, CertificateError):
            text = (
                f"can't trust {server}: {_tls_problem(failure)}; if that is intended, "
                "use --insecure"
            )
        elif failure.check(ConnectError):
            text = f"can't reach {server}: {failure.getErrorMessage()}"
        else:
            other = "ws" if server.secure else "wss"
            text = (
                f"{server} closed the connection during the handshake: is that the control "
                f"address of an inletspy server, and not {other}://?"
            )
        return ServerUnreachable(text)


def _tls_problem(failure: Failure) -> str:
    error: Any = failure.value
    if failure.check(VerificationError):
        return "its certificate is for another name"
    reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
    texts = [str(item[2]) for item in reasons if isinstance(item, tuple) and len(item) > 2]
    return texts[0] if texts else (str(error) or type(error).__name__)
