"""The server's place on its machine: its directory, its limits, its last words."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import TestCase

from inletspy.errors import StartError
from inletspy.process import DataDirectory, raise_descriptor_limit
from tests.system.processes import CHECKOUT


class DataDirectoryTests(TestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "made" / "on demand"
        self.directory = DataDirectory(self.path)
        self.addCleanup(self.directory.leave)

    def test_made_for_its_owner_alone(self) -> None:
        self.directory.take()
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o700)

    def test_taken_once(self) -> None:
        self.directory.take()
        other = DataDirectory(self.path)
        error = self.assertRaises(StartError, other.take)
        self.assertIn("another inletspy server uses", str(error))
        other.leave()  # of no effect on whose it is
        self.assertRaises(StartError, other.take)
        self.directory.leave()
        other.take()
        other.leave()

    def test_lock_does_not_pass_to_programs(self) -> None:
        self.directory.take()
        code = "import os, sys; print(*os.listdir('/proc/self/fd'))"
        lock = str(self.path / "server.lock")
        mine = [n for n in os.listdir("/proc/self/fd") if readlink(n) == lock]
        out = subprocess.run(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, close_fds=False, timeout=60
        )
        self.assertEqual(len(mine), 1)
        self.assertNotIn(mine[0].encode(), out.stdout.split())

    def test_announcement(self) -> None:
        self.directory.take()
        path = self.path / "server.json"
        for content in ({"pid": 1}, {"pid": 2}):
            self.directory.announce(content)
            self.assertEqual(json.loads(path.read_text()), content)
            self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(
            sorted(p.name for p in self.path.iterdir()), ["server.json", "server.lock"]
        )
        self.directory.leave()
        self.assertFalse(path.exists())
        self.directory.leave()

    def test_announcement_that_can_not_be_written(self) -> None:
        self.directory.take()
        (self.path / "server.json").mkdir()
        error = self.assertRaises(StartError, self.directory.announce, {})
        self.assertIn("server.json", str(error))
        self.directory.leave()
        self.assertEqual(len(self.flushLoggedErrors()), 0)

    def test_what_can_not_be_one(self) -> None:
        file = Path(self.mktemp()).absolute()
        file.write_text("")
        for path in (file, file / "below", Path("/proc/nowhere"), Path("/dev/null")):
            error = self.assertRaises(StartError, DataDirectory(path).take)
            self.assertIn(f"can't use the data directory {path}: ", str(error))
            self.assertIn("--data-dir", str(error))


class ProcessTests(TestCase):
    def run_code(
        self, code: str, stderr: int = subprocess.PIPE
    ) -> subprocess.CompletedProcess[str]:
        """Run Python code in a process of its own."""
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            text=True,
            timeout=60,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )

    def test_exit_status_whatever_ends_the_program(self) -> None:
        code = "from inletspy.process import exit_with; print('bye', end=''); exit_with(7)"
        for end in ("", "; raise SystemExit(0)", "; 1 / 0"):
            ended = self.run_code(code + end)
            self.assertEqual((ended.returncode, ended.stdout), (7, "bye"))

    def test_complaint(self) -> None:
        code = (
            "import sys\n"
            "from twisted.logger import globalLogBeginner, textFileLogObserver\n"
            "from inletspy.process import complain\n"
            "globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)])\n"
            "complain('no {braces} are lost')\n"
        )
        shown = self.run_code(code)
        self.assertEqual(shown.stderr, "inletspy: no {braces} are lost\n")
        self.assertNotIn("braces", shown.stdout)
        logged = self.run_code(code, stderr=subprocess.DEVNULL)
        self.assertIn("inletspy: no {braces} are lost", logged.stdout)

    def test_descriptors(self) -> None:
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        allowed = raise_descriptor_limit()
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[0], allowed)
        self.assertGreaterEqual(allowed, before[0])


def readlink(number: str) -> str:
    """What one of the test's own file descriptors leads to."""
    try:
        return os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        return ""
