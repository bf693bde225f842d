"""Tests of `inletspy.compat`."""
