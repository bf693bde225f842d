"""`tunnels.json` and what can go wrong with it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import TestCase

from inletspy.web.rows import shown
from inletspy.web.tunnelsfile import INTERVAL_SECONDS, TunnelsFile
from tests.web.support import StubTunnels, live_row


class TunnelsFileTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.path = self.folder / "tunnels.json"
        self.clock = Clock()
        self.tunnels = StubTunnels()
        self.file = TunnelsFile(self.path, self.tunnels, self.clock)

    def content(self) -> Any:
        return json.loads(self.path.read_bytes())

    def inode(self) -> int:
        return self.path.stat().st_ino

    def show(self, *rows: dict[str, Any]) -> None:
        """Change the tunnels and let the time pass that it may take to be written."""
        self.tunnels.show(*rows)
        self.clock.advance(INTERVAL_SECONDS)

    def test_touches_nothing_before_its_start(self) -> None:
        self.tunnels.show(live_row())
        self.assertEqual(list(self.folder.iterdir()), [])

    def test_an_empty_array_from_the_start(self) -> None:
        self.path.write_text("what a crash left behind")
        self.file.start()
        self.assertEqual(self.content(), [])

    def test_follows_every_change_without_the_owner(self) -> None:
        self.file.start()
        for rows in ([live_row()], [live_row(), live_row(client_id="Zoë")], []):
            self.show(*rows)
            self.assertEqual(self.content(), shown(rows))
        self.assertEqual(os.listdir(self.folder), ["tunnels.json"])

    def test_can_be_read_by_those_who_monitor(self) -> None:
        old = os.umask(0o022)
        self.addCleanup(os.umask, old)
        self.file.start()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o644)

    def test_many_changes_are_one_write(self) -> None:
        self.file.start()
        before = self.inode()
        for number in range(10):
            self.tunnels.show(live_row(client_id=str(number)))
            self.assertEqual((self.content(), self.inode()), ([], before))
            self.clock.advance(INTERVAL_SECONDS / 20)
        self.clock.advance(INTERVAL_SECONDS / 2)
        self.assertEqual(self.content()[0]["client_id"], "9")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_reader_keeps_the_whole_file_it_opened(self) -> None:
        self.file.start()
        with self.path.open() as reader:
            self.show(live_row())
            self.assertEqual(json.load(reader), [])

    def test_an_empty_array_at_the_end(self) -> None:
        self.file.start()
        self.show(live_row())
        self.tunnels.show(live_row(), live_row())
        self.file.stop()
        self.assertEqual(self.content(), [])
        self.assertEqual((self.clock.getDelayedCalls(), self.tunnels.observers), ([], []))

    def test_one_line_for_each_time_it_fails(self) -> None:
        self.file.start()
        for _ in range(2):
            # A folder in the draft's place fails for root as well, unlike permissions.
            obstacle = self.folder / ".tunnels.json.new"
            obstacle.mkdir()
            with capturedLogs() as events:
                self.show(live_row())
                self.show(live_row(), live_row())
            self.assertEqual([event["log_level"] for event in events], [LogLevel.error])
            self.assertEqual(self.content(), [])
            obstacle.rmdir()
            with capturedLogs() as events:
                self.show(live_row())
                self.show()
            self.assertEqual([event["log_level"] for event in events], [LogLevel.info])
            self.assertEqual(self.content(), [])

    def test_a_full_disk(self) -> None:
        self.file.start()
        (self.folder / ".tunnels.json.new").symlink_to("/dev/full")
        with capturedLogs() as events:
            self.show(live_row())
        self.assertEqual([event["reason"] for event in events], ["No space left on device"])
        self.assertEqual(self.content(), [])

    def test_a_folder_that_is_gone_does_not_keep_it_from_stopping(self) -> None:
        self.file.start()
        self.path.unlink()
        self.folder.rmdir()
        with capturedLogs() as events:
            self.file.stop()
        self.assertEqual(len(events), 1)
