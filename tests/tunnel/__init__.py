"""Tests of links, sessions and streams."""
