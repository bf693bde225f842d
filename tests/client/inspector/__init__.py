"""Tests of what the client captures and shows."""
