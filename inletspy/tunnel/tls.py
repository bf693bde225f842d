"""TLS towards `https://` upstreams, from whichever side of the tunnel speaks it.

The certificate of an upstream is not verified, as with stock inlets: it stands on the
client's side, mostly self-signed and for another name, and is reached through a link
that is authenticated already.
"""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IProtocol
from twisted.internet.protocol import Factory
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

__all__ = ["UnverifiedClient", "over_tls"]


@implementer(IOpenSSLClientConnectionCreator)
class UnverifiedClient:
    """Makes TLS connections to a server whose certificate is not looked at.

    Args:
        host: sent as the server name, unless it is an IP address (RFC 6066, 3).
    """

    _context = CertificateOptions(verify=False).getContext()

    def __init__(self, host: str) -> None:
        self._name = None if host.replace(".", "").isdigit() or ":" in host else host.encode()

    def clientConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See `IOpenSSLClientConnectionCreator`."""
        connection = SSL.Connection(self._context, None)
        if self._name is not None:
            connection.set_tlsext_host_name(self._name)
        connection.set_connect_state()
        return connection


class _Once(Factory):
    """Gives out the one protocol that it was made for."""

    noisy = False

    def __init__(self, protocol: IProtocol) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: Any) -> Any:
        return self._protocol


def over_tls(protocol: IProtocol, host: str) -> Any:
    """What speaks TLS to `host` for `protocol`; it is to be given the transport."""
    factory = TLSMemoryBIOFactory(UnverifiedClient(host), True, _Once(protocol))
    factory.noisy = False
    return factory.buildProtocol(None)
