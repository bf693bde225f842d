"""The address of an upstream, and ports, as people and protocols write them.

What is announced is kept to the letter beside what it means, since a stock client only
dials exactly the text that it announced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Final

__all__ = ["UpstreamAddress", "parse_port", "parse_port_range"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
#: Scheme, authority (a name or an IPv6 address, a port), and whatever follows.
_match_address = re.compile(
    r"(https?|tcp)://((?:([A-Z0-9._-]{1,253})|\[([0-9A-F:.]{2,45})\])(?::([^/?#]*))?)(.*)",
    re.ASCII | re.IGNORECASE | re.DOTALL,
).fullmatch

_match_port = re.compile(r"[0-9]{1,9}").fullmatch


def parse_port(text: str, *, lowest: int = 1) -> int | None:
    """The port that `text` stands for; None if it is none from `lowest` to 65535."""
    if text.isascii() and text.isdecimal() and len(text) <= 5 and lowest <= int(text) <= 65535:
        return int(text)
    return None


def parse_port_range(text: str) -> range:
    """The ports of `FIRST-LAST`, both included.

    Raises:
        ValueError: it is no such range, or leaves 1 to 65535.
    """
    first, dash, last = text.partition("-")
    numbers = parse_port(first), parse_port(last)
    if not dash or None in numbers or numbers[0] > numbers[1]:  # type: ignore[operator]
        raise ValueError("must be FIRST-LAST within 1-65535, for example 30000-30999")
    return range(int(first), int(last) + 1)


@dataclass(frozen=True)
class UpstreamAddress:
    """Where a service really is.

    Attributes:
        scheme: `http`, `https` or `tcp`.
        host: a name or an IP address, without brackets.
        port: the port, or None where a URL leaves it to its scheme.
        authority: host and port as they were written.
    """

    scheme: str
    host: str
    port: int | None
    authority: str

    @classmethod
    def parse(cls, text: str) -> UpstreamAddress:
        """Read `SCHEME://HOST[:PORT][/]`.

        Raises:
            ValueError: it is no such address; the text says why.
        """
        match = _match_address(text)
        if match is None:
            raise ValueError(f"{text!r} is no address like http://localhost:3000")
        scheme, authority, name, ipv6, digits, rest = match.groups()
        if rest not in ("", "/"):
            raise ValueError(f"{text!r}: an upstream is only scheme, host and port")
        if ipv6 is not None:
            try:
                IPv6Address(ipv6)
            except ValueError as error:
                raise ValueError(f"{text!r} is no address: {error}") from None
        port = None
        if digits:
            if _match_port(digits) is None or not 1 <= int(digits) <= 65535:
                raise ValueError(f"{text!r} is no address: its port must be 1 to 65535")
            port = int(digits)
        scheme = scheme.lower()
        if port is None and scheme == "tcp":
            raise ValueError(f"{text!r} names no port")
        return cls(scheme, (name or ipv6).lower(), port, authority)

    @property
    def effective_port(self) -> int:
        """The port to dial."""
        return self.port if self.port is not None else _DEFAULT_PORTS[self.scheme]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"
