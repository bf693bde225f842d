"""What containers and their owners ask: `/api/config/tunnels` and `/api/tunnels`.

Owns these resources as PLATFORM.md (Status API) has them. Each answers for the owner
of the token only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from inletspy.interfaces import ISettings, ITunnels
from inletspy.web.access import Access, seen_by
from inletspy.web.answers import ApiResource, InvalidRequest, Problem
from inletspy.web.rows import shown

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = ["ConfigurationResource", "OwnTunnelsResource", "ServerUrl"]

#: The control address for clients where no setting names one; may be empty.
ServerUrl = Callable[[], str]


class ConfigurationResource(ApiResource):
    """`GET /api/config/tunnels`: all that a container's client needs to connect."""

    def __init__(self, settings: ISettings, server_url: ServerUrl, access: Access) -> None:
        super().__init__()
        self._settings = settings
        self._server_url = server_url
        self._access = access

    def get(self, request: Request) -> dict[str, Any]:
        """The configuration, with the caller's own token in it and never another."""
        caller = self._access.caller(request, "connect")
        settings = self._settings.current
        if not settings.tunnels_enabled:
            raise Problem(404, "Tunnels feature is not enabled")
        server_url = settings.inlets_server_url or self._server_url()
        if not server_url:
            raise Problem(503, "Tunnels are not configured", "Set inlets_server_url")
        return self.success(
            {
                "tunnels_enabled": True,
                "inlets_server_url": server_url,
                "inlets_shared_token": caller.token,
                "tunnel_base_domain": settings.tunnel_base_domain,
            }
        )


class OwnTunnelsResource(ApiResource):
    """`GET /api/tunnels`: the caller's tunnels; `?client_id=` for those of one client."""

    def __init__(self, tunnels: ITunnels, access: Access) -> None:
        super().__init__()
        self._tunnels = tunnels
        self._access = access

    def get(self, request: Request) -> dict[str, Any]:
        """The caller's rows (all for an admin), of exactly this client if one is named."""
        caller = self._access.caller(request, "status")
        rows = seen_by(caller, self._tunnels.rows())
        client_id = _client_id(request)
        if client_id is not None:
            rows = [row for row in rows if row["client_id"] == client_id]
        return self.success({"tunnels": shown(rows)})


def _client_id(request: Request) -> str | None:
    values = request.args.get(b"client_id", [])
    if not values:
        return None
    if len(values) > 1:
        raise InvalidRequest("client_id is there more than once")
    try:
        return str(values[0], "utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("client_id is not UTF-8") from None
