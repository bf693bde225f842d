"""The agent, and the command `tunnel` that runs it."""
