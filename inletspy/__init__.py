"""inletspy: a self-hosted tunnel, server and client."""

__version__ = "0.1.0"
