"""Bytes in, events and bytes out: the protocols, without reactor, clock, sockets or logging."""
