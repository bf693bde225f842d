"""What one owner may take of the server: which limits there are, and how they are written.

The same names stand in settings, in the limits of a token, and in `--limit`. What counts
against a limit, `usage` knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

__all__ = ["HIGHEST", "SHARED_LIMITS", "USER_LIMITS", "Limits", "check_limits", "parse_limit"]

HIGHEST: Final = 1_000_000_000


@dataclass(frozen=True)
class Limits:
    """How much one owner may have; 0 stands for any number.

    Attributes:
        sessions: clients at once.
        services: of all these clients together.
        streams: at once, through all these clients.
        connections_per_second: of visitors, over HTTP and TCP.
        names_per_hour: hostnames that were nobody's the moment before.
    """

    sessions: float = 0
    services: float = 0
    streams: float = 0
    connections_per_second: float = 0
    names_per_hour: float = 0

    def but(self, own: Mapping[str, Any]) -> Limits:
        """These, with what is said by `own` in their place; what makes no sense there is not."""
        good = {}
        for name, value in own.items():
            with suppress(ValueError):
                good[name] = _check(name, value)
        return replace(self, **good) if good else self

    def values(self) -> dict[str, float]:
        """Each by its name."""
        return asdict(self)


_NAMES: Final = tuple(field.name for field in fields(Limits))
#: These are counted, the others measured.
_COUNTS: Final = ("sessions", "services", "streams")

#: One user is a person, or a program of theirs.
USER_LIMITS: Final = Limits(
    sessions=50,
    services=200,
    streams=5000,
    connections_per_second=200,
    names_per_hour=500,
)
#: The shared token may stand for all containers of a platform. Visitors of one of them must
#: not keep those of the others out, so their rate has no limit in common.
SHARED_LIMITS: Final = Limits(
    sessions=10_000,
    services=50_000,
    streams=100_000,
    connections_per_second=0,
    names_per_hour=100_000,
)


def _check(name: str, value: Any) -> float:
    if name not in _NAMES:
        raise ValueError(f"{str(name)[:64]!r} is no limit: use {', '.join(_NAMES)}")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= HIGHEST:
        raise ValueError(f"{name} must be a number from 0, which stands for any, to {HIGHEST}")
    if name in _COUNTS and value != int(value):
        raise ValueError(f"{name} must be a whole number")
    return int(value) if value == int(value) else float(value)


def check_limits(values: Any) -> dict[str, float]:
    """Limits by name.

    Raises:
        ValueError: one is unknown, or its value makes no sense; the text says which.
    """
    if not isinstance(values, Mapping):
        raise ValueError('must be a JSON object, like {"sessions": 5}')
    return {name: _check(name, value) for name, value in values.items()}


def parse_limit(text: str) -> tuple[str, float]:
    """The limit in `NAME=NUMBER`.

    Raises:
        ValueError: there is none; the text says why.
    """
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        raise ValueError(f"{text[:64]!r} must be like sessions=5") from None
    return name.strip(), _check(name.strip(), value)
