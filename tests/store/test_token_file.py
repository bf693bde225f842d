"""`token.txt` is the token in force, and nobody else's to read."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import TestCase
from zope.interface import implementer

from inletspy.errors import StartError
from inletspy.interfaces import ISettings
from inletspy.observers import Observers
from inletspy.settings import Settings
from inletspy.store.token_file import TokenFile
from tests.store.support import lines_logged


@implementer(ISettings)
class GivenSettings:
    """Settings that change when a test says so."""

    current: Settings

    def __init__(self, token: str) -> None:
        self.current = replace(Settings.from_rows({}), inlets_shared_token=token)
        self._observers: Observers[[Settings, Settings]] = Observers()

    def subscribe(self, observer: Callable[[Settings, Settings], None]) -> Callable[[], None]:
        return self._observers.subscribe(observer)

    def change(self, **values: object) -> None:
        old, self.current = self.current, replace(self.current, **values)  # type: ignore[arg-type]
        self._observers.tell(self.current, old)


class TokenFileTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "token.txt"
        self.settings = GivenSettings("first")
        self.file = TokenFile(self.path, self.settings)

    def assertHolds(self, token: str) -> None:
        self.assertEqual(self.path.read_text(), f"{token}\n")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.assertEqual(os.listdir(self.folder), ["token.txt"])

    def test_at_the_start_and_after_each_change(self) -> None:
        self.file.start()
        self.assertHolds("first")
        self.settings.change(inlets_shared_token="second")
        self.assertHolds("second")
        self.file.stop()
        self.settings.change(inlets_shared_token="third")
        self.assertHolds("second")

    def test_private_whatever_was_there_or_the_umask_allows(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.path.write_text("old")
        self.path.chmod(0o666)
        self.file.start()
        self.assertHolds("first")

    def test_never_open_to_others_while_it_is_written(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        modes: list[int] = []
        rename = os.replace

        def look(source: str, target: Path) -> None:
            modes.append(stat.S_IMODE(os.stat(source).st_mode))
            rename(source, target)

        self.patch(os, "replace", look)
        self.file.start()
        self.assertEqual(modes, [0o600])

    def test_left_alone_when_something_else_changes(self) -> None:
        self.file.start()
        self.path.unlink()
        self.settings.change(tunnels_enabled=True)
        self.assertFalse(self.path.exists())

    def test_no_token_no_file(self) -> None:
        self.file.start()
        self.settings.change(inlets_shared_token="")
        self.assertFalse(self.path.exists())
        self.settings.change(inlets_shared_token="again")
        self.assertHolds("again")

    def test_a_start_that_cannot_write(self) -> None:
        file = TokenFile(self.folder / "missing" / "token.txt", self.settings)
        error = self.assertRaises(StartError, file.start)
        self.assertIn("token.txt: No such file or directory", str(error))

    def test_a_change_that_cannot_be_written_is_one_line_in_the_log(self) -> None:
        self.file.start()
        self.path.unlink()
        self.folder.rmdir()
        lines = lines_logged(self)
        self.settings.change(inlets_shared_token="hush")
        self.assertEqual(lines, [f"can't write {self.path}: No such file or directory"])
