"""The users there are, their tokens and the names reserved for them, as one value.

Also what may become a user, a prefix or a pattern in the first place. Knows nothing of
where all that is stored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from inletspy.errors import Code, Refused
from inletspy.policy.names import check_label
from inletspy.policy.tokens import SHARED, Credential, Owner

__all__ = ["MAX_PREFIX", "Accounts", "check_pattern", "check_user_name", "prefix_for"]

#: A client id has so many characters at most.
_MAX_CLIENT_ID: Final = 128
#: Leaves room for a name and a port in a label of 63 characters.
MAX_PREFIX: Final = 40
_match_user_name = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}").fullmatch


@dataclass(frozen=True)
class Accounts:
    """All users, tokens and reserved names at one moment.

    Attributes:
        owners: the users by name.
        tokens: what each token that is not revoked is good for, by its digest.
        reserved: names (labels under the base domain, or full hostnames) to users' names.
    """

    owners: Mapping[str, Owner] = field(default_factory=dict)
    tokens: Mapping[bytes, Credential] = field(default_factory=dict)
    reserved: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def _by_prefix(self) -> Mapping[str, Owner]:
        return {owner.prefix: owner for owner in self.owners.values()}

    def owner_of(self, text: str) -> Owner | None:
        """The user whose prefix a label or client id carries."""
        for start in _starts(text):
            owner = self._by_prefix.get(start)
            if owner is not None:
                return owner
        return None

    def overlapping(self, prefix: str) -> Owner | None:
        """A user whose names another with this prefix would share."""
        wanted = Owner("", prefix)
        near = (owner for owner in self.owners.values() if wanted.carried_by(owner.prefix))
        return self.owner_of(prefix) or next(near, None)

    def own_client_id(self, owner: Owner, client_id: str, *, derived: bool = False) -> str:
        """The id that a client of `owner` goes by.

        Args:
            owner: whom the client acts for.
            client_id: what it calls itself.
            derived: whether it made that up by itself, so that it may get the prefix.

        Raises:
            Refused: it would pass for somebody else's client.
        """
        if owner.is_shared:
            if self.owner_of(client_id) is not None:
                raise Refused(
                    Code.INVALID,
                    f"the client id {client_id} belongs to somebody else: choose another with "
                    "--client-id",
                )
            return client_id
        if owner.carried_by(client_id):
            return client_id
        own = f"{owner.prefix}-{client_id}"[:_MAX_CLIENT_ID]
        if not derived:
            raise Refused(
                Code.INVALID,
                f"the client id {client_id} is not yours: yours begin with {owner.prefix}-, "
                f"like {own}",
            )
        return own


def _starts(text: str) -> Iterator[str]:
    """The text up to each of its hyphens, and the whole."""
    end = text.find("-")
    while end != -1:
        yield text[:end]
        end = text.find("-", end + 1)
    yield text


def check_user_name(text: str) -> str:
    """A name for a user.

    Raises:
        ValueError: it is none; the text says why.
    """
    if _match_user_name(text) is None:
        raise ValueError(
            f"{text!r} is no user's name: use small letters, digits and . _ @ + -, beginning "
            "with a letter or digit, 64 characters at most"
        )
    if text == SHARED.name:
        raise ValueError(f"no user can be called {text}: that is who the shared token stands for")
    return text


def prefix_for(name: str, wanted: str | None = None) -> str:
    """The prefix that a user gets.

    Args:
        name: the user's name, from which one is made.
        wanted: one that was chosen.

    Raises:
        ValueError: there is none; the text says why.
    """
    text = re.sub(r"[^a-z0-9]+", "-", name).strip("-") if wanted is None else wanted
    try:
        prefix = check_label(text)
    except ValueError as error:
        raise ValueError(f"the prefix {error}") from error
    if len(prefix) > MAX_PREFIX:
        raise ValueError(
            f"the prefix {prefix!r} is longer than {MAX_PREFIX} characters: choose a shorter one"
        )
    if prefix == SHARED.name:
        raise ValueError(f"the prefix {prefix!r} would mislead: choose another one")
    return prefix


def check_pattern(text: str) -> str:
    """A pattern for labels: a label in which `*` stands for any characters, or none.

    Raises:
        ValueError: it is none; the text says why.
    """
    pattern = text.lower()
    try:
        if len(pattern) > 63:
            raise ValueError
        check_label(pattern.replace("*", "a"))
    except ValueError:
        raise ValueError(
            f"{text!r} is no pattern for names: use letters, digits and hyphens, and * for any, "
            "like shop-*"
        ) from None
    return pattern
