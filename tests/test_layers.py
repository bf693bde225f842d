"""The layers of the package: what each may import, how long a module may be.

Reads the source only, and knows nothing of what the modules do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import TestCase

import inletspy

ROOT = Path(inletspy.__file__).parent

#: Lines that are not empty; 80 to 300 is what to aim at.
MAX_LINES = 450

#: Everything below the public side; a layer here may use those named before it.
BASE = {"errors", "interfaces", "config", "settings", "observers", "wire", "policy"}

#: Layer (folder or module of `inletspy`) to what it may import besides itself.
MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "config": {"errors", "policy.addresses", "policy.names", "policy.tokens"},
    "settings": {"errors", "policy.addresses", "policy.limits", "policy.names", "policy.tokens"},
    "interfaces": {
        "errors",
        "policy.accounts",
        "policy.sharing",
        "policy.tokens",
        "policy.traffic",
        "policy.visits",
        "settings",
    },
    "answers": {"errors"},
    "assets": {"errors"},
    "files": {"answers", "assets", "errors"},
    "observers": set(),
    "wire": {"errors"},
    "policy": {"errors", "wire"},
    "tunnel": BASE,
    "edge": BASE | {"tunnel"},
    "store": BASE | {"tunnel"},
    "web": BASE | {"answers", "files", "tunnel"},
    "client": BASE | {"answers", "files", "tunnel"},
    "admin": BASE | {"store"},
    "process": {"errors"},
    "announcement": {"config"},
    "condition": {"interfaces", "process"},
    "services": BASE | {"announcement", "condition", "process", "tunnel", "edge", "store", "web"},
    "tap": BASE | {"services"},
    "compat": BASE | {"client", "tap"},
}

#: Layer to the modules of others that it must do without.
MUST_NOT_IMPORT: dict[str, tuple[str, ...]] = {
    "wire": ("twisted", "zope", "socket", "time", "logging"),
    "policy": ("twisted.internet", "time"),
}


def imported(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of all that a source imports, wherever it does so.

    Args:
        source: the text of a module.
        package: the dotted name of the package that it is in.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            for name in node.names:
                yield node.lineno, f"{base}.{name.name}"


def within(name: str, modules: set[str] | tuple[str, ...]) -> bool:
    """Whether a dotted name is one of the modules or something in them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def faults(source: str, module: str, package: str) -> list[str]:
    """One line for each import that the layer of a module must not make.

    Args:
        source: the text of the module.
        module: its dotted name, like `inletspy.wire.mux`.
        package: the dotted name of the package that it is in.
    """
    layer = module.split(".")[1]
    found = []
    for line, name in imported(source, package):
        if within(name, MUST_NOT_IMPORT.get(layer, ())):
            found.append(f"{module}:{line}: {layer} must do without {name}")
        top, _, target = name.partition(".")
        if top != "inletspy" or not target or target.startswith("__"):
            continue
        if not within(target, MAY_IMPORT.get(layer, set()) | {layer}):
            found.append(f"{module}:{line}: {layer} must not import {name}")
    return found


def modules() -> Iterator[tuple[str, str, str]]:
    """Dotted name, package and source of each module but `inletspy` itself."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = ["inletspy", *path.relative_to(ROOT).with_suffix("").parts]
        package = ".".join(parts[:-1])
        module = package if parts[-1] == "__init__" else ".".join(parts)
        if module != "inletspy":
            yield module, package, path.read_text(encoding="utf-8")


class LayerTests(TestCase):
    def test_imports_point_downwards(self) -> None:
        found = [
            fault for module, package, text in modules() for fault in faults(text, module, package)
        ]
        self.assertEqual(found, [])

    def test_every_layer_is_known(self) -> None:
        layers = {module.split(".")[1] for module, _, _ in modules()}
        self.assertEqual(layers - MAY_IMPORT.keys(), set())

    def test_the_root_imports_nothing(self) -> None:
        source = (ROOT / "__init__.py").read_text(encoding="utf-8")
        self.assertEqual(list(imported(source, "inletspy")), [])

    def test_no_two_layers_lead_to_each_other(self) -> None:
        """`config` may use one module of `policy`, which must not use `config` in turn."""
        graph = {layer: {t.split(".")[0] for t in may} for layer, may in MAY_IMPORT.items()}
        graph["config"] = {"errors"}
        while graph:
            lowest = [layer for layer, may in graph.items() if not may & graph.keys()]
            self.assertTrue(lowest, f"a circle among {sorted(graph)}")
            for layer in lowest:
                del graph[layer]
        source = (ROOT / "policy" / "names.py").read_text(encoding="utf-8")
        own = [n for _, n in imported(source, "inletspy.policy") if n.startswith("inletspy.")]
        self.assertEqual([n for n in own if not within(n, {"inletspy.errors"})], [])


class ModuleTests(TestCase):
    def test_each_opens_with_what_it_owns(self) -> None:
        bare = [module for module, _, text in modules() if not ast.get_docstring(ast.parse(text))]
        self.assertEqual(bare, [])

    def test_each_is_short_enough_to_hold_one_idea(self) -> None:
        lengths = {
            m: sum(1 for line in text.splitlines() if line.strip()) for m, _, text in modules()
        }
        self.assertEqual({m: length for m, length in lengths.items() if length > MAX_LINES}, {})


class CheckerTests(TestCase):
    """The check itself finds what it is there to find."""

    def assertFaulty(self, source: str, module: str, package: str) -> None:
        self.assertEqual(len(faults(source, module, package)), 1, source)

    def test_upward(self) -> None:
        for source in (
            "import inletspy.edge.channel",
            "import inletspy.edge as side",
            "from inletspy.edge import channel",
            "from inletspy import edge",
            "from ..edge import channel",
            "from .. import edge",
            "def late():\n    from inletspy.edge.channel import EdgeChannel",
            "if TYPE_CHECKING:\n    from inletspy.edge import channel",
        ):
            self.assertFaulty(source, "inletspy.tunnel.link", "inletspy.tunnel")

    def test_sideways(self) -> None:
        self.assertFaulty("from inletspy.store import settings", "inletspy.web.api", "inletspy.web")
        self.assertFaulty("import inletspy.edge.tcp", "inletspy.store.database", "inletspy.store")
        self.assertFaulty("from inletspy import services", "inletspy.client.cli", "inletspy.client")

    def test_part_of_a_layer(self) -> None:
        self.assertEqual(faults("import inletspy.policy.names", "inletspy.config", "inletspy"), [])
        self.assertFaulty("import inletspy.policy.routes", "inletspy.config", "inletspy")

    def test_unknown_layer(self) -> None:
        self.assertFaulty("import inletspy.errors", "inletspy.utils", "inletspy")

    def test_outside_modules(self) -> None:
        for source in (
            "import time",
            "from time import monotonic",
            "import twisted.internet.defer",
        ):
            self.assertFaulty(source, "inletspy.wire.mux", "inletspy.wire")
        self.assertFaulty(
            "from twisted.internet import reactor", "inletspy.policy.quotas", "inletspy.policy"
        )

    def test_allowed(self) -> None:
        for source in (
            "from inletspy import __version__",
            "from inletspy.wire import mux",
            "from inletspy.tunnel.session import Session",
            "from . import session",
            "from .session import Session",
            "import timeit, time",
            "import inletspy_elsewhere",
        ):
            self.assertEqual(faults(source, "inletspy.tunnel.link", "inletspy.tunnel"), [])
