"""The share links and share tokens that were made, and how many there may be.

What each is good for stands in itself, and is looked up nowhere (`links`, `private`). That it
was made is noted, so that it can be listed and revoked: one that nobody has noted is good all
the same. Where the notes are kept is no business of this module.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from inletspy.errors import Code, Refused
from inletspy.policy.links import link_id, link_with, new_link_token, sign
from inletspy.policy.private import PRIVATE, PrivateName, new_share_token
from inletspy.policy.tokens import SHARED

__all__ = [
    "SHARED_LIMIT",
    "USER_LIMIT",
    "SharedLink",
    "SharedLinks",
    "key_mark",
    "make_link",
]

#: SharedLinks at once of one user, and of all with the shared token (which may stand for a whole
#: platform); those that were revoked count until they would have ended.
USER_LIMIT: Final = 1_000
SHARED_LIMIT: Final = 10_000

_MARK: Final = "inletspy share links' key"


@dataclass(frozen=True)
class SharedLink:
    """A share link, or a share token of a private service.

    Attributes:
        id: what it is called; no secret.
        owner: the name of the one whose service it leads to.
        target: that service: a hostname, or `private:NAME`.
        mark: of the key that it is signed with.
        created_at: when it was made, in seconds since the epoch.
        expires_at: when it ends.
        revoked_at: when it was revoked; None while it is good.
    """

    id: str
    owner: str
    target: str
    mark: str
    created_at: float
    expires_at: float
    revoked_at: float | None = None


@dataclass(frozen=True)
class SharedLinks:
    """All links that have not ended, at one moment.

    Attributes:
        by_id: them.
    """

    by_id: Mapping[str, SharedLink] = field(default_factory=dict)

    @cached_property
    def revoked(self) -> frozenset[str]:
        """What those are called that are good for nothing any more."""
        return frozenset(id for id, link in self.by_id.items() if link.revoked_at is not None)

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(link.owner for link in self.by_id.values())

    def of(self, owner: str, target: str, mark: str, now: float) -> list[SharedLink]:
        """Those to one service that are signed with the key of that mark, the newest first."""
        found = [
            link
            for link in self.by_id.values()
            if (link.owner, link.target, link.mark) == (owner, target, mark)
            and link.expires_at > now
        ]
        return sorted(found, key=lambda link: (link.created_at, link.id), reverse=True)

    def check_room(self, owner: str) -> None:
        """See whether an owner may have one more.

        Raises:
            Refused: there are too many.
        """
        most = SHARED_LIMIT if owner == SHARED.name else USER_LIMIT
        if self._counts[owner] >= most:
            raise Refused(Code.QUOTA, f"{most} links were made that have not ended yet")


def make_link(
    key: str, owner: str, hostname: str, public_url: str, now: float, seconds: int
) -> tuple[SharedLink, str]:
    """A new link to a service, and its text; for a private service a share token.

    Args:
        key: the server's; secret, not empty.
        owner: whose the service is.
        hostname: its full name.
        public_url: where it is reached; `private:NAME` for a private service.
        now: the time in seconds since the epoch.
        seconds: how long it is to last.
    """
    end = int(now) + seconds
    if public_url.startswith(PRIVATE):
        target = public_url
        text = token = new_share_token(
            key, PrivateName(owner, public_url.removeprefix(PRIVATE)), end
        )
    else:
        target = hostname
        token = new_link_token(key, hostname, owner, end)
        text = link_with(public_url, token)
    return SharedLink(link_id(token), owner, target, key_mark(key), int(now), end), text


def key_mark(key: str) -> str:
    """What tells the key that a link is signed with from others, and nothing of it."""
    return sign(key, _MARK)[:16] if key else ""
