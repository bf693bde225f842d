"""Share links, as each kind of display asks for them and tells of them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.display import Display, JsonDisplay, LinesDisplay, QuietDisplay
from inletspy.wire.control import Grant, ServiceOffer, ShareLink
from tests.client.support import CONFIG, GRANT, Written

PRIVATE = replace(CONFIG.services[0], options={"private": True})
OPEN = ServiceOffer("open", "http", "http://localhost:1", hostname="open")
END = 1_800_000_000
URL = f"{GRANT.public_url}/?tunnel_token=x"


class LinkTests(SynchronousTestCase):
    def display(self, kind: type[Display], **changes: Any) -> Display:
        self.output = Written()
        self.asked: list[tuple[str, int]] = []
        config = replace(CONFIG, services=(PRIVATE, OPEN), **changes)
        display = kind(Clock(), config, self.output.steady)
        display.link_source = self.ask
        return display

    def ask(self, service: str, seconds: int) -> bool:
        self.asked.append((service, seconds))
        return True

    def test_asked_for_at_the_start(self) -> None:
        for kind in (LinesDisplay, QuietDisplay, JsonDisplay):
            display = self.display(kind, link_seconds=60)
            grants = [GRANT, Grant("open", 2, "http://open")]
            display.ready(grants)
            self.assertEqual(self.asked, [("3000", 60)])
            display.disconnected("lost", 0)
            display.ready(grants)
            self.assertEqual(len(self.asked), 1)

    def test_not_asked_for(self) -> None:
        display = self.display(LinesDisplay)
        display.ready([GRANT])
        self.assertEqual(self.asked, [])
        self.assertTrue(display.ask_for_links())
        self.assertEqual(self.asked, [("3000", 7200)])
        display.link_source = lambda service, seconds: False
        self.assertFalse(display.ask_for_links())

    def test_how_it_is_told(self) -> None:
        local = time.strftime("%Y-%m-%d %H:%M", time.localtime(END))
        for kind, line in (
            (LinesDisplay, f"link: {URL} (good until {local})"),
            (QuietDisplay, URL),
        ):
            self.display(kind).shared(ShareLink("3000", URL, END))
            self.assertEqual(self.output.lines, [line])
        self.display(JsonDisplay).shared(ShareLink("3000", URL, END))
        (event,) = map(json.loads, self.output.lines)
        del event["time"]
        self.assertEqual(
            event,
            {
                "event": "share_link",
                "service": "3000",
                "url": URL,
                "expires": "2027-01-15T08:00:00Z",
            },
        )

    def test_share_token(self) -> None:
        offer = ServiceOffer("5432", "tcp", "tcp://localhost:5432", private="db")
        local = time.strftime("%Y-%m-%d %H:%M", time.localtime(END))
        for kind, line in (
            (LinesDisplay, f"token: ipys.x (good until {local})"),
            (QuietDisplay, "ipys.x"),
        ):
            self.display(kind)
            display = kind(Clock(), replace(CONFIG, services=(offer,)), self.output.steady)
            display.link_source = self.ask
            self.assertTrue(display.ask_for_links())
            self.assertEqual(self.asked, [("5432", 7200)])
            display.shared(ShareLink("5432", "ipys.x", END))
            self.assertEqual(self.output.lines, [line])
        self.display(JsonDisplay)
        told = JsonDisplay(Clock(), replace(CONFIG, services=(offer,)), self.output.steady)
        told.shared(ShareLink("5432", "ipys.x", END))
        (event,) = map(json.loads, self.output.lines)
        self.assertEqual((event["event"], event["token"]), ("share_token", "ipys.x"))
        self.assertNotIn("url", event)

    def test_a_server_controls_nothing(self) -> None:
        for kind in (LinesDisplay, QuietDisplay, JsonDisplay):
            display = self.display(kind)
            display.shared(ShareLink("3000", "http://a/\u202e\x9b31m", END))
            self.assertTrue(self.output.lines[0].isprintable())
            display.shared(ShareLink("nothing", URL, END))
            self.assertEqual(len(self.output.lines), 1)
            display.shared(ShareLink("3000", URL, (1 << 37) - 1))
