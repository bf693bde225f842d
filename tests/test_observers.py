"""Telling of changes: everybody, in order, whatever one of them does."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.observers import Observers


class ObserversTests(TestCase):
    def test_all_are_told_in_order_until_they_end_it(self) -> None:
        told: list[object] = []
        observers: Observers[[int]] = Observers()
        end = observers.subscribe(lambda n: told.append(("a", n)))
        observers.subscribe(lambda n: told.append(("b", n)))
        observers.tell(1)
        end()
        end()
        observers.tell(2)
        self.assertEqual(told, [("a", 1), ("b", 1), ("b", 2)])

    def test_the_same_function_twice_counts_twice(self) -> None:
        told: list[int] = []
        observers: Observers[[int]] = Observers()
        end = observers.subscribe(told.append)
        observers.subscribe(told.append)
        observers.tell(1)
        end()
        observers.tell(2)
        self.assertEqual(told, [1, 1, 2])

    def test_one_that_fails_is_logged_and_hurts_nobody(self) -> None:
        told: list[str] = []
        observers: Observers[[]] = Observers()
        observers.subscribe(lambda: 1 / 0)
        observers.subscribe(lambda: told.append("b"))
        observers.tell()
        self.assertEqual(told, ["b"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_ending_while_being_told(self) -> None:
        told: list[str] = []
        observers: Observers[[]] = Observers()

        def tell_and_end() -> None:
            told.append("a")
            end()

        end = observers.subscribe(tell_and_end)
        observers.subscribe(lambda: told.append("b"))
        observers.tell()
        observers.tell()
        self.assertEqual(told, ["a", "b", "b"])
