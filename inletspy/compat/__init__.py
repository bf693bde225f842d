"""The command line of inlets, mapped onto our own client and server."""
