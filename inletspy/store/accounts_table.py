"""The tables of users, tokens and reserved names: reading and changing the rows.

Decides, in one transaction with each change, whether it may be. Knows nothing of who
follows the rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar

from zope.interface import implementer

from inletspy.errors import Conflict, NotThere, UsageError
from inletspy.interfaces import IAccountsTable
from inletspy.policy.accounts import Accounts, check_pattern, check_user_name, prefix_for
from inletspy.policy.limits import check_limits
from inletspy.policy.names import plain_name
from inletspy.policy.tokens import (
    SCOPES,
    Credential,
    Owner,
    is_token,
    new_token,
    readable_start,
    token_digest,
)
from inletspy.store.connection import Cursor
from inletspy.store.database import Database

__all__ = ["MADE_LIMIT", "AccountsTable"]

T = TypeVar("T")

#: What a token's row is read as, in the order of `_credential`'s parameters. Those that
#: expired lately are there for their clients to be told so, whatever the clocks say.
_CREDENTIAL: Final = (
    "SELECT u.name, u.prefix, t.digest, t.prefix, t.scopes, t.names, t.port_first, t.port_last,"
    " extract(epoch FROM t.expires_at)::float8, t.limits"
    " FROM inletspy_tokens t JOIN inletspy_users u ON u.name = t.user_name"
    " WHERE t.revoked_at IS NULL"
    " AND (t.expires_at IS NULL OR t.expires_at > CURRENT_TIMESTAMP - interval '1 day')"
)
#: A token starts with what it is called by in lists, or with the text that somebody gave.
_CALLED: Final = (
    "(starts_with(prefix, %(given)s) OR digest = %(digest)s)"
    " AND (%(user)s IS NULL OR user_name = %(user)s)"
)
#: So many tokens may be made with the tokens of one user; those revoked long ago don't count.
MADE_LIMIT: Final = 100


@implementer(IAccountsTable)
class AccountsTable:
    """The rows of `inletspy_users`, `inletspy_tokens` and `inletspy_names`.

    All methods raise DatabaseUnavailable, or another `psycopg2.Error`; those that change
    something also UsageError (of which NotThere and Conflict are kinds), with a text for
    people.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    async def accounts(self) -> Accounts:
        """All that the server needs to know, as it is at one moment."""

        async def read(cursor: Cursor) -> Accounts:
            await cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await cursor.execute("SELECT name, prefix FROM inletspy_users")
            owners = {name: Owner(name, prefix) for name, prefix in cursor.fetchall()}
            await cursor.execute(_CREDENTIAL)
            credentials = [_credential(*row) for row in cursor.fetchall()]
            await cursor.execute("SELECT name, user_name FROM inletspy_names")
            tokens = {credential.digest: credential for credential in credentials}
            return Accounts(owners, tokens, dict(cursor.fetchall()))

        return await self.database.transaction(read)

    async def note_uses(self, moments: Mapping[bytes, datetime]) -> None:
        """Note when tokens, given by their digests, were used last."""
        await self.database.operation(
            "UPDATE inletspy_tokens t SET last_used_at = greatest(t.last_used_at, n.used_at)"
            " FROM unnest(%s::bytea[], %s::timestamptz[]) AS n (digest, used_at)"
            " WHERE t.digest = n.digest",
            (list(moments), list(moments.values())),
        )

    # -- users

    async def users(self, name: str | None = None) -> list[dict[str, Any]]:
        """All users by name, or one, with the numbers of good tokens and reserved names."""
        return await self._rows(
            ("name", "prefix", "tokens", "names", "created_at"),
            "SELECT u.name, u.prefix,"
            " (SELECT count(*) FROM inletspy_tokens t WHERE t.user_name = u.name"
            "  AND t.revoked_at IS NULL"
            "  AND (t.expires_at IS NULL OR t.expires_at > CURRENT_TIMESTAMP)),"
            " (SELECT count(*) FROM inletspy_names n WHERE n.user_name = u.name),"
            " u.created_at FROM inletspy_users u WHERE %s IS NULL OR u.name = %s ORDER BY u.name",
            name,
            name,
        )

    async def add_user(self, name: str, prefix: str | None = None) -> Owner:
        """Add a user; the prefix is made from the name where none is given."""
        owner = _sensible(lambda: Owner(check_user_name(name), prefix_for(name, prefix)))

        async def add(cursor: Cursor) -> None:
            # Nobody else adds one in between: what is checked must still hold.
            await cursor.execute("LOCK TABLE inletspy_users IN SHARE ROW EXCLUSIVE MODE")
            await cursor.execute("SELECT name, prefix FROM inletspy_users")
            others = {name: Owner(name, prefix) for name, prefix in cursor.fetchall()}
            if owner.name in others:
                raise Conflict(f"there is a user {owner.name} already")
            near = Accounts(others).overlapping(owner.prefix)
            if near is not None:
                raise Conflict(
                    f"the prefix {owner.prefix} would share names with {near.prefix}, which is"
                    f" {near.name}'s: choose another prefix"
                )
            await cursor.execute(
                "INSERT INTO inletspy_users (name, prefix) VALUES (%s, %s)",
                (owner.name, owner.prefix),
            )

        await self.database.transaction(add)
        return owner

    async def remove_user(self, name: str) -> None:
        """Remove a user, with all tokens and reserved names."""
        _check_known(name)
        if not await self._change("DELETE FROM inletspy_users WHERE name = %s", name):
            raise _no_user(name)

    # -- tokens

    async def tokens(self, user: str | None = None) -> list[dict[str, Any]]:
        """All tokens, or those of one user, the oldest first; never the tokens themselves."""
        if user is not None:
            _check_known(user)
        rows = await self._rows(
            (
                "token",
                "user",
                "state",
                "scopes",
                "names",
                "ports",
                "limits",
                "created_at",
                "expires_at",
                "revoked_at",
                "last_used_at",
            ),
            "SELECT prefix, user_name, CASE WHEN revoked_at IS NOT NULL THEN 'revoked'"
            " WHEN expires_at <= CURRENT_TIMESTAMP THEN 'expired' ELSE 'good' END,"
            " scopes, names, port_first || '-' || port_last, limits, created_at,"
            " expires_at, revoked_at, last_used_at FROM inletspy_tokens"
            " WHERE %s IS NULL OR user_name = %s ORDER BY created_at, prefix",
            user,
            user,
        )
        if user is not None and not rows:
            await self._check_user(user)
        return rows

    async def create_token(
        self,
        user: str,
        *,
        scopes: Sequence[str] = SCOPES[:2],
        names: Sequence[str] = (),
        ports: range | None = None,
        expires_in: float | None = None,
        limits: Mapping[str, float] | None = None,
        maker: Credential | None = None,
    ) -> str:
        """Make a token for a user.

        Args:
            user: whose it is.
            scopes: what it allows.
            names: patterns of labels to confine it to.
            ports: public TCP ports to confine it to.
            expires_in: after so many seconds; None for never.
            limits: its own, in place of those in the settings.
            maker: the user's token that asks for it, and with which it ends; None if somebody
                asks who may do anything.

        Returns:
            The token itself, which is stored nowhere.
        """
        _check_known(user)
        for scope in scopes:
            if scope not in SCOPES:
                raise UsageError(f"unknown scope {scope!r}: use {', '.join(SCOPES)}")
        if not scopes:
            raise UsageError(f"a token needs a scope at least: {', '.join(SCOPES)}")
        patterns = _sensible(lambda: [check_pattern(name) for name in names])
        own = _sensible(lambda: check_limits(limits or {}))
        token = new_token()
        digest = maker.digest if maker is not None else None

        async def create(cursor: Cursor) -> None:
            if digest is not None:
                await _check_maker(cursor, digest, user)
            await cursor.execute(
                "INSERT INTO inletspy_tokens"
                " (digest, user_name, prefix, scopes, names, port_first, port_last, expires_at,"
                " made_by, limits)"
                " SELECT %s, name, %s, %s::text[], %s::text[], %s, %s,"
                " CURRENT_TIMESTAMP + %s::float8 * interval '1 second',"
                " %s, %s::jsonb"
                " FROM inletspy_users WHERE name = %s",
                (
                    token_digest(token),
                    readable_start(token),
                    sorted(set(scopes), key=SCOPES.index),
                    patterns,
                    ports[0] if ports else None,
                    ports[-1] if ports else None,
                    expires_in,
                    digest,
                    json.dumps(own) if own else None,
                    user,
                ),
            )
            if not cursor.rowcount:
                raise _no_user(user)

        await self.database.transaction(create)
        return token

    async def revoke_token(self, given: str, user: str | None = None) -> str:
        """Revoke the one token (of a user) whose readable start begins so; gives that start.

        Those that were made with it end, too.
        """
        if not is_token(given):
            raise _no_token()
        parameters = {"given": given, "digest": token_digest(given), "user": user}

        async def revoke(cursor: Cursor) -> str:
            await cursor.execute(
                f"SELECT digest, prefix, revoked_at IS NULL FROM inletspy_tokens WHERE {_CALLED}",
                parameters,
            )
            found = cursor.fetchall()
            good = [row for row in found if row[2]]
            if not found:
                raise _no_token()
            if not good:
                raise Conflict(f"the token {found[0][1]}… is revoked already")
            if len(good) > 1:
                starts = ", ".join(sorted(row[1] for row in good)[:5])
                raise UsageError(f"{len(good)} tokens begin so ({starts}): give more of it")
            digest, start, _ = good[0]
            await cursor.execute(
                "UPDATE inletspy_tokens SET revoked_at = CURRENT_TIMESTAMP WHERE digest = %s",
                (digest,),
            )
            # One generation at a time: each statement sees what was made before the makers'
            # rows were locked by the one before it.
            while cursor.rowcount:
                await cursor.execute(
                    "UPDATE inletspy_tokens t SET revoked_at = CURRENT_TIMESTAMP"
                    " FROM inletspy_tokens m WHERE t.made_by = m.digest"
                    " AND t.revoked_at IS NULL AND m.revoked_at IS NOT NULL"
                )
            return str(start)

        return await self.database.transaction(revoke)

    # -- names

    async def names(self, user: str | None = None) -> list[dict[str, Any]]:
        """All reserved names, or those of one user, in order."""
        return await self._rows(
            ("name", "user", "created_at"),
            "SELECT name, user_name, created_at FROM inletspy_names"
            " WHERE %s IS NULL OR user_name = %s ORDER BY name",
            user,
            user,
        )

    async def reserve_name(self, name: str, user: str, base_domain: str = "") -> str:
        """Reserve a label, or a hostname, for a user.

        Args:
            name: a hostname under the base domain is stored as its label.
            user: whose it is to be.
            base_domain: the server's.

        Returns:
            The name as it is stored.
        """
        _check_known(user)
        plain = _sensible(lambda: plain_name(name, base_domain))

        async def reserve(cursor: Cursor) -> None:
            await cursor.execute(
                "INSERT INTO inletspy_names (name, user_name)"
                " SELECT %s, name FROM inletspy_users WHERE name = %s ON CONFLICT DO NOTHING",
                (plain, user),
            )
            if cursor.rowcount:
                return
            await cursor.execute("SELECT user_name FROM inletspy_names WHERE name = %s", (plain,))
            holder = cursor.fetchone()
            if holder is None:
                raise _no_user(user)
            raise Conflict(f"{plain} is reserved for {holder[0]} already")

        await self.database.transaction(reserve)
        return plain

    async def release_name(self, name: str, base_domain: str = "", user: str | None = None) -> str:
        """Reserve a name (of a user) no longer; gives it as it was stored."""
        plain = _sensible(lambda: plain_name(name, base_domain))
        deleted = await self._change(
            "DELETE FROM inletspy_names WHERE name = %s AND (%s IS NULL OR user_name = %s)",
            plain,
            user,
            user,
        )
        if not deleted:
            raise NotThere(f"{plain} is not reserved: see `inletspy name list`")
        return plain

    # -- asking

    async def _check_user(self, name: str) -> None:
        if not await self.database.query("SELECT 1 FROM inletspy_users WHERE name = %s", (name,)):
            raise _no_user(name)

    async def _change(self, sql: str, *parameters: Any) -> int:
        return await self.database.operation(sql, parameters)

    async def _rows(self, keys: Sequence[str], sql: str, *parameters: Any) -> list[dict[str, Any]]:
        rows = await self.database.query(sql, parameters)
        return [dict(zip(keys, row, strict=True)) for row in rows]


def _credential(
    user: str,
    user_prefix: str,
    digest: memoryview,
    start: str,
    scopes: list[str],
    names: list[str],
    port_first: int | None,
    port_last: int | None,
    expires_at: float | None,
    limits: Any,
) -> Credential:
    ports = None
    if port_first is not None and port_last is not None:
        ports = range(max(1, port_first), min(65535, port_last) + 1)
    return Credential(
        owner=Owner(user, user_prefix),
        token=start,
        scopes=frozenset(scopes),
        names=tuple(names),
        ports=ports,
        expires_at=expires_at,
        limits=limits if isinstance(limits, dict) else {},
        digest=bytes(digest),
    )


async def _check_maker(cursor: Cursor, digest: bytes, user: str) -> None:
    """Refuse if the maker of a token is good no longer, or its user has made too many."""
    # Locked: it can't be revoked before what it makes is there to be revoked with it.
    await cursor.execute(
        "SELECT 1 FROM inletspy_tokens WHERE digest = %s AND user_name = %s"
        " AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > CURRENT_TIMESTAMP)"
        " FOR UPDATE",
        (digest, user),
    )
    if cursor.fetchone() is None:
        raise Conflict("the token that asks is good no longer")
    await cursor.execute(
        "SELECT count(*) FROM inletspy_tokens WHERE user_name = %s AND made_by IS NOT NULL"
        " AND (created_at > CURRENT_TIMESTAMP - interval '1 day' OR (revoked_at IS NULL"
        " AND (expires_at IS NULL OR expires_at > CURRENT_TIMESTAMP)))",
        (user,),
    )
    if cursor.fetchone()[0] >= MADE_LIMIT:
        raise Conflict(f"{MADE_LIMIT} tokens were made already, today or still good: revoke some")


def _sensible(make: Callable[[], T]) -> T:
    """What `make()` gives; its ValueError becomes a UsageError."""
    try:
        return make()
    except ValueError as error:
        raise UsageError(str(error)) from error


def _check_known(user: str) -> None:
    try:
        check_user_name(user)
    except ValueError:
        raise _no_user(user) from None


def _no_token() -> NotThere:
    return NotThere("no token begins so: `inletspy token list` shows them all")


def _no_user(name: str) -> NotThere:
    return NotThere(f"there is no user {name!r}: `inletspy user list` shows them all")
