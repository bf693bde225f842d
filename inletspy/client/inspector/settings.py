"""Whether and how to inspect, as people write it: flags, environment, configuration file.

Reads the words and refuses those that make no sense. Which source counts is the same as for
everything else that concerns a whole session.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from inletspy.errors import UsageError
from inletspy.policy.addresses import parse_port

__all__ = ["VARIABLES", "WISHES", "InspectSettings", "read_settings"]

#: The wishes of this kind, and the variables that hold them.
VARIABLES: Final = {
    "inspect": "INLETSPY_INSPECT",
    "inspect_body": "INLETSPY_INSPECT_BODY",
    "inspect_memory": "INLETSPY_INSPECT_MEMORY",
}
WISHES: Final = tuple(VARIABLES)

_MIB: Final = 1 << 20
_UNITS: Final = {"": 1, "k": 1 << 10, "m": _MIB, "g": 1 << 30}
_match_size = re.compile(r"([0-9]{1,9})([kmg]?)(?:i?b)?", re.IGNORECASE).fullmatch


@dataclass(frozen=True)
class InspectSettings:
    """How to inspect.

    Attributes:
        wanted: whether to do so; None if nobody said.
        port: where to listen; None for the usual one or the next that is free, 0 for any.
        body_limit: bytes that are kept of each body.
        memory_limit: bytes that all that is kept may cost.
    """

    wanted: bool | None = None
    port: int | None = None
    body_limit: int = _MIB
    memory_limit: int = 64 * _MIB


def read_settings(said: dict[str, tuple[str, str]]) -> InspectSettings:
    """Read what was said.

    Args:
        said: of `WISHES`, those that something was said about: that, and where.

    Raises:
        UsageError: it makes no sense.
    """
    wanted: bool | None = None
    port: int | None = None
    if "inspect" in said:
        text, place = said["inspect"]
        wanted = text.lower() != "off"
        if wanted:
            port = parse_port(text, lowest=0)
            if port is None:
                raise UsageError(f"{place}: {text!r} is neither a port nor off")
    usual = InspectSettings()
    return InspectSettings(
        wanted,
        port,
        _size(said, "inspect_body", usual.body_limit, 0, 64 * _MIB),
        _size(said, "inspect_memory", usual.memory_limit, _MIB, 4096 * _MIB),
    )


def _size(said: dict[str, tuple[str, str]], wish: str, usual: int, least: int, most: int) -> int:
    if wish not in said:
        return usual
    text, place = said[wish]
    match = _match_size(text)
    size = int(match[1]) * _UNITS[match[2].lower()] if match else -1
    if not least <= size <= most:
        least_text = f"{least // _MIB}MiB" if least else "0"
        raise UsageError(f"{place}: {text!r} is no size from {least_text} to {most // _MIB}MiB")
    return size
