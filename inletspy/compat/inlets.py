"""The command `inlets`, for scripts that call the stock program by its name.

Takes the flags of inlets 2.x and 3.x and the platform's own `--tcp`, and runs our
client and server with them. Exit statuses and messages follow the stock program where
a script could depend on them; a token is never printed.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from inletspy import __version__
from inletspy.client.access import check_token
from inletspy.client.config import (
    ClientConfig,
    check_hello,
    client_id_for,
    container_id,
)
from inletspy.client.display import Display
from inletspy.client.foreground import carry, run
from inletspy.client.output import SteadyOutput
from inletspy.compat.flags import Flag, FlagValue, describe, read_flags
from inletspy.compat.server import server_command
from inletspy.errors import UsageError
from inletspy.policy.addresses import UpstreamAddress
from inletspy.wire.control import ServiceOffer

__all__ = ["CLIENT_FLAGS", "SERVER_FLAGS", "client_config", "main"]

_TOKEN_FLAGS: Final = (
    Flag("token", "t", "", "authentication token; others can see it, better use --token-from"),
    Flag("token-from", "f", "", "read the authentication token from a file"),
    Flag("print-token", "", False, "accepted; a token is never printed"),
)

CLIENT_FLAGS: Final = (
    Flag("remote", "r", "127.0.0.1:8000", "server address, as in inlets 2.x"),
    Flag("url", "", "", "server address i.e. wss://tunnel.example.com, as in 3.x", "remote"),
    Flag("upstream", "u", "", "upstream server i.e. http://127.0.0.1:3000, or [HOST=]URL,..."),
    *_TOKEN_FLAGS,
    Flag("strict-forwarding", "", True, "forward only to the upstream URLs specified"),
    Flag("insecure", "", False, "accept a server without encryption (ws://) silently"),
    Flag("tcp", "", False, "the upstreams are TCP services, i.e. 127.0.0.1:5432"),
)

SERVER_FLAGS: Final = (
    Flag("port", "p", 8000, "port for server and for tunnel"),
    Flag("control-port", "c", 0, "control port for tunnel, if it is not the same"),
    Flag("data-addr", "", "", "address for visitors, HOST or HOST:PORT"),
    Flag("control-addr", "", "", "address for tunnel clients"),
    Flag("bind-addr", "b", "", "address for both"),
    *_TOKEN_FLAGS,
    Flag("disable-transport-wrapping", "", False, "accepted; CORS headers always pass"),
)

_USAGE: Final = """\
Expose your local endpoints: the command line of inlets, served by inletspy.

Usage:
  inlets [command]

Available Commands:
  client      Start the tunnel client.
  server      Start the tunnel server.
  version     Display the version.

Use "inlets [command] --help" for the flags of a command.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command `inlets`; returns the exit status, or leaves with it."""
    words = list(sys.argv[1:] if argv is None else argv)
    command = words.pop(0) if words else "--help"
    if command == "help":
        command, words = (words[0], ["--help"]) if words else ("--help", [])
    try:
        if command in ("--help", "-h"):
            print(_USAGE, end="")
        elif command == "version":
            print(f"Version: {__version__} (inletspy)\nGit Commit:")
        elif command in ("client", "server"):
            flags = CLIENT_FLAGS if command == "client" else SERVER_FLAGS
            if "--help" in words or "-h" in words:
                print(f"Start the tunnel {command}.\n\nUsage:\n  inlets {command} [flags]\n")
                print(f"Flags:\n{describe(flags)}")
                return 0
            given = read_flags(flags, words)
            _start(command, {flag.key: flag.default for flag in reversed(flags)} | given, given)
        else:
            raise UsageError(f'unknown command "{command}" for "inlets"')
    except UsageError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


def _start(command: str, flags: Mapping[str, FlagValue], given: Mapping[str, FlagValue]) -> None:
    if given.get("print-token"):
        _say("a token is never printed, in spite of --print-token")
    token = _token(str(flags["token"]), str(flags["token-from"]))
    if command == "server":
        server_command(flags, token, os.environ, _say).replace_process()
    if not flags["strict-forwarding"]:
        _say("only the upstreams specified are forwarded to, in spite of --strict-forwarding=false")
    config = client_config(flags, token, os.environ)
    if config.server.startswith("ws://") and not flags["insecure"]:
        _say("Warning: connecting without encryption; --insecure accepts that silently")
    environ = dict(os.environ)

    async def job(reactor: Any) -> None:
        output = SteadyOutput(sys.stderr.fileno())
        await carry(
            reactor,
            config,
            _StockDisplay(reactor, config, output),
            environ,
            protocol="native" if flags["tcp"] else "inlets",
            patient=True,
        )

    run("Error", job)


def _token(given: str, file: str) -> str:
    if file:
        try:
            with open(file, encoding="utf-8") as opened:
                given = opened.read().rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"unable to load file: {file}: {error}") from error
    return check_token(given)


def client_config(
    flags: Mapping[str, FlagValue], token: str, environ: Mapping[str, str]
) -> ClientConfig:
    """What `inlets client` is to carry.

    Raises:
        UsageError: an upstream is missing or is no address.
    """
    upstream, tcp = str(flags["upstream"]), bool(flags["tcp"])
    if not upstream:
        raise UsageError("upstream is missing in the client argument")
    server = str(flags["remote"])
    if "://" not in server:
        server = f"ws://{server}"
    client_id, derived = client_id_for(container_id(socket.gethostname()), environ)
    config = ClientConfig(
        server=server,
        token=token,
        client_id=client_id,
        derived=derived,
        services=_tcp_services(upstream) if tcp else _http_services(upstream),
    )
    check_hello(config)
    return config


def _http_services(text: str) -> tuple[ServiceOffer, ...]:
    """The `[HOST=]URL` of a comma-separated list; of several for one host, the last."""
    upstreams: dict[str, str] = {}
    for entry in text.split(","):
        host, equals, url = entry.partition("=")
        host, url = (host.strip(), url.strip()) if equals else ("", host.strip())
        if not url.startswith(("http://", "https://")):
            url = f"http://{url}"
        if re.fullmatch("[!-~]*", host) is None:
            raise UsageError(f"{host!r} is no hostname")
        upstreams[host] = url
    offers: list[ServiceOffer] = []
    for host, url in upstreams.items():
        _check_upstream(url)
        offers.append(ServiceOffer(str(len(offers) + 1), "http", url, hostname=host))
    return tuple(offers)


def _tcp_services(text: str) -> tuple[ServiceOffer, ...]:
    """The upstreams of a comma-separated list, each for a public port of its own."""
    offers: dict[str, ServiceOffer] = {}
    for entry in text.split(","):
        place = entry.rpartition("=")[2].strip().rpartition("://")[2]
        name = re.sub(r"[^A-Za-z0-9._-]", "-", place)[-64:].lstrip("._-")
        offers[name] = ServiceOffer(name, "tcp", f"tcp://{place}")
        _check_upstream(offers[name].upstream)
    return tuple(offers.values())


def _check_upstream(url: str) -> None:
    try:
        UpstreamAddress.parse(url)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _say(text: str) -> None:
    print(f"{time.strftime('%Y/%m/%d %H:%M:%S')} {text}", file=sys.stderr, flush=True)


class _StockDisplay(Display):
    """Log lines on standard error, as the stock client writes them."""

    def follow(self, service: str, visitor: str) -> None:
        """See `Display`."""
        return None

    def start(self) -> None:
        """See `Display`."""
        self._log(f"Starting client - version {__version__} (inletspy)")
        for offer in self.offers.values():
            self._log(f"Upstream: {offer.hostname} => {offer.upstream}")
        self._log(f"Connecting to {urlsplit(self.config.server).netloc}")
        super().start()

    def show_ready(self) -> None:
        """See `Display`."""
        for name, address in self.addresses.items():
            self._log(f"Connected: {address} => {self.offers[name].upstream}")

    def show_reconnected(self, changed: bool) -> None:
        """See `Display`."""
        self.show_ready()

    def show_disconnected(self, reason: str, retry_in: float) -> None:
        """See `Display`."""
        self._log(f"Not connected: {reason}; trying again in {retry_in:.1f}s")

    def show_notice(self, text: str) -> None:
        """See `Display`."""
        self._log(text)

    def show_upstream_down(self, offer: ServiceOffer, text: str, reason: str) -> None:
        """See `Display`."""
        self._log(text)

    def show_upstream_up(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        self._log(f"{offer.upstream} answers now")

    def _log(self, text: str) -> None:
        self.output.write(f"{time.strftime('%Y/%m/%d %H:%M:%S')} {text}\n")
