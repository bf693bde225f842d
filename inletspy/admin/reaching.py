"""The options by which a command is told of which server to ask, and with which token.

Words only, so that `--help` stays quick; what becomes of them is the matter of `statusport`.
"""

from __future__ import annotations

import argparse

__all__ = ["add_data_dir", "add_server_options"]


def add_server_options(parser: argparse.ArgumentParser) -> None:
    """Have a command take them, but for `--data-dir`."""
    parser.add_argument("--status-url", metavar="URL", help="where the status port is")
    parser.add_argument(
        "--token-file", metavar="FILE", help="whose tunnels to show (or INLETS_TOKEN)"
    )


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Have a command take `--data-dir`, which works on nothing but the status port."""
    parser.add_argument(
        "--data-dir",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help="the server's data directory, which tells where the status port is",
    )
