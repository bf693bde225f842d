"""A tunnel that follows its files: what is changed there takes effect while it is up.

Looks at the files once a second rather than asking the system for events, which works on
every file system and with editors that put a new file in the old one's place. What a
change means for the services is left to whoever offers and shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Protocol

from twisted.internet.task import LoopingCall

from inletspy.client.config import Wishes, visit_options
from inletspy.client.display import Display
from inletspy.errors import UsageError
from inletspy.policy.addresses import UpstreamAddress
from inletspy.wire.control import ServiceOffer

__all__ = ["Changes", "FileWatch", "Source", "VisitorFiles"]

#: Seconds between two looks.
INTERVAL: Final = 1.0


#: What tells one state of a file from another; None where there is none.
_State = tuple[int, ...] | None


class FileWatch:
    """Tells when files have changed, and are not being written just now.

    Args:
        clock: the reactor's.
        paths: gives the files.
        changed: is called for the state that they are in at first, and whenever that is
            another; also when one is gone.
    """

    def __init__(
        self, clock: Any, paths: Callable[[], Sequence[Path]], changed: Callable[[], None]
    ) -> None:
        self._paths = paths
        self._changed = changed
        #: What `changed` was called for, and what the last look saw.
        self._known: tuple[_State, ...] = ()
        self._seen: tuple[_State, ...] = ()
        self._loop = LoopingCall(self._compare)
        self._loop.clock = clock

    def start(self) -> None:
        """Begin to look."""
        if not self._loop.running:
            self._loop.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Look no more."""
        if self._loop.running:
            self._loop.stop()

    def _compare(self) -> None:
        before, self._seen = self._seen, tuple(map(_state, self._paths()))
        # Two looks alike: a file half written would seem to have lost its other services.
        if before == self._seen != self._known:
            self._known = before
            self._changed()


def _state(path: Path) -> _State:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


class Source(Protocol):
    """What services are read from."""

    @property
    def files(self) -> Sequence[Path]:
        """The files to look at; others after `reload`, perhaps."""

    def reload(self) -> tuple[tuple[ServiceOffer, ...], bool]:
        """Read them again.

        Returns:
            What is to be offered now, and whether anything changed that only the next
            start can follow.

        Raises:
            UsageError: something is wrong, and what there was before counts.
        """


class VisitorFiles:
    """The one service of a command line, with the files that say who may visit it.

    Args:
        wishes: the command line.
        offer: what was made of it at the start.

    Attributes:
        files: those that may be read again, which a pipe may not.
    """

    def __init__(self, wishes: Wishes, offer: ServiceOffer) -> None:
        named = {"basic_auth": wishes.basic_auth_file, "bearer": wishes.bearer_file}
        followed = {option: Path(n) for option, n in named.items() if n and Path(n).is_file()}
        self.files = list(followed.values())
        self._offer = offer
        self._options = followed.keys()
        unread: dict[str, Any] = {
            f"{option}_file": "" for option in named if option not in followed
        }
        self._wishes = replace(wishes, **unread)

    def reload(self) -> tuple[tuple[ServiceOffer, ...], bool]:
        """See `Source`."""
        address = UpstreamAddress.parse(self._offer.upstream)
        found = visit_options(self._wishes, address)
        read = {option: found[option] for option in self._options}
        return (replace(self._offer, options={**self._offer.options, **read}),), False


class Changes:
    """Brings a tunnel into line with its files whenever those change.

    Args:
        clock: the reactor's.
        source: what the services are read from.
        services: what is offered at first.
        display: tells the person.
    """

    def __init__(
        self, clock: Any, source: Source, services: Sequence[ServiceOffer], display: Display
    ) -> None:
        self._source = source
        self._offered = tuple(services)
        self._display = display
        self._want: Callable[[Sequence[ServiceOffer]], None] = lambda services: None
        self._watch = FileWatch(clock, lambda: source.files, self._changed)
        #: What is wrong, as it was said already.
        self._fault = ""

    def start(self, want: Callable[[Sequence[ServiceOffer]], None]) -> None:
        """Follow the files; `want` has other services offered."""
        self._want = want
        self._watch.start()

    def stop(self) -> None:
        """Follow them no longer."""
        self._watch.stop()

    def _changed(self) -> None:
        try:
            offers, for_next_start = self._source.reload()
        except UsageError as error:
            # What a file names may have to be looked at from now on, which is a change, too.
            before, self._fault = self._fault, f"{error} (the services stay as they were)"
            if self._fault != before:
                self._display.change_failed(self._fault)
            return
        self._fault = ""
        if for_next_start:
            self._display.notice(
                f"what stands above the services in {self._source.files[0]} counts from the "
                "next start on"
            )
        if offers != self._offered:
            self._offered = offers
            self._display.change(offers)
            self._want(offers)
