"""The settings: everything that may change while the server runs.

The fields of `Settings` are the catalogue of the keys in `config_settings`, each with its
type, default, description and what its text must look like. This module reads no database
and knows nothing of what the settings do.
"""

from __future__ import annotations

import difflib
import ipaddress
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from inletspy.errors import UsageError
from inletspy.policy.addresses import parse_port_range
from inletspy.policy.limits import SHARED_LIMITS, USER_LIMITS, Limits, check_limits
from inletspy.policy.names import check_hostname, check_label
from inletspy.policy.tokens import Owner, is_token

__all__ = ["Setting", "Settings", "StoredSetting", "setting_named"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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


def _labels(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ValueError('must be a JSON list of names, like ["shop", "intranet"]')
    return tuple(check_label(value) for value in values)


def _domain(value: str) -> str:
    return check_hostname(value) if value else ""


def _token(value: str) -> str:
    if value and not is_token(value):
        raise ValueError("must be printable ASCII without spaces")
    return value


def _signing_key(value: str) -> str:
    if value and len(value) < 32:
        raise ValueError("must have 32 characters at least")
    return _token(value)


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


def _count_or_none(value: float) -> int:
    if value < 0 or value != int(value):
        raise ValueError("must be a whole number from 0, which stands for any")
    return int(value)


def _limits(defaults: Limits) -> Callable[[Any], Limits]:
    return lambda values: defaults.but(check_limits(values))


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
            return self.convert(self.plain(text))
        except ValueError as error:
            raise UsageError(f"{self.key} {error}") from error

    def check(self, text: str) -> None:
        """See whether `text` may be stored.

        Raises:
            UsageError: it is of the wrong type or not allowed.
        """
        self.parse(text)
        if self.secret and not text:
            token = self.key == "inlets_shared_token"
            end = ": nobody could connect with it any more" if token else ""
            raise UsageError(f"{self.key} must not be empty{end}")

    def plain(self, text: str) -> Any:
        """The value in JSON that `text` stands for; raises ValueError."""
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
    shared_token_enabled: bool = _key(
        "boolean", "true", "Whether the shared token is good; false leaves the users' own."
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
    refused_names: tuple[str, ...] = _key(
        "json",
        "[]",
        "Names under the base domain to give to nobody, besides those like www and mail.",
        convert=_labels,
    )
    tcp_port_range: range = _key(
        "string", "30000-30999", "Public ports for TCP tunnels.", convert=parse_port_range
    )
    name_lease_seconds: float = _key(
        "number",
        "600",
        "How long a name or port stays its owner's after its client went.",
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
    link_signing_key: str = _key(
        "string",
        "",
        "Signs share links; a change makes all links of before invalid.",
        secret=True,
        convert=_signing_key,
    )
    session_signing_key: str = _key(
        "string",
        "",
        "Signs the sign-ins of the dashboard; a change signs everybody out.",
        secret=True,
        convert=_signing_key,
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
    wrong_tokens_per_address: int = _key(
        "number",
        "10",
        "Wrong tokens from one address before further ones must wait; 0: any number.",
        convert=_count_or_none,
    )
    user_limits: Limits = _key(
        "json",
        json.dumps(USER_LIMITS.values()),
        "What each user may have, unless a token has limits of its own; 0: any number.",
        convert=_limits(USER_LIMITS),
    )
    shared_limits: Limits = _key(
        "json",
        json.dumps(SHARED_LIMITS.values()),
        "What all with the shared token may have together; 0: any number.",
        convert=_limits(SHARED_LIMITS),
    )
    streams_per_session: int = _key(
        "number", "2000", "Streams at once through one client.", convert=_count
    )
    services_per_session: int = _key(
        "number", "64", "Services that one client may announce.", convert=_count
    )

    @property
    def shared_token(self) -> str:
        """The shared token; empty while it is good for nothing."""
        return self.inlets_shared_token if self.shared_token_enabled else ""

    def limits_of(self, owner: Owner) -> Limits:
        """What an owner may have, unless a token has limits of its own."""
        return self.shared_limits if owner.is_shared else self.user_limits

    @property
    def own_hosts(self) -> frozenset[str]:
        """The names that the server itself goes by, so far as settings tell."""
        urls = (self.inlets_server_url, self.inlets_status_api_url)
        return frozenset(filter(None, map(_host_of, urls)))

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


@dataclass(frozen=True)
class StoredSetting:
    """A key with what is stored for it.

    Attributes:
        setting: the key's entry in the catalogue.
        value: the stored value; None where the default holds.
        default: the default.
    """

    setting: Setting
    value: str | None
    default: str

    @property
    def text(self) -> str:
        """The value that was chosen, else the default."""
        return self.default if self.value is None else self.value

    @property
    def problem(self) -> str | None:
        """Why that is not what holds (which then is the catalogue's default), or None."""
        try:
            self.setting.parse(self.text)
        except UsageError as error:
            return str(error)
        return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def setting_named(key: str) -> Setting:
    """The setting of that key.

    Raises:
        UsageError: there is no such key; names the nearest.
    """
    catalogue = Settings.catalogue()
    if key in catalogue:
        return catalogue[key]
    near = difflib.get_close_matches(key, catalogue, n=1)
    hint = f"; did you mean {near[0]}?" if near else "; see `inletspy config list`"
    raise UsageError(f"unknown key {key!r}{hint}")
