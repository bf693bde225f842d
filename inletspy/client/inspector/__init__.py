"""The inspector: what passed through a tunnel, for a person to look at, search and send again."""
