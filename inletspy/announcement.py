"""What the server says of itself once it is ready, to people and in `server.json`.

Words only: what it says of addresses and settings, it is told.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit

from inletspy.config import ServerConfig, default_data_dir

__all__ = ["say_what_to_type", "without_password"]


def without_password(url: str | None) -> str:
    """The database as `server.json` names it: without anything secret."""
    if url is None:
        return "embedded"
    parts = urlsplit(url)
    user, at, host = parts.netloc.rpartition("@")
    kept = [item for item in parse_qsl(parts.query) if "password" not in item[0].lower()]
    query = f"?{urlencode(kept)}" if kept else ""
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{host}{parts.path}{query}"


def say_what_to_type(
    config: ServerConfig, enabled: bool, wildcard: str, control_port: int, status_port: int
) -> None:
    """Tell the person at the terminal that the server is ready, and what to do now.

    Args:
        config: what this start was told.
        enabled: whether clients may open tunnels.
        wildcard: where visitors come in.
        control_port: where clients do; 0 for a UNIX socket.
        status_port: where the status API is; 0 for a UNIX socket.
    """
    # What is typed must find this server, wherever its data is.
    folder = shlex.quote(str(config.data_dir))
    found = Path(os.environ.get("INLETSPY_DATA_DIR") or default_data_dir())
    elsewhere = config.data_dir != found.expanduser().absolute()
    lines = [
        "",
        "inletspy is ready.",
        f"  visitors  {wildcard}",
        f"  clients   {f'ws://localhost:{control_port}' if control_port else config.control}",
        f"  status    {f'http://localhost:{status_port}/status' if status_port else config.status}",
        "",
    ]
    there = f" --data-dir {folder}" if elsewhere else ""
    if status_port:
        lines.append(
            "See and change everything in a browser:  "
            f"{_command('inletspy')} dashboard --admin{there}"
        )
    if enabled:
        here = f"INLETSPY_DATA_DIR={folder} " if elsewhere else ""
        lines.append(
            f"Give a service on port 3000 a public address:  {here}{_command('tunnel')} 3000"
        )
    else:
        lines.append(
            "Tunnels are disabled; to enable them:  "
            f"{_command('inletspy')} config set tunnels_enabled true{there}"
        )
    print("\n".join([*lines, ""]), file=sys.__stdout__, flush=True)


def _command(name: str) -> str:
    """What to type for a command that was installed along with the server."""
    beside = Path(sys.argv[0]).absolute().parent / name
    if shutil.which(name) or not beside.exists():
        return name
    here = Path.cwd()
    # From the root, what is relative holds no less than the whole path.
    below = beside.is_relative_to(here) and here != Path("/")
    return shlex.quote(str(beside.relative_to(here) if below else beside))
