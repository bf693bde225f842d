"""Tests of the protocol code: bytes in, events and bytes out."""
