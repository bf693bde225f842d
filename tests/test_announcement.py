"""What the server tells the person who started it."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from inletspy.announcement import say_what_to_type
from inletspy.config import ServerConfig


class SayingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.bin = Path(self.mktemp()).absolute() / "an env" / "bin"
        self.bin.mkdir(parents=True)
        for name in ("tunnel", "inletspy"):
            (self.bin / name).write_text("")
        self.patch(sys, "argv", [str(self.bin / "twistd")])
        self.patch(os, "environ", {**os.environ, "PATH": "/nowhere", "INLETSPY_DATA_DIR": ""})
        self.addCleanup(os.chdir, Path.cwd())

    def said(self, enabled: bool = True, line: int = -1, status_port: int = 8091) -> str:
        """What to type by a line of what is told, the last one."""
        output = io.StringIO()
        self.patch(sys, "__stdout__", output)
        config = ServerConfig.load({"data-dir": "/srv/a b"}, {})
        say_what_to_type(config, enabled, "http://*.tunnel.localhost:8080", 8090, status_port)
        return output.getvalue().strip().splitlines()[line].partition(":  ")[2]

    def test_from_anywhere(self) -> None:
        for place in ("/", "/usr"):
            os.chdir(place)
            self.assertEqual(
                self.said(), f"INLETSPY_DATA_DIR='/srv/a b' '{self.bin / 'tunnel'}' 3000"
            )

    def test_from_the_checkout(self) -> None:
        os.chdir(self.bin.parent.parent)
        self.assertEqual(self.said(), "INLETSPY_DATA_DIR='/srv/a b' 'an env/bin/tunnel' 3000")

    def test_where_the_environment_leads_to_it(self) -> None:
        (self.bin / "tunnel").chmod(0o755)
        for folder, line in (
            ("/srv/a b", "tunnel 3000"),
            ("/srv/b", "INLETSPY_DATA_DIR='/srv/a b' tunnel 3000"),
        ):
            environ = {**os.environ, "PATH": str(self.bin), "INLETSPY_DATA_DIR": folder}
            self.patch(os, "environ", environ)
            self.assertEqual(self.said(), line)

    def test_disabled(self) -> None:
        os.chdir("/")
        self.assertEqual(
            self.said(enabled=False),
            f"'{self.bin / 'inletspy'}' config set tunnels_enabled true --data-dir '/srv/a b'",
        )

    def test_on_the_path(self) -> None:
        (self.bin / "tunnel").chmod(0o755)
        self.patch(os, "environ", {**os.environ, "PATH": str(self.bin)})
        self.assertEqual(self.said(), "INLETSPY_DATA_DIR='/srv/a b' tunnel 3000")

    def test_the_page(self) -> None:
        os.chdir("/")
        for enabled in (True, False):
            self.assertEqual(
                self.said(enabled, line=-2),
                f"'{self.bin / 'inletspy'}' dashboard --admin --data-dir '/srv/a b'",
            )
        # The command asks a port of this machine.
        self.assertNotIn("dashboard", self.said(line=-2, status_port=0))
