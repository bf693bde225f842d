"""The live display, on a terminal that the test holds the other end of."""

from __future__ import annotations

import os
import re
import termios
from dataclasses import replace
from typing import Any
from unittest import mock

from rich.console import ConsoleDimensions
from twisted.internet.defer import fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from inletspy.client import display as display_module
from inletspy.client import live
from inletspy.client.live import INTERVAL, LiveDisplay, can_be_live, for_people
from inletspy.client.output import SteadyOutput
from inletspy.errors import Code, Refused
from inletspy.wire.control import Grant, ServiceOffer, ShareLink
from tests.client.support import CONFIG, GRANT, exchange

#: What moves the cursor or colours, as the display itself writes it.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class LiveTests(TestCase):
    def setUp(self) -> None:
        self.patch(live, "_in_foreground", lambda output: True)
        self.patch(display_module, "look", lambda reactor, address: succeed(None))
        environ = mock.patch.dict(os.environ, {"COLUMNS": "80", "LINES": "24", "TERM": "xterm"})
        environ.start()
        self.addCleanup(environ.stop)
        os.environ.pop("NO_COLOR", None)
        self.person, self.terminal = os.openpty()
        self.addCleanup(os.close, self.person)
        self.addCleanup(os.close, self.terminal)
        self.clock = Clock()

    def start(self, **changes: Any) -> LiveDisplay:
        config = replace(CONFIG, **changes)
        display = LiveDisplay(self.clock, config, SteadyOutput(self.terminal), self.terminal)
        display.start()
        return display

    async def draw(self, display: LiveDisplay) -> None:
        """Let the display draw once."""
        await self.written(display)
        self.clock.advance(INTERVAL)

    async def written(self, display: LiveDisplay) -> None:
        while not display.output.idle:
            await deferToThread(lambda: None)

    async def end(self, display: LiveDisplay) -> str:
        """All that was written, with the display at its end."""
        display.stop()
        os.write(self.terminal, b"\x04")  # what the terminal's other side reads up to
        seen = b""
        while not seen.endswith(b"\x04"):
            seen += await deferToThread(os.read, self.person, 65536)
        return seen[:-1].decode()

    async def test_what_is_seen(self) -> None:
        display = self.start()
        await self.draw(display)
        display.ready([GRANT])
        display.show_request(CONFIG.services[0], exchange())
        display.show_request(CONFIG.services[0], exchange(status=404, target=b"/nope"))
        display.show_request(CONFIG.services[0], exchange(status=None, method=b"POST"))
        self.clock.advance(61)
        await self.draw(display)
        seen = CONTROL.sub("", await self.end(display))
        for text in (
            "connecting",
            "online for 1 min 1 s",
            "http://c0ffee-3000.tunnel.localhost:8080",
            "http://localhost:3000",
            "3 done, 0 open, 1 failed",
            "ended",
        ):
            self.assertIn(text, seen)
        self.assertRegex(seen, r"\d\d:\d\d:\d\d GET +/a\?b=1 +200 12 ms +4\.1 kB")
        self.assertRegex(seen, r"\d\d:\d\d:\d\d GET +/nope +404 12 ms +4\.1 kB")
        self.assertRegex(seen, r"\d\d:\d\d:\d\d POST +/a\?b=1 +- 12 ms +4\.1 kB")

    async def test_status_has_a_colour(self) -> None:
        display = self.start()
        display.show_request(CONFIG.services[0], exchange(status=500))
        self.assertIn("\x1b[31m500", await self.end(display))

    async def test_no_color(self) -> None:
        os.environ["NO_COLOR"] = "1"
        display = self.start()
        display.show_request(CONFIG.services[0], exchange(status=500))
        self.assertNotIn("\x1b[31m", await self.end(display))

    async def test_a_visitor_controls_nothing(self) -> None:
        display = self.start()
        display.ready([GRANT])
        evil = "/\x1b[2J\x9b31m\u202e\x07".encode()
        display.show_request(CONFIG.services[0], exchange(target=evil))
        seen = CONTROL.sub("", await self.end(display))
        self.assertIn("/\\x1b[2J\\x9b31m\\u202e\\x07", seen)
        self.assertNotRegex(seen, "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]")

    def press(self, keys: bytes) -> None:
        os.write(self.person, keys)

    async def test_a_key_makes_a_link(self) -> None:
        private = replace(CONFIG.services[0], options={"private": True})
        asked: list[tuple[str, int]] = []
        display = self.start(services=(private,))

        def ask(service: str, seconds: int) -> bool:
            asked.append((service, seconds))
            return True

        display.link_source = ask
        display.ready([GRANT])
        self.press(b"x\n")
        await self.draw(display)
        self.assertEqual(asked, [])
        self.press(b"s")
        await self.draw(display)
        self.assertEqual(asked, [("3000", 7200)])
        url = f"{GRANT.public_url}/?tunnel_token={'x' * 100}"
        display.shared(ShareLink("3000", url, 1_800_000_000))
        display.link_source = lambda service, seconds: False
        self.press(b"S")
        await self.draw(display)
        seen = CONTROL.sub("", await self.end(display))
        self.assertIn("s makes a share link, Ctrl-C ends it", seen)
        self.assertIn(url, seen)
        self.assertIn("no share link: not connected just now", seen)

    async def test_a_key_where_nothing_is_private(self) -> None:
        display = self.start()
        display.ready([GRANT])
        self.press(b"s")
        await self.draw(display)
        seen = CONTROL.sub("", await self.end(display))
        self.assertIn("no share link: no service has --private-http", seen)
        self.assertNotIn("s makes", seen)

    async def test_keys_are_not_for_a_program_in_the_background(self) -> None:
        display = self.start()
        self.patch(live, "_in_foreground", lambda output: False)
        self.press(b"s")
        await self.draw(display)
        self.assertEqual(os.read(self.terminal, 10), b"s")

    async def test_drawing_is_bounded(self) -> None:
        display = self.start()
        display.ready([GRANT])
        drawn = 0
        refresh = display._live.refresh

        def count() -> None:
            nonlocal drawn
            drawn += 1
            refresh()

        self.patch(display._live, "refresh", count)
        for _ in range(100):
            for _ in range(50):
                display.show_request(CONFIG.services[0], exchange())
            await self.written(display)
            self.clock.advance(0.01)
        self.assertEqual(drawn, 8)
        await self.end(display)

    async def test_only_as_long_as_somebody_reads(self) -> None:
        """What a stopped terminal has not taken yet is not added to."""
        display = self.start()
        await self.written(display)
        self.patch(SteadyOutput, "idle", property(lambda output: False))
        before = display.output._given
        display.ready([GRANT])
        self.clock.pump([INTERVAL] * 20)
        self.assertEqual(display.output._given, before)
        await self.end(display)

    async def test_troubles(self) -> None:
        self.patch(display_module, "look", lambda reactor, address: fail(ConnectionRefusedError()))
        display = self.start()
        await self.draw(display)
        display.disconnected("connection refused", 2.5)
        display.notice("off from 18:00")
        await self.draw(display)
        self.patch(display_module, "look", lambda reactor, address: succeed(None))
        seen = CONTROL.sub("", await self.end(display))
        self.assertIn("nothing listens on localhost:3000 yet", seen)
        self.assertIn("reconnecting in 2.5 s: connection refused", seen)
        self.assertRegex(seen, r"\d\d:\d\d:\d\d  off from 18:00")

    async def test_several_services(self) -> None:
        web, db = CONFIG.services[0], ServiceOffer("db", "tcp", "tcp://localhost:5432")
        display = self.start(services=(web, db), file="inletspy.toml")
        display.ready([GRANT, Grant("db", 2, "tcp://a:30000")])
        display.show_request(web, exchange())
        await self.draw(display)
        display.change([web, replace(db, name="late")])
        display.service_refused(Refused(Code.PORT_UNAVAILABLE, "no port", service="late"))
        display.change_failed("inletspy.toml:3: nonsense")
        seen = CONTROL.sub("", await self.end(display))
        self.assertRegex(seen, r"3000 +http://c0ffee-3000\S+:8080 -> http://localhost:3000")
        self.assertRegex(seen, r"db +tcp://a:30000 -> tcp://localhost:5432")
        self.assertRegex(seen, r"\d\d:\d\d:\d\d 3000 GET +/a\?b=1 +200")
        self.assertRegex(seen, r"late +refused: no port")
        self.assertRegex(seen, r"\d\d:\d\d:\d\d  inletspy.toml:3: nonsense")
        self.assertNotIn("db ", seen[seen.index("refused: no port") :])

    async def test_a_small_terminal(self) -> None:
        os.environ["LINES"] = "12"
        display = self.start()
        for number in range(20):
            display.show_request(CONFIG.services[0], exchange(target=b"/%d" % number))
        seen = CONTROL.sub("", await self.end(display))
        self.assertEqual(re.findall(r"/(\d+) ", seen), ["17", "18", "19"])

    async def test_a_resize_begins_on_a_clean_screen(self) -> None:
        display = self.start()
        await self.draw(display)
        self.assertFalse(display._console.is_alt_screen)
        display._console.size = ConsoleDimensions(40, 20)
        display.ready([GRANT])
        await self.draw(display)
        await self.written(display)
        self.assertIn("\x1b[2J", await self.end(display))

    async def test_what_is_typed_is_not_echoed_meanwhile(self) -> None:
        def echoes() -> bool:
            return bool(termios.tcgetattr(self.terminal)[3] & termios.ECHO)

        self.assertTrue(echoes())
        display = self.start()
        self.assertFalse(echoes())
        await self.end(display)
        self.assertTrue(echoes())

    def test_stopped_twice_or_never_started(self) -> None:
        display = self.start()
        display.stop()
        display.stop()
        LiveDisplay(self.clock, CONFIG, SteadyOutput(self.terminal)).stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_where_it_can_be(self) -> None:
        self.assertTrue(can_be_live(SteadyOutput(self.terminal), {"TERM": "xterm"}))
        for environ in ({}, {"TERM": "dumb"}, {"TERM": "unknown"}):
            self.assertFalse(can_be_live(SteadyOutput(self.terminal), environ))
        self.patch(live, "_in_foreground", lambda output: False)
        self.assertFalse(can_be_live(SteadyOutput(self.terminal), {"TERM": "xterm"}))

    def test_not_on_a_pipe(self) -> None:
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        self.addCleanup(os.close, writer)
        self.assertFalse(can_be_live(SteadyOutput(writer), {"TERM": "xterm"}))


class SpanTests(TestCase):
    def test_for_people(self) -> None:
        for seconds, text in (
            (0.0004, "0 ms"),
            (0.25, "250 ms"),
            (2.5, "2.5 s"),
            (61, "1 min 1 s"),
            (3661, "1 h 1 min"),
            (180000, "2 d 2 h"),
        ):
            self.assertEqual(for_people(seconds), text)
