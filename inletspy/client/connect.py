"""The command `tunnel connect`: a port of this machine leads to a private service.

Reads its command line, has everything put together, and hands it over to run in the
foreground, as `cli` does for a tunnel.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from inletspy.client.access import ClientFile, check_token
from inletspy.client.cli import (
    Parser,
    add_server,
    add_telling,
    asking,
    display_for,
    telling_of,
    warn_if_insecure,
)
from inletspy.client.config import Wishes, check_hello, container_id, prepare
from inletspy.client.foreground import carry, complain, run
from inletspy.client.localport import LocalPort, with_port
from inletspy.client.reach import Reach
from inletspy.config import read_token_file
from inletspy.errors import Code, Refused, UsageError
from inletspy.policy.addresses import parse_port
from inletspy.policy.names import check_label
from inletspy.policy.private import PRIVATE
from inletspy.wire.control import ServiceOffer

__all__ = ["Arguments", "main", "parse", "parser"]

#: The variable that may hold a share token.
SHARE_TOKEN: Final = "INLETSPY_SHARE_TOKEN"

_EXAMPLES: Final = f"""\
examples:
  tunnel connect db 5432               what `tunnel 5432 tcp --private --name db` serves
  tunnel connect db 0                  on a free port, which is printed
  tunnel connect db 5432 --share-token-file ~/db.token
                                       a service of somebody who gave you a share token

Only programs on this machine get in, unless --bind says otherwise. The service is one of
your own, by your token, or the one that a share token is for (--share-token-file or the
variable {SHARE_TOKEN}), which needs no other token. Where the server is, and exit status:
see `tunnel --help`.
"""


@dataclass(frozen=True)
class Arguments:
    """A command line that has been read.

    Attributes:
        name: the private service.
        port: where to listen; 0 for a free port.
        host: the IP address to listen on.
        wishes: where the server is, and who asks.
        share_token_file: holds a share token.
        telling: `json`, `quiet`, or empty for what suits the output.
        verbose: whether to show the log.
    """

    name: str
    port: int
    host: str
    wishes: Wishes
    share_token_file: str = ""
    telling: str = ""
    verbose: bool = False


def parser() -> argparse.ArgumentParser:
    """The parser of the command line behind `tunnel connect`."""
    made = Parser(
        prog="tunnel connect",
        usage="tunnel connect NAME LOCALPORT [options]",
        description="Have a port of this machine lead to a private service.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("name", metavar="NAME", help="the private service")
    add("port", metavar="LOCALPORT", help="the port to listen on; 0 takes a free one")
    add(
        "--bind",
        metavar="ADDRESS",
        default="127.0.0.1",
        help="the address to listen on; default: 127.0.0.1, so that nobody else gets in",
    )
    add(
        "--share-token-file",
        metavar="FILE",
        default="",
        help="holds a share token, which is used in place of your own token",
    )
    add_server(made)
    add_telling(made, "the local address")
    return made


def parse(argv: Sequence[str]) -> Arguments:
    """Read a command line.

    Raises:
        UsageError: it is not understood.
        SystemExit: it asked for help.
    """
    given = parser().parse_intermixed_args(argv)
    port = parse_port(given.port, lowest=0)
    if port is None:
        raise UsageError(f"{given.port!r} is no port from 1 to 65535, or 0 for a free one")
    try:
        name = check_label(given.name.removeprefix(PRIVATE))
        host = "127.0.0.1" if given.bind == "localhost" else str(ipaddress.ip_address(given.bind))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return Arguments(
        name,
        port,
        host,
        Wishes(
            upstream="",
            server=given.server,
            token_file=given.token_file,
            client_id=given.client_id,
            insecure=given.insecure,
        ),
        given.share_token_file,
        telling_of(given),
        given.verbose,
    )


def _share_token(arguments: Arguments, environ: Mapping[str, str]) -> str:
    if arguments.share_token_file:
        return check_token(read_token_file(Path(arguments.share_token_file)))
    return check_token(environ.get(SHARE_TOKEN, "").strip())


async def _connect(reactor: Any, arguments: Arguments, environ: Mapping[str, str]) -> None:
    share_token = _share_token(arguments, environ)
    container = container_id(socket.gethostname())
    file = ClientFile.read(environ)
    ask = asking(reactor, environ)
    config, _ = await prepare(arguments.wishes, file, container, environ, ask)
    check_hello(config)
    name = arguments.name
    config = replace(
        config,
        token=share_token or config.token,
        services=(ServiceOffer(name, "tcp", f"{PRIVATE}{name}"),),
    )
    warn_if_insecure(config)
    display = display_for(reactor, config, arguments.telling, arguments.verbose, environ)
    reach = Reach(reactor, name, display)

    def failed(reason: str) -> None:
        display.notice(f"a connection to {name} failed: {reason}")

    listening: Any = LocalPort(reactor, reach, failed).open(arguments.host, arguments.port)
    reach.place = with_port(arguments.host, listening.getHost().port)
    try:
        await carry(reactor, config, display, environ, reach=reach)
    except Refused as error:
        if error.code is not Code.UNAUTHORIZED:
            raise
        if share_token:
            text = "the share token is over, or none of this server: ask who gave it to you"
        elif not config.token:
            text = "the server wants a token: use --token-file FILE or the variable INLETS_TOKEN"
        else:
            raise
        raise Refused(error.code, text) from error
    finally:
        listening.stopListening()


def main(argv: Sequence[str]) -> int:
    """The command, with what follows `connect`; see `cli.main`."""
    try:
        arguments = parse(argv)
    except UsageError as error:
        return complain("tunnel connect", error, as_json="--json" in argv)
    environ = dict(os.environ)
    run(
        "tunnel connect",
        lambda reactor: _connect(reactor, arguments, environ),
        as_json=arguments.telling == "json",
        verbose=arguments.verbose,
    )
