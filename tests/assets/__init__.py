"""Tests of the files that pages are made of."""
