"""The command `inletspy`."""
