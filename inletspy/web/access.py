"""Who may ask what of the status port.

Owns bearer tokens in requests (RFC 6750), the question whether a request was made on
this machine, and cross-origin permission. Which tokens are good is decided elsewhere:
a function is passed in. A token is never looked for in a URL and never logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from inletspy.answers import Problem
from inletspy.errors import TooManyGuesses
from inletspy.policy.sources import UNIX, Network, guesser
from inletspy.policy.tokens import bearer_token
from inletspy.web.rows import of_owner

if TYPE_CHECKING:
    from twisted.web.server import Request

    from inletspy.policy.tokens import Credential, Owner

__all__ = ["Access", "Authenticate", "Caller", "allow_origin", "is_local", "seen_by"]

#: What a token is good for, and None if for nothing, given by what wrong ones are counted;
#: raises TooManyGuesses.
Authenticate = Callable[[str, "str | None"], "Credential | None"]

#: Visible ASCII: tokens that people think of have more than RFC 6750 (2.1) allows.
_match_token = re.compile(r"[\x21-\x7e]{1,1024}").fullmatch

_REALM: Final = 'Bearer realm="inletspy"'

#: Fields that tell of a proxy between the caller and this machine.
_PROXY_FIELDS: Final = (
    "Forwarded",
    "Via",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Real-IP",
)


@dataclass(frozen=True)
class Caller:
    """Who a request comes from.

    Attributes:
        credential: what the token is good for.
        token: the token itself.
    """

    credential: Credential
    token: str = field(repr=False)

    @property
    def owner(self) -> Owner:
        """Whom the token stands for."""
        return self.credential.owner

    @property
    def sees_all(self) -> bool:
        """Whether everybody's tunnels may be shown, and not the own alone."""
        return self.credential.allows("admin")


class Access:
    """The door of everything that needs a token.

    Args:
        authenticate: what a token is good for.
        proxies: who is believed when they say whom they bring.
    """

    def __init__(
        self, authenticate: Authenticate, proxies: Callable[[], Collection[Network]] = tuple
    ) -> None:
        self._authenticate = authenticate
        self._proxies = proxies

    def caller(self, request: Request, *scopes: str, or_admin: bool = False) -> Caller:
        """The one who makes the request.

        Args:
            request: carries the token in its one Authorization field.
            scopes: what the token must be good for, all of them.
            or_admin: whether the scope `admin` does as well.

        Raises:
            Problem: 401 without a valid token, 403 if it lacks a scope, 429 after too
                many wrong ones.
        """
        token = _token(request)
        try:
            source = self._source(request)
            credential = self._authenticate(token, source) if token else None
        except TooManyGuesses as error:
            headers = {"Retry-After": str(error.wait)}
            raise Problem(429, "Too many wrong tokens", str(error), headers) from error
        if credential is None:
            challenge = f'{_REALM}, error="invalid_token"' if token else _REALM
            detail = "Send a valid token as Authorization: Bearer TOKEN"
            raise Problem(401, "Unauthorized", detail, {"WWW-Authenticate": challenge})
        lacking = [scope for scope in scopes if not credential.allows(scope)]
        if lacking and not (or_admin and credential.allows("admin")):
            challenge = f'{_REALM}, error="insufficient_scope", scope="{" ".join(scopes)}"'
            detail = f"The token lacks the scope {' and '.join(lacking)}"
            raise Problem(403, "Forbidden", detail, {"WWW-Authenticate": challenge})
        return Caller(credential, token)

    def _source(self, request: Request) -> str | None:
        """By what wrong tokens of this request are counted."""
        peer = getattr(request.getClientAddress(), "host", UNIX)
        fields = request.requestHeaders.getRawHeaders(b"X-Forwarded-For", [])
        return guesser(peer, b",".join(fields).decode("latin-1"), self._proxies())

    def presented(self, request: Request) -> bool:
        """Whether the request carries a token, be it good or not."""
        return bool(_token(request))


def seen_by(caller: Caller, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of tunnels that a caller may see."""
    return list(rows) if caller.sees_all else of_owner(rows, caller.owner.name)


def _token(request: Request) -> str:
    """The request's token; empty if there is none, or more than one."""
    fields = request.requestHeaders.getRawHeaders(b"Authorization", [])
    token = bearer_token(fields[0].decode("latin-1")) if len(fields) == 1 else ""
    return token if _match_token(token) else ""


def is_local(request: Request) -> bool:
    """Whether the request was made on this machine, as far as can be told.

    The peer's address alone does not tell: behind a proxy or a tunnel on this machine
    all the world comes from loopback, and a page in a browser here gets there by a name
    of its own that resolves to loopback (DNS rebinding). So a request that passed a
    proxy or that asks for a name from the public DNS counts as one from outside.
    """
    peer = getattr(request.getClientAddress(), "host", "")
    if not _is_loopback(peer) or any(map(request.requestHeaders.hasHeader, _PROXY_FIELDS)):
        return False
    hosts = request.requestHeaders.getRawHeaders(b"Host", [])
    return all(_is_local_name(host.decode("latin-1")) for host in hosts)


def _is_loopback(text: str) -> bool:
    try:
        address = ip_address(text)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return address.is_loopback


def _is_local_name(host: str) -> bool:
    """Whether a Host field can't be a name that a stranger has in the public DNS."""
    try:
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        if "." in name and not name.endswith(".localhost"):
            ip_address(name)
    except ValueError:
        return False
    return True


def allow_origin(request: Request, allowed: Collection[str]) -> None:
    """Let pages of the allowed origins read the answer (Fetch Standard, 3.2).

    Credentials are never allowed for: tokens come in the Authorization field that a
    page sets itself, so a browser's cookies and logins have no part in it.

    Args:
        request: whose answer it is.
        allowed: origins, matched exactly; `*` among them lets all in.
    """
    request.responseHeaders.addRawHeader("Vary", "Origin")
    origins = request.requestHeaders.getRawHeaders(b"Origin", [])
    if len(origins) != 1:
        return
    origin = origins[0].decode("latin-1")
    if origin in allowed:
        request.setHeader("Access-Control-Allow-Origin", origin)
    elif "*" in allowed:
        request.setHeader("Access-Control-Allow-Origin", "*")
