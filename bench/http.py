"""Measures HTTP through a tunnel, beside direct access and stock inlets.

    .venv/bin/python bench/http.py [--seconds 5] [--connections 32] [--rounds 3]
        [--inlets PATH] [--json]

Starts everything itself, on free ports of the loopback interface and in a temporary
directory, and ends it again. README.md says what the figures mean.
"""

from __future__ import annotations

# ruff: noqa: E402
import sys
from pathlib import Path

# Python has put this folder first, where this very file hides the `http` of Python.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from bench.load import download, generator_name, requests, upload
from bench.programs import BenchError, Program, Programs
from bench.ways import TARGET, Way, direct, inlets, inletspy, start_upstreams
from inletspy import __version__

#: Seconds of load before anything counts.
_WARM_UP: Final = 1.0


@dataclass(frozen=True)
class Figures:
    """What one round found on one way, or the medians of several rounds.

    Attributes:
        requests_per_second: small requests, all connections together.
        p50_ms: the median request's time, in milliseconds.
        p99_ms: what 99 of 100 requests did not exceed, in milliseconds.
        server_cpu: processor seconds of the tunnel's server for 1,000 requests.
        client_cpu: the same of its client.
        download: megabytes a second over one connection.
        upload: the same towards the upstream.
        errors: requests that failed.
    """

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    server_cpu: float
    client_cpu: float
    download: float
    upload: float
    errors: float


#: A column of the table: its title, what it shows, and how.
_COLUMNS: Final[Sequence[tuple[str, Callable[[Figures], float], str]]] = (
    ("req/s", lambda f: f.requests_per_second, ".0f"),
    ("p50 ms", lambda f: f.p50_ms, ".2f"),
    ("p99 ms", lambda f: f.p99_ms, ".2f"),
    ("server CPU s/1000", lambda f: f.server_cpu, ".3f"),
    ("client CPU s/1000", lambda f: f.client_cpu, ".3f"),
    ("down MB/s", lambda f: f.download, ".0f"),
    ("up MB/s", lambda f: f.upload, ".0f"),
)


def measure(way: Way, options: argparse.Namespace, folder: Path) -> Figures:
    """One round on one way; raises BenchError."""
    server, client = _cpu(way.server), _cpu(way.client)
    load = requests(way.small, TARGET, options.connections, options.seconds, folder)
    server, client = _cpu(way.server) - server, _cpu(way.client) - client
    size = options.bulk * 1_000_000
    return Figures(
        requests_per_second=load.per_second,
        p50_ms=load.p50_ms,
        p99_ms=load.p99_ms,
        server_cpu=server / load.requests * 1000,
        client_cpu=client / load.requests * 1000,
        download=download(way.bulk, size),
        upload=upload(way.bulk, size),
        errors=load.errors,
    )


def _cpu(programs: Sequence[Program]) -> float:
    return sum(program.cpu_seconds() for program in programs)


def medians(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    names = Figures.__dataclass_fields__
    return Figures(**{name: median(getattr(figures, name) for figures in rounds) for name in names})


def table(found: dict[str, Figures], compared: str = "inletspy") -> str:
    """The figures of each way, and those of one of them in proportion to the others'."""
    rows = [["", *(title for title, _, _ in _COLUMNS)]]
    for name, figures in found.items():
        cells = [(get(figures), form) for _, get, form in _COLUMNS]
        rows.append([name, *(format(value, form) if value else "-" for value, form in cells)])
    for name in found:
        if name != compared:
            pairs = [(get(found[compared]), get(found[name])) for _, get, _ in _COLUMNS]
            ratios = (f"{one / other:.2f}x" if one and other else "-" for one, other in pairs)
            rows.append([f"{compared} / {name}", *ratios])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *others in rows:
        padded = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *padded]).rstrip())
    return "\n".join(lines)


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything.

    Args:
        options: the command line's.
        say: is told how far it is.

    Returns:
        The conditions, and all figures by way.

    Raises:
        BenchError: it can't be measured.
    """
    with Programs() as programs:
        say("starting")
        upstreams = start_upstreams(programs)
        ways = [direct(upstreams), inletspy(programs, upstreams)]
        if options.inlets:
            ways.append(inlets(programs, upstreams, options.inlets))
        for way in ways:
            requests(way.small, TARGET, options.connections, _WARM_UP, programs.folder)
        rounds: dict[str, list[Figures]] = {way.name: [] for way in ways}
        for number in range(options.rounds):
            # Each way comes first once in a while: what heats up, does so for all.
            start = number % len(ways)
            for way in [*ways[start:], *ways[:start]]:
                say(f"round {number + 1} of {options.rounds}: {way.name}")
                rounds[way.name].append(measure(way, options, programs.folder))
        return {
            "conditions": {
                "inletspy": __version__,
                "python": platform.python_version(),
                "machine": platform.machine(),
                "processors": len(os.sched_getaffinity(0)),
                "upstream": upstreams.name,
                "load": generator_name(),
                "connections": options.connections,
                "seconds": options.seconds,
                "rounds": options.rounds,
                "bulk_mb": options.bulk,
            },
            "median": {name: medians(found) for name, found in rounds.items()},
            "rounds": rounds,
        }


def _conditions(found: dict[str, Any]) -> str:
    c = found["conditions"]
    return (
        f"inletspy {c['inletspy']}, Python {c['python']}, {c['processors']} processors "
        f"({c['machine']}); upstream: {c['upstream']}; load: {c['load']}\n"
        f"1 KiB over {c['connections']} connections for {c['seconds']:g} s, one transfer of "
        f"{c['bulk_mb']} MB each way; medians of {c['rounds']} round(s)"
    )


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure HTTP through a tunnel.")
    add = parser.add_argument
    add("--seconds", type=float, default=5.0, help="of load, for each way and round [5]")
    add("--connections", type=int, default=32, help="at once [32]")
    add("--rounds", type=int, default=3, help="of which the medians are shown [3]")
    add("--bulk", type=int, default=256, metavar="MB", help="in one transfer [256]")
    add(
        "--inlets",
        metavar="PATH",
        default=os.environ.get("INLETS_BIN", ""),
        help="a stock inlets, 2.x or 3.x, to measure as well [INLETS_BIN]",
    )
    add("--json", action="store_true", help="print all figures as one JSON object")
    options = parser.parse_args(words)
    if min(options.seconds, options.connections, options.rounds, options.bulk) < 1:
        parser.error("all numbers must be at least 1")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """The command line; gives the exit status."""
    options = _parse(words)

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    try:
        found = run(options, say)
    except BenchError as error:
        say("")
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("")
        return 130
    say("")
    if options.json:
        print(json.dumps(found, default=asdict, indent=2))
        return 0
    print(_conditions(found), table(found["median"]), sep="\n\n")
    errors = {name: sum(f.errors for f in rounds) for name, rounds in found["rounds"].items()}
    if any(errors.values()):
        failed = ", ".join(f"{name} {count:.0f}" for name, count in errors.items() if count)
        print(f"\nfailed requests: {failed}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
