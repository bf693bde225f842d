"""Decisions as pure functions and small classes; whoever calls passes the clock in."""
