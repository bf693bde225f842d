"""What containers and their owners ask: `/api/config/tunnels` and `/api/tunnels`.

Each answers for the owner of the token only, or for everybody's to an admin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from inletspy.answers import InvalidRequest, Problem
from inletspy.interfaces import ISettings, ITunnels
from inletspy.web.access import row_seen_by, seen_by
from inletspy.web.calls import Asked, Call
from inletspy.web.schemas import array, named, record, text
from inletspy.web.traffic import with_figures

__all__ = ["ConfigurationCalls", "ServerUrl", "TunnelCalls"]

#: The control address for clients where no setting names one; may be empty.
ServerUrl = Callable[[], str]

_AWAY: Final = "`true` for those, too, whose name is kept while their client is away."


class ConfigurationCalls:
    """`GET /api/config/tunnels`: all that a container's client needs to connect."""

    def __init__(self, settings: ISettings, server_url: ServerUrl) -> None:
        self._settings = settings
        self._server_url = server_url

    def calls(self) -> list[Call]:
        """The calls."""
        answer = record(
            {
                "tunnels_enabled": {"const": True},
                "inlets_server_url": text("Where clients connect."),
                "inlets_shared_token": text("The caller's own token, and never another."),
                "tunnel_base_domain": text("Names of tunnels are under this domain."),
            }
        )
        return [
            Call(
                "GET",
                "/api/config/tunnels",
                self.configuration,
                "What a container's client needs to connect",
                answer,
                scopes=("connect",),
                by_cookie=False,
                errors={404: "Tunnels are disabled.", 503: "No address is configured."},
            )
        ]

    def configuration(self, asked: Asked) -> dict[str, Any]:
        """The configuration, with the caller's own token in it and never another."""
        settings = self._settings.current
        if not settings.tunnels_enabled:
            raise Problem(404, "Tunnels feature is not enabled")
        server_url = settings.inlets_server_url or self._server_url()
        if not server_url:
            raise Problem(503, "Tunnels are not configured", "Set inlets_server_url")
        return {
            "tunnels_enabled": True,
            "inlets_server_url": server_url,
            "inlets_shared_token": asked.caller.token,
            "tunnel_base_domain": settings.tunnel_base_domain,
        }


class TunnelCalls:
    """`/api/tunnels`: the caller's tunnels, seen and closed."""

    def __init__(self, tunnels: ITunnels, now: Callable[[], float]) -> None:
        self._tunnels = tunnels
        self._now = now

    def calls(self) -> list[Call]:
        """The calls."""
        return [
            Call(
                "GET",
                "/api/tunnels",
                self.all,
                "The caller's tunnels",
                record({"tunnels": array(named("Tunnel"))}),
                scopes=("status",),
                query={"client_id": "Those of exactly this client only.", "away": _AWAY},
            ),
            Call(
                "GET",
                "/api/tunnels/{id}",
                self.one,
                "One tunnel",
                named("Tunnel"),
                scopes=("status",),
                query={"away": _AWAY},
            ),
            Call(
                "DELETE",
                "/api/tunnels/{id}",
                self.close,
                "Close a tunnel, which ends what visitors do with it; its client is told. Of one "
                "that is away, the name is kept no longer",
                record({"id": text("Of the tunnel that was.")}),
                scopes=("connect",),
                or_admin=True,
            ),
        ]

    def all(self, asked: Asked) -> dict[str, Any]:
        """The caller's rows (all for an admin), of exactly this client if one is named."""
        rows = seen_by(asked.caller, self._rows(away=_wants_away(asked)))
        client_id = asked.parameters.get("client_id")
        if client_id is not None:
            rows = [row for row in rows if row["client_id"] == client_id]
        return {"tunnels": self._shown(asked, rows)}

    def one(self, asked: Asked) -> dict[str, Any]:
        """The row of that id."""
        (row,) = self._shown(asked, [self._row(asked, away=_wants_away(asked))])
        return row

    def close(self, asked: Asked) -> dict[str, Any]:
        """End the tunnel of that id."""
        id = self._row(asked, away=True)["id"]
        self._tunnels.close(id)
        return {"id": id}

    def _shown(self, asked: Asked, rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        traffic = self._tunnels.traffic()
        return with_figures(rows, traffic, self._now(), owners=asked.caller.sees_all)

    def _rows(self, *, away: bool) -> list[dict[str, Any]]:
        return self._tunnels.rows() + (self._tunnels.away() if away else [])

    def _row(self, asked: Asked, *, away: bool) -> Mapping[str, Any]:
        return row_seen_by(asked.caller, self._rows(away=away), asked.parameters["id"])


def _wants_away(asked: Asked) -> bool:
    away = asked.parameters.get("away", "false")
    if away not in ("true", "false"):
        raise InvalidRequest("away must be true or false")
    return away == "true"
