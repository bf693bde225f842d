"""`inletspy setup`: from nothing to a server that can be started.

Owns what a new installation is given: the settings that nobody has chosen yet, and an
environment file for the server. What is there stays, unless told otherwise; what to type
next is the matter of `steps`.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from inletspy.admin.steps import config_command, next_steps
from inletspy.config import DEFAULT_DOMAIN, ServerConfig, is_development
from inletspy.errors import InletspyError, UsageError

if TYPE_CHECKING:
    from inletspy.settings import StoredSetting
    from inletspy.store.table import SettingsTable

__all__ = ["environment_text", "register", "wanted_settings"]

ENVIRONMENT_FILE: Final = "inletspy.env"

HEADER: Final = """\
# The environment of an inletspy server, as `inletspy setup` wrote it. Holds secrets.
# For systemd (EnvironmentFile=), a shell (set -a; . FILE) and the like.
"""

EXAMPLES: Final = """\
examples:
  inletspy setup                                    a server for one's own machine
  inletspy setup --domain tunnel.example.com        one for others, behind TLS

Nothing that was set before is changed, so that it may be run again at any time.
"""

#: What a shell and systemd's EnvironmentFile take as it is.
_match_plain = re.compile(r"[A-Za-z0-9_@%+=:,./-]*").fullmatch
_in_quotes = re.compile(r'[\\"$`]')


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others.

    Args:
        commands: gets the parser of this one.
        common: the options that each command takes.
    """
    parser = commands.add_parser(
        "setup",
        parents=[common],
        help="prepare a new server",
        description="Prepare a server: its database, the shared token, the settings, and a file"
        " with its environment. Says what to do next.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--domain", metavar="D", help=f"the base domain (or INLETS_DOMAIN; {DEFAULT_DOMAIN})"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--dev",
        action="store_const",
        const=True,
        dest="development",
        help="for development; the default for a domain under localhost",
    )
    kind.add_argument(
        "--prod",
        action="store_const",
        const=False,
        dest="development",
        help="for others, reached by TLS; the default for any other domain",
    )
    parser.add_argument(
        "--env-file",
        metavar="FILE",
        type=Path,
        help=f"where to write the environment; default: {ENVIRONMENT_FILE} in the data directory",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace the file and settings that say something else (never the token)",
    )
    parser.set_defaults(run=_setup)


async def _setup(reactor: Any, arguments: argparse.Namespace) -> None:
    # Late, as these are slow to load: `--help` needs none of them.
    from inletspy.admin.location import locate, opened
    from inletspy.store.table import SettingsTable

    options = {name: getattr(arguments, name.replace("-", "_"), None) for name in _OPTIONS}
    config = ServerConfig.load(options)
    development = arguments.development
    if development is None:
        development = is_development(config.domain)
    if not development and config.domain == DEFAULT_DOMAIN:
        raise UsageError("--prod needs the domain that others know: --domain tunnel.example.com")
    found = locate(arguments, os.environ, new=True)
    if isinstance(found, str):
        config = replace(config, database=found)
    _make_directory(config.data_dir)
    file = (arguments.env_file or config.data_dir / ENVIRONMENT_FILE).expanduser().absolute()
    wanted = wanted_settings(config, development)

    async with opened(reactor, arguments, new=True) as database:
        table = SettingsTable(database)
        stored = {row.setting.key: row for row in await table.all()}
        _check_domain(stored["tunnel_base_domain"], config.domain, arguments.force)
        token = stored["inlets_shared_token"].text or wanted["inlets_shared_token"]
        text = environment_text(config, development, token)
        is_there = _holds(file, text)
        if is_there is False and not arguments.force:
            raise InletspyError(
                f"{file} is there already, with other content: --force replaces it,"
                " --env-file FILE names another"
            )
        await table.fill(wanted, {})
        stored = await _settled(table, wanted, arguments.force)
    if not is_there:
        _write(file, text, instead=arguments.force)
    was = _close_to_others(file)

    _report(wanted, stored)
    mode = f"mode 600; it was {was:03o}" if was != 0o600 else "mode 600"
    print(f"\nEnvironment of the server, with the shared token ({mode}):\n  {file}")
    if stored["tunnels_enabled"].text.lower() != "true":
        enable = config_command(config, file, "set tunnels_enabled true")
        print(f"\nTunnels are disabled. To enable them:\n  {enable}")
    print(f"\n{next_steps(config, development, file, stored['inlets_server_url'].text)}", end="")


#: Options that say what is set up; all else comes from the environment.
_OPTIONS: Final = ("data-dir", "database", "domain")


def wanted_settings(config: ServerConfig, development: bool) -> dict[str, str]:
    """The values that settings get which have none.

    Args:
        config: where the server will be.
        development: whether it is for one's own machine.
    """
    domain = config.domain
    if development:
        host = "localhost" if is_development(domain) else domain
        control, status = (
            f"ws://{host}:{config.control_port}",
            f"http://{host}:{config.status_port}",
        )
    else:
        status = _public_url(config)
        control = status.replace("http", "ws", 1)
    wanted = {
        "tunnels_enabled": "true",
        "inlets_server_url": control,
        "inlets_status_api_url": status,
        "inlets_shared_token": config.seed_token or secrets.token_urlsafe(32),
        "tunnel_base_domain": domain,
    }
    # Said also where they are off: a former development server may have them on.
    for key in ("custom_domains_enabled", "catch_all_enabled"):
        wanted[key] = "true" if development else "false"
    return wanted


def environment_text(config: ServerConfig, development: bool, token: str) -> str:
    """The content of the environment file.

    Args:
        config: where the server will be.
        development: whether it is for one's own machine.
        token: the shared token.

    Raises:
        UsageError: a value can't stand in such a file.
    """
    plain = ServerConfig(config.data_dir)
    values: dict[str, Any] = {
        "data-dir": config.data_dir,
        "database": config.database,
        "domain": config.domain,
        "public-url": config.public_url if development else _public_url(config),
    }
    for name in ("control-port", "data-port", "status-port"):
        port = getattr(config, name.replace("-", "_"))
        if port != getattr(plain, name.replace("-", "_")):
            values[name] = port
    variables = {ServerConfig.ENVIRONMENT[name][0]: value for name, value in values.items()}
    variables["INLETS_TOKEN"] = token
    lines = [f"{n}={_quoted(n, str(value))}\n" for n, value in variables.items() if value]
    return HEADER + "".join(lines)


def _public_url(config: ServerConfig) -> str:
    return config.public_url or f"https://{config.domain}"


def _quoted(name: str, value: str) -> str:
    """A value as both a shell and systemd read it."""
    if not value.isprintable():
        # Not shown: it may be a secret.
        raise UsageError(f"{name} holds characters that can't stand in an environment file")
    if _match_plain(value):
        return value
    return '"' + _in_quotes.sub(r"\\\g<0>", value) + '"'


def _check_domain(stored: StoredSetting, domain: str, force: bool) -> None:
    if stored.text not in ("", domain) and not force:
        raise InletspyError(
            f"the base domain is {stored.text!r} already, not {domain!r}: say so with --domain, or"
            " change it with --force, which ends the tunnels of a running server"
        )


async def _settled(
    table: SettingsTable, wanted: Mapping[str, str], force: bool
) -> dict[str, StoredSetting]:
    """The settings as they are now; with `force`, as wanted, all but the token."""
    stored = {row.setting.key: row for row in await table.all()}
    if force:
        for key, value in wanted.items():
            if key != "inlets_shared_token" and stored[key].text != value:
                await table.set(key, value)
        stored = {row.setting.key: row for row in await table.all()}
    return stored


def _report(wanted: Mapping[str, str], stored: Mapping[str, StoredSetting]) -> None:
    print("Settings:")
    width = max(map(len, wanted))
    for key, value in wanted.items():
        row = stored[key]
        if row.setting.secret:
            shown = "********"
        else:
            shown = value if row.text == value else f"{row.text!r} (as it was, not {value})"
        print(f"  {key.ljust(width)}  {shown}")


def _holds(file: Path, text: str) -> bool | None:
    """Whether the file has that content; None if there is no file."""
    try:
        return file.read_text(encoding="utf-8") == text
    except FileNotFoundError:
        return False if file.is_symlink() else None
    except (OSError, UnicodeDecodeError):
        return False


def _write(file: Path, text: str, *, instead: bool) -> None:
    """Write a file that only its owner can read, from the first moment on."""
    try:
        if instead:
            descriptor, draft = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
        else:  # nor does it take the place of one that has come up in the meantime
            draft = str(file)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.replace(draft, file)
        except OSError:
            os.unlink(draft)
            raise
    except OSError as error:
        raise InletspyError(f"can't write {file}: {error.strerror}") from error


def _close_to_others(file: Path) -> int:
    """Let only its owner read a file; gives the mode it had."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode != 0o600:
            file.chmod(0o600)
    except OSError as error:
        raise InletspyError(
            f"can't make {file} unreadable to others: {error.strerror}; use its owner's user, or "
            "name another with --env-file FILE"
        ) from error
    return mode


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InletspyError(
            f"can't use the data directory {path}: {error.strerror}; choose another with --data-dir"
        ) from error
