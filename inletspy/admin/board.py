"""The table of `inletspy top`, as it stands at the terminal.

Owns what is shown of tunnels, in which order and columns, and how it fits the terminal.
Where the rows come from, and who draws, is not known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Group
from rich.filesize import decimal
from rich.text import Text

from inletspy.admin.tables import printable

__all__ = ["COLUMNS", "Board", "Column"]

Row = Mapping[str, Any]

_GAP: Final = "  "
#: Other texts than addresses are cut to this, in cells.
_MOST_TEXT: Final = 30
#: Columns are left out rather than that an address is cut to less than this.
_LEAST_ADDRESS: Final = 32
#: Of the curve so many values make one sign.
_SPARK_GROUP: Final = 4
_SPARK_SIGNS: Final = "▁▂▃▄▅▆▇█"
_STYLES: Final = {"active": "", "draining": "yellow", "away": "dim"}
#: Lines beside the rows: two at the head, the titles, the keys.
_LINES_BESIDE: Final = 4


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        key: sorts by it.
        title: stands over it.
        value: what is sorted by; None stands for nothing and comes last.
        shown: that, for people.
        rank: the higher it is, the sooner the column is left out.
        width: in cells, at least, so that it does not move with each figure.
        number: whether it is a number: the greatest first, set to the right.
    """

    key: str
    title: str
    value: Callable[[Row], Any]
    shown: Callable[[Any], str]
    rank: int
    width: int = 0
    number: bool = True


def _field(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get(name)


def _figure(name: str) -> Callable[[Row], Any]:
    return lambda row: row.get("traffic", {}).get(name)


def _errors(row: Row) -> int | None:
    statuses = row.get("traffic", {}).get("statuses")
    return None if statuses is None else statuses.get("5xx")


def _spark(row: Row) -> tuple[int, ...] | None:
    """The curve, in so few values that each is one sign."""
    curve = row.get("traffic", {}).get("spark")
    if curve is None:
        return None
    return tuple(sum(curve[i : i + _SPARK_GROUP]) for i in range(0, len(curve), _SPARK_GROUP))


def _text(value: Any) -> str:
    return "" if value is None else printable(str(value))


def _address(value: Any) -> str:
    return _text(value).removeprefix("http://").removeprefix("https://")


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _rate(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _size(value: int | None) -> str:
    return "" if value is None else decimal(value).replace("bytes", "B")


def _milliseconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value / 1000:.1f} s" if value >= 1000 else f"{value:.0f} ms"


def _curve(values: tuple[int, ...] | None) -> str:
    if values is None:
        return ""
    most = max(values) or 1
    steps = len(_SPARK_SIGNS) - 1
    return "".join(_SPARK_SIGNS[-(-value * steps // most)] for value in values)


#: All columns, in the order in which they stand.
COLUMNS: Final = (
    Column("a", "ADDRESS", _field("public_url"), _address, 0, number=False),
    Column("u", "UPSTREAM", _field("upstream"), _text, 12, number=False),
    Column("c", "CLIENT", _field("client_id"), _text, 10, number=False),
    Column("w", "OWNER", _field("owner"), _text, 5, number=False),
    Column("s", "STATE", _field("status"), _text, 1, 8, number=False),
    Column("n", "NOW", _figure("active"), _count, 4),
    Column("r", "REQ/S", _figure("per_second"), _rate, 2),
    Column("t", "TOTAL", _figure("requests"), _count, 6, 7),
    Column("e", "5XX", _errors, _count, 7),
    Column("i", "IN", _figure("bytes_in"), _size, 11, 8),
    Column("o", "OUT", _figure("bytes_out"), _size, 9, 8),
    Column("m", "P50", _figure("p50_ms"), _milliseconds, 13, 7),
    Column("p", "P99", _figure("p99_ms"), _milliseconds, 8, 7),
    Column("l", "LAST 15 MIN", _spark, _curve, 3, 15, number=False),
)
_BY_KEY: Final = {column.key: column for column in COLUMNS}


class Board:
    """What is shown.

    Args:
        where: the server's address.
        user: whose the token is.
        sees_all: whether there are everybody's tunnels.

    Attributes:
        rows: by id.
        health: of the server, where it is told.
        notice: what is wrong; empty while nothing is.
        sorted_by: the column.
        reverse: whether it is the other way round than usual.
        own_only: whether only the user's own are shown.
        top: the first row that is shown.
    """

    def __init__(self, where: str, user: str, *, sees_all: bool) -> None:
        self.where = where
        self.user = user
        self.sees_all = sees_all
        self.rows: dict[str, Row] = {}
        self.health: Row | None = None
        self.notice = ""
        self.sorted_by = _BY_KEY["r"]
        self.reverse = False
        self.own_only = False
        self.top = 0
        #: How many rows there was room for.
        self._room = 1

    # -- what happens

    def connected(self, where: str, user: str, *, sees_all: bool) -> None:
        """The server is there (again)."""
        self.where, self.user, self.sees_all = where, user, sees_all
        self.notice = ""

    def sort(self, key: str) -> None:
        """Sort by the column of that key, in its usual order."""
        self.sorted_by, self.reverse = _BY_KEY[key], False

    def got(self, event: str, data: str) -> None:
        """An event of the server's; what is not understood is passed over."""
        told = json.loads(data)
        if event == "tunnels":
            self.rows = {row["id"]: row for row in told["tunnels"]}
        elif event == "changes":
            self.rows |= {row["id"]: row for row in told["changed"]}
            for id in told["gone"]:
                self.rows.pop(id, None)
        elif event == "health":
            self.health = told

    def press(self, key: str) -> bool:
        """A key was pressed; whether it means anything."""
        page = max(1, self._room - 1)
        moves = {"up": -1, "down": 1, "pageup": -page, "pagedown": page, "home": -(10**9)}
        moves["end"] = 10**9
        if key == self.sorted_by.key:
            self.reverse = not self.reverse
        elif key in _BY_KEY:
            self.sort(key)
        elif key == "v" and self.sees_all:
            self.own_only = not self.own_only
        elif key in moves:
            self.top += moves[key]
        else:
            return False
        return True

    # -- how it looks

    def ordered(self) -> list[Row]:
        """The rows that are to be seen, in order."""
        column = self.sorted_by
        rows = [row for row in self.rows.values() if not self.own_only or self._is_own(row)]
        rows.sort(key=lambda row: _text(row.get("public_url")))
        known = [row for row in rows if column.value(row) is not None]
        unknown = [row for row in rows if column.value(row) is None]
        known.sort(key=column.value, reverse=column.number != self.reverse)
        return known + unknown

    def _is_own(self, row: Row) -> bool:
        return bool(row.get("owner", self.user) == self.user)

    def picture(self, width: int, height: int) -> Group:
        """All of it, in so many cells and lines."""
        rows = self.ordered()
        self._room = max(1, height - _LINES_BESIDE)
        self.top = max(0, min(self.top, len(rows) - self._room))
        seen = rows[self.top : self.top + self._room]
        columns, table = self._table(seen, width)
        lines = [self._head(width), self._sums(rows, width), *table]
        if not rows:
            lines.append(Text("no tunnels", style="dim"))
        lines += [Text("")] * (height - len(lines) - 1)
        below = len(rows) - self.top - len(seen)
        lines.append(self._keys(columns, below, width))
        return Group(*lines)

    def _head(self, width: int) -> Text:
        if self.notice:
            return _cut(Text(printable(self.notice), style="bold white on red"), width)
        whose = "everybody's tunnels" if self.sees_all and not self.own_only else "own tunnels"
        text = Text.assemble(
            ("inletspy", "bold"), f"  {printable(self.where)}  {printable(self.user)}, {whose}"
        )
        return _cut(text, width)

    def _sums(self, rows: list[Row], width: int) -> Text:
        figures = [row["traffic"] for row in rows if "traffic" in row]
        away = sum(row.get("status") == "away" for row in rows)
        parts = [
            f"{len(rows) - away} up",
            f"{away} away",
            f"{sum(f['per_second'] for f in figures):.1f} requests/s",
            f"{sum(f['active'] for f in figures):,} under way",
            f"{_size(sum(f['bytes_in'] for f in figures))} in",
            f"{_size(sum(f['bytes_out'] for f in figures))} out",
        ]
        if self.health is not None:
            parts += [
                f"memory {_size(self.health['memory_bytes'])}",
                f"{self.health['visitors']:,} visitors",
                f"database {self.health['database']['state']}",
            ]
        return _cut(Text(" · ".join(parts), style="dim" if self.notice else ""), width)

    def _table(self, rows: list[Row], width: int) -> tuple[list[Column], list[Text]]:
        """The columns that there is room for, and the lines."""
        columns = [column for column in COLUMNS if column.key != "w" or self.sees_all]
        cells = {c.key: [c.shown(c.value(row)) for row in rows] for c in columns}
        # One more than the title, for the mark of the order.
        widths = {
            c.key: max(c.width, cell_len(c.title) + 1, *map(cell_len, cells[c.key]))
            for c in columns
        }
        full = widths["a"]
        for key in "ucw":
            if key in widths:
                widths[key] = min(widths[key], _MOST_TEXT)
        widths["a"] = min(full, _LEAST_ADDRESS)

        def spare() -> int:
            return width - sum(widths[c.key] for c in columns) - len(_GAP) * (len(columns) - 1)

        for column in sorted(columns, key=lambda c: c.rank, reverse=True):
            if spare() < 0 and column.rank and column is not self.sorted_by:
                columns.remove(column)
        widths["a"] = max(1, min(full, widths["a"] + spare()))
        title = Text(_GAP, style="bold").join(
            Text(
                _set(self._title(c), widths[c.key], right=c.number),
                style="bold reverse" if c is self.sorted_by else "bold",
            )
            for c in columns
        )
        lines = [title]
        for number, row in enumerate(rows):
            parts = [_set(cells[c.key][number], widths[c.key], right=c.number) for c in columns]
            style = "dim" if self.notice else _STYLES.get(str(row.get("status")), "")
            lines.append(Text(_GAP.join(parts), style=style))
        return columns, [_cut(line, width) for line in lines]

    def _title(self, column: Column) -> str:
        if column is not self.sorted_by:
            return column.title
        return f"{column.title}{'▾' if column.number != self.reverse else '▴'}"

    def _keys(self, columns: list[Column], below: int, width: int) -> Text:
        """What can be typed, and whether there are more rows."""
        keys = ["q quit"]
        if self.top or below:
            keys.append(f"↑↓ {self.top} above, {below} below")
        if self.sees_all:
            keys.append("v own or all")
        start = "  ".join([*keys, "sort by "])
        text = start + "  ".join(f"{c.key} {c.title.lower()}" for c in columns)
        if cell_len(text) > width:
            text = start + " ".join(c.key for c in columns)
        return _cut(Text(text, style="dim"), width)


def _set(text: str, width: int, *, right: bool) -> str:
    """The text in exactly so many cells."""
    size = cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…"
    return " " * (width - size) + text if right else text + " " * (width - size)


def _cut(text: Text, width: int) -> Text:
    text.truncate(width, overflow="ellipsis")
    text.no_wrap = True
    return text
