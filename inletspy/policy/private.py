"""Private services: what they go by, and signed leave to reach one.

A private name is a label of one owner's; another owner may have the same. A share token
is leave to reach one of them until some time; it is looked up nowhere. It says whose
service it leads to, and is made and checked with the key of share links, for which it is
no good. Who serves a name at the moment is the route table's business.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Container
from dataclasses import dataclass
from typing import Final, NamedTuple

from inletspy.policy.links import LONGEST_LINK, sign

__all__ = [
    "PRIVATE",
    "Leave",
    "PrivateName",
    "new_share_token",
    "read_share_token",
]

#: What stands before the name of a private service in place of a public address.
PRIVATE: Final = "private:"

_PURPOSE: Final = "inletspy share token"
_match_token = re.compile(
    r"ipys\.([0-9]{1,12})\.([A-Za-z0-9_-]{16})\.([a-z0-9-]{1,63})\.([A-Za-z0-9_-]{1,120})"
    r"\.([A-Za-z0-9_-]{43})"
).fullmatch


class PrivateName(NamedTuple):
    """What a private service goes by.

    Attributes:
        owner: the name of the one whose it is.
        name: a label, unique among the owner's.
    """

    owner: str
    name: str


@dataclass(frozen=True)
class Leave:
    """What a share token stands for.

    Attributes:
        service: what it leads to.
        end: when it is over, in seconds since the epoch.
    """

    service: PrivateName
    end: int


def new_share_token(key: str, service: PrivateName, end: int) -> str:
    """Leave to reach a private service.

    Args:
        key: the server's; secret, not empty.
        service: what it leads to.
        end: when the leave is over, in seconds since the epoch.
    """
    owner = base64.urlsafe_b64encode(service.owner.encode()).rstrip(b"=").decode("ascii")
    text = f"ipys.{end}.{secrets.token_urlsafe(12)}.{service.name}.{owner}"
    return f"{text}.{sign(key, _PURPOSE, text)}"


def read_share_token(
    token: str, key: str, now: float, revoked: Container[str] = frozenset()
) -> Leave | None:
    """The leave that a token stands for; None if it is no good, or no longer.

    Args:
        token: as it came, from whomever.
        key: the server's.
        now: the time in seconds since the epoch.
        revoked: what those are called that were revoked; see `links.link_id`.
    """
    match = _match_token(token)
    if match is None or not key:
        return None
    text, _, signature = token.rpartition(".")
    if not hmac.compare_digest(signature, sign(key, _PURPOSE, text)):
        return None
    end = int(match[1])
    if match[2] in revoked or not now < end <= now + LONGEST_LINK + 60:
        return None
    owner = base64.urlsafe_b64decode(match[4] + "=" * (-len(match[4]) % 4)).decode()
    return Leave(PrivateName(owner, match[3]), end)
