"""A tunnel from its start to its end, with a dialer that the test plays."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import TestCase

from inletspy.client import foreground
from inletspy.client.config import ClientConfig
from inletspy.client.display import Display
from inletspy.client.foreground import carry, complain
from inletspy.errors import Code, Refused, ServerUnreachable, StartError, UsageError
from tests.client.support import CONFIG


class FakeDialer:
    """Runs until it is told to stop, or until the test says otherwise."""

    def __init__(self, reactor: Any, server: Any, *arguments: Any, **options: Any) -> None:
        self.server = str(server)
        self.arguments = arguments
        self.options = options
        self.running: Deferred[None] = Deferred()
        self.goodbye: Deferred[None] = succeed(None)

    def ask_for_link(self, service: str, seconds: int) -> bool:
        return False

    def run(self) -> Deferred[None]:
        return self.running

    def stop(self) -> Deferred[None]:
        self.goodbye.addCallback(self.running.callback)
        return self.goodbye


class FakeDisplay:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def start(self) -> None:
        self.told.append("start")

    def stop(self) -> None:
        self.told.append("stop")

    def disconnected(self, reason: str, retry_in: float) -> None:
        self.told.append((reason, retry_in))


class CarryTests(TestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.display = FakeDisplay()
        self.dialers: list[FakeDialer] = []
        self.forced: list[str] = []
        self.patch(foreground, "Dialer", self.dialer)
        self.patch(foreground, "_exit_soon", lambda: self.forced.append("exit"))

    def dialer(self, *arguments: Any, **options: Any) -> FakeDialer:
        self.dialers.append(FakeDialer(*arguments, **options))
        return self.dialers[-1]

    def carry(self, config: ClientConfig = CONFIG, **options: Any) -> Deferred[None]:
        display = cast(Display, self.display)
        return ensureDeferred(
            carry(self.reactor, config, display, {"http_proxy": "http://p:3128"}, **options)
        )

    def shut_down(self) -> Deferred[None]:
        """What the reactor does when it is told to stop."""
        [(trigger, arguments, options)] = self.reactor.triggers["before"]["shutdown"]
        waiting: Deferred[None] | None = cast(Callable[..., Any], trigger)(*arguments, **options)
        return waiting or succeed(None)

    def test_told_to_end(self) -> None:
        carrying = self.carry()
        self.assertEqual(self.display.told, ["start"])
        self.assertNoResult(carrying)
        self.successResultOf(self.shut_down())
        self.successResultOf(carrying)
        self.assertEqual(self.display.told[:2], ["start", "stop"])
        self.assertEqual(self.forced, ["exit"])

    def test_a_server_that_does_not_say_goodbye(self) -> None:
        self.carry()
        self.dialers[0].goodbye = Deferred()
        leaving = self.shut_down()
        self.assertNoResult(leaving)
        self.reactor.advance(1)
        self.successResultOf(leaving)
        self.assertEqual(self.display.told, ["start", "stop"])

    def test_it_ends_by_itself(self) -> None:
        for error in (Refused(Code.QUOTA, "no more"), ServerUnreachable("gone")):
            self.setUp()
            carrying = self.carry()
            self.dialers[0].running.errback(error)
            self.assertIs(self.failureResultOf(carrying).value, error)
            self.assertEqual(self.display.told, ["start", "stop"])
            self.successResultOf(self.shut_down())
            self.assertEqual(self.forced, [])

    def test_what_the_dialer_is_given(self) -> None:
        self.carry(protocol="inlets")
        [dialer] = self.dialers
        self.assertEqual(dialer.server, "ws://localhost:8090")
        self.assertEqual(dialer.arguments, ("s3cret", "c0ffee", CONFIG.services, self.display))
        self.assertEqual(
            dialer.options,
            {
                "derived": False,
                "protocol": "inlets",
                "proxy": None,
                "insecure": False,
                "reach": None,
            },
        )

    def test_one_that_reaches_serves_nothing(self) -> None:
        reach: Any = object()
        self.carry(reach=reach)
        [dialer] = self.dialers
        self.assertEqual(dialer.arguments[2], ())
        self.assertIs(dialer.options["reach"], reach)

    def test_patience(self) -> None:
        carrying = self.carry(patient=True)
        for number in range(3):
            self.assertEqual(len(self.dialers), number + 1)
            self.dialers[-1].running.errback(ServerUnreachable("gone"))
            self.reactor.advance(5)
        self.assertEqual(self.display.told, ["start", *[("gone", 5.0)] * 3])
        self.successResultOf(self.shut_down())
        self.successResultOf(carrying)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_told_to_end_while_it_waits(self) -> None:
        carrying = self.carry(patient=True)
        self.dialers[0].running.errback(ServerUnreachable("gone"))
        self.successResultOf(self.shut_down())
        self.successResultOf(carrying)
        self.assertEqual((len(self.dialers), self.reactor.getDelayedCalls()), (1, []))

    def test_an_address_that_is_none(self) -> None:
        config = ClientConfig("ftp://x", "", "c0ffee", CONFIG.services)
        self.failureResultOf(self.carry(config), UsageError)
        self.assertEqual(self.display.told, [])


class ComplainTests(TestCase):
    def complain(self, error: Exception, **options: Any) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", out)
        self.patch(sys, "stderr", err)
        status = complain("tunnel", error, **options)
        return status, out.getvalue(), err.getvalue()

    def test_one_line_and_a_status(self) -> None:
        for error, status, line in (
            (UsageError("no port"), 2, "tunnel: no port\n"),
            (Refused(Code.QUOTA, "no more"), 3, "tunnel: no more\n"),
            (ServerUnreachable("gone"), 4, "tunnel: gone\n"),
            (StartError("can't"), 1, "tunnel: can't\n"),
            (
                ZeroDivisionError("by zero"),
                1,
                "tunnel: unexpected ZeroDivisionError: by zero (--verbose shows more)\n",
            ),
            (Refused(Code.QUOTA, "two\nlines \x1b[2J"), 3, "tunnel: two\\nlines \\x1b[2J\n"),
        ):
            self.assertEqual(self.complain(error), (status, "", line))

    def test_for_programs(self) -> None:
        status, out, err = self.complain(Refused(Code.HOSTNAME_TAKEN, "taken"), as_json=True)
        event = json.loads(out)
        del event["time"]
        self.assertEqual(event, {"event": "error", "code": "hostname_taken", "message": "taken"})
        self.assertEqual((status, err), (3, "tunnel: taken\n"))
