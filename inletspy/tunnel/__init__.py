"""Links, sessions and streams: Twisted I/O over the wire protocols."""
