"""`/api/tunnels/{id}/links`, `…/access` and `…/qr.svg`: who may visit, and how they get there.

A tunnel's links are those to its name of its owner's, whichever client served it when they
were made. What a link is good for, `policy` knows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Final

import segno

from inletspy.answers import Answer, Problem
from inletspy.errors import Conflict, NotThere, Refused
from inletspy.interfaces import ISettings, ISharedLinks, ITunnels
from inletspy.policy.links import LONGEST_LINK
from inletspy.policy.sharing import SharedLink, key_mark, make_link
from inletspy.policy.visits import VisitRule
from inletspy.web.access import row_seen_by
from inletspy.web.calls import Asked, Call
from inletspy.web.rows import moment
from inletspy.web.schemas import array, named, record, text

__all__ = ["LINK", "LinkCalls"]

_MOMENT: Final = {"type": "string", "format": "date-time"}

#: A link as it is listed.
LINK: Final = record(
    {
        "id": text("What it is called; no secret."),
        "created_at": _MOMENT,
        "expires_at": _MOMENT,
        "revoked_at": {"type": ["string", "null"], "format": "date-time"},
    }
)
_ACCESS: Final = record(
    {
        "basic_auth": array({"type": "string"}, description="Names of those with a password."),
        "bearer": {"type": "boolean", "description": "Whether there are tokens for programs."},
        "allow": array({"type": "string"}, description="Networks they may come from; none: all."),
        "deny": array({"type": "string"}, description="Networks they may not come from."),
        "private": {"type": "boolean", "description": "Whether share links let in."},
    }
)
_WISH: Final = record(
    {
        "expires_in": {
            "type": "integer",
            "description": "Seconds that it lasts.",
            "minimum": 1,
            "maximum": LONGEST_LINK,
        }
    },
    closed=True,
)

#: For what changes things that are the caller's own.
_OWN: Final[dict[str, Any]] = {"scopes": ("connect",), "or_admin": True}
_AWAY: Final = {503: "The database is away, or slow."}


class LinkCalls:
    """The calls.

    Args:
        tunnels: what tunnels there are.
        shared_links: the links that were made.
        settings: have the key that signs links.
        now: the time since the epoch, in seconds.
    """

    def __init__(
        self,
        tunnels: ITunnels,
        shared_links: ISharedLinks,
        settings: ISettings,
        now: Callable[[], float],
    ) -> None:
        self._tunnels = tunnels
        self._shared_links = shared_links
        self._settings = settings
        self._now = now

    def calls(self) -> list[Call]:
        """The calls."""
        made = record(
            {
                "id": text("What it is called; no secret."),
                "url": text("The link, this once; for a private service a share token."),
                "expires_at": _MOMENT,
            }
        )
        return [
            Call(
                "GET",
                "/api/tunnels/{id}/access",
                self.access,
                "Who may visit a tunnel; no secrets",
                _ACCESS,
                scopes=("status",),
            ),
            Call(
                "GET",
                "/api/tunnels/{id}/qr.svg",
                self.code,
                "The public address as a QR code",
                {"type": "string"},
                scopes=("status",),
                media_type="image/svg+xml",
            ),
            Call(
                "GET",
                "/api/tunnels/{id}/links",
                self.links,
                "A tunnel's share links that have not ended, the newest first",
                record({"links": array(named("Link"))}),
                scopes=("status",),
            ),
            Call(
                "POST",
                "/api/tunnels/{id}/links",
                self.make,
                "Make a share link for a service that is not for everybody",
                made,
                body=_WISH,
                status=201,
                errors={409: "The service asks for no links, or there are too many.", **_AWAY},
                **_OWN,
            ),
            Call(
                "DELETE",
                "/api/tunnels/{id}/links/{link_id}",
                self.revoke,
                "Revoke a share link; who came by it is let in no more",
                record({"id": text("What it was called.")}),
                errors=_AWAY,
                **_OWN,
            ),
        ]

    # -- who may visit

    def access(self, asked: Asked) -> dict[str, Any]:
        """Who may visit, as far as the server decides on it."""
        row = self._row(asked)
        rule = self._rule(row)
        return {
            "basic_auth": [account.user.decode("utf-8", "replace") for account in rule.accounts],
            "bearer": bool(rule.tokens),
            "allow": [*map(str, rule.allow)],
            "deny": [*map(str, rule.deny)],
            "private": _takes_links(row, rule),
        }

    def code(self, asked: Asked) -> str:
        """A picture that telephones read."""
        row = self._row(asked)
        if row.get("private"):
            raise NotThere  # no address that leads anywhere
        picture = io.BytesIO()
        # Black on white in any case: many readers take nothing else.
        segno.make(row["public_url"], micro=False).save(
            picture,
            kind="svg",
            border=4,
            dark="#000",
            light="#fff",
            omitsize=True,
            svgclass=None,
            lineclass=None,
        )
        return picture.getvalue().decode("utf-8")

    # -- links

    def links(self, asked: Asked) -> dict[str, Any]:
        """The links to the tunnel of that id."""
        return {"links": [_shown(link) for link in self._of(self._row(asked))]}

    async def make(self, asked: Asked) -> Answer:
        """Make one."""
        row = self._row(asked)
        if not _takes_links(row, self._rule(row)):
            raise Conflict(
                "the service is for everybody, or asks for something else: links are for those of "
                "`tunnel --private-http`, and of `tunnel --private`"
            )
        key = self._settings.current.link_signing_key
        if not key:
            raise Problem(503, "No key to sign with", "Set link_signing_key")
        try:
            self._shared_links.current.check_room(row["owner"])
        except Refused as error:
            raise Conflict(error.message) from error
        link, url = make_link(
            key,
            row["owner"],
            row["hostname"],
            row["public_url"],
            self._now(),
            asked.body["expires_in"],
        )
        await self._shared_links.add(link)
        place = {"Location": f"/api/tunnels/{row['id']}/links/{link.id}"}
        return Answer(
            {"id": link.id, "url": url, "expires_at": moment(link.expires_at)}, 201, place
        )

    async def revoke(self, asked: Asked) -> dict[str, Any]:
        """Revoke the link of that id, if it is the tunnel's."""
        id = asked.parameters["link_id"]
        if not any(link.id == id for link in self._of(self._row(asked))):
            raise NotThere
        await self._shared_links.revoke(id)
        return {"id": id}

    def _of(self, row: Mapping[str, Any]) -> list[SharedLink]:
        target = row["public_url"] if row.get("private") else row["hostname"]
        mark = key_mark(self._settings.current.link_signing_key)
        return self._shared_links.current.of(row["owner"], target, mark, self._now())

    def _rule(self, row: Mapping[str, Any]) -> VisitRule:
        rule = self._tunnels.rule(row["id"])
        if rule is None:  # who registered the tunnel knows, or its client while it is away
            raise NotThere
        return rule

    def _row(self, asked: Asked) -> Mapping[str, Any]:
        rows = self._tunnels.rows() + self._tunnels.away()
        return row_seen_by(asked.caller, rows, asked.parameters["id"])


def _takes_links(row: Mapping[str, Any], rule: VisitRule) -> bool:
    return rule.private or bool(row.get("private"))


def _shown(link: SharedLink) -> dict[str, Any]:
    return {
        "id": link.id,
        "created_at": moment(link.created_at),
        "expires_at": moment(link.expires_at),
        "revoked_at": None if link.revoked_at is None else moment(link.revoked_at),
    }
