"""The options of `twistd inletspy`, and the service that they make."""

from __future__ import annotations

import os
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from unittest import mock

from twisted.application.service import IService, IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from inletspy import __version__
from inletspy.config import ServerConfig
from inletspy.tap import Options, makeService
from tests.peers import reactor


class OptionsTests(TestCase):
    def setUp(self) -> None:
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("INLETS", "STATUS_"))}
        environment = mock.patch.dict(os.environ, kept, clear=True)
        environment.start()
        self.addCleanup(environment.stop)
        self.errors = StringIO()
        self.patch(sys, "stderr", self.errors)
        self.printed = StringIO()
        self.patch(sys, "stdout", self.printed)

    def parse(self, *words: str) -> ServerConfig:
        options = Options()
        options.parseOptions(list(words))
        return options.config

    def test_none(self) -> None:
        self.assertEqual(self.parse(), ServerConfig.load({}))

    def test_some(self) -> None:
        config = self.parse("-d", "/srv", "--domain=example.com", "--data-port", "0", "-i", "::1")
        self.assertEqual(config.data_dir, Path("/srv"))
        self.assertEqual((config.domain, config.data_port), ("example.com", 0))
        self.assertEqual(config.interface, "::1")

    def test_each_has_a_parameter_and_a_line_of_help(self) -> None:
        named = {parameter[0] for parameter in Options.optParameters}
        self.assertEqual(named, {*ServerConfig.READERS, "config"})
        usage = Options().getUsage()
        for name in named:
            self.assertIn(f"--{name}=", usage)
        self.assertTrue(all(parameter[3] for parameter in Options.optParameters))

    def test_help_and_version(self) -> None:
        for word in ("--help", "--version"):
            ended = self.assertRaises(SystemExit, self.parse, word)
            self.assertIn(ended.code, (0, None))
        self.assertIn("--data-dir=", self.printed.getvalue())
        self.assertTrue(self.printed.getvalue().endswith(f"inletspy {__version__}\n"))

    def test_what_is_wrong_is_one_line(self) -> None:
        for words, expected in (
            (["--data-port", "x"], "--data-port: must be a port"),
            (["--nonsense"], "option --nonsense not recognized"),
            (["-z"], "option -z not recognized"),
            (["--domain"], "option --domain requires argument"),
            (["--da", "x"], "option --da not a unique prefix"),
            (["one", "two"], "unexpected argument 'one'"),
            (["--config", "/nonexistent"], "can't read the configuration file"),
        ):
            self.errors.truncate(0)
            self.errors.seek(0)
            ended = self.assertRaises(SystemExit, self.parse, *words)
            self.assertEqual(ended.code, 2)
            (line,) = self.errors.getvalue().splitlines()
            self.assertTrue(line.startswith("inletspy: "), line)
            self.assertIn(expected, line)
        self.assertEqual(self.printed.getvalue(), "")

    def test_service_opens_nothing(self) -> None:
        folder = Path(self.mktemp()).absolute()
        options = Options()
        options.parseOptions(["--data-dir", str(folder)])
        readers = reactor.getReaders()
        service = makeService(options)
        self.assertTrue(verifyObject(IService, service))
        self.assertEqual((service.name, service.running), ("inletspy", 0))
        self.assertFalse(folder.exists())
        self.assertEqual(reactor.getReaders(), readers)


class PluginTests(TestCase):
    def test_known_to_twistd(self) -> None:
        maker: Any
        (maker,) = [p for p in getPlugins(IServiceMaker) if p.tapname == "inletspy"]
        self.assertEqual((maker.module, maker.name), ("inletspy.tap", "inletspy"))
        self.assertIs(maker.options, Options)
