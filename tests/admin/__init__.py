"""Tests of the command `inletspy`, run as a process of its own."""
