"""`twistd inletspy`: its options, and the service that they describe.

Reads what the person says; what the server then does is composed in `services`.
"""

from __future__ import annotations

import os
import sys
from typing import Any, ClassVar

from twisted.application.service import IService
from twisted.python import usage

from inletspy import __version__
from inletspy.config import ServerConfig
from inletspy.errors import UsageError
from inletspy.services import Server

__all__ = ["Options", "makeService"]


class Options(usage.Options):
    """The options of `twistd inletspy`; docs/configuration.md explains each."""

    synopsis = "[options]"
    longdesc = """Runs the inletspy server. Without options it listens on 8090 (clients),
8080 (visitors) and 8091 (status), under the domain tunnel.localhost, with a PostgreSQL
of its own in the data directory. Each option may also come from an environment variable
(INLETSPY_DATA_DIR, INLETS_DOMAIN, ...) or from the file given with --config; options
weigh most, then the environment, then the file.

For example: twistd -n inletspy --domain tunnel.example.com
--public-url https://tunnel.example.com --database postgresql://inletspy@db/inletspy"""

    optParameters: ClassVar[list[Any]] = [
        ["data-dir", "d", None, "Where state is kept [~/.local/state/inletspy]"],
        ["database", None, None, "PostgreSQL URL [an embedded PostgreSQL]"],
        ["domain", None, None, "Base domain of the tunnels' names [tunnel.localhost]"],
        ["interface", "i", None, "Address to listen on [all]"],
        ["control-port", None, None, "Port for clients; 0 takes a free one [8090]"],
        ["data-port", None, None, "Port for visitors; 0 takes a free one [8080]"],
        ["status-port", None, None, "Port for status and API; 0 takes a free one [8091]"],
        ["control", None, None, "Endpoint for clients, instead of a port"],
        ["data", None, None, "Endpoint for visitors, instead of a port"],
        ["status", None, None, "Endpoint for status and API, instead of a port"],
        ["public-url", None, None, "What the outside sees [from domain and data port]"],
        ["token-file", None, None, "File with the shared token for this start"],
        ["access-log", None, None, "File to log visitors' requests to; - for standard output"],
        ["config", "c", None, "TOML file with any of these options"],
    ]

    config: ServerConfig

    def parseOptions(self, options: Any = None) -> None:
        """Read the command line; what is wrong with it ends the program with one clear line.

        Left to twistd, that line would come after two pages of help.
        """
        try:
            super().parseOptions(options)
        except (usage.UsageError, UsageError) as error:
            print(f"inletspy: {error} (--help shows the options)", file=sys.stderr)
            raise SystemExit(2) from error

    def parseArgs(self, *arguments: str) -> None:
        """There are none but options."""
        if arguments:
            raise UsageError(f"unexpected argument {arguments[0]!r}")

    def postOptions(self) -> None:
        """Check everything."""
        self.config = ServerConfig.load(self, os.environ)

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"inletspy {__version__}")
        raise SystemExit(0)


def makeService(options: Options) -> IService:
    """The server as a service; it opens nothing before it is started."""
    from twisted.internet import reactor

    return Server(reactor, options.config)
