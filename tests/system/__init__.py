"""Tests that start the real server and the real client as processes of their own."""
