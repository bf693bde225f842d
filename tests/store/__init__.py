"""Tests of the database and what is in it, against a real PostgreSQL."""
