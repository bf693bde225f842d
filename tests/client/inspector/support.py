"""Captured exchanges, made of the bytes that pass, and an inspector that is asked by HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from inletspy.client.config import ClientConfig
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.inspection import Inspection
from inletspy.client.inspector.settings import InspectSettings
from inletspy.client.inspector.store import Store
from inletspy.client.requests import RequestFollower
from inletspy.wire.control import ServiceOffer
from tests.client.support import CONFIG
from tests.peers import PeerFactory, reactor

__all__ = ["GET", "OFFER", "OK", "Answer", "Capture", "FakeTunnel", "InspectorTestCase", "get"]

OFFER = ServiceOffer("web", "http", "http://localhost:3000", hostname="web")
GET = b"GET /a?b=1 HTTP/1.1\r\nHost: web.example.com\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello"


def get(path: str, *fields: str) -> bytes:
    """A request for that path."""
    lines = "".join(f"{field}\r\n" for field in ("Host: web.example.com", *fields))
    return f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode()


class Capture:
    """A store, and one stream whose exchanges it keeps.

    Args:
        body_limit: see `Store`.
        limit: see `Store`.
    """

    def __init__(self, body_limit: int = 1 << 20, limit: int = 64 << 20) -> None:
        self.clock = Clock()
        self.store = Store(body_limit, limit)
        self.stream = self.open()

    def open(self) -> RequestFollower:
        """A further stream."""
        return RequestFollower(
            self.clock.seconds, "192.0.2.1", None, lambda: None, self.store.recorder(OFFER)
        )

    def pass_(self, request: bytes, *answer: bytes) -> Captured:
        """Have an exchange pass, the answer in these pieces."""
        self.stream.from_visitor(request)
        for piece in answer:
            self.stream.from_upstream(piece)
        return self.last

    @property
    def last(self) -> Captured:
        """The newest."""
        return next(self.store.newest_first())

    @property
    def targets(self) -> list[bytes]:
        """Of all, newest first."""
        return [one.head.split(b" ")[1] for one in self.store.newest_first()]


class FakeTunnel:
    """What is carried; see `inletspy.client.inspector.tunnel.Tunnel`."""

    def __init__(self, upstream: str) -> None:
        self.offers = {"web": replace(OFFER, upstream=upstream)}
        self.config: ClientConfig = CONFIG

    def services(self) -> list[dict[str, Any]]:
        return [{"name": "web", "public_url": "http://web.example.com"}]


@dataclass(frozen=True)
class Answer:
    """What was answered."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        """What a call gave."""
        content = json.loads(self.body)
        assert content["success"], content
        return content["data"]

    @property
    def detail(self) -> str:
        """Why a call was refused."""
        content = json.loads(self.body)
        assert not content["success"], content
        return str(content.get("detail", content["error"]))


class InspectorTestCase(TestCase):
    """Tests with an inspector that listens, and no tunnel.

    Attributes:
        inspection: the inspector.
        store: what it captured.
        tunnel: what it belongs to.
    """

    timeout = 60

    def setUp(self) -> None:
        self.environ = {"HOME": self.mktemp(), "XDG_STATE_HOME": self.mktemp()}
        self.tunnel = FakeTunnel("http://127.0.0.1:1")
        self.peers = PeerFactory(self)
        self.start()

    def start(self, **settings: Any) -> None:
        """Start it, or start it again; see `InspectSettings`."""
        self.inspection = Inspection(
            reactor, InspectSettings(**{"port": 0, **settings}), self.tunnel, self.environ
        )
        self.inspection.open()
        self.addCleanup(self.inspection.close)
        self.store = self.inspection._store
        self.token = self.inspection.url.partition("#token=")[2]
        self.port = int(self.inspection.url.partition("#")[0].rpartition(":")[2].rstrip("/"))
        self.stream = self.open_stream()

    def open_stream(self) -> RequestFollower:
        """A stream of the tunnel."""
        recorder = self.inspection.recorder(self.tunnel.offers["web"])
        return RequestFollower(reactor.seconds, "192.0.2.1", None, lambda: None, recorder)

    def pass_(self, request: bytes, *answer: bytes) -> str:
        """Have an exchange pass; gives its id."""
        self.stream.from_visitor(request)
        for piece in answer:
            self.stream.from_upstream(piece)
        return next(self.store.newest_first()).id

    async def ask(
        self,
        path: str,
        method: str = "GET",
        body: Any = None,
        *fields: str,
        token: bool = True,
        host: str = "",
    ) -> Answer:
        """Ask the inspector.

        Args:
            path: with the query.
            method: the HTTP method.
            body: is sent as JSON.
            fields: further header fields.
            token: whether to send the token.
            host: in place of its own.
        """
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"Host: {host or f'127.0.0.1:{self.port}'}", "Connection: close", *fields]
        if token:
            lines.append(f"Authorization: Bearer {self.token}")
        if content:
            lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
        peer = await self.peers.connect_to(self.port)
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"
        peer.send(head.encode() + content)
        return read_answer(await peer.read_to_end())

    async def detail(self, id: str, query: str = "") -> dict[str, Any]:
        """All about one."""
        answer = await self.ask(f"/api/requests/{id}{query}")
        found: dict[str, Any] = answer.data
        return found


def read_answer(data: bytes) -> Answer:
    """An answer that ended with its connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, _, value in (each.partition(": ") for each in lines)}
    if fields.get("transfer-encoding") == "chunked":
        whole = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            whole += body[: int(size, 16)]
            body = body[int(size, 16) + 2 :]
        body = whole
    return Answer(int(line.split(" ")[1]), fields, body)
