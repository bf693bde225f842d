"""The public side: HTTP by Host, TCP by port."""
