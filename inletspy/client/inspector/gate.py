"""Who may use the inspector: programs with its token, and browsers that were given it.

The inspector listens on loopback only. That keeps other machines out, but not the pages of
strangers in a browser on this one: hence the checks of Host (against DNS rebinding), of
Origin and of what browsers say about where a request comes from.
"""

from __future__ import annotations

import hmac
import secrets
from typing import TYPE_CHECKING, Any, Final

from inletspy.answers import Problem

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["Gate"]

#: Browsers leave it out (RFC 9110, 4.2.1).
_UNSAID_PORT: Final = 80


class Gate:
    """Lets requests in, or refuses them.

    Attributes:
        port: where the inspector listens.
        token: lets in who knows it.
    """

    def __init__(self) -> None:
        self.port = 0
        self.token = secrets.token_urlsafe(24)
        #: What the browser gets for the token: it does not give the token away.
        self._session = secrets.token_urlsafe(24)

    @property
    def url(self) -> str:
        """What a person opens; the token is in the part that no browser sends."""
        return f"http://127.0.0.1:{self.port}/#token={self.token}"

    @property
    def _cookie(self) -> str:
        return f"inletspy_inspector_{self.port}"

    @property
    def _hosts(self) -> tuple[str, ...]:
        hosts = ("127.0.0.1", "localhost", "[::1]")
        told = tuple(f"{host}:{self.port}" for host in hosts)
        return (*told, *hosts) if self.port == _UNSAID_PORT else told

    def check_host(self, request: Request) -> None:
        """Refuse what was meant for another host.

        Raises:
            Problem: 421.
        """
        hosts = _values(request, "Host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise Problem(421, "Misdirected request", f"The inspector is at 127.0.0.1:{self.port}")

    def check_origin(self, request: Request) -> None:
        """Refuse what another page has a browser do.

        Raises:
            Problem: 403.
        """
        own = {f"http://{host}" for host in self._hosts}
        foreign = any(origin not in own for origin in _values(request, "Origin"))
        # Where a page of another port of this machine asks, cookies go with it.
        sites = _values(request, "Sec-Fetch-Site")
        if foreign or any(site not in ("same-origin", "none") for site in sites):
            raise Problem(403, "Forbidden", "Other pages may not use the inspector")

    def check_caller(self, request: Request) -> None:
        """Refuse who has neither token nor session.

        Raises:
            Problem: 401.
        """
        kept: Any = request.getCookie(self._cookie.encode("ascii"))
        if kept is not None and _same(kept.decode("latin-1"), self._session):
            return
        for value in _values(request, "Authorization"):
            scheme, _, token = value.partition(" ")
            if scheme.lower() == "bearer" and _same(token.strip(), self.token):
                return
        raise Problem(
            401,
            "Unauthorized",
            "Open the address that `tunnel` printed, or send its token as a bearer token",
            {"WWW-Authenticate": "Bearer"},
        )

    def admit(self, token: str) -> str:
        """The cookie for who knows the token.

        Raises:
            Problem: 401.
        """
        if not _same(token, self.token):
            raise Problem(401, "Unauthorized", "The token is not that of this inspector")
        return f"{self._cookie}={self._session}; HttpOnly; SameSite=Strict; Path=/api"


def _values(request: Request, name: str) -> list[str]:
    return list(request.requestHeaders.getRawHeaders(name, []))


def _same(given: str, kept: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), kept.encode("utf-8"))
