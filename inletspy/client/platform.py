"""What a development platform's backend tells its containers about their tunnels.

Asks `GET /api/config/tunnels`, through a proxy where there is one, and turns each way
that can fail into one line for people. When to ask is not decided here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from OpenSSL import SSL
from service_identity import VerificationError
from treq import collect
from treq.client import HTTPClient
from twisted.internet import defer
from twisted.internet import error as twisted_errors
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.web.client import URI, Agent, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory
from zope.interface import implementer

from inletspy.client.access import Access
from inletspy.client.proxy import ProxyAddress, TunnelThroughProxy, proxy_for
from inletspy.client.server import ServerAddress
from inletspy.errors import Code, Refused, ServerUnreachable, UsageError
from inletspy.policy.names import check_hostname

__all__ = ["agent_for", "ask_platform"]

#: How long the whole answer may take, in seconds, and how many bytes it may have.
PATIENCE: Final = 10.0
MAX_ANSWER: Final = 65536


@implementer(IAgentEndpointFactory)
class _ThroughProxy:
    """Leads an agent's requests through a proxy."""

    def __init__(self, reactor: Any, proxy: ProxyAddress) -> None:
        self._reactor = reactor
        self._proxy = proxy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        way = TunnelThroughProxy(self._reactor, self._proxy, host, uri.port)
        return wrapClientTLS(optionsForClientTLS(host), way) if uri.scheme == b"https" else way


def agent_for(reactor: Any, backend: str, environ: Mapping[str, str]) -> IAgent:
    """What makes requests to a backend, by the way that the environment names.

    Raises:
        UsageError: `backend` or the proxy's address is none.
    """
    if urlsplit(backend).scheme not in ("http", "https"):
        raise UsageError("CLAUDE_WEB_BACKEND_URL must be an address like https://ide.example.com")
    try:
        proxy = proxy_for(ServerAddress.parse(backend), environ)
    except ValueError as error:
        raise UsageError(f"CLAUDE_WEB_BACKEND_URL: {error}") from error
    if proxy is None:
        return Agent(reactor)
    agent: IAgent = Agent.usingEndpointFactory(reactor, _ThroughProxy(reactor, proxy))
    return agent


async def ask_platform(agent: IAgent, clock: IReactorTime, backend: str, token: str) -> Access:
    """Ask a platform's backend how its tunnels are reached.

    Args:
        agent: makes the request; it checks certificates.
        clock: for the time limit.
        backend: the backend's base URL, as in `CLAUDE_WEB_BACKEND_URL`.
        token: what the backend knows this container by.

    Raises:
        Refused: the token is not accepted, or the platform has no tunnels to give.
        ServerUnreachable: no answer, or none that makes sense.
    """
    request = defer.ensureDeferred(_fetch(agent, backend.rstrip("/"), token))
    try:
        status, body = await request.addTimeout(PATIENCE, clock)
    except (defer.TimeoutError, defer.CancelledError, twisted_errors.TimeoutError):
        raise ServerUnreachable(
            f"the platform at {backend} did not answer within {PATIENCE:g} seconds"
        ) from None
    except Exception as error:
        raise ServerUnreachable(f"can't reach the platform at {backend}: {_why(error)}") from error
    return _read_answer(backend, status, body)


async def _fetch(agent: IAgent, backend: str, token: str) -> tuple[int, bytes]:
    response = await HTTPClient(agent).get(
        f"{backend}/api/config/tunnels",
        headers=Headers({"Authorization": [f"Bearer {token}"], "Accept": ["application/json"]}),
        unbuffered=True,
    )
    body = bytearray()

    def take(data: bytes) -> None:
        body.extend(data)
        if len(body) > MAX_ANSWER:
            raise ValueError("the answer is too long")

    await collect(response, take)
    return response.code, bytes(body)


def _read_answer(backend: str, status: int, body: bytes) -> Access:
    if status in (401, 403):
        raise Refused(
            Code.UNAUTHORIZED,
            f"the platform at {backend} does not accept CLAUDE_WEB_AUTH_TOKEN ({status})",
        )
    if status == 404:
        raise Refused(Code.TUNNELS_DISABLED, f"tunnels are not enabled at {backend} (404)")
    if status == 503:
        raise Refused(
            Code.TUNNELS_DISABLED,
            f"tunnels are not configured at {backend} yet (503): its operator sets "
            "inlets_server_url",
        )
    if status != 200:
        raise ServerUnreachable(f"the platform at {backend} answered with status {status}")
    try:
        answer = json.loads(body)
        data: dict[str, Any] = answer["data"]
        enabled = data.get("tunnels_enabled", True)
        server, token, domain = (
            str(data.get(key) or "")
            for key in ("inlets_server_url", "inlets_shared_token", "tunnel_base_domain")
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ServerUnreachable(
            f"the platform at {backend} gave no answer that a tunnel can be made from"
        ) from None
    if not enabled:
        raise Refused(Code.TUNNELS_DISABLED, f"tunnels are not enabled at {backend}")
    if not server:
        raise Refused(
            Code.TUNNELS_DISABLED,
            f"the platform at {backend} names no tunnel server: its operator sets "
            "inlets_server_url",
        )
    try:
        domain = check_hostname(domain) if domain else ""
    except ValueError:
        domain = ""  # the server knows its own
    return Access(server, token, domain)


def _why(error: BaseException) -> str:
    """The reason for a failed request, in plain words."""
    if isinstance(error, ResponseFailed):
        for reason in error.reasons:
            if not reason.check(twisted_errors.ConnectionDone):
                return _why(reason.value)
        return "it closed the connection"
    if isinstance(error, VerificationError):
        return "its certificate is for another name"
    if isinstance(error, SSL.Error):
        reasons = ", ".join(str(part[-1]) for part in (error.args or ((),))[0] if part)
        return f"no secure connection ({reasons})" if reasons else "no secure connection"
    if isinstance(error, twisted_errors.ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, twisted_errors.DNSLookupError):
        return "no such host"
    return str(error) or type(error).__name__
