"""Output that a reader who has stopped reading can't hold up."""

from __future__ import annotations

import os
import threading

from twisted.trial.unittest import TestCase

from inletspy.client.output import MAX_WAITING, SteadyOutput

#: More than any pipe holds.
MUCH = 1 << 20


class OutputTests(TestCase):
    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()
        self.addCleanup(self.close, "reader")
        self.addCleanup(self.close, "writer")

    def close(self, end: str) -> None:
        descriptor = getattr(self, end)
        setattr(self, end, -1)
        if descriptor >= 0:
            os.close(descriptor)

    def read_all(self) -> bytes:
        self.close("writer")
        with open(self.reader, "rb", closefd=False) as file:
            return file.read()

    def test_in_order(self) -> None:
        output = SteadyOutput(self.writer)
        for number in range(100):
            output.write(f"{number}\n")
        output.close(60)
        self.assertEqual(self.read_all(), b"".join(b"%d\n" % number for number in range(100)))
        self.assertTrue(output.idle)

    def test_nothing_written(self) -> None:
        output = SteadyOutput(self.writer)
        self.assertTrue(output.idle)
        output.close(60)
        output.write("too late")
        self.assertEqual(self.read_all(), b"")

    def test_what_the_encoding_lacks(self) -> None:
        output = SteadyOutput(self.writer, "latin-1")
        output.write("é→")
        output.close(60)
        self.assertEqual(self.read_all(), b"\xe9?")

    def test_a_reader_that_does_not_read(self) -> None:
        output = SteadyOutput(self.writer)
        output.write("x" * MUCH)
        self.assertFalse(output.idle)
        self.assertTrue(output.offer("y"))
        output.write("x" * MAX_WAITING)
        self.assertFalse(output.offer("left out"))
        output.write("must be told")
        output.close(0)

        # The thread goes on once somebody reads.
        total = 2 * MUCH + 1 + len("must be told")
        left = total
        while left:
            left -= len(os.read(self.reader, left))

    def test_a_reader_that_has_gone(self) -> None:
        gone = threading.Event()
        self.close("reader")
        output = SteadyOutput(self.writer, broken=gone.set)
        output.write("lost")
        self.assertTrue(gone.wait(60))
        output.write("lost too")
        output.close(60)
        self.assertTrue(output.idle)

    def test_as_a_file(self) -> None:
        output = SteadyOutput(self.writer)
        self.assertEqual((output.fileno(), output.isatty()), (self.writer, False))
        terminal, other = os.openpty()
        self.addCleanup(os.close, terminal)
        self.addCleanup(os.close, other)
        self.assertTrue(SteadyOutput(other).isatty())
