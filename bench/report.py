"""The figures as tables: medians with their ranges, and proportions between the ways.

Works on what `__main__` writes as JSON: `python -m bench.report FILE` prints it again,
with `--markdown` as it stands in documents.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

__all__ = ["main", "text_report"]

#: With what the other ways are compared.
_OURS: Final = "inletspy"


def text_report(found: Mapping[str, Any], *, markdown: bool = False) -> str:
    """All tables, one after the other."""
    parts = [_conditions(found)]
    for name, workload in found["workloads"].items():
        by_way = found["figures"][name]
        if by_way:
            rows = [_titles(workload), *(_row(workload, way, by_way) for way in by_way)]
            title = f"{name}: {workload['title']}"
            parts.append(f"{_heading(title, markdown)}\n{_table(rows, markdown)}")
    parts += _fleets(found["fleet"], markdown)
    notes = [f"{way}: {note}" for way, note in found["notes"].items()]
    if notes:
        parts.append("; ".join(notes))
    if found["failures"]:
        parts.append("\n".join(["What failed:", *found["failures"]]))
    return "\n\n".join(parts)


def _conditions(found: Mapping[str, Any]) -> str:
    c = found["conditions"]
    return (
        f"inletspy {c['inletspy']}, Python {c['python']}, {c['system']}, {c['processors']} "
        f"processors ({c['processor']});\nupstream: {c['upstream']}; load: {c['load']}; "
        f"{c['seconds']:g} s or {c['bulk_mb']} MB each; medians (and ranges) of "
        f"{c['rounds']} round(s)"
    )


def _heading(title: str, markdown: bool) -> str:
    return f"### {title}\n" if markdown else title


def _titles(workload: Mapping[str, Any]) -> list[str]:
    titles = ["", workload["unit"], "range", f"{_OURS} is"]
    if workload["per"]:
        titles += [f"CPU s per {workload['per']}: server", "client", f"{_OURS} takes"]
    return [*titles, "p99 ms"]


def _row(workload: Mapping[str, Any], way: str, by_way: Mapping[str, Any]) -> list[str]:
    values = [figure["value"] for figure in by_way[way]]
    ours = by_way.get(_OURS)
    proportion = "-"
    if ours and way != _OURS and median(values):
        proportion = f"{median(f['value'] for f in ours) / median(values):.2f}x"
    row = [way, _number(median(values)), f"{_number(min(values))}-{_number(max(values))}"]
    row.append(proportion)
    if workload["per"]:
        server, client = _median(by_way[way], "server_cpu"), _median(by_way[way], "client_cpu")
        row += [_number(server), _number(client)]
        share = "-"
        if ours and way != _OURS and server + client:
            our_sum = _median(ours, "server_cpu") + _median(ours, "client_cpu")
            share = f"{our_sum / (server + client):.2f}x"
        row.append(share)
    p99 = [figure["more"]["p99_ms"] for figure in by_way[way] if "p99_ms" in figure["more"]]
    return [*row, _number(median(p99)) if p99 else "-"]


def _median(figures: Sequence[Mapping[str, float]], name: str) -> float:
    return median(figure[name] for figure in figures)


def _number(value: float) -> str:
    if value == 0:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _fleets(fleet: Mapping[str, Any], markdown: bool) -> list[str]:
    parts = []
    clients = f"{fleet['clients']:,}"
    if "idle_kb" in fleet:
        rows = [["", "kB per tunnel"]]
        rows += [[name, _number(value)] for name, value in fleet["idle_kb"].items()]
        title = f"idle-memory: a server's memory with {clients} idle tunnels"
        parts.append(f"{_heading(title, markdown)}\n{_table(rows, markdown)}")
    if "return_seconds" in fleet:
        seconds = fleet["return_seconds"]
        title = f"return: {clients} clients back after a restart"
        rows = [["", "s", "range"]]
        spread = f"{_number(min(seconds))}-{_number(max(seconds))}"
        rows.append([_OURS, _number(median(seconds)), spread])
        parts.append(f"{_heading(title, markdown)}\n{_table(rows, markdown)}")
    return parts


def _table(rows: Sequence[Sequence[str]], markdown: bool) -> str:
    if markdown:
        first, *others = (f"| {' | '.join(row)} |" for row in rows)
        line = f"|---|{'---:|' * (len(rows[0]) - 1)}"
        return "\n".join([first, line, *others])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        padded = [cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)


def main(words: Sequence[str] | None = None) -> None:
    """Print the tables of a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.report")
    parser.add_argument("file", type=Path)
    parser.add_argument("--markdown", action="store_true")
    options = parser.parse_args(words)
    print(text_report(json.loads(options.file.read_text()), markdown=options.markdown))


if __name__ == "__main__":
    main()
