"""What an installation brings: the plugin, the commands, the data files, the libraries."""

from __future__ import annotations

import configparser
import importlib
import importlib.metadata
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from unittest import SkipTest

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.trial.unittest import TestCase

import inletspy
from tests.test_layers import imported, modules

PACKAGE = Path(inletspy.__file__).parent
CHECKOUT = PACKAGE.parent
TIMEOUT = 60


def metadata() -> configparser.ConfigParser:
    """The content of setup.cfg."""
    parser = configparser.ConfigParser()
    parser.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    return parser


def normal(name: str) -> str:
    """A distribution's name in the form that is compared."""
    return name.lower().replace("_", "-")


def lines(text: str) -> list[str]:
    """The lines of a multi-line value, without comments."""
    return [line for line in text.split("\n") if line and not line.startswith("#")]


class PluginTests(TestCase):
    def test_twisted_knows_the_server(self) -> None:
        offered = list(getPlugins(IServiceMaker))
        makers = [maker for maker in offered if maker.tapname == "inletspy"]
        self.assertEqual([getattr(maker, "module", None) for maker in makers], ["inletspy.tap"])

    def test_listing_the_plugins_loads_nothing_of_ours(self) -> None:
        listing = (
            "import sys; from twisted.plugins import inletspy_plugin;"
            "print([name for name in sys.modules if name.split('.')[0] == 'inletspy'])"
        )
        ran = subprocess.run(
            [sys.executable, "-c", listing],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        self.assertEqual((ran.stdout.strip(), ran.stderr), ("[]", ""))

    def test_the_namespace_stays_that_of_twisted(self) -> None:
        """An `__init__.py` of ours would hide Twisted itself."""
        self.assertEqual(list((CHECKOUT / "twisted").rglob("__init__.py*")), [])


class CommandTests(TestCase):
    def test_each_leads_to_a_function(self) -> None:
        scripts = lines(metadata()["options.entry_points"]["console_scripts"])
        self.assertEqual(
            {script.split(" = ")[0] for script in scripts}, {"tunnel", "inletspy", "inlets"}
        )
        for script in scripts:
            module, _, function = script.split(" = ")[1].partition(":")
            self.assertTrue(callable(getattr(importlib.import_module(module), function)), script)


class DependencyTests(TestCase):
    def test_all_that_is_imported_is_declared(self) -> None:
        """Not left to what some other library happens to bring along."""
        requirements = lines(metadata()["options"]["install_requires"])
        declared = {normal(re.split(r"[\[ ><=]", line)[0]) for line in requirements}
        providers = dict(importlib.metadata.packages_distributions())
        providers["_nvx_xormasker"] = ["autobahn"]  # its compiled part, which it does not list
        missing = []
        for module, package, source in modules():
            for line, name in imported(source, package):
                parts = name.split(".")
                if parts[0] in sys.stdlib_module_names or parts[0] == "inletspy":
                    continue
                if parts[0] == "zope":  # shared by many distributions
                    bringers = [".".join(parts[:2])]
                else:
                    bringers = providers.get(parts[0], [])
                if not {normal(bringer) for bringer in bringers} & declared:
                    missing.append(f"{module}:{line}: {name}")
        self.assertEqual(missing, [])


class WheelTests(TestCase):
    def test_holds_all_that_the_server_needs(self) -> None:
        version = importlib.metadata.version("setuptools").split(".")
        if [int(part) for part in version[:2]] < [70, 1]:
            raise SkipTest("needs setuptools 70.1 or newer, which can build a wheel on its own")
        copy = Path(self.mktemp()).absolute()
        copy.mkdir(parents=True)
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(CHECKOUT / name, copy)
        for name in ("inletspy", "twisted"):
            ignore = shutil.ignore_patterns("__pycache__", "dropin.cache")
            shutil.copytree(CHECKOUT / name, copy / name, ignore=ignore)
        ran = subprocess.run(
            [
                sys.executable,
                "-c",
                "from setuptools.build_meta import build_wheel; build_wheel('dist')",
            ],
            cwd=copy,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
        )
        self.assertEqual(ran.returncode, 0, ran.stderr)

        [wheel] = (copy / "dist").glob("inletspy-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            packed = {name for name in archive.namelist() if ".dist-info/" not in name}
        source = {
            str(path.relative_to(copy))
            for folder in ("inletspy", "twisted")
            for path in (copy / folder).rglob("*")
            if path.is_file()
        }
        self.assertEqual(packed, source)
        self.assertIn("twisted/plugins/inletspy_plugin.py", packed)
        self.assertIn("inletspy/py.typed", packed)
