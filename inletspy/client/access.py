"""Where a client's server is, and what it is entered with.

Owns the order of the sources: flags over environment over the client's configuration
file over a server that runs on this machine. A token is only given to the server that
it belongs to. It dials nothing itself; asking a platform's backend is left to whoever
is passed in.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import urlsplit

from inletspy.client.tomlfile import Form, TomlFile
from inletspy.config import default_data_dir, read_token_file, runs
from inletspy.errors import InletspyError, ServerUnreachable, UsageError
from inletspy.policy.names import check_hostname
from inletspy.policy.tokens import is_token

__all__ = [
    "LOOPBACK",
    "Access",
    "AskPlatform",
    "ClientFile",
    "check_token",
    "config_folder",
    "find_access",
]

#: How this machine is called from itself.
LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")

_NO_SERVER: Final = (
    "no tunnel server runs on this machine: start one with `twistd -n inletspy` (in a "
    "checkout: `make run`), or name one with --server URL or INLETS_SERVER"
)


@dataclass(frozen=True)
class Access:
    """Where a server is, and what it is entered with.

    Attributes:
        server: the control URL.
        token: empty for none.
        base_domain: the domain that the server's names stand under; empty if unknown.
    """

    server: str
    token: str = field(default="", repr=False)
    base_domain: str = ""


def config_folder(environ: Mapping[str, str]) -> Path:
    """Where the files of the user are whose environment it is."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "inletspy")


#: Asks a platform's backend, by URL and token.
AskPlatform = Callable[[str, str], Awaitable[Access]]


@dataclass(frozen=True)
class ClientFile:
    """The client's configuration file, `inletspy/client.toml` in the XDG folder.

    Attributes:
        server: the control URL.
        token_file: holds the token; relative to the file's own folder.
        domain: the domain that the server's names stand under.
        client_id: as the server lists the client.
        inspect: as the flag `--inspect`; the next two as well.
        inspect_body: see `inspector.settings`.
        inspect_memory: the same.
    """

    server: str = ""
    token_file: str = ""
    domain: str = ""
    client_id: str = ""
    inspect: str = ""
    inspect_body: str = ""
    inspect_memory: str = ""

    #: The keys of the file; those of the class have underscores.
    KEYS: ClassVar = {
        "server": Form("a URL, as text"),
        "token-file": Form("a file's name, as text"),
        "domain": Form("a domain, as text"),
        "client-id": Form("a name, as text"),
        "inspect": Form('a port or "off"', (int, str)),
        "inspect-body": Form("a size like 1MiB, as text", (int, str)),
        "inspect-memory": Form("a size like 64MiB, as text", (int, str)),
    }

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> ClientFile:
        """Read the file of the user whose environment it is; none counts as empty.

        Raises:
            UsageError: it can't be read, or holds what it should not.
        """
        path = config_folder(environ) / "client.toml"
        try:
            file = TomlFile.read(path)
        except FileNotFoundError:
            return cls()
        content = file.content
        file.check(content, cls.KEYS)
        if "token-file" in content:
            content["token-file"] = str(path.parent / Path(content["token-file"]).expanduser())
        return cls(**{key.replace("-", "_"): str(value) for key, value in content.items()})


async def find_access(
    server: str,
    token_file: str,
    environ: Mapping[str, str],
    file: ClientFile,
    ask: AskPlatform,
) -> Access:
    """Find the server, and the token for it.

    Args:
        server: from the command line; empty if not given.
        token_file: the same.
        environ: the environment.
        file: the client's configuration file.
        ask: is called only where the environment names a platform's backend.

    Raises:
        UsageError: a source can't be read, or holds what it should not.
        Refused: the platform does not give its tunnels to this client.
        ServerUnreachable: there is no server, or the platform does not answer.
    """
    named = server or environ.get("INLETS_SERVER", "")
    backend = environ.get("CLAUDE_WEB_BACKEND_URL", "")
    given_token = (
        read_token_file(Path(token_file)) if token_file else environ.get("INLETS_TOKEN", "").strip()
    )
    domain = environ.get("TUNNEL_BASE_DOMAIN", "") or file.domain
    try:
        domain = check_hostname(domain) if domain else ""
    except ValueError as error:
        raise UsageError(f"the base domain (TUNNEL_BASE_DOMAIN): {error}") from error

    if not named and backend:
        backend_token = environ.get("CLAUDE_WEB_AUTH_TOKEN", "").strip()
        if not backend_token:
            raise UsageError("CLAUDE_WEB_BACKEND_URL is set, but CLAUDE_WEB_AUTH_TOKEN is not")
        found = await ask(backend, check_token(backend_token))
    elif named := named or file.server:
        found = Access(named, given_token or _token_kept_for(named, environ, file))
    else:
        here, folder = _on_this_machine(environ)
        found = Access(here, given_token or _shared_token(folder))
    return Access(
        found.server, check_token(given_token or found.token), domain or found.base_domain
    )


def _shared_token(folder: Path) -> str:
    """The shared token of the server on this machine that has this data directory."""
    path = folder / "token.txt"
    if not path.exists():  # as while it is turned off
        raise UsageError(
            f"the server on this machine lets nobody in by a shared token (there is no {path}): "
            "give a user's, by --token-file FILE or INLETS_TOKEN"
        )
    return read_token_file(path)


def _token_kept_for(server: str, environ: Mapping[str, str], file: ClientFile) -> str:
    """The token that is stored for a server; a token is never sent to another one."""
    if file.token_file and file.server in ("", server):
        return read_token_file(Path(file.token_file))
    try:
        here, folder = _on_this_machine(environ)
        there = urlsplit(server)
        if there.hostname in LOOPBACK and there.port == urlsplit(here).port:
            return read_token_file(folder / "token.txt")
    except (InletspyError, ValueError):
        pass  # no server here: the one that was named may want no token
    return ""


def _on_this_machine(environ: Mapping[str, str]) -> tuple[str, Path]:
    """The control URL and the data directory of a server that the same user runs here."""
    folder = Path(environ.get("INLETSPY_DATA_DIR") or default_data_dir(environ))
    try:
        told = json.loads((folder / "server.json").read_bytes())
        pid, port = int(told["pid"]), int(told["control_port"])
        host = str(told.get("host") or "")
    except FileNotFoundError:
        raise ServerUnreachable(_NO_SERVER) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"can't make sense of {folder / 'server.json'}: {error!r}") from error
    if not port or not runs(pid):
        raise ServerUnreachable(_NO_SERVER)
    if host in ("", "0.0.0.0", "::"):
        host = "127.0.0.1"
    if ":" in host:
        host = f"[{host}]"
    return f"ws://{host}:{port}", folder


def check_token(token: str) -> str:
    """The token, which must fit into a header.

    Raises:
        UsageError: it does not; the text does not show it.
    """
    if token and not is_token(token):
        raise UsageError("the token holds white space or characters that no token has")
    return token
