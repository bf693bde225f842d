"""`/api/config`: the settings, shown and changed by admins.

What may be stored is the catalogue's matter. Secrets go in, and never out.
"""

from __future__ import annotations

import json
from typing import Any, Final

from inletspy.errors import NotThere, UsageError
from inletspy.interfaces import IStoredSettings
from inletspy.settings import Setting, StoredSetting, setting_named
from inletspy.web.calls import Asked, Call
from inletspy.web.schemas import array, check, named, record, text

__all__ = ["SETTING", "SettingCalls"]

HIDDEN: Final = "********"

#: Type of a setting to the schema of its value.
_VALUES: Final[dict[str, dict[str, Any]]] = {
    "string": {"type": "string"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "json": {},
}

SETTING: Final = record(
    {
        "key": text("What it is called."),
        "type": {"enum": [*_VALUES]},
        "value": {"description": f"Of that type; {HIDDEN} for a secret that is set."},
        "default": {"description": "As the value."},
        "description": text("What it does."),
        "secret": {"type": "boolean"},
        "is_default": {"type": "boolean"},
        "problem": {
            "type": ["string", "null"],
            "description": "Why not the value, but the default is in force.",
        },
    }
)

_AWAY: Final = {503: "The database is away, or slow."}


class SettingCalls:
    """The calls about settings."""

    def __init__(self, settings: IStoredSettings) -> None:
        self._settings = settings
        self._table = settings.table

    def calls(self) -> list[Call]:
        """The calls."""
        value = {"description": "Of the setting's type."}
        one: dict[str, Any] = {"answer": named("Setting"), "scopes": ("admin",), "errors": _AWAY}
        return [
            Call(
                "GET",
                "/api/config",
                self.list,
                "All settings",
                record({"settings": array(named("Setting"))}),
                ("admin",),
                errors=_AWAY,
            ),
            Call("GET", "/api/config/{key}", self.one, "One setting", **one),
            Call(
                "PUT",
                "/api/config/{key}",
                self.set,
                "Change a setting",
                body=record({"value": value}, closed=True),
                **one,
            ),
            Call("DELETE", "/api/config/{key}", self.reset, "Go back to the default", **one),
        ]

    async def list(self, asked: Asked) -> dict[str, Any]:
        """All settings."""
        return {"settings": [_row(stored) for stored in await self._table.all()]}

    async def one(self, asked: Asked) -> dict[str, Any]:
        """One setting."""
        return _row(await self._table.get(_setting(asked).key))

    async def set(self, asked: Asked) -> dict[str, Any]:
        """Store a value."""
        setting = _setting(asked)
        check({"properties": {"value": _VALUES[setting.type]}}, asked.body)
        value = asked.body["value"]
        await self._table.set(setting.key, value if setting.type == "string" else json.dumps(value))
        return await self._changed(setting)

    async def reset(self, asked: Asked) -> dict[str, Any]:
        """Go back to the default."""
        setting = _setting(asked)
        await self._table.reset(setting.key)
        return await self._changed(setting)

    async def _changed(self, setting: Setting) -> dict[str, Any]:
        await self._settings.refresh()
        return _row(await self._table.get(setting.key))


def _setting(asked: Asked) -> Setting:
    try:
        return setting_named(asked.parameters["key"])
    except UsageError:
        raise NotThere from None


def _row(stored: StoredSetting) -> dict[str, Any]:
    setting = stored.setting
    return {
        "key": setting.key,
        "type": setting.type,
        "value": _shown(setting, stored.text),
        "default": _shown(setting, stored.default),
        "description": setting.description,
        "secret": setting.secret,
        "is_default": stored.value is None,
        "problem": stored.problem,
    }


def _shown(setting: Setting, stored: str) -> Any:
    if setting.secret:
        return HIDDEN if stored else ""
    try:
        return setting.plain(stored)
    except ValueError:
        return stored
