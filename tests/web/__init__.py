"""Tests of the status port."""
