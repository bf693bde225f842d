"""Pinned exchanges, which stay until somebody unpins them, over restarts as well.

Each is one file in the user's state folder that nobody else may read. A file that can't be
read is left alone and not shown.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from inletspy.answers import Problem
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.messages import EventLog, SavedLog
from inletspy.client.inspector.store import Store
from inletspy.client.inspector.transcripts import MAX_MESSAGES, Transcript
from inletspy.wire.control import ServiceOffer

__all__ = ["Pins", "state_folder"]

_log = Logger()

#: What may be pinned: how many, and how long a file may be.
MAX_PINNED: Final = 200
_MAX_FILE: Final = 256 << 20

_BYTES: Final = ("head", "body_bytes", "answer", "answer_bytes", "unread")
_TIMES: Final = ("answered_at", "answer_size", "ended", "body_size")
_PLAIN: Final = ("visitor", "started", *_TIMES)
_is_name = re.compile(r"[0-9a-f]{6}-[0-9]{1,12}\.json").fullmatch


def state_folder(environ: Mapping[str, str]) -> Path:
    """Where the state of the user is kept whose environment it is."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return Path(environ.get("XDG_STATE_HOME") or os.path.join(home, ".local/state"), "inletspy")


class Pins:
    """Pins exchanges of a store.

    Args:
        store: whose.
        folder: where the files are; it is made when it is needed.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store = store
        self._folder = folder

    def load(self) -> None:
        """Read what was pinned in earlier runs."""
        room = self._store.limit
        found = []
        for path in self._files():
            try:
                size = path.stat().st_size
                if size > min(room, _MAX_FILE):
                    continue
                found.append(_read(self._store, json.loads(path.read_bytes())))
                room -= size
            except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
                _log.failure("A pinned request could not be read from {path}", path=str(path))
        # Before all that this run has captured or will.
        found.sort(key=lambda captured: captured.started)
        for place, captured in enumerate(found[-MAX_PINNED:]):
            captured.n = place - len(found)
            captured.pinned = True
            self._store.pinned[captured.n] = captured

    def _files(self) -> list[Path]:
        try:
            return [path for path in self._folder.iterdir() if _is_name(path.name)]
        except OSError:
            return []

    def pin(self, captured: Captured) -> None:
        """Have an exchange stay.

        Raises:
            Problem: it can't.
        """
        if captured.pinned:
            return
        if captured.ended is None:
            raise Problem(409, "Conflict", "It is still open: pin it when it is over")
        pinned = self._store.pinned.values()
        size = sum(one.size for one in pinned) + captured.size
        if len(pinned) >= MAX_PINNED or size > self._store.limit:
            raise Problem(409, "Conflict", "As much is pinned as there may be: unpin something")
        try:
            self._write(captured)
        except OSError as error:
            text = f"It can't be kept in {self._folder}: {error.strerror}"
            raise Problem(500, "Not pinned", text) from None
        captured.pinned = True
        self._store.pinned[captured.n] = captured
        self._store.touched(captured)

    def unpin(self, captured: Captured) -> None:
        """Have it stay no longer than others.

        Raises:
            Problem: its file can't be removed.
        """
        try:
            self._path(captured).unlink(missing_ok=True)
        except OSError as error:
            raise Problem(500, "Not unpinned", f"{self._folder}: {error.strerror}") from None
        self._store.unpin(captured)

    def _path(self, captured: Captured) -> Path:
        return self._folder / f"{captured.id}.json"

    def _write(self, captured: Captured) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(captured)
        new = path.with_suffix(".new")
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as file:
            json.dump(_written(captured), file)
        new.replace(path)


def _written(captured: Captured) -> dict[str, Any]:
    """What stands in a file."""
    service = captured.service
    kept: dict[str, Any] = {name: getattr(captured, name) for name in _PLAIN}
    for name in _BYTES:
        kept[name] = base64.b64encode(getattr(captured, name)).decode("ascii")
    if isinstance(captured.log, EventLog):
        kept["answer_bytes"] = base64.b64encode(captured.log.content()).decode("ascii")
    if captured.log is not None:
        kept["messages"] = Transcript(captured).read()[-MAX_MESSAGES:]
        kept["trouble"] = captured.log.trouble
    return {
        **kept,
        "format": 1,
        "id": captured.id,
        "cause": captured.cause,
        "replay_of": captured.replay_of,
        "service": [service.name, service.proto, service.upstream],
    }


def _read(store: Store, kept: dict[str, Any]) -> Captured:
    name, proto, upstream = (str(part) for part in kept["service"])
    service = ServiceOffer(name, proto, upstream)
    head, body, answer, answer_body, unread = (base64.b64decode(kept[name]) for name in _BYTES)
    recording = store.recorder(service)
    captured = recording.captured(0, str(kept["visitor"]), float(kept["started"]), head)
    captured.restore(str(kept["id"]), body, answer, answer_body)
    captured.unread = unread
    captured.restore_times(*(kept[name] for name in _TIMES))
    if kept["cause"] is not None:
        kind, reason = kept["cause"]
        captured.cause = (str(kind), str(reason))
    captured.replay_of = str(kept["replay_of"])
    if "messages" in kept:
        captured.log = SavedLog(list(kept["messages"]), str(kept["trouble"]))
    return captured
