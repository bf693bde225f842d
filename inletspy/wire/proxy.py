"""The header that tells an upstream who a TCP connection is really from.

Writes both versions of the PROXY protocol (HAProxy's `proxy-protocol.txt`: version 1 is
section 2.1, a line of text; version 2 is section 2.2, binary). Nothing is read here:
whether an upstream expects the header is for its owner to know.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import pack
from typing import Final

__all__ = ["PROXY_VERSIONS", "proxy_header"]

#: What a person can ask for.
PROXY_VERSIONS: Final = ("v1", "v2")

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
#: Version 2 in the upper half; below it whether the addresses are a visitor's.
_LOCAL: Final = 0x20
_PROXY: Final = 0x21
#: Address family in the upper half, a byte stream below it.
_TCP4: Final = 0x11
_TCP6: Final = 0x21


def proxy_header(version: str, visitor: str, host: str, port: int) -> bytes:
    """The first bytes of a connection to an upstream.

    Args:
        version: one of `PROXY_VERSIONS`.
        visitor: who connects, as OPEN has it: `203.0.113.9:51234`, `[2001:db8::1]:9`.
        host: the IP address that the connection leads to.
        port: its port.

    Returns:
        The header; for a visitor or a host that is no IP address the one that says so.
        If only one of the two is IPv6, the other is mapped into it (RFC 4291, 2.5.5.2).
    """
    text, _, digits = visitor.rpartition(":")
    source, target = _address(text.strip("[]")), _address(host)
    source_port = int(digits) if digits.isascii() and digits.isdecimal() else -1
    if source is None or target is None or not 0 <= source_port <= 65535:
        return b"PROXY UNKNOWN\r\n" if version == "v1" else _binary(_LOCAL, 0, b"")
    if source.version != target.version:
        source, target = _mapped(source), _mapped(target)
    if version == "v1":
        return f"PROXY TCP{source.version} {source} {target} {source_port} {port}\r\n".encode()
    ports = pack("!HH", source_port, port)
    family = _TCP4 if source.version == 4 else _TCP6
    return _binary(_PROXY, family, source.packed + target.packed + ports)


def _binary(command: int, family: int, addresses: bytes) -> bytes:
    return _SIGNATURE + pack("!BBH", command, family, len(addresses)) + addresses


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A scope says nothing to another machine; a socket for both families maps IPv4.
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _mapped(address: IPv4Address | IPv6Address) -> IPv6Address:
    if isinstance(address, IPv6Address):
        return address
    return IPv6Address(0xFFFF << 32 | int(address))
