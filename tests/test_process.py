"""The server's files and words about itself, which must tell no secret."""

from __future__ import annotations

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import StartError
from inletspy.process import DataDirectory
from inletspy.services import without_password


class DataDirectoryTests(SynchronousTestCase):
    def test_announcement_is_for_its_owner_only(self) -> None:
        path = Path(self.mktemp())
        directory = DataDirectory(path)
        directory.take()
        directory.announce({"pid": 1})
        self.assertEqual(json.loads((path / "server.json").read_text()), {"pid": 1})
        self.assertEqual((path / "server.json").stat().st_mode & 0o777, 0o600)
        directory.leave()
        self.assertFalse((path / "server.json").exists())

    def test_second_server(self) -> None:
        path = Path(self.mktemp())
        first = DataDirectory(path)
        first.take()
        error = self.assertRaises(StartError, DataDirectory(path).take)
        self.assertIn("another inletspy server", str(error))
        first.leave()
        again = DataDirectory(path)
        again.take()
        again.leave()

    def test_no_directory(self) -> None:
        file = Path(self.mktemp())
        file.write_text("")
        error = self.assertRaises(StartError, DataDirectory(file).take)
        self.assertIn("--data-dir", str(error))


class DatabaseNameTests(SynchronousTestCase):
    def test_passwords_are_left_out_wherever_they_stand(self) -> None:
        for url, shown in (
            (None, "embedded"),
            ("postgresql://u@h/db", "postgresql://u@h/db"),
            ("postgresql://u:secret@h:5/db", "postgresql://u@h:5/db"),
            (
                "postgresql://u@h/db?password=secret&sslpassword=secret&sslmode=require",
                "postgresql://u@h/db?sslmode=require",
            ),
            ("postgresql:///db?host=/run/pg", "postgresql:///db?host=%2Frun%2Fpg"),
        ):
            self.assertEqual(without_password(url), shown)
