"""The address of a server's control plane, as people write it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import idna

__all__ = ["ServerAddress"]

_SCHEMES: Final = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_PORTS: Final = {"ws": 80, "wss": 443}
_match_host = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|[0-9a-f:.]{2,45}").fullmatch


@dataclass(frozen=True)
class ServerAddress:
    """Where the control plane is.

    Attributes:
        scheme: `ws` or `wss`.
        host: a name or address, without brackets.
        port: the TCP port.
        prefix: what comes before `/tunnel` in the path; mostly empty.
    """

    scheme: str
    host: str
    port: int
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> ServerAddress:
        """Read an address like `wss://tunnel.example.com`, `http://…` or `host:8090`.

        Raises:
            ValueError: it is none; the text says why.
        """
        try:
            url = urlsplit(text if "://" in text else f"ws://{text}")
            scheme = _SCHEMES[url.scheme]
            host = _ascii(url.hostname or "")
            port = _PORTS[scheme] if url.port is None else url.port
        except (ValueError, KeyError):
            scheme, host, port = "", "", 0
        if _match_host(host) is None or port == 0 or url.query or url.fragment or "@" in url.netloc:
            raise ValueError(
                f"{text!r} is no server address: write it like wss://tunnel.example.com "
                "or ws://localhost:8090"
            )
        prefix = url.path.rstrip("/").removesuffix("/tunnel")
        return cls(scheme, host, port, prefix)

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken."""
        return self.scheme == "wss"

    @property
    def url(self) -> str:
        """The whole URL of the control plane."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.prefix}/tunnel"

    def __str__(self) -> str:
        return self.url.removesuffix("/tunnel")


def _ascii(host: str) -> str:
    """The name as DNS has it; raises UnicodeError, which is a ValueError."""
    return host if host.isascii() else idna.encode(host, uts46=True).decode()
