"""`/api/tokens`, `/api/users` and `/api/names`: who may have which tunnels.

A user's token reaches what is the user's own; what is another's is answered as what does
not exist. What may be, `policy` and the store decide.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from inletspy.answers import Answer, InvalidRequest, Problem
from inletspy.errors import NotThere, Refused
from inletspy.interfaces import IAccounts, ISettings
from inletspy.policy.accounts import MAX_PREFIX
from inletspy.policy.addresses import parse_port_range
from inletspy.policy.delegation import TokenWish
from inletspy.policy.durations import LONGEST
from inletspy.policy.limits import HIGHEST, Limits
from inletspy.policy.names import plain_name
from inletspy.policy.tokens import SCOPES, readable_start
from inletspy.web.access import Caller
from inletspy.web.calls import Asked, Call
from inletspy.web.schemas import Schema, array, named, record, text

__all__ = ["NAME", "TOKEN", "USER", "AccountCalls"]

_MOMENT: Final = {"type": "string", "format": "date-time"}
_MOMENT_OR_NONE: Final = {"type": ["string", "null"], "format": "date-time"}
_SCOPE: Final = {"enum": [*SCOPES]}
_PATTERN: Final = text("A label, in which `*` stands for any characters.", most=63)
_PREFIX: Final = text("The token's first characters, by which it is called.")

TOKEN: Final = record(
    {
        "prefix": _PREFIX,
        "user": text("Whom it stands for."),
        "state": {"enum": ["good", "expired", "revoked"]},
        "scopes": array(_SCOPE),
        "names": array({"type": "string"}, description="Patterns of the labels it is good for."),
        "ports": {"type": ["string", "null"], "description": "Public TCP ports it is good for."},
        "limits": {"type": ["object", "null"], "description": "In place of the settings'."},
        "created_at": _MOMENT,
        "expires_at": _MOMENT_OR_NONE,
        "revoked_at": _MOMENT_OR_NONE,
        "last_used_at": _MOMENT_OR_NONE,
    }
)
USER: Final = record(
    {
        "name": text("The user's name."),
        "prefix": text("What the user's hostnames and client ids begin with."),
        "tokens": {"type": "integer", "description": "How many good tokens there are."},
        "names": {"type": "integer", "description": "How many names are reserved."},
        "created_at": _MOMENT,
    }
)
NAME: Final = record(
    {
        "name": text("A label under the base domain, or a hostname outside it."),
        "user": text("Whose it is."),
        "created_at": _MOMENT,
    }
)

_LIMIT: Final = {"type": "number", "minimum": 0, "maximum": HIGHEST}
_USER_NAME: Final = text("A user's name.", most=64)

_NEW_TOKEN: Final = record(
    {},
    {
        "user": _USER_NAME,
        "scopes": {**array(_SCOPE, most=len(SCOPES)), "minItems": 1},
        "names": {**array(_PATTERN, most=32), "minItems": 1},
        "ports": text(
            "The first and the last.",
            most=11,
            pattern="^[0-9]{1,5}-[0-9]{1,5}$",
            examples=["30000-30010"],
        ),
        "expires_in": {
            "type": "integer",
            "description": "Seconds that it lasts.",
            "minimum": 1,
            "maximum": LONGEST,
        },
        "limits": {
            **record({}, dict.fromkeys(Limits().values(), _LIMIT), closed=True),
            "description": "In place of the settings'; for an admin to give.",
        },
    },
    closed=True,
)

#: For what changes things that are the caller's own.
_OWN: Final[dict[str, Any]] = {"scopes": ("connect", "status"), "or_admin": True}
_BY_USER: Final = {"user": "Those of this user only."}
_AWAY: Final = {503: "The database is away, or slow."}
_TAKEN: Final = {409: "It does not go together with what there is.", **_AWAY}


class AccountCalls:
    """The calls about users, tokens and reserved names.

    Args:
        accounts: the users and tokens in force.
        settings: know the base domain.
        now: the time since the epoch, in seconds.
    """

    def __init__(self, accounts: IAccounts, settings: ISettings, now: Callable[[], float]) -> None:
        self._accounts = accounts
        self._table = accounts.table
        self._settings = settings
        self._now = now

    def calls(self) -> list[Call]:
        """The calls."""
        made = record({"token": text("The token itself, this once."), **TOKEN["properties"]})
        user = record(
            {"name": _USER_NAME},
            {"prefix": text("Made from the name if it is left out.", most=MAX_PREFIX)},
            closed=True,
        )
        name = record(
            {
                "name": text("A label, or a hostname outside the base domain.", most=253),
                "user": _USER_NAME,
            },
            closed=True,
        )
        return [
            _list("tokens", "Token", self.tokens, "The caller's tokens", query=_BY_USER),
            _one("tokens/{prefix}", "Token", self.token, "One token"),
            _new(
                "tokens",
                made,
                self.create,
                "Make a token, of no more use than the one that asks and ending with it;"
                " an admin makes any",
                _NEW_TOKEN,
                **_OWN,
            ),
            _gone("tokens/{prefix}", "prefix", self.revoke, "Revoke a token, and what it made"),
            _list("users", "User", self.users, "The caller; all users for an admin"),
            _one("users/{name}", "User", self.user, "One user"),
            _new("users", named("User"), self.add, "Add a user", user, scopes=("admin",)),
            _gone(
                "users/{name}",
                "name",
                self.remove,
                "Remove a user, with tokens, names and tunnels",
                scopes=("admin",),
                or_admin=False,
            ),
            _list("names", "Name", self.names, "The caller's reserved names", query=_BY_USER),
            _one("names/{name}", "Name", self.name, "One reserved name"),
            _new("names", named("Name"), self.reserve, "Reserve a name", name, scopes=("admin",)),
            _gone("names/{name}", "name", self.release, "Reserve a name no longer"),
        ]

    # -- tokens

    async def tokens(self, asked: Asked) -> dict[str, Any]:
        """The tokens that the caller may see, or those of one user among them."""
        return {"tokens": await self._tokens(_user_asked_for(asked))}

    async def token(self, asked: Asked) -> dict[str, Any]:
        """The token that begins so."""
        return _found(await self._tokens(_own(asked.caller)), "prefix", asked)

    async def create(self, asked: Asked) -> Answer:
        """Make a token for the caller, or for anybody if an admin asks."""
        caller, body = asked.caller, asked.body
        user = body.get("user", caller.owner.name)
        wish = TokenWish(
            body.get("scopes"),
            body.get("names"),
            _ports(body.get("ports")),
            body.get("expires_in"),
        )
        maker = None
        if not caller.sees_all:
            if user != caller.owner.name or caller.owner.is_shared:
                detail = "A user's token makes tokens for that user only, the shared one none"
                raise Problem(403, "Forbidden", detail)
            if "limits" in body:
                raise Problem(403, "Forbidden", "Only an admin gives a token limits of its own")
            maker = caller.credential
            try:
                wish = wish.within(maker, self._now())
            except Refused as error:
                raise Problem(403, "Forbidden", error.message) from error
            except ValueError as error:
                raise InvalidRequest(f"names: {error}") from error
        given = {} if wish.scopes is None else {"scopes": wish.scopes}
        try:
            token = await self._table.create_token(
                user,
                names=wish.names or (),
                ports=wish.ports,
                expires_in=wish.expires_in,
                limits=body.get("limits"),
                maker=maker,
                **given,
            )
        except NotThere as error:
            raise InvalidRequest("user: there is none of that name") from error
        await self._accounts.refresh()
        prefix = readable_start(token)
        row = next(row for row in await self._tokens(user) if row["prefix"] == prefix)
        return _created("tokens", prefix, {"token": token, **row})

    async def revoke(self, asked: Asked) -> dict[str, Any]:
        """Revoke the token that begins so; all of its readable start must be given."""
        prefix = asked.parameters["prefix"]
        if prefix != readable_start(prefix) or len(prefix) < len(readable_start("x" * 99)):
            raise NotThere
        await self._table.revoke_token(prefix, _own(asked.caller))
        await self._accounts.refresh()
        return {"prefix": prefix}

    async def _tokens(self, user: str | None) -> list[dict[str, Any]]:
        try:
            rows = await self._table.tokens(user)
        except NotThere:
            return []
        return [{"prefix": row.pop("token"), **_ready(row)} for row in rows]

    # -- users

    async def users(self, asked: Asked) -> dict[str, Any]:
        """The users that the caller may see."""
        rows = await self._table.users(_own(asked.caller))
        return {"users": [_ready(row) for row in rows]}

    async def user(self, asked: Asked) -> dict[str, Any]:
        """The user of that name."""
        return _found((await self.users(asked))["users"], "name", asked)

    async def add(self, asked: Asked) -> Answer:
        """Add a user."""
        owner = await self._table.add_user(asked.body["name"], asked.body.get("prefix"))
        await self._accounts.refresh()
        (row,) = await self._table.users(owner.name)
        return _created("users", owner.name, _ready(row))

    async def remove(self, asked: Asked) -> dict[str, Any]:
        """Remove a user."""
        name = asked.parameters["name"]
        await self._table.remove_user(name)
        await self._accounts.refresh()
        return {"name": name}

    # -- names

    async def names(self, asked: Asked) -> dict[str, Any]:
        """The reserved names that the caller may see, or those of one user among them."""
        rows = await self._table.names(_user_asked_for(asked))
        return {"names": [_ready(row) for row in rows]}

    async def name(self, asked: Asked) -> dict[str, Any]:
        """The reserved name."""
        plain = self._plain(asked)
        rows = [_ready(row) for row in await self._table.names(_own(asked.caller))]
        return next((row for row in rows if row["name"] == plain), None) or _none()

    async def reserve(self, asked: Asked) -> Answer:
        """Reserve a name for a user."""
        name, user = asked.body["name"], asked.body["user"]
        try:
            plain = await self._table.reserve_name(name, user, self._domain)
        except NotThere as error:
            raise InvalidRequest("user: there is none of that name") from error
        await self._accounts.refresh()
        rows = await self._table.names(user)
        row = next(row for row in rows if row["name"] == plain)
        return _created("names", plain, _ready(row))

    async def release(self, asked: Asked) -> dict[str, Any]:
        """Reserve a name no longer."""
        plain = self._plain(asked)
        await self._table.release_name(plain, self._domain, _own(asked.caller))
        await self._accounts.refresh()
        return {"name": plain}

    @property
    def _domain(self) -> str:
        return self._settings.current.tunnel_base_domain

    def _plain(self, asked: Asked) -> str:
        try:
            return plain_name(asked.parameters["name"], self._domain)
        except ValueError:
            raise NotThere from None


# -- the forms of calls


def _list(
    path: str, kind: str, run: Any, summary: str, query: dict[str, str] | None = None
) -> Call:
    answer = record({path: array(named(kind))})
    return Call(
        "GET", f"/api/{path}", run, summary, answer, ("status",), query=query or {}, errors=_AWAY
    )


def _one(path: str, kind: str, run: Any, summary: str) -> Call:
    return Call("GET", f"/api/{path}", run, summary, named(kind), ("status",), errors=_AWAY)


def _new(path: str, answer: Schema, run: Any, summary: str, body: Schema, **more: Any) -> Call:
    return Call(
        "POST",
        f"/api/{path}",
        run,
        summary,
        answer,
        body=body,
        status=201,
        errors=_TAKEN,
        **more,
    )


def _gone(path: str, key: str, run: Any, summary: str, **more: Any) -> Call:
    answer = record({key: text("What it was called.")})
    return Call("DELETE", f"/api/{path}", run, summary, answer, errors=_TAKEN, **{**_OWN, **more})


# -- rows and callers


def _own(caller: Caller) -> str | None:
    """Whose alone the caller may reach; None for everybody's."""
    return None if caller.sees_all else caller.owner.name


def _user_asked_for(asked: Asked) -> str | None:
    """Whose are asked for, as far as the caller may reach them; None for everybody's."""
    own, wanted = _own(asked.caller), asked.parameters.get("user")
    if own is None or wanted in (None, own):
        return own or wanted
    return ""  # which is nobody's name


def _found(rows: list[dict[str, Any]], key: str, asked: Asked) -> dict[str, Any]:
    return next((row for row in rows if row[key] == asked.parameters[key]), None) or _none()


def _none() -> dict[str, Any]:
    raise NotThere


def _created(kind: str, name: str, row: dict[str, Any]) -> Answer:
    return Answer(row, 201, {"Location": f"/api/{kind}/{quote(name, safe='@+')}"})


def _ready(row: dict[str, Any]) -> dict[str, Any]:
    """A row as JSON can have it."""
    return {key: _json(value) for key, value in row.items()}


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return value


def _ports(wanted: str | None) -> range | None:
    if wanted is None:
        return None
    try:
        return parse_port_range(wanted)
    except ValueError as error:
        raise InvalidRequest(f"ports {error}") from error
