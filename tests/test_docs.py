"""What the documents say that can be checked against the code: names, defaults, links.

Whether a sentence is true, only reading and trying can tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

import inletspy
from inletspy.client.cli import parser
from inletspy.client.project import SERVICE_KEYS
from inletspy.config import ServerConfig
from inletspy.errors import Code, ResetCode
from inletspy.settings import Settings
from inletspy.tap import Options

ROOT = Path(inletspy.__file__).parent.parent
DOCS = ROOT / "docs"

PAGES = (
    *(ROOT / name for name in ("README.md", "CHANGELOG.md")),
    *(ROOT / name / "README.md" for name in ("bench", "tap-configs")),
    *DOCS.glob("*.md"),
)


def page(name: str) -> str:
    """The text of one document."""
    return (DOCS / name).read_text(encoding="utf-8")


def rows(text: str) -> Iterator[list[str]]:
    """The cells of each row of the tables in a text."""
    for line in text.splitlines():
        if line.startswith("|"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def anchors(text: str) -> set[str]:
    """What the headings of a text can be linked by, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    plain = (re.sub(r"[^\w\- ]", "", title.lower()) for title in titles)
    return {title.replace(" ", "-") for title in plain}


class ConfigurationTests(TestCase):
    def test_exactly_the_settings_with_types_and_defaults(self) -> None:
        types = {setting.type for setting in Settings.catalogue().values()}
        told = {
            row[0]: tuple(row[1:3])
            for row in rows(page("configuration.md"))
            if len(row) == 4 and row[1] in types
        }
        there_are = {
            f"`{key}`": (setting.type, f"`{setting.default}`" if setting.default else "empty")
            for key, setting in Settings.catalogue().items()
        }
        self.assertEqual(told, there_are)

    def test_each_option_with_its_variables(self) -> None:
        told = {row[0].split(",")[0]: row for row in rows(page("configuration.md"))}
        for name, *_ in Options.optParameters:
            row = told.get(f"`--{name}`")
            self.assertIsNotNone(row, name)
            assert row is not None
            variables = tuple(re.findall(r"`([A-Z_]+)`", row[1]))
            self.assertEqual(variables, ServerConfig.ENVIRONMENT[name], name)

    def test_each_port_with_its_default(self) -> None:
        told = {row[0]: row for row in rows(page("configuration.md"))}
        config = ServerConfig(Path())
        for name in ("control-port", "data-port", "status-port", "domain"):
            default = getattr(config, name.replace("-", "_"))
            self.assertEqual(told[f"`--{name}`"][2], f"`{default}`", name)

    def test_each_option_can_stand_in_the_file(self) -> None:
        options = {name for name, *_ in Options.optParameters}
        self.assertEqual(options - {"config"}, set(ServerConfig.READERS))


class ClientTests(TestCase):
    def test_each_option(self) -> None:
        told = " ".join(row[0] for row in rows(page("client.md")))
        for action in parser()._actions:
            for option in action.option_strings:
                # One without a help text is there to say that there is no such option.
                if action.help != "==SUPPRESS==":
                    self.assertRegex(told, f"`{option}[` ]")

    def test_each_key_of_the_file(self) -> None:
        told = {row[0] for row in rows(page("client.md"))}
        self.assertEqual({f"`{key}`" for key in SERVICE_KEYS} - told, set())

    def test_no_option_that_there_is_not(self) -> None:
        known = {option for action in parser()._actions for option in action.option_strings}
        for row in rows(page("client.md")):
            for option in re.findall(r"`(--[a-z-]+)", row[0]):
                self.assertIn(option, known)


class ProtocolTests(TestCase):
    def test_each_code_with_its_close_code(self) -> None:
        told = {row[0]: row[1] for row in rows(page("protocol.md"))}
        for code in Code:
            self.assertEqual(told.get(f"`{code.value}`"), str(code.close_code), code)

    def test_each_reset_code(self) -> None:
        told = [row[:2] for row in rows(page("protocol.md"))]
        for code in ResetCode:
            self.assertIn([str(code.value), code.name.lower()], told)


class LinkTests(TestCase):
    def test_each_leads_somewhere(self) -> None:
        for path in PAGES:
            text = path.read_text(encoding="utf-8")
            for target in re.findall(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)", text, re.M):
                file, _, anchor = (target[0] or target[1]).partition("#")
                if "://" in file:
                    continue
                there = path.parent / file if file else path
                self.assertTrue(there.exists(), f"{path.name}: {file}")
                if anchor:
                    found = anchors(there.read_text(encoding="utf-8"))
                    self.assertIn(anchor, found, f"{path.name}: {file}#{anchor}")

    def test_each_page_is_in_the_index(self) -> None:
        index = page("README.md")
        for path in DOCS.glob("*.md"):
            if path.name != "README.md":
                self.assertIn(f"]({path.name})", index)

    def test_each_file_that_is_named_exists(self) -> None:
        named = re.findall(r"`((?:inletspy|tests|twisted|bench)/[\w/.]+)`", page("architecture.md"))
        self.assertTrue(named)
        self.assertEqual([name for name in named if not (ROOT / name).exists()], [])

    def test_each_module_of_a_layer_exists(self) -> None:
        found = re.findall(
            r"^- `(inletspy/[\w/]+/)`:(.*(?:\n  .*)*)", page("architecture.md"), re.M
        )
        self.assertTrue(found)
        for layer, told in found:
            for module in re.findall(r"`(\w+\.py)`", told):
                self.assertTrue((ROOT / layer / module).exists(), layer + module)
