"""What a client may say about its visitors, and the links that it gets for them."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import TestCase

from inletspy.policy.links import link_end
from inletspy.policy.sharing import SHARED_LIMIT, SharedLinks, key_mark, make_link
from tests.tunnel.ends import Client
from tests.tunnel.plane import DOMAIN, Plane, offer

KEY = "k" * 43
DIGEST = "22" * 32


class RuleTests(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.plane = Plane(self)

    async def test_it_is_the_services(self) -> None:
        client = await self.plane.native(
            offer("a", hostname="a", options={"private": True, "allow": ["10.0.0.0/8"]}),
            offer("b", hostname="b", options={"other": "x"}),
            offer("c", "tcp://localhost:1", options={"deny": ["10.0.0.1"]}),
        )
        first, second, third = self.plane.session_of(client).services.values()
        assert first.rule is not None and third.rule is not None
        self.assertTrue(first.rule.private)
        self.assertEqual(len(first.rule.allow), 1)
        self.assertIsNone(second.rule)
        self.assertEqual(len(third.rule.deny), 1)

    async def test_nonsense_is_refused_and_nothing_granted(self) -> None:
        refused: tuple[tuple[dict[str, Any], str], ...] = (
            ({"allow": ["300.0.0.0/8"]}, "allow: '300.0.0.0/8' is no address or network"),
            ({"basic_auth": [{"user": "a\r\nSet-Cookie: b=c"}]}, "list of objects"),
            ({"private": "x"}, "true or false"),
        )
        for options, words in refused:
            client = await self.plane.connect()
            client.hello(offer("web", hostname="app"), offer("bad", options=options))
            error = await client.hear("error")
            self.assertEqual((error["code"], error["retry"]), ("invalid", False))
            self.assertIn(words, error["message"])
            await client.closing()
            await self.plane.until_empty()

    async def test_what_is_added_later(self) -> None:
        client = await self.plane.native()
        client.say({"type": "add_service", "service": offer(options={"bearer": [1]})})
        self.assertEqual((await client.hear("error"))["service"], "web")
        client.say({"type": "add_service", "service": offer(options={"bearer": [DIGEST]})})
        await client.hear("service_added")
        (service,) = self.plane.session_of(client).services.values()
        self.assertIsNotNone(service.rule)


class ShareTests(TestCase):
    """Links that a client asks for."""

    timeout = 60

    def setUp(self) -> None:
        self.plane = Plane(self, link_signing_key=KEY)

    async def client(self, hostname: str = "app", **hello: Any) -> Client:
        service = offer("web", hostname=hostname, options={"private": True})
        return await self.plane.native(service, offer("open"), **hello)

    async def test_one(self) -> None:
        client = await self.client()
        before = int(time.time())
        client.say({"type": "share", "service": "web", "seconds": 7200})
        shared = await client.hear("shared")
        self.assertEqual(shared["service"], "web")
        self.assertTrue(before + 7200 <= shared["expires"] <= time.time() + 7200)
        url = urlsplit(shared["url"])
        self.assertEqual((url.netloc, url.path), (f"app.{DOMAIN}:8080", "/"))
        (token,) = parse_qs(url.query)["tunnel_token"]
        end = link_end(token.encode(), KEY, f"app.{DOMAIN}", "shared", time.time())
        self.assertEqual(end, shared["expires"])

    async def test_it_is_noted(self) -> None:
        client = await self.client()
        client.say({"type": "share", "service": "web", "seconds": 7200})
        shared = await client.hear("shared")
        (link,) = self.plane.shared_links.current.by_id.values()
        self.assertIn(f".{link.id}.", shared["url"])
        self.assertEqual((link.owner, link.target), ("shared", f"app.{DOMAIN}"))
        self.assertEqual(link.expires_at, shared["expires"])
        self.assertEqual(link.mark, key_mark(KEY))

    async def test_not_any_number(self) -> None:
        client = await self.client()
        link, _ = make_link(KEY, "shared", "app", "http://app", time.time(), 60)
        links = {str(n): replace(link, id=str(n)) for n in range(SHARED_LIMIT)}
        self.plane.shared_links.current = SharedLinks(links)
        client.say({"type": "share", "service": "web", "seconds": 60})
        notice = await client.hear("notice")
        self.assertIn("no link: 10000 links were made", notice["message"])
        self.assertEqual(len(self.plane.shared_links.current.by_id), SHARED_LIMIT)

    async def test_none(self) -> None:
        client = await self.client()
        other = await self.client("other", client_id="other")
        for wish, words in (
            ({"service": "open", "seconds": 60}, "not private"),
            ({"service": "nothing", "seconds": 60}, "no such service"),
            ({"service": f"app.{DOMAIN}", "seconds": 60}, "no such service"),
            ({"service": "web", "seconds": 0}, "90 days at most"),
            ({"service": "web", "seconds": 91 * 86400}, "90 days at most"),
        ):
            client.say({"type": "share", **wish})
            self.assertIn(words, (await client.hear("notice"))["message"])
        self.plane.settings.change(link_signing_key="")
        client.say({"type": "share", "service": "web", "seconds": 60})
        self.assertIn("no key", (await client.hear("notice"))["message"])
        other.say({"type": "share", "service": "web", "seconds": 60})
        self.assertIn("no key", (await other.hear("notice"))["message"])

    async def test_each_client_gets_its_own_only(self) -> None:
        await self.client()
        other = await self.client("other", client_id="other")
        other.say({"type": "share", "service": "web", "seconds": 60})
        self.assertIn(f"//other.{DOMAIN}:", (await other.hear("shared"))["url"])

    async def test_nonsense(self) -> None:
        for wish in ({}, {"service": "web"}, {"service": 1, "seconds": 1}, {"seconds": 1}):
            client = await self.client()
            client.say({"type": "share", **wish})
            self.assertEqual((await client.closing())[0], 1002)
            await self.plane.until_empty()
