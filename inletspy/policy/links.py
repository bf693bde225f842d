"""Share links: signed leave to visit one name of one owner until some time.

A token is made with the server's key and checked with it, and with the list of those that
were revoked; it is looked up nowhere. It says when it ends, and is good for the exact
hostname and owner that it was made for. How it travels (a link, a cookie, a header) is the
edge's business; which were made, `sharing` knows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Container
from typing import Final

__all__ = [
    "LONGEST_LINK",
    "PARAMETER",
    "link_end",
    "link_id",
    "link_with",
    "new_link_token",
    "sign",
    "without_secrets",
]

#: The query parameter by which a link carries its token.
PARAMETER: Final = "tunnel_token"
#: How long a link may last, in seconds.
LONGEST_LINK: Final = 90 * 86400
_PURPOSE: Final = "inletspy share link"

_PARAMETER: Final = f"{PARAMETER}=".encode()
_hide = re.compile(rb"(?<=" + _PARAMETER + rb")[^&#]+").sub

_match_token = re.compile(rb"1\.([0-9]{1,12})\.([A-Za-z0-9_-]{16})\.([A-Za-z0-9_-]{43})").fullmatch


def new_link_token(key: str, hostname: str, owner: str, end: int) -> str:
    """Leave to visit.

    Args:
        key: the server's; secret, not empty.
        hostname: the full name of the service.
        owner: whose the name is.
        end: when the leave is over, in seconds since the epoch.
    """
    text = f"1.{end}.{secrets.token_urlsafe(12)}"
    return f"{text}.{sign(key, _PURPOSE, text, hostname, owner)}"


def link_end(
    token: bytes,
    key: str,
    hostname: str,
    owner: str,
    now: float,
    revoked: Container[str] = frozenset(),
) -> int | None:
    """When the leave that a token stands for is over; None if it is no good.

    Args:
        token: as it came, from whomever.
        key: the server's.
        hostname: the name that is visited.
        owner: whose that name is now.
        now: the time in seconds since the epoch.
        revoked: what those are called that were revoked.
    """
    match = _match_token(token)
    if match is None or not key:
        return None
    text, _, signature = token.decode("ascii").rpartition(".")
    if not hmac.compare_digest(signature, sign(key, _PURPOSE, text, hostname, owner)):
        return None
    end = int(match[1])
    if match[2].decode("ascii") in revoked:
        return None
    return end if now < end <= now + LONGEST_LINK + 60 else None


def link_id(token: str) -> str:
    """What the link of a token, or a share token, is called; no secret."""
    return token.split(".")[2]


def link_with(url: str, token: str) -> str:
    """The link that brings a token along to a public address."""
    return f"{url.rstrip('/')}/?{PARAMETER}={token}"


def without_secrets(target: bytes) -> bytes:
    """A request's target as those may see it who look at what visitors asked for."""
    return _hide(b"***", target) if _PARAMETER in target else target


def sign(key: str, purpose: str, *parts: str) -> str:
    """The signature of some texts, good for one purpose only.

    Args:
        key: the server's; secret.
        purpose: keeps the signatures of different things apart.
        parts: what is signed; no line feeds in them.
    """
    # So no two different lists of them make the same text.
    message = "\n".join((purpose, *parts)).encode()
    digest = hmac.digest(key.encode(), message, hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
