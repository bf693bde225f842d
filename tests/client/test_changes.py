"""A file that changes while a tunnel is up, with a clock that is moved by hand."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.changes import INTERVAL, Changes, FileWatch, VisitorFiles
from inletspy.client.config import Wishes, service_for
from inletspy.client.display import LinesDisplay
from inletspy.client.project import Project
from inletspy.errors import UsageError
from inletspy.policy.addresses import UpstreamAddress
from inletspy.wire.control import ServiceOffer
from tests.client.support import CONFIG, Written

WEB = "[services.web]\nupstream = 3000\n"
DB = '[services.db]\nupstream = "tcp://localhost:5432"\n'


class FileWatchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.path.write_text("1")
        self.paths = [self.path]
        self.changes = 0
        self.watch = FileWatch(self.clock, lambda: self.paths, self.changed)
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

    def test_one_of_several(self) -> None:
        other = Path(self.mktemp())
        self.paths.append(other)
        self.assertEqual(self.look(5), 1)
        other.write_text("1")
        self.assertEqual(self.look(5), 2)
        self.path.write_text("22")
        self.assertEqual(self.look(5), 3)
        self.paths.remove(other)
        other.unlink()
        self.assertEqual(self.look(5), 4)

    def test_started_twice_and_stopped(self) -> None:
        self.watch.start()
        self.watch.stop()
        self.watch.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ChangesTests(SynchronousTestCase):
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
        self.changes = Changes(self.clock, project, offers, self.display)

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

    def test_files_that_it_names(self) -> None:
        passwords = self.path.with_name("passwords")
        passwords.write_text("ann:one")
        users: list[list[str]] = []

        def want(services: Sequence[ServiceOffer]) -> None:
            users.append([account["user"] for account in services[0].options["basic_auth"]])

        self.changes.start(want)
        self.write(f'{WEB}basic-auth-file = "{passwords.name}"\n')
        self.assertEqual(users, [["ann"]])
        for text in ("ann:one\nbob:two", "ann:one\nbob:two\n# of us all", "", "bob:three"):
            passwords.write_text(text)
            self.clock.pump([INTERVAL] * 3)
        self.assertEqual(users, [["ann"], ["ann", "bob"], ["bob"]])
        passwords.unlink()
        self.clock.pump([INTERVAL] * 5)
        passwords.write_text("eve:four")
        self.clock.pump([INTERVAL] * 5)
        self.assertEqual(users[3:], [["eve"]])
        self.changes.stop()
        faults = [line for line in self.output.lines if line.startswith("config: ")]
        self.assertEqual(len(faults), 2)
        self.assertIn(f"{self.path}:3: basic-auth-file {passwords} is empty", faults[0])
        self.assertIn(f"can't read {passwords}", faults[1])

    def test_a_named_file_that_is_not_there_yet(self) -> None:
        passwords = self.path.with_name("later")
        self.changes.start(self.want)
        self.write(f'{WEB}basic-auth-file = "{passwords.name}"\n')
        self.clock.pump([INTERVAL] * 5)
        self.assertEqual(len(self.output.lines), 1)  # said once
        passwords.write_text("ann:one")
        self.clock.pump([INTERVAL] * 3)
        self.changes.stop()
        self.assertEqual(self.wanted, [["web"]])

    def test_what_counts_from_the_next_start_on(self) -> None:
        self.changes.start(self.want)
        self.write(f'server = "ws://another"\n{WEB}')
        self.write(f'server = "ws://another"\n{WEB}{DB}')
        self.changes.stop()
        self.assertEqual(self.wanted, [["web", "db"]])
        (line,) = self.output.lines
        self.assertIn("counts from the next start on", line)


class VisitorFilesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.write_text("bob:two")

    def source(self, **wishes: Any) -> VisitorFiles:
        self.wishes = Wishes("3000", **wishes)
        offer = service_for(self.wishes, UpstreamAddress.parse("http://localhost:3000"), "c0ffee")
        self.offer = replace(offer, options={**offer.options, "bearer": ["of the environment"]})
        return VisitorFiles(self.wishes, self.offer)

    def test_read_again(self) -> None:
        source = self.source(basic_auth=("ann:one",), basic_auth_file=str(self.path))
        self.assertEqual(source.files, [self.path])
        self.assertEqual(source.reload(), ((self.offer,), False))
        self.path.write_text("bob:three")
        (changed,), _ = source.reload()
        self.assertEqual(changed.hostname, self.offer.hostname)
        before, after = self.offer.options["basic_auth"], changed.options["basic_auth"]
        self.assertEqual(after[0], before[0])
        self.assertEqual(after[1]["user"], "bob")
        self.assertNotEqual(after[1], before[1])
        self.assertEqual(changed.options["bearer"], ["of the environment"])
        self.path.write_text("bob")
        error = self.assertRaises(UsageError, source.reload)
        self.assertEqual(str(error), "--basic-auth-file: must be USER:PASSWORD")

    def test_nothing_to_follow(self) -> None:
        self.assertEqual(self.source().files, [])
        self.assertEqual(self.source(basic_auth=("ann:one",)).files, [])
        os.mkfifo(pipe := self.mktemp())
        self.assertEqual(VisitorFiles(Wishes("3000", bearer_file=pipe), self.offer).files, [])
