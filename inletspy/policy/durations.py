"""Spans of time as people write them: `90m`, `12h`, `30d`."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["LONGEST", "parse_duration"]

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
#: A hundred years: no time that is reckoned with it leaves the calendar.
LONGEST: Final = 100 * 365 * 86400

_match_duration = re.compile(r"([0-9]{1,10})([smhdw])").fullmatch


def parse_duration(text: str) -> int:
    """The seconds that a number with a unit stands for.

    Raises:
        ValueError: it is no such span; the text says what is.
    """
    match = _match_duration(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if not 0 < seconds <= LONGEST:
        raise ValueError(
            f"{text!r} is no span of time: use a number above 0 with s, m, h, d or w, like 30d"
        )
    return seconds
