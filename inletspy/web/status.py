"""What there is and how it is: `/status`, `/health` and registration at `/tunnels`.

Owns these calls as platforms know them. Whether a token is good, what is healthy and
which tunnels there are is for others to know.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from inletspy.answers import Answer, Problem
from inletspy.errors import Refused
from inletspy.interfaces import IAccounts, ISettings, ITunnels
from inletspy.web.access import Access, is_local, seen_by
from inletspy.web.calls import Asked, Call
from inletspy.web.registrations import REGISTRATION, Registration, Registrations
from inletspy.web.rows import shown
from inletspy.web.schemas import array, named, record

__all__ = ["Health", "StatusCalls"]

#: Why the server is not healthy, in words for everybody; None while it is.
Health = Callable[[], "str | None"]

_SUCCESS: Final = {"success": True}
_SUCCEEDS: Final = record({"success": {"const": True}})


class StatusCalls:
    """`/status` and `/health`."""

    def __init__(
        self, tunnels: ITunnels, settings: ISettings, health: Health, access: Access
    ) -> None:
        self._tunnels = tunnels
        self._settings = settings
        self._health = health
        self._access = access

    def calls(self) -> list[Call]:
        """The calls."""
        return [
            Call(
                "GET",
                "/status",
                self.status,
                "All tunnels; with a token, its owner's alone",
                array(named("Tunnel")),
                scopes=("status",),
                token="optional",
            ),
            Call(
                "GET",
                "/health",
                self.health,
                "Whether the server does its work",
                record({"status": {"const": "ok"}}),
                token="none",
                errors={503: "It does not, for the reason that is given."},
                failure=record({"status": {"const": "unavailable"}, "reason": {"type": "string"}}),
            ),
        ]

    def status(self, asked: Asked) -> list[dict[str, Any]]:
        """All tunnels for this machine, and for everybody if so set; with a token, its own.

        Private services are no business of strangers.
        """
        rows = self._tunnels.rows()
        local = is_local(asked.request)
        is_open = local or self._settings.current.status_public
        if is_open and not self._access.presented(asked.request):
            return shown(row for row in rows if local or not row.get("private"))
        caller = self._access.caller(asked.request, "status")
        return shown(seen_by(caller, rows), owners=caller.sees_all)

    def health(self, asked: Asked) -> Answer:
        """200 while all is well, else 503 with the reason."""
        reason = self._health()
        if reason is None:
            return Answer({"status": "ok"})
        return Answer({"status": "unavailable", "reason": reason}, 503)


class RegistrationCalls:
    """`POST /tunnels` and `DELETE /tunnels/CLIENT_ID`, for wrappers."""

    def __init__(self, registrations: Registrations, accounts: IAccounts) -> None:
        self._registrations = registrations
        self._accounts = accounts

    def calls(self) -> list[Call]:
        """The calls."""
        return [
            Call(
                "POST",
                "/tunnels",
                self.register,
                "Register a tunnel that something else runs, or renew that",
                _SUCCEEDS,
                scopes=("connect",),
                body=REGISTRATION,
                any_type=True,
                errors={429: "There are too many."},
            ),
            Call(
                "DELETE",
                "/tunnels/{client_id}",
                self.forget,
                "Drop the caller's registrations for a client",
                _SUCCEEDS,
                scopes=("connect",),
            ),
        ]

    def register(self, asked: Asked) -> dict[str, bool]:
        """Register what the body says."""
        owner = asked.caller.owner
        registration = Registration.from_json(asked.body)
        try:
            self._accounts.current.own_client_id(owner, registration.client_id)
        except Refused as error:
            raise Problem(403, "Forbidden", error.message) from error
        self._registrations.register(owner.name, registration)
        return _SUCCESS

    def forget(self, asked: Asked) -> dict[str, bool]:
        """Drop them all; there need not be any."""
        owner = asked.caller.owner
        self._registrations.forget(owner.name, asked.parameters["client_id"])
        return _SUCCESS
