"""Tables at the terminal: aligned columns, and nothing that could upset it.

Knows nothing of what is in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["cell", "json_ready", "print_table", "printable", "table"]


def print_table(
    titles: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()
) -> None:
    """Print rows under their titles; see `table`."""
    from rich.console import Console

    Console(soft_wrap=True, highlight=False).print(table(titles, rows, styles))


def table(titles: Sequence[str], rows: Sequence[Sequence[str]], styles: Sequence[str] = ()) -> Text:
    """Rows under their titles.

    Args:
        titles: one for each column.
        rows: each as long as the titles.
        styles: one for each row, as rich has them; none for plain ones.
    """
    from rich.text import Text

    lines = [list(titles), *([printable(text) for text in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    whole = []
    for line, style in zip(lines, ["bold", *(styles or [""] * len(rows))], strict=True):
        padded = "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True))
        whole.append(Text(padded.rstrip(), style=style))
    return Text("\n", no_wrap=True).join(whole)


def cell(value: Any) -> str:
    """A value as people read it; nothing for None."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%MZ")
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, dict):
        return ",".join(f"{key}={number}" for key, number in value.items())
    return "" if value is None else str(value)


def json_ready(value: Any) -> Any:
    """A value as JSON can have it: times in ISO 8601, UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    return value


def printable(text: str) -> str:
    """The text without what would move the cursor or break the table."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
