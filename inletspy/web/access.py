"""Who may ask what of the status port.

Owns bearer tokens in requests (RFC 6750), the cookie that stands for one in a browser, the
question whether a request was made on this machine, and cross-origin permission. Which
tokens and sign-ins are good is decided elsewhere: that is passed in. A token is never looked
for in a URL and never logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from inletspy.answers import Problem
from inletspy.errors import NotThere, TooManyGuesses
from inletspy.policy.sources import UNIX, Network, guesser
from inletspy.policy.tokens import bearer_token
from inletspy.web.cookies import check_own_origin, sign_in_texts
from inletspy.web.rows import of_owner

if TYPE_CHECKING:
    from twisted.web.server import Request

    from inletspy.policy.signins import SignIn, SignIns
    from inletspy.policy.tokens import Credential, Owner

__all__ = [
    "Access",
    "Authenticate",
    "Caller",
    "allow_origin",
    "check_scopes",
    "is_local",
    "row_seen_by",
    "seen_by",
]

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
        token: the token itself; empty for who is signed in.
        sign_in: what a person in a browser is signed in by; None for who sends a token.
    """

    credential: Credential
    token: str = field(default="", repr=False)
    sign_in: SignIn | None = None

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
        sign_ins: tells which sign-ins are good.
        proxies: who is believed when they say whom they bring.
    """

    def __init__(
        self,
        authenticate: Authenticate,
        sign_ins: SignIns,
        proxies: Callable[[], Collection[Network]] = tuple,
    ) -> None:
        self._authenticate = authenticate
        self._sign_ins = sign_ins
        self._proxies = proxies

    def caller(
        self, request: Request, *scopes: str, or_admin: bool = False, signed_in: bool = True
    ) -> Caller:
        """The one who makes the request.

        Args:
            request: carries the token in its one Authorization field, or else a cookie.
            scopes: what the token must be good for, all of them.
            or_admin: whether the scope `admin` does as well.
            signed_in: whether the cookie counts.

        Raises:
            Problem: 401 without a valid token, 403 if it lacks a scope or a page of
                another origin asks in a signed-in person's name, 429 after too many wrong
                ones.
        """
        sign_in = self.sign_in(request) if signed_in and not _has_token(request) else None
        if sign_in is not None:
            check_own_origin(request, self._proxies())
            caller = Caller(sign_in.credential, sign_in=sign_in)
        else:
            caller = self._with_token(request)
        check_scopes(caller.credential, scopes, or_admin=or_admin)
        return caller

    def _with_token(self, request: Request) -> Caller:
        token = _token(request)
        credential = self.authenticate(request, token) if token else None
        if credential is None:
            challenge = f'{_REALM}, error="invalid_token"' if token else _REALM
            detail = "Send a valid token as Authorization: Bearer TOKEN"
            raise Problem(401, "Unauthorized", detail, {"WWW-Authenticate": challenge})
        return Caller(credential, token)

    def authenticate(self, request: Request, token: str) -> Credential | None:
        """What a token that came with a request is good for; a wrong one is counted.

        Raises:
            Problem: 429 after too many wrong ones.
        """
        peer = getattr(request.getClientAddress(), "host", UNIX)
        fields = request.requestHeaders.getRawHeaders(b"X-Forwarded-For", [])
        source = guesser(peer, b",".join(fields).decode("latin-1"), self._proxies())
        try:
            return self._authenticate(token, source)
        except TooManyGuesses as error:
            headers = {"Retry-After": str(error.wait)}
            raise Problem(429, "Too many wrong tokens", str(error), headers) from error

    def sign_in(self, request: Request) -> SignIn | None:
        """The good sign-in that a request's cookies have, if any."""
        found = map(self._sign_ins.read, sign_in_texts(request, self._proxies()))
        return next((sign_in for sign_in in found if sign_in is not None), None)

    def presented(self, request: Request) -> bool:
        """Whether the request carries a token, be it good or not, or is of who is signed in."""
        return bool(_token(request)) or self.sign_in(request) is not None

    def renewed(self, caller: Caller) -> Caller | None:
        """The caller of a request that lasts, as it is by now; None if it is no good any more."""
        if caller.sign_in is not None:
            sign_in = self._sign_ins.read(caller.sign_in.text)
            return None if sign_in is None else Caller(sign_in.credential, sign_in=sign_in)
        credential = self._sign_ins.renew(caller.credential)
        return None if credential is None else Caller(credential, caller.token)


def check_scopes(credential: Credential, scopes: Iterable[str], *, or_admin: bool = False) -> None:
    """See whether a token is good for something.

    Raises:
        Problem: 403, it lacks a scope.
    """
    lacking = [scope for scope in scopes if not credential.allows(scope)]
    if lacking and not (or_admin and credential.allows("admin")):
        challenge = f'{_REALM}, error="insufficient_scope", scope="{" ".join(scopes)}"'
        detail = f"The token lacks the scope {' and '.join(lacking)}"
        raise Problem(403, "Forbidden", detail, {"WWW-Authenticate": challenge})


def seen_by(caller: Caller, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The rows of tunnels that a caller may see."""
    return list(rows) if caller.sees_all else of_owner(rows, caller.owner.name)


def row_seen_by(caller: Caller, rows: Iterable[Mapping[str, Any]], id: str) -> Mapping[str, Any]:
    """The row of that id.

    Raises:
        NotThere: there is none that the caller may see.
    """
    for row in seen_by(caller, rows):
        if row["id"] == id:
            return row
    raise NotThere


def _has_token(request: Request) -> bool:
    """Whether there is a token, or something in its place: no cookie counts beside it."""
    return request.requestHeaders.hasHeader(b"Authorization")


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

    Credentials are never allowed for: such pages send a token in the Authorization field,
    which they set themselves; a browser's cookies have no part in it.

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
