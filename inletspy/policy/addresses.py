"""The address of an upstream, as people and protocols write it.

What is announced is kept to the letter beside what it means, since a stock client only
dials exactly the text that it announced.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

__all__ = ["UpstreamAddress"]

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_match_host = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}").fullmatch


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
        try:
            url = urlsplit(text)
            port = url.port
        except ValueError:
            raise ValueError(f"{text!r} is no address: its port must be 1 to 65535") from None
        if url.scheme not in ("http", "https", "tcp") or not url.hostname:
            raise ValueError(f"{text!r} is no address like http://localhost:3000")
        if url.username or url.password or url.query or url.fragment or url.path not in ("", "/"):
            raise ValueError(f"{text!r}: an upstream is only scheme, host and port")
        if _match_host(url.hostname) is None or port == 0:
            raise ValueError(f"{text!r} has no valid host or port")
        if port is None and url.scheme == "tcp":
            raise ValueError(f"{text!r} names no port")
        return cls(url.scheme, url.hostname, port, url.netloc)

    @property
    def effective_port(self) -> int:
        """The port to dial."""
        return self.port if self.port is not None else _DEFAULT_PORTS[self.scheme]

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"
