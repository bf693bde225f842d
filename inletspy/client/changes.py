"""A tunnel that follows its file: what is changed there takes effect while it is up.

Looks at the file once a second rather than asking the system for events, which works on
every file system and with editors that put a new file in the old one's place. What a
change means for the services is left to whoever offers and shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.internet.task import LoopingCall

from inletspy.client.display import Display
from inletspy.client.project import Project
from inletspy.errors import UsageError
from inletspy.wire.control import ServiceOffer

__all__ = ["FileWatch", "ProjectChanges"]

#: Seconds between two looks.
INTERVAL: Final = 1.0


class FileWatch:
    """Tells when a file has changed, and is not being written just now.

    Args:
        clock: the reactor's.
        path: the file.
        changed: is called for the state that it is in at first, and whenever that is
            another; also when the file is gone.
    """

    def __init__(self, clock: Any, path: Path, changed: Callable[[], None]) -> None:
        self._path = path
        self._changed = changed
        #: What `changed` was called for, and what the last look saw.
        self._known: tuple[int, ...] | None = ()
        self._seen: tuple[int, ...] | None = ()
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

    def _look(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev

    def _compare(self) -> None:
        before, self._seen = self._seen, self._look()
        # Two looks alike: a file half written would seem to have lost its other services.
        if before == self._seen != self._known:
            self._known = before
            self._changed()


class ProjectChanges:
    """Brings a tunnel into line with its file whenever that changes.

    Args:
        clock: the reactor's.
        project: the file, and what was chosen of it.
        services: what is offered at first.
        display: tells the person.
    """

    def __init__(
        self, clock: Any, project: Project, services: Sequence[ServiceOffer], display: Display
    ) -> None:
        self._project = project
        self._offered = tuple(services)
        self._display = display
        self._want: Callable[[Sequence[ServiceOffer]], None] = lambda services: None
        self._watch = FileWatch(clock, project.path, self._changed)

    def start(self, want: Callable[[Sequence[ServiceOffer]], None]) -> None:
        """Follow the file; `want` has other services offered."""
        self._want = want
        self._watch.start()

    def stop(self) -> None:
        """Follow it no longer."""
        self._watch.stop()

    def _changed(self) -> None:
        try:
            offers, for_next_start = self._project.reload()
        except UsageError as error:
            self._display.change_failed(f"{error} (the services stay as they were)")
            return
        if for_next_start:
            self._display.notice(
                f"what stands above the services in {self._project.path} counts from the next "
                "start on"
            )
        if offers != self._offered:
            self._offered = offers
            self._display.change(offers)
            self._want(offers)
