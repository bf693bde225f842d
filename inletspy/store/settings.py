"""The settings in force, kept in step with the database.

Owns what the rows stand for and who is told of changes. While the database is away the last
settings read stay in force. Knows nothing of what the settings do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import psycopg2
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from inletspy.config import DEFAULT_DOMAIN, ServerConfig
from inletspy.errors import DatabaseUnavailable, StartError
from inletspy.interfaces import IStoredSettings
from inletspy.observers import Observers
from inletspy.settings import Settings
from inletspy.store.connection import first_line
from inletspy.store.database import SETTINGS_CHANNEL, Database
from inletspy.store.following import Following
from inletspy.store.table import SettingsTable

__all__ = ["StoredSettings"]

log = Logger()


@implementer(IStoredSettings)
class StoredSettings:
    """The settings of a running server.

    Args:
        database: is started and migrated before anything is asked of this.
        clock: for the readings that nothing asked for.
        token: stands in for `inlets_shared_token` during this start.
        domain: stands in for an empty `tunnel_base_domain`.

    Attributes:
        current: the settings in force; defaults before `load` has fired.
        table: reads and changes what is stored.
    """

    current: Settings

    def __init__(
        self,
        database: Database,
        clock: IReactorTime,
        token: str | None = None,
        domain: str = DEFAULT_DOMAIN,
    ) -> None:
        self._database = database
        self.table = SettingsTable(database)
        self._token = token
        self._domain = domain
        self._observers: Observers[[Settings, Settings]] = Observers()
        self._problems: set[str] = set()
        self._following = Following(database, clock, "the settings", SETTINGS_CHANNEL, self._read)
        self.current = self._in_force({}, self._problems.add)

    def subscribe(self, observer: Callable[[Settings, Settings], None]) -> Callable[[], None]:
        """Call `observer(new, old)` after every change; returns what ends that."""
        return self._observers.subscribe(observer)

    def seed(self, config: ServerConfig) -> Deferred[None]:
        """Add what the database lacks; fails with StartError."""
        given = {
            "inlets_shared_token": config.seed_token,
            "tunnel_base_domain": None if config.domain == DEFAULT_DOMAIN else config.domain,
        }

        async def seed() -> None:
            try:
                await self.table.seed(config)
                stored = await self.table.all()
            except (psycopg2.Error, DatabaseUnavailable) as error:
                raise StartError(f"can't store the settings: {first_line(error)}") from error
            for row in stored:
                if given.get(row.setting.key) not in (None, row.text):
                    log.warn(
                        "{key} is what the database has, not what this start was told;"
                        " `inletspy config set {key} -` changes it",
                        key=row.setting.key,
                    )

        return ensureDeferred(seed())

    def load(self) -> Deferred[None]:
        """Read the settings, and again at each change from now on; fails with StartError."""
        return self._following.start()

    def refresh(self) -> Deferred[None]:
        """Fires when what is stored by now is in force, or can't be read."""
        return self._following.refresh()

    def stop(self) -> Deferred[None]:
        """Follow the database no longer; fires when no reading is under way."""
        return self._following.stop()

    async def _read(self) -> None:
        rows = {stored.setting.key: stored.text for stored in await self.table.all()}
        problems: set[str] = set()
        new, old = self._in_force(rows, problems.add), self.current
        for problem in sorted(problems - self._problems):
            log.warn("{problem}", problem=problem)
        self._problems = problems
        if new != old:
            self.current = new
            self._observers.tell(new, old)

    def _in_force(
        self, rows: Mapping[str, str | None], problems: Callable[[str], None]
    ) -> Settings:
        settings = Settings.from_rows(rows, problems)
        if self._token is not None:
            settings = replace(settings, inlets_shared_token=self._token)
        if not settings.tunnel_base_domain:
            settings = replace(settings, tunnel_base_domain=self._domain)
        return settings
