"""The cookie of who is signed in, and what keeps pages of others from using it.

A browser sends a cookie along with whatever any page has it ask. So a request that counts
for who is signed in must come from the page of this very origin, unless it only reads.
SameSite alone does not see to that: to a browser all names under one domain are one site,
and the tunnels' are under the same as the server's. Whether a sign-in is good, `policy`
knows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from inletspy.answers import InvalidRequest, Problem
from inletspy.policy.sources import UNIX, Network, is_proxy
from inletspy.wire.cookies import cookie_values

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["COOKIE", "check_own_origin", "own_origin", "set_cookie", "sign_in_texts"]

COOKIE: Final = "inletspy_session"
#: The same over https; only the host itself can set one whose name begins like this (RFC
#: 6265bis, 4.1.3.2), and not a page of a tunnel beside it.
_SECURE_COOKIE: Final = f"__Host-{COOKIE}"
#: Cookies of that name that are looked at in one request, at most.
_MAX_TRIED: Final = 4


def sign_in_texts(request: Request, proxies: Collection[Network]) -> list[str]:
    """What the request's cookies have that may be a sign-in."""
    fields = request.requestHeaders.getRawHeaders(b"Cookie", [])
    if not fields:
        return []
    names = frozenset((_name(request, proxies).encode("ascii"),))
    values = [value for field in fields for value in cookie_values(field, names)]
    return [value.decode("latin-1") for value in values[:_MAX_TRIED]]


def set_cookie(
    request: Request, proxies: Collection[Network], text: str, seconds: int
) -> dict[str, str]:
    """The header field that has a browser keep a sign-in; an empty one is forgotten."""
    secure = "; Secure" if _is_secure(request, proxies) else ""
    value = f"{_name(request, proxies)}={text}; Path=/; Max-Age={seconds}"
    return {"Set-Cookie": f"{value}; HttpOnly; SameSite=Strict{secure}"}


def check_own_origin(
    request: Request, proxies: Collection[Network], *, by_cookie: bool = True
) -> None:
    """See whether what changes something was asked for by a page of this origin.

    Args:
        request: whose method, origin and body it is about.
        proxies: who is believed when they say what the outside speaks.
        by_cookie: whether it counts for who is signed in; else one that no page made, which
            says nothing of any origin, will do.

    Raises:
        Problem: 403, it may come from elsewhere.
    """
    if request.method in (b"GET", b"HEAD"):
        return
    site = _only(request, b"Sec-Fetch-Site")
    origin = _only(request, b"Origin")
    if site is not None:
        own = site == "same-origin"
    elif origin is not None:
        own = origin == own_origin(request, proxies)
    else:
        own = not by_cookie
    if not own:
        detail = "Only a page of this server's own origin may ask for that, where a cookie counts"
        raise Problem(403, "Forbidden", detail)
    if by_cookie and _has_body(request) and not _is_json(request):
        detail = "Where a cookie counts, a body must come as Content-Type: application/json"
        raise Problem(403, "Forbidden", detail)


def own_origin(request: Request, proxies: Collection[Network]) -> str:
    """Scheme, host and port by which the request reached this server.

    Raises:
        InvalidRequest: it does not say which host.
    """
    host = _only(request, b"Host")
    if not host or not host.isascii() or any(c.isspace() or c in "/\\?#@" for c in host):
        raise InvalidRequest("Host must say by which name the server was reached")
    return f"{'https' if _is_secure(request, proxies) else 'http'}://{host.lower()}"


def _name(request: Request, proxies: Collection[Network]) -> str:
    return _SECURE_COOKIE if _is_secure(request, proxies) else COOKIE


def _is_secure(request: Request, proxies: Collection[Network]) -> bool:
    """Whether the browser speaks TLS, be it to here or to a proxy that is believed."""
    peer = getattr(request.getClientAddress(), "host", UNIX)
    if is_proxy(peer, proxies):
        fields = request.requestHeaders.getRawHeaders(b"X-Forwarded-Proto", [])
        scheme = b",".join(fields).rpartition(b",")[2].strip()
        if scheme:
            return scheme.lower() == b"https"
    return bool(request.isSecure())


def _only(request: Request, name: bytes) -> str | None:
    """The value of a field; None if there is none, and nothing that fits if there are more."""
    values = request.requestHeaders.getRawHeaders(name, [])
    if not values:
        return None
    return values[0].decode("latin-1") if len(values) == 1 else ""


def _has_body(request: Request) -> bool:
    assert request.content is not None
    start = request.content.read(1)
    request.content.seek(0)
    return bool(start)


def _is_json(request: Request) -> bool:
    kind = (_only(request, b"Content-Type") or "").partition(";")[0]
    return kind.strip().lower() == "application/json"
