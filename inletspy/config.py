"""What a server is told: at its start, and by the database while it runs.

`ServerConfig` is where to listen and what to store where: fixed for one start, read
from options over environment over file over default. `Settings` is everything that
may change while the server runs; its fields are the catalogue of the keys in
`config_settings`, each with its default and description. This module reads no
database and opens nothing.
"""

from __future__ import annotations

import ipaddress
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Final

from inletspy.errors import UsageError
from inletspy.policy.tokens import is_token

__all__ = [
    "DEFAULT_DOMAIN",
    "ServerConfig",
    "Setting",
    "Settings",
    "default_data_dir",
    "is_development",
    "parse_port_range",
    "read_token_file",
    "setting_named",
]

DEFAULT_DOMAIN: Final = "tunnel.localhost"

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


# -- settings that live in the database ------------------------------------------------


def parse_port_range(text: str) -> range:
    """The ports of `FIRST-LAST`, both included.

    Raises:
        ValueError: it is no such range, or leaves 1 to 65535.
    """
    first, dash, last = text.partition("-")
    if not dash or not _is_number(first) or not _is_number(last):
        raise ValueError("must be FIRST-LAST, for example 30000-30999")
    ports = range(int(first), int(last) + 1)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise ValueError("must be FIRST-LAST within 1-65535, FIRST not above LAST")
    return ports


def _is_number(text: str) -> bool:
    """Whether it is a whole number of at most five digits."""
    return text.isascii() and text.isdecimal() and len(text) <= 5


def _networks(values: Any) -> tuple[Network, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError('must be a JSON list of addresses, like ["10.0.0.0/8"]')
    return tuple(ipaddress.ip_network(value, strict=False) for value in values)


def _origins(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError('must be a JSON list of origins, like ["https://ide.example.com"]')
    for value in values:
        scheme, _, rest = value.partition("://")
        if value != "*" and (scheme not in ("http", "https") or not rest or "/" in rest):
            raise ValueError(f"{value!r} is no origin, like https://ide.example.com")
    return tuple(values)


def _port_range(value: str) -> range:
    return parse_port_range(value)


def _domain(value: str) -> str:
    from inletspy.policy.names import check_hostname

    return check_hostname(value) if value else ""


def _token(value: str) -> str:
    if value and not is_token(value):
        raise ValueError("must be printable ASCII without spaces")
    return value


def _heartbeat(value: float) -> float:
    # A client that is silent for a minute counts as gone, whatever is set.
    if not 0.1 <= value <= 20:
        raise ValueError("must be from 0.1 to 20")
    return value


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be above 0")
    return value


def _count(value: float) -> int:
    if value < 1 or value != int(value):
        raise ValueError("must be a whole number above 0")
    return int(value)


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("must not be below 0")
    return value


@dataclass(frozen=True)
class Setting:
    """One key of `config_settings`.

    Attributes:
        key: the row's key.
        type: `string`, `number`, `boolean` or `json`.
        default: the default, as the text in the database.
        description: one line for people.
        secret: shown only with `--reveal`.
        convert: from the plain value (str, float, bool, JSON) to the one in `Settings`;
            raises ValueError with a text for people.
    """

    key: str
    type: str
    default: str
    description: str
    secret: bool = False
    convert: Callable[[Any], Any] = lambda value: value

    def parse(self, text: str | None) -> Any:
        """The value that `text` stands for; None stands for the default.

        Raises:
            UsageError: it is of the wrong type or not allowed.
        """
        if text is None:
            text = self.default
        try:
            return self.convert(self._plain(text))
        except ValueError as error:
            raise UsageError(f"{self.key} {error}") from error

    def _plain(self, text: str) -> Any:
        if "\0" in text:
            raise ValueError("must not contain NUL")
        if self.type == "boolean":
            if text.lower() not in ("true", "false"):
                raise ValueError("must be true or false")
            return text.lower() == "true"
        if self.type == "number":
            try:
                number = float(text)
            except ValueError:
                raise ValueError("must be a number") from None
            if number != number or abs(number) > 1e12:
                raise ValueError("must be a finite number below 1e12")
            return int(number) if number.is_integer() else number
        if self.type == "json":
            try:
                return json.loads(text)
            except (ValueError, RecursionError):
                raise ValueError("must be valid JSON") from None
        return text


def _key(
    type: str,
    default: str,
    description: str,
    *,
    secret: bool = False,
    convert: Callable[[Any], Any] = lambda value: value,
) -> Any:
    metadata = {
        "type": type,
        "default": default,
        "description": description,
        "secret": secret,
        "convert": convert,
    }
    return field(repr=not secret, metadata=metadata)


@dataclass(frozen=True)
class Settings:
    """The settings in force; see each field's description."""

    tunnels_enabled: bool = _key(
        "boolean", "false", "Whether clients may open tunnels; false ends those that run."
    )
    inlets_server_url: str = _key(
        "string", "", "Control address handed to containers, like wss://tunnel.example.com."
    )
    inlets_status_api_url: str = _key(
        "string", "", "Where the platform's backend reaches the status API."
    )
    inlets_shared_token: str = _key(
        "string",
        "",
        "The shared token of clients and of the status API.",
        secret=True,
        convert=_token,
    )
    tunnel_base_domain: str = _key(
        "string", "", "Names under this domain are given to tunnels.", convert=_domain
    )
    custom_domains_enabled: bool = _key(
        "boolean", "false", "Whether clients may serve names outside the base domain."
    )
    catch_all_enabled: bool = _key(
        "boolean", "false", "Whether a client may take requests for names nobody serves."
    )
    tcp_port_range: range = _key(
        "string", "30000-30999", "Public ports for TCP tunnels.", convert=_port_range
    )
    name_lease_seconds: float = _key(
        "number",
        "600",
        "How long a name or port stays its client's after the client went.",
        convert=_not_negative,
    )
    trusted_proxies: tuple[Network, ...] = _key(
        "json",
        "[]",
        "Proxies in front of the server whose X-Forwarded headers are believed.",
        convert=_networks,
    )
    status_public: bool = _key(
        "boolean", "false", "Whether GET /status answers addresses other than loopback."
    )
    cors_allowed_origins: tuple[str, ...] = _key(
        "json", "[]", "Origins whose pages may call the status API.", convert=_origins
    )
    heartbeat_seconds: float = _key(
        "number",
        "20",
        "How often links are pinged; silent for two to three times that: gone.",
        convert=_heartbeat,
    )
    head_timeout_seconds: float = _key(
        "number",
        "10",
        "How long a visitor may take to send a request's head.",
        convert=_positive,
    )
    body_idle_seconds: float = _key(
        "number", "60", "How long a visitor's request body may pause.", convert=_positive
    )
    response_timeout_seconds: float = _key(
        "number",
        "120",
        "How long an upstream may take to start its answer (504 after).",
        convert=_positive,
    )
    keep_alive_seconds: float = _key(
        "number", "75", "How long an idle visitor's connection is kept.", convert=_positive
    )
    connections_per_address: int = _key(
        "number", "512", "Connections at once from one visitor's address.", convert=_count
    )
    streams_per_session: int = _key(
        "number", "2000", "Streams at once through one client.", convert=_count
    )
    services_per_session: int = _key(
        "number", "64", "Services that one client may announce.", convert=_count
    )

    @classmethod
    def catalogue(cls) -> dict[str, Setting]:
        """All keys, in the order of their declaration."""
        return {f.name: Setting(key=f.name, **f.metadata) for f in fields(cls)}

    @classmethod
    def from_rows(
        cls, rows: Mapping[str, str | None], problems: Callable[[str], None] | None = None
    ) -> Settings:
        """The settings that database rows (key to value) stand for.

        A value that can't be read counts as the default, so that one bad row does not
        take the server down.

        Args:
            rows: what is stored; missing and NULL stand for the default.
            problems: is called with one line for each value that can't be read.
        """
        values = {}
        for key, setting in cls.catalogue().items():
            try:
                values[key] = setting.parse(rows.get(key))
            except UsageError as error:
                if problems is not None:
                    problems(f"{error}; using the default ({setting.default!r})")
                values[key] = setting.parse(None)
        return cls(**values)


def setting_named(key: str) -> Setting:
    """The setting of that key.

    Raises:
        UsageError: there is no such key; names the nearest.
    """
    import difflib

    catalogue = Settings.catalogue()
    if key in catalogue:
        return catalogue[key]
    near = difflib.get_close_matches(key, catalogue, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; see `inletspy config list`"
    raise UsageError(f"unknown key {key!r}{hint}")


# -- settings of one start -------------------------------------------------------------


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


def _text(text: str) -> str:
    if not text or "\0" in text:
        raise ValueError("must be some text")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def _port(text: str) -> int:
    if not _is_number(text) or int(text) > 65535:
        raise ValueError("must be a port, 0 to 65535 (0 takes a free one)")
    return int(text)


def _public_url(text: str) -> str:
    from urllib.parse import urlsplit

    from inletspy.policy.names import check_hostname

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
    return _domain(text) or DEFAULT_DOMAIN


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
