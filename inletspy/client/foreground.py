"""A tunnel as a program in the foreground: from its start to its exit status.

Runs the reactor, ends in good order on Ctrl-C and SIGTERM, and turns every ending into
a status and at most one line. What is carried and how it is shown is given to it.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, NoReturn

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import deferLater, react
from twisted.logger import ILogObserver, Logger, globalLogBeginner, textFileLogObserver

from inletspy.client.changes import Changes
from inletspy.client.config import ClientConfig
from inletspy.client.dialer import Dialer, ServerAddress, proxy_for
from inletspy.client.display import Display, json_line, printable
from inletspy.client.reach import Reach
from inletspy.errors import Refused, ServerUnreachable, StartError, UsageError
from inletspy.tunnel.endpoint import quicken

__all__ = ["REFUSED", "UNREACHABLE", "USAGE", "carry", "complain", "run"]

_log = Logger()

#: Exit statuses.
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
UNREACHABLE: Final = 4

#: How long a goodbye to the server may take, and the whole way out, in seconds.
_GOODBYE: Final = 0.6
_WAY_OUT: Final = 0.9
#: Between two tries of a patient start, in seconds.
_PATIENCE: Final = 5.0


def complain(program: str, error: Exception, *, as_json: bool = False) -> int:
    """Say in one line why the program ends.

    Args:
        program: the program's name.
        error: what went wrong.
        as_json: say it on standard output too, for programs.

    Returns:
        The exit status for it.
    """
    text = printable(str(error)) or type(error).__name__
    if isinstance(error, UsageError):
        status, code = USAGE, "usage"
    elif isinstance(error, Refused):
        status, code = REFUSED, error.code.value
    elif isinstance(error, ServerUnreachable):
        status, code = UNREACHABLE, "unreachable"
    else:
        status, code = FAILED, "failed"
        if not isinstance(error, StartError):
            text = f"unexpected {type(error).__name__}: {text} (--verbose shows more)"
    print(f"{program}: {text}", file=sys.stderr, flush=True)
    if as_json:
        print(json_line("error", code=code, message=text), end="", flush=True)
    return status


def run(
    program: str,
    job: Callable[[Any], Awaitable[None]],
    *,
    as_json: bool = False,
    verbose: bool = False,
) -> NoReturn:
    """Run a job with the reactor and leave the program with its status.

    Args:
        program: the program's name.
        job: gets the reactor.
        as_json: see `complain`.
        verbose: show Twisted's log on standard error.
    """
    observers: list[ILogObserver] = [textFileLogObserver(sys.stderr)] if verbose else []
    globalLogBeginner.beginLoggingTo(observers, redirectStandardIO=False, discardBuffer=True)

    async def main(reactor: Any) -> None:
        quicken(reactor)
        try:
            await job(reactor)
        except Exception as error:
            _log.failure("the tunnel ends")
            raise SystemExit(complain(program, error, as_json=as_json)) from None

    react(main, ())


async def carry(
    reactor: Any,
    config: ClientConfig,
    display: Display,
    environ: Mapping[str, str],
    *,
    protocol: Literal["native", "inlets"] = "native",
    patient: bool = False,
    changes: Changes | None = None,
    reach: Reach | None = None,
) -> None:
    """Carry a tunnel until the program is told to end.

    Args:
        reactor: the reactor, which runs or is about to.
        config: what is carried.
        display: what a person is told by; it is started and stopped here.
        environ: the environment, for proxies.
        protocol: what is spoken with the server.
        patient: whether to wait for a server that can't be reached at the start.
        changes: the files to follow meanwhile; None for none.
        reach: the private service that is reached in place of serving any; None for none.

    Raises:
        UsageError: the server's address is none.
        Refused: the server will not have the tunnel.
        ServerUnreachable: the server could not be reached for a first time.
    """
    try:
        server = ServerAddress.parse(config.server)
        proxy = proxy_for(server, environ)
    except ValueError as error:
        raise UsageError(str(error)) from error
    ending = _Ending(reactor, display)
    display.start()
    try:
        while True:
            dialer = Dialer(
                reactor,
                server,
                config.token,
                config.client_id,
                config.services if reach is None else (),
                display,
                derived=config.derived,
                protocol=protocol,
                proxy=proxy,
                insecure=config.insecure,
                reach=reach,
            )
            ending.stops = dialer.stop
            if changes is not None:
                changes.start(dialer.want)
            display.link_source = dialer.ask_for_link
            try:
                await dialer.run()
                return
            except ServerUnreachable as error:
                if not patient:
                    raise
                display.disconnected(str(error), _PATIENCE)
            waiting: Deferred[None] = deferLater(reactor, _PATIENCE)
            ending.stops = waiting.cancel
            await waiting
    except CancelledError:
        pass  # told to end while it waited
    except Exception:
        ending.is_over = True
        raise
    finally:
        if changes is not None:
            changes.stop()
        display.stop()


class _Ending:
    """Ends a tunnel in good order when the reactor is told to stop."""

    def __init__(self, reactor: Any, display: Display) -> None:
        self._reactor = reactor
        self._display = display
        #: Whether the tunnel has ended by itself.
        self.is_over = False
        #: What ends it.
        self.stops: Callable[[], Deferred[None] | None] = lambda: None
        reactor.addSystemEventTrigger("before", "shutdown", self._leave)

    def _leave(self) -> Deferred[None] | None:
        if self.is_over:
            return None
        _exit_soon()
        stopping = maybeDeferred(self.stops).addTimeout(_GOODBYE, self._reactor)
        return stopping.addBoth(lambda _: self._display.stop())


def _exit_soon() -> None:
    """See to it that the program ends, if not by itself.

    A look-up of a name can't be interrupted, and the reactor would wait for it.
    """
    timer = threading.Timer(_WAY_OUT, os._exit, (0,))
    timer.daemon = True
    timer.start()
