"""`inlets server`: the stock program's flags as options of `twistd inletspy`.

Only translates, and hands the process over: what a server does is the plugin's.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from twisted.internet.abstract import isIPv6Address

from inletspy.compat.flags import FlagValue
from inletspy.config import default_data_dir
from inletspy.errors import UsageError
from inletspy.policy.addresses import parse_port

__all__ = ["ServerCommand", "server_command"]

_match_address = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]]*))(?::([0-9]{1,5}))?").fullmatch
_EVERYWHERE: Final = ("", "0.0.0.0")


@dataclass(frozen=True)
class ServerCommand:
    """A start of the server.

    Attributes:
        options: for `twistd inletspy`.
        token: the shared token; empty for the one that the server keeps.
    """

    options: tuple[str, ...]
    token: str = field(default="", repr=False)

    def replace_process(self) -> NoReturn:
        """Become the server; signals and exit status are its own from here on."""
        options = list(self.options)
        if self.token:
            # A pipe: neither a command line nor a file that others could read.
            reader, writer = os.pipe()
            os.write(writer, self.token.encode())
            os.close(writer)
            os.set_inheritable(reader, True)
            options += ["--token-file", f"/dev/fd/{reader}"]
        start = "from twisted.scripts.twistd import run; run()"
        sys.stdout.flush()
        os.execv(
            sys.executable,
            [sys.executable, "-c", start, "-n", "--pidfile=", "inletspy", *options],
        )


def server_command(
    flags: Mapping[str, FlagValue],
    token: str,
    environ: Mapping[str, str],
    say: Callable[[str], None],
) -> ServerCommand:
    """What `inlets server` starts.

    Args:
        flags: all flags of the command.
        token: the token from the flags.
        environ: `TOKEN` and `PORT` win over the flags, as in the stock program.
        say: tells the person something.

    Raises:
        UsageError: an address or a port is none.
    """
    if environ.get("TOKEN"):
        say("Token read from environment variable.")
        token = environ["TOKEN"].strip()
    data_port = _port(str(flags["port"]), "--port")
    control_port = _port(str(flags["control-port"] or data_port), "--control-port")
    if environ.get("PORT"):
        data_port = control_port = _port(environ["PORT"], "PORT")
    bind = str(flags["bind-addr"])
    data_host, named_port = _address(str(flags["data-addr"]) or bind, "--data-addr")
    control_host, named_control = _address(str(flags["control-addr"]) or bind, "--control-addr")
    data_port, control_port = named_port or data_port, named_control or control_port

    if data_host == control_host:
        options = ["--data-port", str(data_port), "--control-port", str(control_port)]
        if data_host not in _EVERYWHERE:
            options += ["--interface", data_host]
    else:
        options = ["--data", _endpoint(data_host, data_port)]
        options += ["--control", _endpoint(control_host, control_port)]
    kept = Path(environ.get("INLETSPY_DATA_DIR") or default_data_dir(environ))
    folder = kept / f"inlets-{data_port}"
    if not token:
        say(f"No --token given: clients need the one in {folder / 'token.txt'}")
    return ServerCommand((*options, "--status-port", "0", "--data-dir", str(folder)), token)


def _port(text: str, source: str) -> int:
    port = parse_port(text)
    if port is None:
        raise UsageError(f"{source}: {text!r} is no port from 1 to 65535")
    return port


def _address(text: str, source: str) -> tuple[str, int]:
    """The host, and the port or 0, in `HOST` or `HOST:PORT`."""
    match = _match_address(text)
    if match is None:
        if isIPv6Address(text):
            return text, 0
        raise UsageError(f"{source}: {text!r} is no address")
    host = match[1] or match[2]
    return ("" if host in _EVERYWHERE else host), _port(match[3], source) if match[3] else 0


def _endpoint(host: str, port: int) -> str:
    """A server endpoint string, in which colons have a meaning of their own."""
    kind = "tcp6" if ":" in host else "tcp"
    interface = f":interface={host.replace(':', chr(92) + ':')}" if host else ""
    return f"{kind}:{port}{interface}"
