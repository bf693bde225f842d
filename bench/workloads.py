"""What is measured on each way: the catalogue of workloads, and one round of one of them.

A workload loads a way for a time and gives one number, how much was done for it, and
further numbers that go with it. The processor time is taken from /proc.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from bench import load, traffic
from bench.programs import BenchError, Program
from bench.ways import TARGET, Way

__all__ = ["WORKLOADS", "Conditions", "Figure", "Outcome", "Workload", "measure"]

_MEGABYTE: Final = 1_000_000
_GIB: Final = 1 << 30


@dataclass(frozen=True)
class Conditions:
    """How much is done in one round.

    Attributes:
        seconds: of each load that goes on for a time.
        bulk: bytes in one transfer, or of several at once together.
        folder: for temporary files.
    """

    seconds: float
    bulk: int
    folder: Path


@dataclass(frozen=True)
class Outcome:
    """What one load found.

    Attributes:
        value: the workload's number.
        work: how much was done, in the unit that processor time is given for.
        more: other numbers, by name.
    """

    value: float
    work: float = 0.0
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Figure:
    """One round of one workload on one way.

    Attributes:
        value: the workload's number.
        server_cpu: processor seconds of the tunnel's server for one unit of work.
        client_cpu: the same of its client.
        more: other numbers, by name.
    """

    value: float
    server_cpu: float = 0.0
    client_cpu: float = 0.0
    more: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Workload:
    """One kind of load.

    Attributes:
        name: for the command line and the JSON file.
        title: for people.
        unit: of its number.
        run: loads a way; None if it can't be had on this one.
        per: what processor time is given for; empty for none.
        less_is_better: whether a smaller number is the better one.
    """

    name: str
    title: str
    unit: str
    run: Callable[[Way, Conditions], Outcome | None]
    per: str = ""
    less_is_better: bool = False


def _requests(
    connections: int, fields: tuple[str, ...], way: Way, conditions: Conditions
) -> Outcome | None:
    if "Connection: close" in fields and load.generator_name() != "wrk":
        return None
    found = load.requests(
        way.small, TARGET, connections, conditions.seconds, conditions.folder, fields
    )
    if found.errors > max(3, found.requests / 1000):
        raise BenchError(f"{way.name}: {found.errors} of {found.requests} requests failed")
    more = {"p50_ms": found.p50_ms, "p99_ms": found.p99_ms, "errors": found.errors}
    return Outcome(found.per_second, found.requests / 1000, more)


def _transfers(
    transfer: Callable[[load.Place, int], None], count: int, way: Way, conditions: Conditions
) -> Outcome:
    size = conditions.bulk // count
    took = load.at_once(count, lambda: transfer(way.own, size))
    return Outcome(size * count / _MEGABYTE / took, size * count / _GIB)


def _tcp(transfer: Callable[[int, int], None], way: Way, conditions: Conditions) -> Outcome | None:
    if not way.tcp:
        return None
    took = load.at_once(1, lambda: transfer(way.tcp, conditions.bulk))
    return Outcome(conditions.bulk / _MEGABYTE / took, conditions.bulk / _GIB)


def _connects(way: Way, conditions: Conditions) -> Outcome | None:
    if not way.tcp:
        return None
    per_second = traffic.connects(way.tcp, 16, conditions.seconds)
    return Outcome(per_second, per_second * conditions.seconds / 1000)


def _messages(way: Way, conditions: Conditions) -> Outcome:
    per_second = traffic.messages(way.own, 32, conditions.seconds)
    return Outcome(per_second, per_second * conditions.seconds / 1000)


def _events(way: Way, conditions: Conditions) -> Outcome:
    delays = traffic.event_delays(way.own, int(conditions.seconds * 20))
    more = {"p99_ms": traffic.percentile(delays, 99)}
    return Outcome(traffic.percentile(delays, 50), more=more)


def _paced(way: Way, conditions: Conditions) -> Outcome:
    took = traffic.latencies(way.small, TARGET, 200, conditions.seconds)
    more = {"p50_ms": traffic.percentile(took, 50)}
    return Outcome(traffic.percentile(took, 99), more=more)


def _beside_bulk(limit: float, way: Way, conditions: Conditions) -> Outcome:
    with load.downloading(way.own, limit):
        return _paced(way, conditions)


def _http(name: str, title: str, connections: int, *fields: str) -> Workload:
    return Workload(name, title, "req/s", partial(_requests, connections, fields), "1,000 requests")


_THOUSAND: Final = "1,000 messages"
_CONNECTIONS: Final = "1,000 connections"

#: In the order of the tables.
WORKLOADS: Final = (
    _http("http-1", "1 KiB, one connection", 1),
    _http("http-32", "1 KiB, 32 connections", 32),
    _http("http-128", "1 KiB, 128 connections", 128),
    _http("http-browser", "1 KiB, ten browser headers, 32 connections", 32, *load.BROWSER_FIELDS),
    _http("http-connect", "1 KiB, a connection per request, 32 at once", 32, "Connection: close"),
    Workload("down-1", "one download", "MB/s", partial(_transfers, load.download, 1), "GiB"),
    Workload("down-8", "eight downloads", "MB/s", partial(_transfers, load.download, 8), "GiB"),
    Workload("up-1", "one upload", "MB/s", partial(_transfers, load.upload, 1), "GiB"),
    Workload("up-8", "eight uploads", "MB/s", partial(_transfers, load.upload, 8), "GiB"),
    Workload("websocket", "WebSocket echo, 32 connections", "msg/s", _messages, _THOUSAND),
    Workload("tcp-down", "TCP, one download", "MB/s", partial(_tcp, load.tcp_download), "GiB"),
    Workload("tcp-echo", "TCP, sent and echoed", "MB/s", partial(_tcp, load.tcp_upload), "GiB"),
    Workload("tcp-connect", "TCP connections, 16 at once", "conn/s", _connects, _CONNECTIONS),
    Workload("paced", "p99 of 200 small requests a second", "ms", _paced, less_is_better=True),
    Workload(
        "beside-steady",
        "the same while a download of 100 MB/s goes on",
        "ms",
        partial(_beside_bulk, 100e6),
        less_is_better=True,
    ),
    Workload(
        "beside-bulk",
        "the same while a download takes all it can get",
        "ms",
        partial(_beside_bulk, math.inf),
        less_is_better=True,
    ),
    Workload("events", "server-sent events, median delay", "ms", _events, less_is_better=True),
)


def measure(workload: Workload, way: Way, conditions: Conditions) -> Figure | None:
    """One round of a workload on a way; None if it can't be had there.

    Raises:
        BenchError: it failed.
    """
    server, client = _cpu(way.server), _cpu(way.client)
    outcome = workload.run(way, conditions)
    if outcome is None:
        return None
    server, client = _cpu(way.server) - server, _cpu(way.client) - client
    if not outcome.work:
        return Figure(outcome.value, more=outcome.more)
    return Figure(outcome.value, server / outcome.work, client / outcome.work, outcome.more)


def _cpu(programs: Sequence[Program]) -> float:
    return sum(program.cpu_seconds() for program in programs)
