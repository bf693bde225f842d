"""A file that changes while a tunnel is up, with a clock that is moved by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.changes import INTERVAL, FileWatch, ProjectChanges
from inletspy.client.display import LinesDisplay
from inletspy.client.project import Project
from inletspy.wire.control import ServiceOffer
from tests.client.support import CONFIG, Written

WEB = "[services.web]\nupstream = 3000\n"
DB = '[services.db]\nupstream = "tcp://localhost:5432"\n'


class FileWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.path.write_text("1")
        self.changes = 0
        self.watch = FileWatch(self.clock, self.path, self.changed)
        self.watch.start()
        self.look(2)
        self.changes = 0  # of the state at the beginning

    def changed(self) -> None:
        self.changes += 1

    def look(self, times: int = 1) -> int:
        """Have it look; gives how often it has told a change."""
        self.clock.pump([INTERVAL] * times)
        return self.changes

    def test_quiet(self) -> None:
        self.assertEqual(self.look(5), 0)

    def test_written_in_place(self) -> None:
        self.path.write_text("22")
        self.assertEqual(self.look(1), 0)  # it may be written still
        self.assertEqual(self.look(5), 1)

    def test_still_being_written(self) -> None:
        for size in range(3, 8):
            self.path.write_text("x" * size)
            self.assertEqual(self.look(1), 0)
        self.assertEqual(self.look(3), 1)

    def test_same_size(self) -> None:
        os.utime(self.path, ns=(0, 0))
        self.assertEqual(self.look(3), 1)

    def test_another_file_in_its_place(self) -> None:
        found = self.path.stat()
        other = self.path.with_suffix(".new")
        other.write_text("2")
        os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
        other.replace(self.path)
        self.assertEqual(self.look(3), 1)

    def test_gone_for_a_moment_and_for_good(self) -> None:
        kept = self.path.with_suffix(".kept")
        self.path.rename(kept)
        self.assertEqual(self.look(1), 0)
        kept.rename(self.path)
        self.assertEqual(self.look(5), 0)
        self.path.unlink()
        self.assertEqual(self.look(5), 1)
        self.path.write_text("1")
        self.assertEqual(self.look(5), 2)

    def test_started_twice_and_stopped(self) -> None:
        self.watch.start()
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ProjectChangesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.path.write_text(WEB)
        self.output = Written()
        self.wanted: list[list[str]] = []
        project = Project(self.path)
        offers, _ = project.reload()
        config = replace(CONFIG, services=offers, file=str(self.path))
        self.display = LinesDisplay(self.clock, config, self.output.steady)
        self.changes = ProjectChanges(self.clock, project, offers, self.display)

    def want(self, services: Sequence[ServiceOffer]) -> None:
        self.wanted.append([offer.name for offer in services])

    def write(self, text: str) -> None:
        self.path.write_text(text)
        self.clock.pump([INTERVAL] * 3)

    def test_changes(self) -> None:
        self.changes.start(self.want)
        self.clock.pump([INTERVAL] * 5)
        self.assertEqual(self.wanted, [])
        self.write(WEB + DB)
        self.write("# only a comment\n" + WEB + DB)
        self.write(DB)
        self.assertEqual(self.wanted, [["web", "db"], ["db"]])
        self.assertEqual(self.display.offers.keys(), {"db"})
        self.assertEqual(self.output.lines, ["removed: web"])
        self.changes.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_changed_before_it_is_followed(self) -> None:
        self.path.write_text(DB)
        self.changes.start(self.want)
        self.clock.pump([INTERVAL] * 3)
        self.assertEqual(self.wanted, [["db"]])
        self.changes.stop()

    def test_mistakes(self) -> None:
        self.changes.start(self.want)
        for text in (f"{WEB}x = 1", "", "\x1b", WEB):
            self.write(text)
        self.path.unlink()
        self.clock.pump([INTERVAL] * 5)
        self.changes.stop()
        self.assertEqual(self.wanted, [])
        self.assertEqual(len(self.output.lines), 4)
        first, second, third, fourth = self.output.lines
        self.assertIn(f"config: {self.path}:3: unknown key 'x'", first)
        self.assertIn("(the services stay as they were)", first)
        self.assertIn("has no services", second)
        self.assertIn(":1: this is no TOML", third)
        self.assertIn(f"config: there is no {self.path}", fourth)
        for line in self.output.lines:
            self.assertTrue(line.isprintable(), line)

    def test_what_counts_from_the_next_start_on(self) -> None:
        self.changes.start(self.want)
        self.write(f'server = "ws://another"\n{WEB}')
        self.write(f'server = "ws://another"\n{WEB}{DB}')
        self.changes.stop()
        self.assertEqual(self.wanted, [["web", "db"]])
        (line,) = self.output.lines
        self.assertIn("counts from the next start on", line)
