"""Measurements of inletspy beside direct access and other tunnels; see README.md."""
