"""How properties are tested: with the same examples in every run, however slow it is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

__all__ = ["repeatable"]

#: Decorates a test that hypothesis gives examples to.
repeatable = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=300,
    # Tests that several classes inherit run in each of them; no database mixes them up.
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.differing_executors],
)
