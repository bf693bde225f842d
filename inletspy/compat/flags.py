"""Command lines as the stock Go programs read them (pflag's grammar, POSIX and GNU).

Differs from argparse where scripts could notice: a value may begin with a hyphen, a
switch takes its value after `=` only, the last of several wins, and what follows the
flags without belonging to one is ignored. It knows no flag by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from inletspy.errors import UsageError

__all__ = ["Flag", "FlagValue", "describe", "read_flags"]

FlagValue = str | int | bool

_TRUE: Final = frozenset(("1", "t", "T", "TRUE", "true", "True"))
_FALSE: Final = frozenset(("0", "f", "F", "FALSE", "false", "False"))


@dataclass(frozen=True)
class Flag:
    """One flag of a command.

    Attributes:
        name: what follows the two hyphens, and the key of its value.
        short: what follows a single hyphen; empty for none.
        default: its value where it is not given; its type is the flag's.
        help: one line for people.
        stands_for: the name under which its value is kept, if not its own.
    """

    name: str
    short: str
    default: FlagValue
    help: str
    stands_for: str = ""

    @property
    def key(self) -> str:
        """The name under which its value is kept."""
        return self.stands_for or self.name

    def read(self, text: str) -> FlagValue:
        """The value that `text` stands for; raises UsageError."""
        shown = f"-{self.short}, --{self.name}" if self.short else f"--{self.name}"
        if isinstance(self.default, bool):
            if text not in _TRUE | _FALSE:
                raise UsageError(f'invalid argument "{text}" for "{shown}" flag: not true or false')
            return text in _TRUE
        if isinstance(self.default, int):
            try:
                return int(text)
            except ValueError:
                raise UsageError(
                    f'invalid argument "{text}" for "{shown}" flag: not a number'
                ) from None
        return text


def read_flags(flags: Sequence[Flag], words: Sequence[str]) -> dict[str, FlagValue]:
    """Read a command's flags.

    Args:
        flags: what there are.
        words: the command line after the command's name.

    Returns:
        The values of those that were given, by key.

    Raises:
        UsageError: an unknown flag, a missing or a wrong value.
    """
    long = {flag.name: flag for flag in flags}
    short = {flag.short: flag for flag in flags if flag.short}
    given: dict[str, FlagValue] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        if word.startswith("--"):
            name, equals, text = word[2:].partition("=")
            if name not in long:
                raise UsageError(f"unknown flag: --{name}")
            flag = long[name]
            given[flag.key] = _value(flag, f"--{name}", text if equals else None, rest)
        elif word.startswith("-") and word != "-":
            cluster = word[1:]
            while cluster:
                letter, cluster = cluster[0], cluster[1:]
                if letter not in short:
                    raise UsageError(f"unknown shorthand flag: {letter!r} in {word}")
                flag = short[letter]
                if isinstance(flag.default, bool) and cluster[:1] != "=":
                    given[flag.key] = True
                    continue
                text = cluster[1:] if cluster[:1] == "=" else cluster
                shown = f"{letter!r} in {word}"
                given[flag.key] = _value(flag, shown, text if cluster else None, rest)
                cluster = ""
    return given


def _value(flag: Flag, shown: str, text: str | None, rest: list[str]) -> FlagValue:
    """The value of a flag, which may be the next word."""
    if text is None:
        if isinstance(flag.default, bool):
            return True
        if not rest:
            raise UsageError(f"flag needs an argument: {shown}")
        text = rest.pop(0)
    return flag.read(text)


def describe(flags: Sequence[Flag]) -> str:
    """The flags as lines of a help text."""
    lines = []
    for flag in flags:
        kind = {bool: "", int: " int", str: " string"}[type(flag.default)]
        short = f"-{flag.short}, " if flag.short else "    "
        default = f" (default {flag.default})" if flag.default not in ("", False) else ""
        lines.append(f"  {short}{f'--{flag.name}{kind}':<32}{flag.help}{default}")
    return "\n".join(lines)
