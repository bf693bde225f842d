"""Counting what passes, with a clock of the test's own."""

from __future__ import annotations

import tracemalloc
from typing import Any

from twisted.trial.unittest import TestCase

from inletspy.policy.traffic import KEPT, SLOT_SECONDS, Traffic

#: The beginning of a slot.
NOW = 1_800_000_000.0


class TrafficTestCase(TestCase):
    def setUp(self) -> None:
        self.traffic = Traffic()

    def note(
        self,
        now: float = NOW,
        seconds: float = 0.125,
        *,
        method: bytes = b"GET",
        target: bytes = b"/",
        status: int = 200,
        size: tuple[int, int] = (100, 2000),
    ) -> None:
        """A request that ends at `now`."""
        self.traffic.note(now, now - seconds, method, target, status, *size, b"203.0.113.9")

    def figure(self, name: str, now: float = NOW) -> Any:
        """One of the figures."""
        return self.traffic.figures(now)[name]


class FigureTests(TrafficTestCase):
    def test_nothing(self) -> None:
        self.assertEqual(
            self.traffic.figures(NOW),
            {
                "requests": 0,
                "active": 0,
                "bytes_in": 0,
                "bytes_out": 0,
                "per_second": 0.0,
                "statuses": {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0},
                "p50_ms": None,
                "p99_ms": None,
                "spark": [0] * 60,
            },
        )

    def test_requests(self) -> None:
        for status in (101, 200, 204, 302, 404, 499, 502, 999):
            self.note(status=status)
        self.assertEqual(self.figure("requests"), 8)
        self.assertEqual(
            self.figure("statuses"), {"1xx": 1, "2xx": 2, "3xx": 1, "4xx": 2, "5xx": 1}
        )
        self.assertEqual((self.figure("bytes_in"), self.figure("bytes_out")), (800, 16_000))

    def test_what_is_under_way(self) -> None:
        self.traffic.active = lambda: 7
        self.assertEqual(self.figure("active"), 7)
        self.traffic.rest()
        self.assertEqual(self.figure("active"), 0)

    def test_connections(self) -> None:
        self.traffic.begin(NOW)
        self.traffic.begin(NOW)
        self.assertEqual(self.figure("requests"), 2)
        self.traffic.end(NOW + 60, NOW, 5, 6, b"203.0.113.9")
        self.assertEqual(self.figure("requests", NOW + 60), 2)
        self.assertEqual(sum(self.figure("spark", NOW + 60)), 2)
        self.assertEqual(sum(self.figure("statuses").values()), 0)
        self.assertIsNone(self.figure("p50_ms"))
        (passage,) = self.traffic.passages()
        self.assertEqual(passage, (1, NOW, 60.0, 0, 5, 6, b"203.0.113.9", b"", b"", False))


class TimeTests(TrafficTestCase):
    def test_percentiles(self) -> None:
        for milliseconds in (*range(1, 100), 5000):
            self.note(seconds=milliseconds / 1000)
        self.assertAlmostEqual(self.figure("p50_ms"), 50, 1)
        self.assertAlmostEqual(self.figure("p99_ms"), 99, 1)

    def test_one(self) -> None:
        self.note(seconds=0.25)
        self.assertEqual((self.figure("p50_ms"), self.figure("p99_ms")), (250.0, 250.0))

    def test_upgraded_connections_do_not_count(self) -> None:
        self.note(status=101, seconds=90.0)
        self.assertIsNone(self.figure("p99_ms"))

    def test_only_the_last_ones_count(self) -> None:
        self.note(seconds=90.0)
        for _ in range(KEPT):
            self.note(seconds=0.25)
        self.assertEqual(self.figure("p99_ms"), 250.0)


class RateTests(TrafficTestCase):
    def test_over_the_last_seconds(self) -> None:
        for second in range(20):
            for _ in range(10):
                self.note(NOW + second)
        self.assertEqual(self.figure("per_second", NOW + 19.9), 10.0)
        self.assertEqual(self.figure("per_second", NOW + 21), 6.0)
        self.assertEqual(self.figure("per_second", NOW + 24), 0.0)

    def test_a_single_one(self) -> None:
        self.note()
        self.assertEqual(self.figure("per_second"), 0.2)
        self.assertEqual(self.figure("per_second", NOW + 5), 0.0)


class CurveTests(TrafficTestCase):
    def curve(self, now: float) -> dict[int, int]:
        """What is not zero of the curve, by how many slots it is ago."""
        spark = self.figure("spark", now)
        self.assertEqual(len(spark), 60)
        return {59 - slot: count for slot, count in enumerate(spark) if count}

    def test_moves_on(self) -> None:
        self.note(NOW)
        self.note(NOW + SLOT_SECONDS - 0.1)
        self.assertEqual(self.curve(NOW + SLOT_SECONDS - 0.1), {0: 2})
        self.note(NOW + SLOT_SECONDS)
        self.assertEqual(self.curve(NOW + SLOT_SECONDS), {0: 1, 1: 2})
        self.note(NOW + 10 * SLOT_SECONDS)
        self.assertEqual(self.curve(NOW + 10 * SLOT_SECONDS), {0: 1, 9: 1, 10: 2})
        self.assertEqual(self.curve(NOW + 59 * SLOT_SECONDS), {49: 1, 58: 1, 59: 2})
        self.assertEqual(self.curve(NOW + 60 * SLOT_SECONDS), {50: 1, 59: 1})
        self.assertEqual(self.curve(NOW + 10_000 * SLOT_SECONDS), {})

    def test_looking_changes_nothing(self) -> None:
        looked_at = Traffic()
        for number in range(50):
            for traffic in (looked_at, self.traffic):
                now = NOW + 7 * number
                traffic.note(now, now, b"GET", b"/", 200, 1, 1, b"a")
            looked_at.figures(NOW + 7 * number + 3)
        self.assertEqual(looked_at.figures(NOW + 400), self.traffic.figures(NOW + 400))

    def test_the_clock_is_set_back(self) -> None:
        for _ in range(5):
            self.note(NOW)
        self.note(NOW - 3600)
        self.assertEqual(self.curve(NOW - 3600), {})
        self.note(NOW - 3599)
        self.assertEqual(self.curve(NOW - 3599), {0: 1})
        self.assertEqual(self.figure("requests"), 7)


class PulseTests(TrafficTestCase):
    def assertTellsOfChanges(self, start: float, seconds: int) -> int:
        """Compare pulses with figures, second by second; gives how often they changed."""
        changes = 0
        for second in range(seconds):
            now = start + second
            before = self.traffic.pulse(now), self.traffic.figures(now)
            after = self.traffic.pulse(now + 1), self.traffic.figures(now + 1)
            if before[1] != after[1]:
                self.assertNotEqual(before[0], after[0], second)
            changes += before[0] != after[0]
        return changes

    def test_tells_of_all_changes_and_comes_to_rest(self) -> None:
        self.assertEqual(self.assertTellsOfChanges(NOW, 10), 0)
        for _ in range(10):
            self.note(NOW + 3)
        self.assertLess(self.assertTellsOfChanges(NOW + 3, 1200), 64)
        self.assertEqual(self.assertTellsOfChanges(NOW + 1200, 100), 0)

    def test_counts(self) -> None:
        pulses = [self.traffic.pulse(NOW)]
        self.traffic.bytes_in += 1
        pulses.append(self.traffic.pulse(NOW))
        self.traffic.bytes_out += 1
        pulses.append(self.traffic.pulse(NOW))
        self.traffic.active = lambda: 1
        pulses.append(self.traffic.pulse(NOW))
        self.note()
        pulses.append(self.traffic.pulse(NOW))
        self.assertEqual(len(set(pulses)), len(pulses))


class PassageTests(TrafficTestCase):
    def test_none(self) -> None:
        self.assertEqual(list(self.traffic.passages()), [])

    def test_newest_first(self) -> None:
        self.note(NOW, 0.5, method=b"POST", target=b"/a b", status=201, size=(1, 2**40))
        self.note(NOW + 1, target=b"/2")
        second, first = self.traffic.passages()
        self.assertEqual((second.n, second.target), (2, b"/2"))
        visitor = b"203.0.113.9"
        self.assertEqual(
            first, (1, NOW - 0.5, 0.5, 201, 1, 2**40, visitor, b"POST", b"/a b", False)
        )

    def test_after_a_number(self) -> None:
        for _ in range(5):
            self.note()
        self.assertEqual([passage.n for passage in self.traffic.passages(3)], [5, 4])
        self.assertEqual([passage.n for passage in self.traffic.passages(5)], [])

    def test_only_the_last_are_kept(self) -> None:
        for _ in range(KEPT + 50):
            self.note()
        numbers = [passage.n for passage in self.traffic.passages()]
        self.assertEqual(numbers, [*range(KEPT + 50, 50, -1)])

    def test_long_ones_are_cut(self) -> None:
        self.note(target=b"/" + b"x" * 60_000)
        self.note(method=b"M" * 60_000)
        method, target = self.traffic.passages()
        self.assertTrue(target.cut and method.cut)
        self.assertEqual((target.method, target.target[:3]), (b"GET", b"/xx"))
        self.assertEqual((method.method[:3], method.target), (b"MMM", b""))
        self.assertLess(len(target.target) + len(method.method), 1024)


class MemoryTests(TrafficTestCase):
    def test_little_is_kept(self) -> None:
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before, _ = tracemalloc.get_traced_memory()
        many = [Traffic() for _ in range(100)]
        idle, _ = tracemalloc.get_traced_memory()
        self.assertLess((idle - before) / 100, 512)
        self.traffic = many[0]
        for number in range(1000):
            self.note(NOW + number, target=b"/an/ordinary/path?with=%d" % number)
        busy, _ = tracemalloc.get_traced_memory()
        self.assertLess(busy - idle, 40_000)
