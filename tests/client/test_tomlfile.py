"""Where in a file each key is, and how mistakes are put."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.tomlfile import MAX_SIZE, Form, TomlFile
from inletspy.errors import UsageError
from tests.properties import repeatable

TEXT = '''\
# [services.web] in a comment
name = "one"

[services.web]
upstream = 3000     # a comment
note = """
hostname = "in a text"
[services.db]
"""
hostname = "shop"
allow = [
    "a",  # hostname = 1

    "b",
]
bearer = "x"

[services."a b"]
"up stream" = 1

[services]
db.proto = "tcp"
db . upstream = 1
inline = {upstream = 1, hostname = "x"}

[[list]]
a = 1
[[list]]
[services.deep.er]
x = 1
'''

NAMES = st.text("abcxyz", min_size=1, max_size=3)
VALUES = st.sampled_from(
    (
        '1 # [ "',
        '"x[\\\\"',
        '"\\" # {"',
        "'\\'",
        "[\n1, # ]\n\n2]",
        "{a = ']'}",
        '"""\na = 1\n[b]\n"""',
        "'''\n'''",
        '""""\n\\"""[\n"""""',
        "''''\n\\'''''",
        '""""""',
        '"\u2028\x85"',
    )
)


class LineTests(SynchronousTestCase):
    def test_each_key(self) -> None:
        file = TomlFile(TEXT, "f")
        for keys, line in (
            ("name", 2),
            ("services", 4),
            ("services web", 4),
            ("services web upstream", 5),
            ("services web note", 6),
            ("services web hostname", 10),
            ("services web allow", 11),
            ("services web bearer", 16),
            ("services db", 22),
            ("services db upstream", 23),
            ("services inline hostname", 24),
            ("list", 26),
            ("services deep", 29),
            ("services deep er x", 30),
            # What is not there has the line of its table.
            ("services web proto", 4),
            ("services db upstream more", 23),
            ("nothing", 1),
        ):
            self.assertEqual(file.line(*keys.split()), line, keys)
        self.assertEqual(file.line("services", "a b"), 18)
        self.assertEqual(file.line("services", "a b", "up stream"), 19)

    def test_line_ends(self) -> None:
        file = TomlFile("a = 1\r\n\r\nb = [\r\n1]\r\nc = 1", "f")
        self.assertEqual([file.line(key) for key in "abc"], [1, 3, 5])

    @repeatable
    @given(st.lists(st.tuples(NAMES, VALUES, st.integers(0, 2)), unique_by=lambda i: i[0]))
    def test_any_statements(self, statements: list[tuple[str, str, int]]) -> None:
        text, lines = "", {}
        for name, value, gap in statements:
            text += "\n" * gap
            lines[name] = text.count("\n") + 1
            text += f"{name} = {value}\n"
        file = TomlFile(text, "f")
        self.assertEqual({name: file.line(name) for name in lines}, lines)

    def test_a_long_file(self) -> None:
        text = "".join(f'[services.s{n}]\nupstream = "h:{n}"\n' for n in range(1, 2000))
        self.assertEqual(TomlFile(text, "f").line("services", "s1500", "upstream"), 3000)

    def test_a_long_statement(self) -> None:
        for value in ("[\n" + '"10.0.0.1",\n' * 20_000 + "]", '"""' + "\n[x" * 80_000 + '"""'):
            file = TomlFile(f"[t]\na = {value}\nb = 1\n", "f")
            self.assertEqual(file.line("t", "a"), 2)
            self.assertEqual(file.line("t", "b"), 3 + value.count("\n"))


class FaultTests(SynchronousTestCase):
    def fault(self, text: str) -> str:
        return str(self.assertRaises(UsageError, TomlFile, text, "f.toml"))

    def test_no_toml(self) -> None:
        for text, fault in (
            ("a = 1\n[b", ":2: this is no TOML: expected ']' at the end of a table declaration"),
            ("a = 1\nb", ":2: this is no TOML: expected '=' after a key"),
            ('a = """\n1\n', ":2: this is no TOML: unterminated string, at the end of the file"),
            ("a = 1\n\na = 2", ":3: this key or table is there already; expected each once"),
            ("[a]\n[b]\n[a]\n", ":3: this key or table is there already"),
            ("[a]\nb = 1\n[a.b]\n", ":3: this key or table is there already"),
            ("a = {b = 1, b = 2}", ":1: this key or table is there already"),
            ("a = 1\n[a.b]", ":2: this key or table is there already"),
            ("a = " + "[" * 50_000, "expected a few"),
        ):
            error = self.fault(text)
            self.assertTrue(error.startswith("f.toml:"), error)
            self.assertIn(fault, error)
            self.assertNotIn("\n", error)

    def test_forms(self) -> None:
        known = {
            "upstream": Form("a port", (int, str)),
            "private": Form("true or false", (bool,)),
            "allow": Form("a list", (list,)),
        }
        for text, fault in (
            (
                "[t]\n\nupstram = 1",
                "f.toml:3: unknown key 'upstram' in [t]; did you mean upstream?",
            ),
            ("[t]\nx = 1", "f.toml:2: unknown key 'x' in [t]; known: upstream, private, allow"),
            ("[t]\nupstream = true", "f.toml:2: upstream is true or false in [t]; expected a port"),
            ("[t]\nupstream = 1.5", "upstream is a number with a point in [t]"),
            ("[t]\nupstream = 1979-05-27", "upstream is a date or time in [t]"),
            ("[t]\nupstream = 07:32:00", "upstream is a date or time in [t]"),
            ('[t]\nupstream = ""', "upstream is empty in [t]; expected a port"),
            ("[t]\nprivate = 1", "private is a number in [t]; expected true or false"),
            ("[t]\nallow = {}", "allow is a table in [t]; expected a list"),
            ('[t]\n"\\u001b" = 1', r"unknown key '\x1b'"),
        ):
            file = TomlFile(text, "f.toml")
            error = self.assertRaises(UsageError, file.check, file.content["t"], known, "t")
            self.assertIn(fault, str(error))
        file = TomlFile('upstream = 1\nprivate = true\nallow = ["x"]', "f.toml")
        file.check(file.content, known)


class ReadTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())

    def fault(self) -> str:
        return str(self.assertRaises(UsageError, TomlFile.read, self.path))

    def test_found(self) -> None:
        self.path.write_bytes("\ufeffa = '\u00e9'".encode())
        file = TomlFile.read(self.path)
        self.assertEqual((file.content, file.shown), ({"a": "\u00e9"}, str(self.path)))

    def test_none(self) -> None:
        self.assertRaises(FileNotFoundError, TomlFile.read, self.path)
        self.path.write_text("")
        self.assertRaises(FileNotFoundError, TomlFile.read, self.path / "below")

    def test_what_can_not_be_read(self) -> None:
        self.path.mkdir()
        self.assertEqual(self.fault(), f"can't read {self.path}: Is a directory")

    def test_no_text(self) -> None:
        self.path.write_bytes(b"a = 1\nb = '\xff'")
        self.assertIn(":2: this is not UTF-8", self.fault())

    def test_too_long(self) -> None:
        self.path.write_bytes(b"\n" * MAX_SIZE)
        self.assertEqual(TomlFile.read(self.path).content, {})
        self.path.write_bytes(b"\n" * (MAX_SIZE + 1))
        self.assertIn("is too long: expected 256 KiB at most", self.fault())
