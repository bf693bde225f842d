"""HTTP proxies between the client and the server (CONNECT, RFC 9110, 9.3.6).

Tells from the environment whether there is one, and makes a way through it. What is
then spoken through that way, TLS or not, is not known here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from inletspy.client.server import ServerAddress
from inletspy.tunnel.endpoint import eager

__all__ = ["ProxyAddress", "ProxyRefused", "TunnelThroughProxy", "proxy_for"]

_MAX_ANSWER: Final = 65_536
_SECONDS: Final = 15


class ProxyRefused(Exception):
    """The proxy does not let us through; the text says why."""


@dataclass(frozen=True)
class ProxyAddress:
    """Where a proxy is.

    Attributes:
        host, port: where it listens.
        credentials: for Proxy-Authorization, as `user:password`; secret.
    """

    host: str
    port: int
    credentials: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> ProxyAddress:
        """Read `http://[user:password@]host[:port]`; raises ValueError."""
        url = urlsplit(text if "://" in text else f"http://{text}")
        if url.scheme != "http" or not url.hostname or url.port == 0:
            raise ValueError("a proxy must be an address like http://proxy.example.com:3128")
        credentials = ""
        if url.username:
            credentials = f"{unquote(url.username)}:{unquote(url.password or '')}"
        return cls(url.hostname, url.port or 80, credentials)


def proxy_for(server: ServerAddress, environ: Mapping[str, str]) -> ProxyAddress | None:
    """The proxy that HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY name for a server.

    Raises:
        ValueError: the variable holds no proxy's address; the text names it.
    """
    if server.host == "localhost" or server.host.startswith("127.") or server.host == "::1":
        return None
    lower = {name.lower(): value for name, value in environ.items() if value}
    no_proxy = lower.get("no_proxy", "")
    if no_proxy and proxy_bypass_environment(f"{server.host}:{server.port}", {"no": no_proxy}):
        return None
    for name in ("https_proxy" if server.secure else "http_proxy", "all_proxy"):
        if name in lower:
            try:
                return ProxyAddress.parse(lower[name])
            except ValueError as error:
                raise ValueError(f"{name.upper()}: {error}") from error
    return None


class _Connect(Protocol):
    """Asks the proxy, and then makes way for what is to be spoken."""

    def __init__(self, request: bytes, factory: Any, done: Deferred[Any]) -> None:
        self._request = request
        self._factory = factory
        self._done = done
        self._answer = b""
        self._inner: Any = None

    def connectionMade(self) -> None:
        self.transport.write(self._request)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        self._answer += data
        head, separator, rest = self._answer.partition(b"\r\n\r\n")
        if not separator:
            if len(self._answer) > _MAX_ANSWER:
                self._fail("its answer is too long")
            return
        words = head.split(b"\r\n", 1)[0].split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or words[1][:1] != b"2":
            status = b" ".join(words[1:]).decode("latin-1")[:60]
            self._fail(f"it answers {status!r}")
            return
        transport: Any = self.transport
        self._inner = self._factory.buildProtocol(transport.getPeer())
        self._inner.makeConnection(transport)
        self._done.callback(self._inner)
        if rest:
            self._inner.dataReceived(rest)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._inner is not None:
            self._inner.connectionLost(reason)
        else:
            self._fail("it closed the connection")

    def abort(self) -> None:
        """Wait no longer."""
        transport: Any = self.transport
        transport.abortConnection()

    def _fail(self, reason: str) -> None:
        if not self._done.called:
            self._done.errback(ProxyRefused(f"the proxy does not let us through: {reason}"))
        self.abort()


@implementer(IStreamClientEndpoint)
class TunnelThroughProxy:
    """A client endpoint that goes through a proxy.

    Args:
        reactor: connects.
        proxy: where the proxy is.
        host, port: where the way is to lead.
    """

    def __init__(self, reactor: Any, proxy: ProxyAddress, host: str, port: int) -> None:
        self._endpoint = HostnameEndpoint(eager(reactor), proxy.host, proxy.port, timeout=_SECONDS)
        self._reactor = reactor
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if proxy.credentials:
            basic = b64encode(proxy.credentials.encode()).decode()
            lines.append(f"Proxy-Authorization: Basic {basic}")
        self._request = "\r\n".join([*lines, "", ""]).encode()

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See `IStreamClientEndpoint`."""
        asking: list[_Connect] = []

        def cancel(done: Deferred[Any]) -> None:
            done.errback(CancelledError())  # first, since endpoints fail in other ways
            connecting.cancel()
            for protocol in asking:
                protocol.abort()

        def not_connected(failure: Failure) -> None:
            if not done.called:
                reason = failure.getErrorMessage()
                done.errback(ProxyRefused(f"the proxy can't be reached: {reason}"))

        def too_late(result: Any, seconds: float) -> None:
            raise ProxyRefused("the proxy does not answer")

        done: Deferred[Any] = Deferred(cancel)
        factory = Factory.forProtocol(lambda: _Connect(self._request, protocolFactory, done))
        factory.noisy = False
        connecting = self._endpoint.connect(factory)
        connecting.addCallbacks(asking.append, not_connected)
        return done.addTimeout(_SECONDS, self._reactor, too_late)
