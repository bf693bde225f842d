"""Where a connection comes from: addresses, what counts as one, and what proxies say of it.

Compares and reads texts only. What an address may do, or how much of it, others decide.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from typing import Final

__all__ = [
    "UNIX",
    "Address",
    "Network",
    "block_of",
    "guesser",
    "is_proxy",
    "read_address",
    "source_of",
]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: What stands for the address of a peer that comes by a UNIX socket.
UNIX: Final = "unix"

#: Addresses in X-Forwarded-For that are looked at, at most.
_MAX_FORWARDED: Final = 16


def read_address(text: str) -> Address | None:
    """The IP address in `text`, which may have a port; None if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def block_of(address: Address | str | None) -> str:
    """What counts as one address: of IPv6, all that a subscriber gets at least (a /64)."""
    if isinstance(address, str):
        if ":" not in address:
            return address
        address = read_address(address)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return str(address)


def is_proxy(peer: str, trusted: Collection[Network]) -> bool:
    """Whether a peer is one whose word on others counts; so is any on this machine's sockets."""
    if peer == UNIX:  # which only programs of this machine can reach
        return True
    if not trusted:
        return False
    address = read_address(peer)
    return address is not None and any(address in network for network in trusted)


def source_of(peer: str, forwarded_for: str, trusted: Collection[Network]) -> Address | None:
    """Whom a request comes from, as far as that can be believed.

    Args:
        peer: the address of the connection.
        forwarded_for: X-Forwarded-For, all of it; empty if there is none.
        trusted: proxies that are believed.

    Returns:
        None if that is not known: it is no IP address, or a proxy names none but proxies.
    """
    if not is_proxy(peer, trusted):
        return read_address(peer)
    # The last is what the proxy itself saw; those before it may be made up, unless it
    # was another trusted proxy that the proxy saw.
    for text in forwarded_for.split(",")[: -_MAX_FORWARDED - 1 : -1]:
        if not text.strip():
            continue
        source = read_address(text.strip())
        if source is None or not is_proxy(str(source), trusted):
            return source
    return None


def guesser(peer: str, forwarded_for: str, trusted: Collection[Network]) -> str | None:
    """By what somebody's wrong guesses are counted; see `source_of`.

    Returns:
        None for a proxy that does not say whom it brings: one must not lock out the others.
    """
    source = source_of(peer, forwarded_for, trusted)
    return None if source is None else block_of(source)
