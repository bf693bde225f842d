"""The command `tunnel`: its arguments, its help and its messages.

Reads the command line, has everything else put together, and hands it over to run in
the foreground. It knows the words, not the network.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from inletspy import __version__
from inletspy.client.access import Access, AskPlatform, config_folder
from inletspy.client.changes import Changes, Source, VisitorFiles
from inletspy.client.completion import SCRIPTS
from inletspy.client.config import WISHES_FOR_ALL, ClientConfig, Wishes, load
from inletspy.client.display import Display, JsonDisplay, LinesDisplay, QuietDisplay
from inletspy.client.foreground import carry, complain, run
from inletspy.client.output import SteadyOutput
from inletspy.client.project import FILE_NAME, Project, find_project, in_keys
from inletspy.errors import Code, Refused, UsageError
from inletspy.policy.addresses import parse_port

if TYPE_CHECKING:
    from inletspy.client.inspector.inspection import Inspection

__all__ = [
    "Arguments",
    "Parser",
    "add_server",
    "add_telling",
    "asking",
    "display_for",
    "main",
    "parse",
    "parser",
    "telling_of",
    "warn_if_insecure",
]

_EXAMPLES: Final = """\
examples:
  tunnel 3000                          what listens on port 3000 gets a public address
  tunnel 5432 tcp                      any TCP service gets a public port
  tunnel 3000 --name shop              under a name of your choice
  tunnel 3000 --host-header rewrite    for dev servers that refuse unknown hosts
  tunnel https://localhost:8443        a service that speaks TLS
  tunnel 192.168.1.20:80               a service on another machine
  tunnel 3000 --name shop --share      on several machines, which share the requests
  tunnel 3000 --private-http --share-link 2h   for those whom you give the link
  tunnel 5432 tcp --private --name db  no public address; on another machine of yours:
  tunnel connect db 5432               its port 5432 leads to the private service db
  tunnel 3000 --server wss://tunnel.example.com --token-file ~/.tunnel-token
  tunnel 3000 --json                   for programs: one JSON object a line
  tunnel                               all services of ./inletspy.toml, which may change
  tunnel --config FILE web api         these of FILE's; docs/client.md has the keys

where the server is, the first that is known:
  --server and --token-file, the variables INLETS_SERVER and INLETS_TOKEN,
  CLAUDE_WEB_BACKEND_URL with CLAUDE_WEB_AUTH_TOKEN, the keys server and token-file
  in ~/.config/inletspy/client.toml, a server that you run on this machine.
  HTTPS_PROXY, HTTP_PROXY and NO_PROXY are honoured; SSL_CERT_FILE names the
  certificate authorities to trust, in place of the system's.

exit status:
  0 after Ctrl-C, 2 wrong usage, 3 refused by the server, 4 server unreachable
"""


@dataclass(frozen=True)
class Arguments:
    """A command line that has been read.

    Attributes:
        wishes: what the tunnel is to be.
        telling: `json`, `quiet`, or empty for what suits the output.
        verbose: whether to show the log.
        config: the file with the services, empty for the one that is found; None if the
            one service is in the wishes.
        names: which services of the file; all if empty.
    """

    wishes: Wishes
    telling: str = ""
    verbose: bool = False
    config: str | None = None
    names: tuple[str, ...] = ()


class Parser(argparse.ArgumentParser):
    """Raises where argparse would print its usage and exit."""

    def error(self, message: str) -> NoReturn:
        """See `argparse.ArgumentParser`."""
        raise UsageError(f"{message}; see `{self.prog} --help`")


class _Add(argparse.Action):
    """Gathers what an option is given, however often it is; a tuple."""

    def __call__(
        self, parser: Any, namespace: Any, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, (*getattr(namespace, self.dest), *self.parts(values)))

    def parts(self, text: str) -> Sequence[str]:
        return (text,)


class _AddList(_Add):
    """As its base, and takes several at once with commas between them."""

    def parts(self, text: str) -> Sequence[str]:
        return text.split(",")


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *arguments: Any) -> NoReturn:
        sys.stdout.write(SCRIPTS[arguments[1]])
        raise SystemExit(0)


class _RefuseToken(argparse.Action):
    def __call__(self, *arguments: Any) -> NoReturn:
        raise UsageError(
            "there is no --token, since everybody on the machine can read command lines: "
            "use --token-file FILE or the variable INLETS_TOKEN"
        )


def _remote_port(text: str) -> int:
    port = parse_port(text)
    if port is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return port


def parser() -> argparse.ArgumentParser:
    """The parser of `tunnel`'s command line."""
    made = Parser(
        prog="tunnel",
        usage="tunnel PORT|HOST:PORT|URL [http|tcp] [options]\n"
        "       tunnel [--config FILE [NAME ...]] [options]\n"
        "       tunnel connect NAME LOCALPORT [options]",
        description="Give a service on this machine a public address, or several of a file.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument(
        "words",
        metavar="PORT|HOST:PORT|URL",
        nargs="*",
        help="the service, and what it speaks: http (default) or tcp; with --config, names",
    )
    add = made.add_argument
    add(
        "--config",
        metavar="FILE",
        help=f"take the services from a file; default, without a service: {FILE_NAME} here or "
        "in ~/.config/inletspy",
    )
    add_server(made)
    add(
        "--name",
        default="",
        help="a name, or a whole hostname, for the public address; default: MACHINE-PORT",
    )
    add(
        "--host-header",
        metavar="HOST",
        default="preserve",
        help="the Host that the service sees: `preserve` is the public one (default), "
        "`rewrite` the service's own, or any other",
    )
    add(
        "--remote-port",
        metavar="N",
        type=_remote_port,
        default=0,
        help="the public port of a tcp tunnel; default: the server picks one",
    )
    add(
        "--proxy-protocol",
        metavar="v1|v2",
        default="",
        help="tell a tcp service each visitor's address by a PROXY protocol header",
    )
    add(
        "--share",
        action="store_true",
        help="serve the name or port together with your other clients that say so, too: visitors "
        "go to the least busy, and to the others when one is gone",
    )
    add(
        "--private",
        action="store_true",
        help="no public address: only your other clients reach it, by `tunnel connect NAME`",
    )
    _add_visitors(made.add_argument_group("visitors"))
    add_telling(made, "the public address")
    _add_inspector(made.add_argument_group("inspector"))
    add(
        "--completion",
        choices=tuple(SCRIPTS),
        action=_PrintCompletion,
        help="print a completion script for a shell",
    )
    add("--version", action="version", version=f"tunnel (inletspy) {__version__}")
    return made


def _add_visitors(group: argparse._ArgumentGroup) -> None:
    """The options on who may visit."""

    def add(flag: str, metavar: str, action: Any, help: str) -> None:
        group.add_argument(flag, metavar=metavar, action=action, default=(), help=help)

    add("--allow", "CIDR", _AddList, "let visitors in from these addresses or networks only")
    add("--deny", "CIDR", _AddList, "let no visitors in from these, even if they are allowed")
    add(
        "--basic-auth",
        "USER:PASSWORD",
        _Add,
        "ask visitors for name and password; everybody on this machine can read command lines, so "
        "better use the next one or the variable INLETSPY_BASIC_AUTH",
    )
    group.add_argument(
        "--basic-auth-file", metavar="FILE", default="", help="the same, one USER:PASSWORD a line"
    )
    add(
        "--bearer",
        "TOKEN",
        _Add,
        "let programs in that send this token; better use the next one or INLETSPY_BEARER",
    )
    group.add_argument(
        "--bearer-file", metavar="FILE", default="", help="the same, one token a line"
    )
    group.add_argument(
        "--private-http",
        action="store_true",
        help="let nobody in without a share link; press s on the terminal to get one",
    )
    group.add_argument(
        "--share-link",
        metavar="TIME",
        default="",
        help="print a share link, or token, at the start that lasts so long, like 2h or 7d",
    )


def _add_inspector(group: argparse._ArgumentGroup) -> None:
    """The options on what is captured, and where it is shown."""
    group.add_argument(
        "--inspect",
        metavar="PORT|off",
        default="",
        help="show requests and answers at http://127.0.0.1:PORT, to this machine only; default: "
        "4040, or the next free port; with --quiet: off",
    )
    group.add_argument(
        "--inspect-body",
        metavar="SIZE",
        default="",
        help="what is kept of each body, like 512KiB; default: 1MiB",
    )
    group.add_argument(
        "--inspect-memory",
        metavar="SIZE",
        default="",
        help="what is kept in all, the oldest goes first; default: 64MiB",
    )


def add_server(parser: argparse.ArgumentParser) -> None:
    """The options on where the server is, and who this client is to it."""
    add = parser.add_argument
    add("--server", metavar="URL", default="", help="the server, like wss://tunnel.example.com")
    add("--token-file", metavar="FILE", default="", help="holds the token")
    add("--token", nargs="?", action=_RefuseToken, help=argparse.SUPPRESS)
    add("--client-id", metavar="ID", default="", help="how the server lists this client")
    add("--insecure", action="store_true", help="take any certificate of the server (unsafe)")


def add_telling(parser: argparse.ArgumentParser, what: str) -> None:
    """The options on what is told; `what` is all that is printed by `--quiet`."""
    telling = parser.add_mutually_exclusive_group()
    telling.add_argument("--json", action="store_true", help="print one JSON object a line")
    telling.add_argument("--quiet", action="store_true", help=f"print {what} only")
    parser.add_argument("--verbose", action="store_true", help="show what goes on inside")


def parse(argv: Sequence[str]) -> Arguments:
    """Read a command line.

    Raises:
        UsageError: it is not understood.
        SystemExit: it asked for no tunnel but for help, the version or a script.
    """
    given = parser().parse_intermixed_args(argv)
    if given.config == "":
        raise UsageError("--config: an empty text is no file's name")
    names, words = ((), given.words) if given.config is None else (tuple(given.words), [])
    if words[:1] == ["connect"]:
        raise UsageError("`connect` comes first: tunnel connect NAME LOCALPORT [options]")
    if len(words) > 2:
        raise UsageError(f"unrecognized arguments: {' '.join(words[2:])}; see `tunnel --help`")
    given.upstream, given.protocol = [*words, "", ""][:2]
    wishes = Wishes(**{name: getattr(given, name) for name in Wishes.__dataclass_fields__})
    telling = telling_of(given)
    if words:
        return Arguments(wishes, telling, given.verbose)
    config = given.config or ""
    _check_wishes_for_all(wishes, config or FILE_NAME)
    return Arguments(wishes, telling, given.verbose, config, names)


def telling_of(given: argparse.Namespace) -> str:
    """How to tell, as `add_telling` has it."""
    return "json" if given.json else "quiet" if given.quiet else ""


def _check_wishes_for_all(wishes: Wishes, file: str) -> None:
    """Refuse what concerns one service where there may be several."""
    for wish in fields(Wishes):
        value = getattr(wishes, wish.name)
        if wish.name != "upstream" and wish.name not in WISHES_FOR_ALL and value != wish.default:
            flag = "--" + wish.name.replace("_", "-")
            raise UsageError(
                f"{flag} is for one service: give its PORT, or set {in_keys(flag)} in {file}"
            )


def display_for(
    reactor: Any, config: ClientConfig, telling: str, verbose: bool, environ: Mapping[str, str]
) -> Display:
    """The way of telling that was asked for, or that suits standard output."""

    def nobody_reads() -> None:
        reactor.callFromThread(reactor.stop)

    output = SteadyOutput(sys.stdout.fileno(), sys.stdout.encoding, nobody_reads)
    if telling == "json":
        return JsonDisplay(reactor, config, output)
    if telling == "quiet":
        return QuietDisplay(reactor, config, output)
    if output.isatty() and not verbose:
        # rich takes a while to load, and is of no use elsewhere.
        from inletspy.client.live import LiveDisplay, can_be_live

        if can_be_live(output, environ):
            keyboard = sys.stdin.fileno() if sys.stdin.isatty() else None
            return LiveDisplay(reactor, config, output, keyboard)
    return LinesDisplay(reactor, config, output)


def _project(arguments: Arguments, environ: Mapping[str, str]) -> Project:
    """The file with the services: the one that was named, or else is found."""
    path = Path(arguments.config) if arguments.config else find_project(environ)
    if path is None:
        raise UsageError(
            f"give a service, as in `tunnel 3000`, or describe several in {FILE_NAME}, here or "
            f"in {config_folder(environ)}; see `tunnel --help`"
        )
    return Project(path, arguments.names)


def asking(reactor: Any, environ: Mapping[str, str]) -> AskPlatform:
    """What asks a platform's backend where the server is."""

    async def ask(backend: str, token: str) -> Access:
        # Loaded where it is needed only: it takes as long as all the rest.
        from inletspy.client.platform import agent_for, ask_platform

        agent = agent_for(reactor, backend, environ)
        return await ask_platform(agent, reactor, backend, token)

    return ask


def warn_if_insecure(config: ClientConfig) -> None:
    """Say that the server is not verified."""
    if config.insecure:
        print("tunnel: warning: --insecure, so the server may be anybody", file=sys.stderr)


def _inspection(
    reactor: Any, config: ClientConfig, display: Display, telling: str, environ: Mapping[str, str]
) -> Inspection | None:
    """The inspector, which listens already; None if none is wanted."""
    wanted = config.inspect.wanted
    if wanted is None:
        may_have_http = config.file or any(offer.proto == "http" for offer in config.services)
        wanted = bool(may_have_http) and telling != "quiet"
    if not wanted:
        return None
    from inletspy.client.inspector.inspection import Inspection  # of no use elsewhere

    inspection = Inspection(reactor, config.inspect, display, environ)
    inspection.open()
    display.inspection = inspection
    return inspection


async def _tunnel(reactor: Any, arguments: Arguments, environ: Mapping[str, str]) -> None:
    ask = asking(reactor, environ)
    project = None
    if arguments.config is None:
        config = await load(arguments.wishes, environ, ask)
    else:
        project = _project(arguments, environ)
        config = await project.load(arguments.wishes, environ, ask)
    warn_if_insecure(config)
    for flag, given in (
        ("--basic-auth", arguments.wishes.basic_auth),
        ("--bearer", arguments.wishes.bearer),
    ):
        if given:
            print(
                f"tunnel: warning: everybody on this machine can read {flag}: {flag}-file hides it",
                file=sys.stderr,
            )
    try:
        display = display_for(reactor, config, arguments.telling, arguments.verbose, environ)
        source: Source = project or VisitorFiles(arguments.wishes, config.services[0])
        changes = Changes(reactor, source, config.services, display) if source.files else None
        inspection = _inspection(reactor, config, display, arguments.telling, environ)
        try:
            await carry(reactor, config, display, environ, changes=changes)
        finally:
            if inspection is not None:
                inspection.close()
    except Refused as error:
        if error.service and config.file:
            text = f"{config.file}: {error.service} is refused: {in_keys(error.message)}"
            raise Refused(error.code, text) from error
        if error.code is Code.UNAUTHORIZED and not config.token:
            text = "the server wants a token: use --token-file FILE or the variable INLETS_TOKEN"
            raise Refused(error.code, text) from error
        raise


def main(argv: Sequence[str] | None = None) -> int:
    """The command `tunnel`; returns the exit status, or leaves with it."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["connect"]:
        from inletspy.client import connect  # which goes by the words here

        return connect.main(words[1:])
    try:
        arguments = parse(words)
    except UsageError as error:
        return complain("tunnel", error, as_json="--json" in words)
    environ = dict(os.environ)
    run(
        "tunnel",
        lambda reactor: _tunnel(reactor, arguments, environ),
        as_json=arguments.telling == "json",
        verbose=arguments.verbose,
    )
