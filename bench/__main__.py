"""Measures tunnels beside each other: `python -m bench`, or `make bench`.

Starts everything itself, on free ports of the loopback interface and in a temporary
directory, and ends it again. README.md says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from bench import fleet
from bench.load import generator_name
from bench.peers import PEERS
from bench.programs import BenchError, Programs
from bench.report import text_report
from bench.ways import Upstreams, Way, direct, inletspy, nginx, start_upstreams
from bench.workloads import WORKLOADS, Conditions, Figure, Workload, measure
from inletspy import __version__

_WAYS: Final = {"direct": direct, "nginx": nginx, "inletspy": inletspy, **PEERS}
#: Measured with a server and clients of their own, once.
_FLEETS: Final = ("idle-memory", "return")
#: Seconds of load before anything counts.
_WARM_UP: Final = 1.0


def run(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything that was asked for.

    Args:
        options: the command line's.
        say: is told how far it is.

    Returns:
        The conditions, and all figures by workload and way, one for each round.

    Raises:
        BenchError: it can't be measured.
    """
    workloads = [w for w in WORKLOADS if not options.only or w.name in options.only]
    fleets = [name for name in _FLEETS if not options.only or name in options.only]
    failures: list[str] = []
    with Programs() as programs:
        say("starting")
        upstreams = start_upstreams(programs)
        ways = _start_ways(programs, upstreams, options, failures) if workloads else []
        figures: dict[str, dict[str, list[Figure]]] = {w.name: {} for w in workloads}
        conditions = Conditions(options.seconds, options.bulk * 1_000_000, programs.folder)
        for way in ways:
            with noted(failures, f"warming up, {way.name}"):
                measure(WORKLOADS[1], way, Conditions(_WARM_UP, 0, programs.folder))
        for number in range(options.rounds):
            for workload in workloads:
                # Each way comes first once in a while: what heats up, does so for all.
                start = number % len(ways)
                for way in [*ways[start:], *ways[:start]]:
                    say(f"round {number + 1} of {options.rounds}: {workload.name}, {way.name}")
                    with noted(failures, f"{workload.name}, {way.name}"):
                        figure = measure(workload, way, conditions)
                        if figure is not None:
                            figures[workload.name].setdefault(way.name, []).append(figure)
        notes = {way.name: way.note for way in ways if way.note}
    found: dict[str, Any] = {
        "conditions": _conditions(options, upstreams),
        "notes": notes,
        "workloads": {w.name: _described(w) for w in workloads},
        "figures": {
            workload: {way: [asdict(f) for f in rounds] for way, rounds in by_way.items()}
            for workload, by_way in figures.items()
        },
        "fleet": _measure_fleets(fleets, options, say, failures),
        "failures": failures,
    }
    return found


@contextmanager
def noted(failures: list[str], what: str) -> Iterator[None]:
    """Note what fails, and go on: one tunnel's trouble must not cost the others' figures."""
    try:
        yield
    except (BenchError, OSError) as error:
        failures.append(f"{what}: {error}")


def _start_ways(
    programs: Programs, upstreams: Upstreams, options: argparse.Namespace, failures: list[str]
) -> list[Way]:
    ways = []
    for name, start in _WAYS.items():
        if name not in (options.ways or _WAYS):
            continue
        count = programs.count
        try:
            way = start(programs, upstreams)
        except (BenchError, OSError) as error:
            programs.end_after(count)
            if name == "inletspy":
                raise
            failures.append(f"{name} could not be started: {error}")
            continue
        if way is not None:
            ways.append(way)
    if not ways:
        raise BenchError("none of the programs to measure is on this machine")
    return ways


def _measure_fleets(
    names: Sequence[str],
    options: argparse.Namespace,
    say: Callable[[str], None],
    failures: list[str],
) -> dict[str, Any]:
    found: dict[str, Any] = {"clients": options.clients}
    if "idle-memory" in names:
        say(f"memory of {options.clients} idle tunnels")
        with noted(failures, "idle-memory"), Programs() as programs:
            found["idle_kb"] = fleet.idle_memory(programs, options.clients)
    if "return" in names:
        seconds = []
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}: return of {options.clients} clients")
            with noted(failures, "return"), Programs() as programs:
                seconds.append(fleet.return_seconds(programs, options.clients))
        if seconds:
            found["return_seconds"] = seconds
    return found


def _conditions(options: argparse.Namespace, upstreams: Upstreams) -> dict[str, Any]:
    return {
        "inletspy": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "processors": len(os.sched_getaffinity(0)),
        "upstream": upstreams.name,
        "load": generator_name(),
        "seconds": options.seconds,
        "rounds": options.rounds,
        "bulk_mb": options.bulk,
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown"


def _described(workload: Workload) -> dict[str, Any]:
    return {
        "title": workload.title,
        "unit": workload.unit,
        "per": workload.per,
        "less_is_better": workload.less_is_better,
    }


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    names = [*(w.name for w in WORKLOADS), *_FLEETS]
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure tunnels beside each other.",
        epilog=f"workloads: {', '.join(names)}; ways: {', '.join(_WAYS)}",
    )
    add = parser.add_argument
    add("--seconds", type=float, default=3.0, help="of each load [3]")
    add("--rounds", type=int, default=3, help="of which the medians are shown [3]")
    add("--bulk", type=int, default=256, metavar="MB", help="of each transfer [256]")
    add("--clients", type=int, default=1000, help="in a fleet [1000]")
    add("--only", nargs="+", choices=names, metavar="WORKLOAD", help="measure these alone")
    add("--ways", nargs="+", choices=tuple(_WAYS), metavar="WAY", help="measure these alone")
    add("--json", metavar="FILE", default="", help="write all figures there")
    options = parser.parse_args(words)
    if min(options.seconds, options.rounds, options.bulk, options.clients) < 1:
        parser.error("all numbers must be at least 1")
    return options


def main(words: Sequence[str] | None = None) -> int:
    """The command line; gives the exit status."""
    options = _parse(words)

    def say(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif text:
            print(text, file=sys.stderr, flush=True)

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
    print(text_report(found))
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=1) + "\n")
    return 1 if found["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
