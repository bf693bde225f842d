"""`inletspy config`: the settings, shown and changed.

Owns the words and the layout at the terminal; what may be stored is the catalogue's
matter, and how, the store's.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from inletspy.admin.tables import print_table
from inletspy.errors import UsageError
from inletspy.settings import Setting, StoredSetting, setting_named

if TYPE_CHECKING:
    from inletspy.store.table import SettingsTable

__all__ = ["register"]

HIDDEN: Final = "********"

EXAMPLES: Final = """\
examples:
  inletspy config list -v
  inletspy config set tunnels_enabled false
  inletspy config set inlets_shared_token - < token.txt
  inletspy config reset tcp_port_range

A change takes effect in a running server at once.
"""


def register(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the command to the others.

    Args:
        commands: gets the parser of this one.
        common: the options that each command takes.
    """
    config = commands.add_parser(
        "config",
        help="show and change settings",
        description="Show and change the settings of a server.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = config.add_subparsers(metavar="ACTION", required=True)

    show = actions.add_parser("list", parents=[common], help="show all settings")
    show.add_argument("-v", "--verbose", action="store_true", help="with types and descriptions")
    show.add_argument("--json", action="store_true", help="as a JSON array, for programs")
    show.set_defaults(run=_list)

    get = actions.add_parser("get", parents=[common], help="show the value of one setting")
    get.set_defaults(run=_get)

    change = actions.add_parser("set", parents=[common], help="change a setting")
    change.set_defaults(run=_set)

    reset = actions.add_parser("reset", parents=[common], help="go back to the default")
    reset.set_defaults(run=_reset)

    for parser in (get, change, reset):
        parser.add_argument("key", metavar="KEY")
    change.add_argument(
        "value", metavar="VALUE", help="- asks for it, or reads standard input; a must for secrets"
    )
    for parser in (show, get):
        parser.add_argument("--reveal", action="store_true", help="show secrets, too")


@asynccontextmanager
async def _table(reactor: Any, arguments: argparse.Namespace) -> AsyncIterator[SettingsTable]:
    # Late, as these are slow to load: `--help` and a mistyped key need none of them.
    from inletspy.admin.location import opened
    from inletspy.store.table import SettingsTable

    async with opened(reactor, arguments) as database:
        yield SettingsTable(database)


async def _list(reactor: Any, arguments: argparse.Namespace) -> None:
    async with _table(reactor, arguments) as table:
        rows = await table.all()
    if arguments.json:
        print(json.dumps([_as_json(row, arguments.reveal) for row in rows], indent=2))
    else:
        _print_table(rows, verbose=arguments.verbose, reveal=arguments.reveal)


async def _get(reactor: Any, arguments: argparse.Namespace) -> None:
    setting = setting_named(arguments.key)
    async with _table(reactor, arguments) as table:
        stored = await table.get(setting.key)
    if stored.problem:
        print(f"inletspy: {stored.problem}; the default is in force", file=sys.stderr)
    text = setting.default if stored.problem else stored.text
    print(_shown(setting, text, arguments.reveal))


async def _set(reactor: Any, arguments: argparse.Namespace) -> None:
    setting = setting_named(arguments.key)
    if setting.secret and arguments.value != "-":
        raise UsageError(
            f"{setting.key} is secret, and others can see what a command is called with: use "
            f"`inletspy config set {setting.key} -`, which asks for it or reads standard input"
        )
    text = _read_value(setting) if arguments.value == "-" else arguments.value
    setting.check(text)
    async with _table(reactor, arguments) as table:
        await table.set(setting.key, text)
    print(f"{setting.key} = {_shown(setting, text, reveal=False)}")


async def _reset(reactor: Any, arguments: argparse.Namespace) -> None:
    setting = setting_named(arguments.key)
    async with _table(reactor, arguments) as table:
        await table.reset(setting.key)
        stored = await table.get(setting.key)
    print(f"{setting.key} = {_shown(setting, stored.text, reveal=False)} (default)")


def _read_value(setting: Setting) -> str:
    try:
        if sys.stdin.isatty():
            return getpass.getpass(f"{setting.key}: ")
        return sys.stdin.read().rstrip("\r\n")
    except (EOFError, UnicodeDecodeError):
        raise UsageError("standard input holds no value") from None


def _shown(setting: Setting, text: str, reveal: bool) -> str:
    return HIDDEN if setting.secret and text and not reveal else text


def _as_json(row: StoredSetting, reveal: bool) -> dict[str, Any]:
    return {
        "key": row.setting.key,
        "value": _shown(row.setting, row.text, reveal),
        "type": row.setting.type,
        "default": _shown(row.setting, row.default, reveal),
        "description": row.setting.description,
        "is_default": row.value is None,
        "secret": row.setting.secret,
        "problem": row.problem,
    }


def _print_table(rows: list[StoredSetting], *, verbose: bool, reveal: bool) -> None:
    titles = ["KEY", "VALUE", "", "TYPE", "DEFAULT", "DESCRIPTION"]
    lines, styles = [], []
    for row in rows:
        note = "not valid" if row.problem else "default" if row.value is None else ""
        value = _shown(row.setting, row.text, reveal)
        default = _shown(row.setting, row.default, reveal)
        more = [row.setting.type, default, row.setting.description]
        lines.append([row.setting.key, value, note, *more])
        styles.append("red" if row.problem else "dim" if row.value is None else "")
    width = len(titles) if verbose else 3
    print_table(titles[:width], [line[:width] for line in lines], styles)
