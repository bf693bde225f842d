"""TOML files that people write: their mistakes are told by file, line and what is expected.

Knows TOML and how to put a mistake into words; which keys there are, and what they mean,
is said by whoever reads the file.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from inletspy.errors import UsageError

__all__ = ["Form", "TomlFile"]

#: Bytes; nobody writes more by hand.
MAX_SIZE: Final = 1 << 18

_match_place = re.compile(
    r"(.*?) \(at (?:line ([0-9]+), column ([0-9]+)|end of document)\)", re.DOTALL
).fullmatch
#: What a line's end may be inside of, or not: texts, comments, brackets.
_find_parts = re.compile(
    r'"""(?:[^\\]|\\.)*?"{3,5}|'
    r"'''.*?'{3,5}|"
    r'"(?:[^"\\]|\\.)*"|'
    r"'[^']*'|#[^\n]*|[\[\]{}\n]",
    re.DOTALL,
).finditer
#: How the parser begins to say that something is there twice.
_TWICE: Final = ("Cannot overwrite", "Cannot declare", "Cannot mutate", "Duplicate")

_KINDS: Final = {
    bool: "true or false",
    int: "a number",
    float: "a number with a point",
    str: "text",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True)
class Form:
    """What a value has to be.

    Attributes:
        meaning: the same for people, as what was expected.
        kinds: the types that it may have.
    """

    meaning: str = "text"
    kinds: tuple[type, ...] = (str,)


class TomlFile:
    """The content of a file, and where in it each key is.

    Args:
        text: the content.
        shown: what the file is called in messages.

    Attributes:
        content: the tables and values.

    Raises:
        UsageError: it is no TOML.
    """

    def __init__(self, text: str, shown: str) -> None:
        self.shown = shown
        self._text = text
        try:
            self.content = tomllib.loads(text)
        except ValueError as error:
            raise UsageError(self._broken(str(error))) from error
        except RecursionError:
            raise UsageError(f"{shown}: values in values in values; expected a few") from None

    @classmethod
    def read(cls, path: Path, shown: str = "") -> TomlFile:
        """Read a file.

        Args:
            path: where it is.
            shown: what it is called in messages; the path if empty.

        Raises:
            FileNotFoundError: there is none.
            UsageError: it can't be read, or is no TOML.
        """
        shown = shown or str(path)
        try:
            with path.open("rb") as opened:
                data = opened.read(MAX_SIZE + 1)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(str(path)) from error
        except OSError as error:
            raise UsageError(f"can't read {shown}: {error.strerror}") from error
        if len(data) > MAX_SIZE:
            raise UsageError(f"{shown} is too long: expected {MAX_SIZE >> 10} KiB at most")
        try:
            return cls(data.decode("utf-8-sig"), shown)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise UsageError(f"{shown}:{line}: this is not UTF-8; expected text") from error

    def fault(self, keys: Iterable[str], text: str) -> UsageError:
        """The error for a mistake.

        Args:
            keys: lead to the value, from the top.
            text: what was found there, and what was expected.
        """
        return UsageError(f"{self.shown}:{self.line(*keys)}: {text}")

    def check(self, table: Mapping[str, Any], known: Mapping[str, Form], *place: str) -> None:
        """See that a table holds nothing but known keys, with values of the right types.

        Args:
            table: the table.
            known: key to what its value has to be.
            place: the keys that lead to the table.

        Raises:
            UsageError: it does not.
        """
        where = f" in [{'.'.join(place)}]" if place else ""
        for key, value in table.items():
            form = known.get(key)
            if form is None:
                similar = get_close_matches(key, known, 1)
                advice = f"did you mean {similar[0]}?" if similar else f"known: {', '.join(known)}"
                raise self.fault((*place, key), f"unknown key {key!r}{where}; {advice}")
            if type(value) not in form.kinds or value == "":
                kind = "empty" if value == "" else _KINDS.get(type(value), "a date or time")
                text = f"{key} is {kind}{where}; expected {form.meaning}"
                raise self.fault((*place, key), text)

    def line(self, *keys: str) -> int:
        """The number of the line with the statement that brings a key in, from 1 on.

        The parser tells no places of values. But a key is in what is parsed of the
        beginning of the file from its own statement on. For a key that is not there it is
        the line of its table.
        """
        while not _holds(self.content, keys):
            keys = keys[:-1]
        lines = [f"{line}\n" for line in self._text.split("\n")]

        def there(count: int) -> bool:
            return _holds(tomllib.loads("".join(lines[:count])), keys)

        ends = [0, *_ends_of_statements(self._text), len(lines)]
        return ends[bisect_left(ends, True, lo=1, key=there) - 1] + 1

    def _broken(self, message: str) -> str:
        """What the parser complains of, in one line with its place."""
        match = _match_place(message)
        if match is None:
            return f"{self.shown}: {message}"
        what, line, column = match.groups()
        if line is None:
            line = str(self._text.rstrip().count("\n") + 1)
        if what.startswith(_TWICE):
            return f"{self.shown}:{line}: this key or table is there already; expected each once"
        place = f"column {column}" if column else "the end of the file"
        return f"{self.shown}:{line}: this is no TOML: {what[:1].lower()}{what[1:]}, at {place}"


def _holds(content: Any, keys: tuple[str, ...]) -> bool:
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def _ends_of_statements(text: str) -> Iterator[int]:
    """Numbers of lines after each of which TOML that is known to be good may be cut."""
    line = depth = 0
    for match in _find_parts(text):
        part = match[0]
        line += part.count("\n")
        if part in "[{":
            depth += 1
        elif part in "]}":
            depth -= 1
        elif part == "\n" and not depth:
            yield line
