"""The table `config_settings`: reading and changing the rows of our own keys.

The table may be a platform's, with other keys in it: those are neither read nor changed.
Knows nothing of what the settings do or of who follows them.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from zope.interface import implementer

from inletspy.config import ServerConfig, is_development
from inletspy.errors import UsageError
from inletspy.interfaces import ISettingsTable
from inletspy.settings import Setting, Settings, StoredSetting, setting_named
from inletspy.store.connection import Cursor
from inletspy.store.database import Database

__all__ = ["SettingsTable"]

#: What a development start sets, in a database that does not have these keys yet.
DEVELOPMENT = {
    "tunnels_enabled": "true",
    "custom_domains_enabled": "true",
    "catch_all_enabled": "true",
}

INSERT = (
    "INSERT INTO config_settings"
    " (key, value, type, description, default_value, created_at, updated_at)"
    " VALUES (%s, %s, %s, %s, %s, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP)"
)


@implementer(ISettingsTable)
class SettingsTable:
    """The rows of `config_settings` whose keys are in the catalogue.

    All methods raise DatabaseUnavailable, or another `psycopg2.Error`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[StoredSetting]:
        """All keys of the catalogue, in its order, stored or not."""
        catalogue = Settings.catalogue()
        rows = await self._database.query(
            "SELECT key, value, default_value FROM config_settings WHERE key = ANY(%s)",
            (list(catalogue),),
        )
        stored = {key: (value, default) for key, value, default in rows}
        found = []
        for key, setting in catalogue.items():
            value, default = stored.get(key, (None, None))
            found.append(
                StoredSetting(setting, value, setting.default if default is None else default)
            )
        return found

    async def get(self, key: str) -> StoredSetting:
        """One key; raises UsageError where there is none of that name."""
        setting = setting_named(key)
        return next(stored for stored in await self.all() if stored.setting == setting)

    async def set(self, key: str, text: str) -> None:
        """Store a value.

        Raises:
            UsageError: there is no such key, or the value is of the wrong type.
        """
        setting = setting_named(key)
        setting.check(text)
        await self._database.operation(
            f"{INSERT} ON CONFLICT (key) DO UPDATE"
            " SET value = EXCLUDED.value, updated_at = EXCLUDED.updated_at",
            _row(setting, text),
        )

    async def reset(self, key: str) -> None:
        """Go back to the default.

        Raises:
            UsageError: there is no such key, or no token to go back to.
        """
        if key == "inlets_shared_token" and not (await self.get(key)).default:
            raise UsageError(
                f"{key} has no default, and nobody could connect with it any more: set another "
                f"(inletspy config set {key} -), or turn it off (inletspy config set "
                "shared_token_enabled false)"
            )
        await self._database.operation(
            "UPDATE config_settings SET value = NULL, updated_at = CURRENT_TIMESTAMP"
            " WHERE key = %s",
            (setting_named(key).key,),
        )

    async def seed(self, config: ServerConfig) -> None:
        """Add the keys that are missing, and what a first start chooses for them.

        A key that is there stays as it is; only a secret or base domain that is empty is
        filled in.
        """
        wanted = {
            "inlets_shared_token": config.seed_token or secrets.token_urlsafe(32),
            "tunnel_base_domain": config.domain,
            "link_signing_key": secrets.token_urlsafe(32),
            "session_signing_key": secrets.token_urlsafe(32),
        }
        await self.fill(wanted, DEVELOPMENT if is_development(config.domain) else {})

    async def fill(self, wanted: Mapping[str, str], at_first: Mapping[str, str]) -> None:
        """Add the keys that are missing; what somebody has chosen stays.

        Args:
            wanted: values for keys that are missing, or for which none was chosen.
            at_first: values for keys that are missing.
        """

        async def fill(cursor: Cursor) -> None:
            catalogue = Settings.catalogue()
            await cursor.execute(
                "SELECT key, value, default_value FROM config_settings WHERE key = ANY(%s)",
                (list(catalogue),),
            )
            present = {key: (value, default) for key, value, default in cursor.fetchall()}
            # Not for all of them: each statement notifies, even one that changes nothing.
            for key, setting in catalogue.items():
                if key not in present:
                    row = _row(setting, wanted.get(key, at_first.get(key)))
                    await cursor.execute(f"{INSERT} ON CONFLICT (key) DO NOTHING", row)
                elif key in wanted and not _is_chosen(setting, *present[key]):
                    await cursor.execute(
                        "UPDATE config_settings SET value = %s, updated_at = CURRENT_TIMESTAMP"
                        " WHERE key = %s AND value IS NOT DISTINCT FROM %s",
                        (wanted[key], key, present[key][0]),
                    )

        await self._database.transaction(fill)


def _is_chosen(setting: Setting, value: str | None, default: str | None) -> bool:
    """Whether somebody has decided on a value; a platform may do so by its default."""
    if value is None:
        return bool(default) and default != setting.default
    return bool(value)


def _row(setting: Setting, value: str | None) -> tuple[str | None, ...]:
    return setting.key, value, setting.type, setting.description, setting.default
