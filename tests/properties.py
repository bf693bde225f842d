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
    suppress_health_check=[HealthCheck.too_slow],
)
