"""The files of the pages that server and client serve: HTML, style sheets, scripts, images.

Owns which files there are, what they are served as, and the header fields that confine a
page to them. Only what stands in this package can be named. Knows nothing of who serves
them, nor of what the pages do.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from inletspy.errors import NotThere

__all__ = ["PAGE_FIELDS", "Asset", "asset", "names"]

#: What goes with every file: a page may use what stands beside it and nothing else, and
#: runs no script that came to it in some other way (Content Security Policy Level 3).
PAGE_FIELDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Kept, but asked for each time: an update of the package shows at once.
    "Cache-Control": "no-cache",
}

#: By the end of the name. Others, like this module, are not served.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_find_tags = re.compile(r'"[^"]*"').findall


@dataclass(frozen=True)
class Asset:
    """One file.

    Attributes:
        content: what is in it.
        content_type: its media type.
        etag: names this very content, in quotes as the field has it (RFC 9110, 8.8.3).
    """

    content: bytes
    content_type: str
    etag: str

    def is_among(self, if_none_match: str) -> bool:
        """Whether who asks has it already (RFC 9110, 13.1.2).

        Args:
            if_none_match: the field as it came; empty if there is none.
        """
        return if_none_match.strip() == "*" or self.etag in _find_tags(if_none_match)


def asset(name: str) -> Asset:
    """The file of that name, like `shared/design.css`.

    Raises:
        NotThere: there is none.
    """
    try:
        return _all()[name]
    except KeyError:
        raise NotThere(f"there is no file {name!r}") from None


def names() -> list[str]:
    """The names of all files, in order."""
    return sorted(_all())


@cache
def _all() -> Mapping[str, Asset]:
    return dict(_files(resources.files("inletspy.assets"), ""))


def _files(folder: Traversable, start: str) -> Iterator[tuple[str, Asset]]:
    for entry in folder.iterdir():
        name = f"{start}{entry.name}"
        suffix = f".{entry.name.rpartition('.')[2]}"
        if entry.is_dir():
            yield from _files(entry, f"{name}/")
        elif suffix in _TYPES:
            content = entry.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest())
            yield name, Asset(content, _TYPES[suffix], f'"{digest[:22].decode("ascii")}"')
