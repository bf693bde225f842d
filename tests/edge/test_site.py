"""What all visitors share: limits, counters, the access log."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from twisted.trial.unittest import TestCase

from inletspy.edge.accesslog import AccessLog
from tests.edge.tunnels import DOMAIN, TunnelTestCase, ok, read_answer, read_head, request
from tests.peers import FINISHED


class SiteTests(TunnelTestCase):
    """Limits and counters of the site."""

    def settings(self) -> dict[str, Any]:
        return {"max_connections": 2}

    async def test_more_visitors_than_fit(self) -> None:
        first = await self.visit()
        await self.visit()
        third = await self.visit(self.request())
        await third.ended()
        self.assertEqual(third.total, 0)
        first.close()
        await self.until_visitors(1)
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        self.assertEqual((await read_answer(visitor))[1], b"ok")

    async def test_snapshot(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        visitor.send(request("GET / HTTP/1.1", f"Host: nobody.{DOMAIN}") + b"nonsense\r\n\r\n")
        await read_answer(visitor)
        await read_answer(visitor)
        self.assertEqual(
            self.edge.site.snapshot(),
            {"connections": 1, "requests": 3, "answers": {"200": 1, "400": 1, "404": 1}},
        )

    async def test_pool_of_a_service_that_is_over(self) -> None:
        visitor, upstream, _ = await self.asked(self.request())
        upstream.send(ok())
        await read_answer(visitor)
        self.assertEqual(len(self.edge.resource.pools), 1)
        self.tunnel.service.pool.close()
        self.assertEqual(await upstream.ended(), FINISHED)
        self.edge.sweep()
        self.assertEqual(len(self.edge.resource.pools), 0)


class AccessLogTests(TunnelTestCase):
    """One line for each request."""

    def settings(self) -> dict[str, Any]:
        self.path = Path(self.mktemp())
        return {"access_log": AccessLog(str(self.path))}

    def lines(self) -> list[str]:
        self.edge.sweep()
        return self.path.read_text().splitlines()

    async def test_requests(self) -> None:
        visitor, upstream, _ = await self.asked(self.request("GET /a?b=c HTTP/1.1"))
        answer = ok()
        upstream.send(answer)
        await read_answer(visitor)
        visitor.send(request("HEAD / HTTP/1.1", f"Host: nobody.{DOMAIN}"))
        await read_head(visitor)
        first, second = self.lines()
        self.assertRegex(
            first,
            r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ 127\.0\.0\.1 "
            + re.escape(f'{self.host} GET "/a?b=c" 200 {len(answer)} ')
            + r"\d+\.\dms$",
        )
        self.assertIn(f' nobody.{DOMAIN} HEAD "/" 404 ', second)

    async def test_nobody_forges_a_line(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request('GET /"\\\xfc\x80\x9b HTTP/1.1', f"X-Request-Id: {'x' * 10}")
        )
        upstream.send(ok())
        await read_answer(visitor)
        (line,) = self.lines()
        self.assertIn(r' GET "/%22\\xfc\x80\x9b" 200 ', line)
        self.assertTrue(line.isascii() and line.isprintable())

    async def test_visitor_who_did_not_wait(self) -> None:
        visitor, _, _ = await self.asked(self.request())
        visitor.close()
        await self.until_visitors(0)
        self.assertIn(' GET "/" 499 0 ', self.lines()[0])

    async def test_upgrade(self) -> None:
        visitor, upstream, _ = await self.asked(
            self.request("GET / HTTP/1.1", "Connection: upgrade", "Upgrade: x")
        )
        upstream.send(b"HTTP/1.1 101 Fine\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        await read_head(visitor)
        self.assertIn(' GET "/" 101 ', self.lines()[0])


class AccessLogFileTests(TestCase):
    """Where the lines go."""

    def record(self, log: AccessLog, target: bytes) -> None:
        log.record(b"::1", b"", b"GET", target, 200, 1, 0.00123)

    def test_written_once_a_second(self) -> None:
        path = Path(self.mktemp())
        log = AccessLog(str(path))
        self.record(log, b"/1")
        self.record(log, b"/2")
        self.assertFalse(path.exists())
        log.tick()
        self.assertEqual(len(path.read_text().splitlines()), 2)
        self.assertTrue(path.read_text().endswith(' ::1 - GET "/2" 200 1 1.2ms\n'))
        self.assertEqual(path.stat().st_mode & 0o777 & ~0o640, 0)

    def test_file_that_was_moved_away(self) -> None:
        path = Path(self.mktemp())
        log = AccessLog(str(path))
        self.record(log, b"/1")
        log.tick()
        path.rename(f"{path}.1")
        self.record(log, b"/2")
        log.tick()
        self.assertIn('"/2"', path.read_text())
        self.assertNotIn('"/1"', path.read_text())

    def test_standard_output_is_written_to_past_the_log(self) -> None:
        reading, writing = os.pipe()
        kept = os.dup(1)
        os.dup2(writing, 1)
        try:
            log = AccessLog("-")
            self.record(log, b"/1")
            log.tick()
        finally:
            os.dup2(kept, 1)
            os.close(kept)
            os.close(writing)
        with open(reading, encoding="ascii") as output:
            self.assertEqual(output.read().count('"/1"'), 1)

    def test_file_that_can_not_be_written(self) -> None:
        path = Path(self.mktemp())
        log = AccessLog(str(path / "missing" / "log"))
        for _ in range(2):
            self.record(log, b"/1")
            log.tick()
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        os.makedirs(path / "missing")
        self.record(log, b"/2")
        log.tick()
        self.assertEqual(len((path / "missing" / "log").read_text().splitlines()), 1)
