"""How long a guesser has to wait."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from inletspy.policy import guesses
from inletspy.policy.guesses import Guesses


class GuessesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.now = 1000.0
        self.guesses = Guesses(lambda: self.now)

    def guess(self, times: int, key: str = "a") -> None:
        for _ in range(times):
            self.guesses.guessed(key)

    def test_the_first_are_free(self) -> None:
        self.guess(4)
        self.assertEqual(self.guesses.wait("a"), 0)
        self.guess(1)
        self.assertEqual(self.guesses.wait("a"), 1)
        self.assertEqual(self.guesses.wait("b"), 0)

    def test_the_wait_doubles_up_to_a_limit(self) -> None:
        self.guess(5)
        waits = []
        for _ in range(12):
            waits.append(self.guesses.wait("a"))
            self.guess(1)
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300])
        self.guess(100_000)
        self.assertEqual(self.guesses.wait("a"), 300)

    def test_the_wait_goes_by(self) -> None:
        self.guess(7)
        self.now += 1.5
        self.assertEqual(self.guesses.wait("a"), 2.5)
        self.now += 2.5
        self.assertEqual(self.guesses.wait("a"), 0)

    def test_a_clock_that_is_set_back(self) -> None:
        self.guess(7)
        self.now -= 100_000
        self.assertEqual(self.guesses.wait("a"), 4)

    def test_a_right_guess_does_not_count_and_forgives_nothing(self) -> None:
        self.guess(5)
        self.guess(1)
        self.guesses.was_right("a")
        self.assertEqual(self.guesses.wait("a"), 1)
        self.guesses.was_right("b")
        self.guess(1, "b")
        self.guesses.was_right("b")
        self.assertEqual(len(self.guesses._wrong), 1)

    def test_forgotten_after_a_while(self) -> None:
        self.guess(9)
        self.now += 1801
        self.guess(1)
        self.assertEqual(self.guesses.wait("a"), 0)
        self.now += 1801
        self.guess(1, "b")
        self.assertEqual(list(self.guesses._wrong), ["b"])

    def test_many_keys_take_bounded_memory(self) -> None:
        self.patch(guesses, "_MAX_KEYS", 10)
        self.guess(9, "first")
        for number in range(100):
            self.guess(1, str(number))
        self.assertEqual(len(self.guesses._wrong), 10)
        self.assertEqual(self.guesses.wait("first"), 0)

    def test_other_numbers(self) -> None:
        free = 2
        self.guesses = Guesses(lambda: self.now, lambda: free, 10)
        self.guess(1)
        self.assertEqual(self.guesses.wait("a"), 0)
        self.guess(1)
        self.assertEqual(self.guesses.wait("a"), 1)
        self.guess(9)
        self.assertEqual(self.guesses.wait("a"), 10)
        free = 0
        self.assertEqual(self.guesses.wait("a"), 0)
