"""Who a token stands for.

Tokens are compared in constant time. Where they are stored, and how they got here, is
no business of this module.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Owner", "TokenPolicy", "bearer_token", "is_token"]


@dataclass(frozen=True)
class Owner:
    """The user, or the shared token, that a session or an API call acts for.

    Attributes:
        name: the user's name; `shared` for the shared token.
        scopes: what the token allows.
    """

    name: str
    scopes: frozenset[str] = frozenset(("connect", "status"))


SHARED = Owner("shared")


class TokenPolicy:
    """Tells whose a token is."""

    def __init__(self, shared_token: Callable[[], str]) -> None:
        self._shared_token = shared_token

    def authenticate(self, token: str) -> Owner | None:
        """The owner that the token stands for, or None. An empty token is nobody's."""
        shared = self._shared_token()
        if not token or not shared:
            return None
        return SHARED if hmac.compare_digest(_bytes(token), _bytes(shared)) else None


def is_token(text: str) -> bool:
    """Whether `text` can be sent as a bearer token by every client (RFC 6750, 2.1)."""
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _bytes(token: str) -> bytes:
    # What somebody sends may be any text, even one that no encoding has.
    return token.encode("utf-8", "surrogatepass")


def bearer_token(authorization: str | None) -> str:
    """The token in an Authorization field (RFC 6750, 2.1); empty if there is none."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip(" \t") if scheme.lower() == "bearer" else ""
