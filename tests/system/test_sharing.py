"""Two clients that serve one name together, as the programs that people start."""

from __future__ import annotations

import signal
from collections import Counter
from typing import Any

from twisted.internet.defer import ensureDeferred, gatherResults
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests.system.http import fetch, listening
from tests.system.processes import ClientProcess, reactor
from tests.system.whole import WholeTestCase


class _Named(Resource):
    """Answers with its name."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def render(self, request: Request) -> bytes:
        return self._name.encode()


class SharingTests(WholeTestCase):
    def tunnel(self, name: str, *arguments: str) -> ClientProcess:
        """A client whose upstream answers with its name, not started yet."""
        port = listening(self, Site(_Named(name)))
        return ClientProcess(
            self, self.server, str(port), "--name", "app", "--client-id", name, *arguments
        )

    async def ask(self, count: int, **request: Any) -> list[str]:
        """The answers to requests, one after the other, each as its status and its body."""
        url = self.server.url("app")
        answers = [await fetch(url, **request) for _ in range(count)]
        return [f"{answer.status} {answer.body.decode()}" for answer in answers]

    async def test_one_dies_under_load(self) -> None:
        await self.start_server()
        first, second = self.tunnel("a", "--share"), self.tunnel("b", "--share")
        addresses = [(await client.start())["public_url"] for client in (first, second)]
        self.assertEqual(len(set(addresses)), 1)
        self.assertEqual(Counter(await self.ask(6)), {"200 a": 3, "200 b": 3})
        rows = (await fetch(f"{self.server.status_url}/status")).json
        self.assertEqual(
            [(row["client_id"], row["hostname"], row["shared"]) for row in rows],
            [("a", self.host, True), ("b", self.host, True)],
        )

        answers: list[str] = []

        async def visit() -> None:
            for _ in range(30):
                answers.extend(await self.ask(1))
                if len(answers) == 60:
                    first.kill()

        await gatherResults([ensureDeferred(visit()) for _ in range(8)])
        self.assertEqual({answer[:3] for answer in answers}, {"200"})
        self.assertEqual(set(answers), {"200 a", "200 b"})
        self.assertEqual(await self.ask(4), ["200 b"] * 4)

        # It comes back, and has its part again.
        await self.tunnel("a", "--share").start()
        self.assertEqual(Counter(await self.ask(4)), {"200 a": 2, "200 b": 2})

    async def test_one_is_frozen(self) -> None:
        """Nobody waits for it until a heartbeat finds out, which takes a minute."""
        await self.start_server()
        first, second = self.tunnel("a", "--share"), self.tunnel("b", "--share")
        for client in (first, second):
            await client.start()
        self.assertEqual(Counter(await self.ask(4)), {"200 a": 2, "200 b": 2})
        first.kill(signal.SIGSTOP)
        start = reactor.seconds()
        answers = await gatherResults([ensureDeferred(self.ask(5)) for _ in range(8)])
        self.assertEqual(Counter(one for five in answers for one in five), {"200 b": 40})
        self.assertEqual(await self.ask(4, method="POST", body=b"x"), ["200 b"] * 4)
        self.assertLess(reactor.seconds() - start, 30)
        first.kill(signal.SIGCONT)
        while "200 a" not in await self.ask(2):
            pass
        self.assertNotIn("disconnected", [event["event"] for event in first.events])

    async def test_one_ends_in_order(self) -> None:
        await self.start_server()
        first, second = self.tunnel("a", "--share"), self.tunnel("b", "--share")
        for client in (first, second):
            await client.start()
        self.assertEqual(await first.stop(), 0)
        self.assertEqual(await self.ask(4, method="POST", body=b"x"), ["200 b"] * 4)
        self.assertEqual(await second.stop(), 0)
        # It is kept for those who share it.
        alone = self.tunnel("c")
        alone.spawn()
        self.assertEqual(await alone.ended(), 3)
        await self.tunnel("c", "--share").start()
        self.assertEqual(await self.ask(1), ["200 c"])

    async def test_only_one_asks_for_it(self) -> None:
        await self.start_server()
        await self.tunnel("a", "--share").start()
        other = self.tunnel("b")
        other.spawn()
        self.assertEqual(await other.ended(), 3)
        (error,) = other.events
        self.assertEqual(error["code"], "hostname_taken")
        self.assertIn("all need --share", error["message"])

    async def test_passwords_are_the_same_for_all(self) -> None:
        await self.start_server()
        for name in "ab":
            await self.tunnel(name, "--share", "--basic-auth", "ann:word").start()
        for options in ((), ("--basic-auth", "ann:other")):
            other = self.tunnel("c", "--share", *options)
            other.spawn()
            self.assertEqual(await other.ended(), 3)
            self.assertIn("who may visit", other.stdout)
        self.assertEqual({answer[:3] for answer in await self.ask(2)}, {"401"})
        answers = await self.ask(4, login=("ann", "word"))
        self.assertEqual(Counter(answers), {"200 a": 2, "200 b": 2})
