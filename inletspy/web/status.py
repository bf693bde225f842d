"""What there is and how it is: `/status`, `/health` and registration at `/tunnels`.

Owns these resources as PLATFORM.md (Status API) has them. Whether a token is good,
what is healthy and which tunnels there are is for others to know.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_to_bytes

from inletspy.errors import Refused
from inletspy.interfaces import IAccounts, ISettings, ITunnels
from inletspy.web.access import Access, is_local, seen_by
from inletspy.web.answers import InvalidRequest, JsonResource, NotFound, Problem, read_object
from inletspy.web.registrations import Registration, Registrations
from inletspy.web.rows import shown

if TYPE_CHECKING:
    from twisted.web.resource import Resource
    from twisted.web.server import Request

__all__ = ["Health", "HealthResource", "RegistrationsResource", "StatusResource"]

#: Why the server is not healthy, in words for everybody; None while it is.
Health = Callable[[], "str | None"]

_STRAY_PERCENT: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")

_SUCCESS: Final = {"success": True}


class StatusResource(JsonResource):
    """`GET /status`: the tunnels there are."""

    def __init__(self, tunnels: ITunnels, settings: ISettings, access: Access) -> None:
        super().__init__()
        self._tunnels = tunnels
        self._settings = settings
        self._access = access

    def get(self, request: Request) -> list[dict[str, Any]]:
        """All tunnels for this machine, and for everybody if so set; with a token, its own.

        Private services are no business of strangers.
        """
        rows = self._tunnels.rows()
        is_open = self._settings.current.status_public or is_local(request)
        if is_open and not self._access.presented(request):
            local = is_local(request)
            return shown(row for row in rows if local or not row.get("private"))
        return shown(seen_by(self._access.caller(request, "status"), rows))


class HealthResource(JsonResource):
    """`GET /health`: whether the server does its work; open to everybody."""

    def __init__(self, health: Health) -> None:
        super().__init__()
        self._health = health

    def get(self, request: Request) -> dict[str, str]:
        """200 while all is well, else 503 with the reason."""
        reason = self._health()
        if reason is None:
            return {"status": "ok"}
        request.setResponseCode(503)
        return {"status": "unavailable", "reason": reason}


class RegistrationsResource(JsonResource):
    """`POST /tunnels`: a wrapper registers a tunnel or renews its registration."""

    def __init__(self, registrations: Registrations, accounts: IAccounts, access: Access) -> None:
        super().__init__()
        self._registrations = registrations
        self._accounts = accounts
        self._access = access

    def getChild(self, path: bytes, request: Request) -> Resource:
        """The registrations of the client that the last segment of the path names."""
        if request.postpath or not path:
            return NotFound()
        segment = request.path.rpartition(b"/")[2]
        return _ClientResource(self._registrations, self._access, segment)

    def post(self, request: Request) -> dict[str, bool]:
        """Register what the body says."""
        caller = self._access.caller(request, "connect")
        registration = Registration.from_json(read_object(request))
        try:
            self._accounts.current.own_client_id(caller.owner, registration.client_id)
        except Refused as error:
            raise Problem(403, "Forbidden", error.message) from error
        self._registrations.register(caller.owner.name, registration)
        return _SUCCESS


class _ClientResource(JsonResource):
    """`DELETE /tunnels/CLIENT_ID`: the caller's registrations for one client."""

    def __init__(self, registrations: Registrations, access: Access, segment: bytes) -> None:
        super().__init__()
        self._registrations = registrations
        self._access = access
        self._segment = segment

    def delete(self, request: Request) -> dict[str, bool]:
        """Drop them all; there need not be any."""
        caller = self._access.caller(request, "connect")
        self._registrations.forget(caller.owner.name, _percent_decoded(self._segment))
        return _SUCCESS


def _percent_decoded(segment: bytes) -> str:
    """The text that a path's segment stands for (RFC 3986, 2.1), with no leniency."""
    if _STRAY_PERCENT.search(segment):
        raise InvalidRequest("The path has a % without two hexadecimal digits after it")
    try:
        return unquote_to_bytes(segment).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The path is not UTF-8") from None
