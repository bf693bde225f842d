"""What one start of the server is told: where to listen, and what to store where.

Read from options over environment over file over default. What may change while the
server runs is in `settings`. This module reads no database and opens nothing.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import urlsplit

from inletspy.errors import UsageError
from inletspy.policy.addresses import parse_port
from inletspy.policy.names import check_hostname
from inletspy.policy.tokens import is_token

__all__ = [
    "DEFAULT_DOMAIN",
    "ServerConfig",
    "default_data_dir",
    "is_development",
    "read_token_file",
    "runs",
]

DEFAULT_DOMAIN: Final = "tunnel.localhost"


def is_development(domain: str) -> bool:
    """Whether `domain` can only be reached from this machine (RFC 6761, 6.3)."""
    return domain == "localhost" or domain.endswith(".localhost")


def default_data_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The data directory where none is named: under the XDG state directory."""
    state = environ.get("XDG_STATE_HOME") or os.path.join(
        environ.get("HOME") or os.path.expanduser("~"), ".local", "state"
    )
    return Path(state) / "inletspy"


def read_token_file(path: Path) -> str:
    """The token in a file, without surrounding white space.

    Raises:
        UsageError: it can't be read or holds no token.
    """
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not text"
        raise UsageError(f"can't read the token file {path}: {reason}") from error
    if not token:
        raise UsageError(f"the token file {path} is empty")
    if not is_token(token):
        raise UsageError(f"the token in {path} must be printable ASCII without spaces")
    return token


def runs(pid: int) -> bool:
    """Whether the server that had this number when it wrote `server.json` may still run."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


def _text(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must be some text")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def _port(text: str) -> int:
    port = parse_port(text, lowest=0)
    if port is None:
        raise ValueError("must be a port, 0 to 65535 (0 takes a free one)")
    return port


def _public_url(text: str) -> str:
    try:
        url = urlsplit(text)
        host = check_hostname(url.hostname or "")
        port = "" if url.port is None else f":{url.port or None}"
        whole = f"{url.scheme}://{host}{port}"
    except ValueError:
        whole = ""
    if whole != text.lower().removesuffix("/") or url.scheme not in ("http", "https"):
        raise ValueError("must be an address like https://tunnel.example.com")
    return whole


def _start_domain(text: str) -> str:
    return check_hostname(text) if text else DEFAULT_DOMAIN


@dataclass(frozen=True)
class ServerConfig:
    """What one start of the server was told.

    Attributes:
        data_dir: holds `token.txt`, `tunnels.json`, `server.json` and, where it is
            used, the embedded database.
        database: a PostgreSQL URL; None stands for the embedded database.
        domain: seeds `tunnel_base_domain`.
        interface: the address to listen on; empty for all.
        control_port, data_port, status_port: TCP ports; 0 takes a free one.
        control, data, status: server endpoint strings that take the ports' place.
        public_url: scheme, host and port that the outside sees; None to derive it
            from the base domain and the data port.
        token: the shared token for this start, in place of the stored one.
        seed_token: the shared token to store where the database has none.
        access_log: file to log visitors' requests to, `-` for standard output;
            None for no such log.
    """

    data_dir: Path
    database: str | None = field(default=None, repr=False)  # it may hold a password
    domain: str = DEFAULT_DOMAIN
    interface: str = ""
    control_port: int = 8090
    data_port: int = 8080
    status_port: int = 8091
    control: str | None = None
    data: str | None = None
    status: str | None = None
    public_url: str | None = None
    token: str | None = field(default=None, repr=False)
    seed_token: str | None = field(default=None, repr=False)
    access_log: str | None = None

    #: Option name to the function that reads its text; also the keys of a file.
    READERS: ClassVar[Mapping[str, Callable[[str], Any]]] = {
        "data-dir": _path,
        "database": _text,
        "domain": _start_domain,
        "interface": str,
        "control-port": _port,
        "data-port": _port,
        "status-port": _port,
        "control": _text,
        "data": _text,
        "status": _text,
        "public-url": _public_url,
        "token-file": _path,
        "access-log": _text,
    }

    #: Option name to the environment variables that stand in for it, first match wins.
    ENVIRONMENT: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "data-dir": ("INLETSPY_DATA_DIR",),
        "database": ("INLETSPY_DATABASE",),
        "domain": ("INLETS_DOMAIN",),
        "interface": ("INLETSPY_INTERFACE",),
        "control-port": ("INLETS_CONTROL_PORT",),
        "data-port": ("INLETS_DATA_PORT",),
        "status-port": ("INLETS_STATUS_PORT", "STATUS_PORT"),
        "control": ("INLETSPY_CONTROL",),
        "data": ("INLETSPY_DATA",),
        "status": ("INLETSPY_STATUS",),
        "public-url": ("INLETSPY_PUBLIC_URL",),
        "token-file": ("INLETSPY_TOKEN_FILE",),
        "access-log": ("INLETSPY_ACCESS_LOG",),
        "config": ("INLETSPY_CONFIG",),
    }

    @classmethod
    def load(
        cls, options: Mapping[str, str | None], environ: Mapping[str, str] = os.environ
    ) -> ServerConfig:
        """Combine options, environment, file and defaults, in that order of weight.

        Args:
            options: long option names to their text; None for those not given.
            environ: the environment.

        Raises:
            UsageError: a value is wrong; the text names it and where it came from.
        """
        given: dict[str, tuple[str, str]] = {}
        for name, variables in cls.ENVIRONMENT.items():
            for variable in variables:
                if environ.get(variable) and name not in given:
                    given[name] = (environ[variable], variable)
        for name, text in options.items():
            if text is not None:
                given[name] = (str(text), f"--{name}")
        if "config" in given:
            file = Path(given.pop("config")[0])
            for name, text in _read_file(file, cls.READERS).items():
                given.setdefault(name, (text, f"{name} in {file}"))

        values: dict[str, Any] = {}
        for name, (text, source) in given.items():
            try:
                values[name.replace("-", "_")] = cls.READERS[name](text)
            except ValueError as error:
                raise UsageError(f"{source}: {error}, not {text!r}") from error
        token_file = values.pop("token_file", None)
        if token_file is not None:
            values["token"] = read_token_file(token_file)
        values.setdefault("data_dir", default_data_dir(environ))
        values["data_dir"] = values["data_dir"].expanduser().absolute()
        database = values.get("database")
        if database and not database.startswith(("postgresql://", "postgres://")):
            source = given["database"][1]
            raise UsageError(f"{source}: must be a URL like postgresql://user@host/name")
        seed_token = environ.get("INLETS_TOKEN", "").strip()
        if seed_token and not is_token(seed_token):
            raise UsageError("INLETS_TOKEN: must be printable ASCII without spaces")
        return replace(cls(**values), seed_token=seed_token or None)


def _read_file(path: Path, readers: Mapping[str, Any]) -> dict[str, str]:
    """The options in a TOML file, as text."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"can't read the configuration file {path}: {error.strerror}") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError
        raise UsageError(f"the configuration file {path} is no TOML: {error}") from error
    for name, value in content.items():
        if name not in readers:
            raise UsageError(f"{path}: unknown key {name!r}; known are {', '.join(readers)}")
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise UsageError(f"{path}: {name} must be text or a whole number")
    return {name: str(value) for name, value in content.items()}
