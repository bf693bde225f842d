"""The share links that were made: which are whose, and how many there may be."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

from twisted.trial.unittest import SynchronousTestCase

from inletspy.errors import Refused
from inletspy.policy.links import link_end
from inletspy.policy.private import PrivateName, read_share_token
from inletspy.policy.sharing import (
    SHARED_LIMIT,
    USER_LIMIT,
    SharedLink,
    SharedLinks,
    key_mark,
    make_link,
)

KEY = "k" * 43


class SharedLinksTests(SynchronousTestCase):
    def link(self, number: int = 1, **changes: object) -> SharedLink:
        link = SharedLink(
            str(number), "ann", "app.example.com", key_mark(KEY), number, number + 60.0
        )
        return replace(link, **changes)  # type: ignore[arg-type]

    def links(self, *links: SharedLink) -> SharedLinks:
        return SharedLinks({link.id: link for link in links})

    def test_one_services_own_the_newest_first(self) -> None:
        links = self.links(
            self.link(1),
            self.link(2, revoked_at=3.0),
            self.link(3, owner="bob"),
            self.link(4, target="app2.example.com"),
            self.link(5, mark=key_mark("j" * 43)),
            self.link(6),
        )
        found = links.of("ann", "app.example.com", key_mark(KEY), 61.5)
        self.assertEqual([link.id for link in found], ["6", "2"])
        self.assertEqual(links.revoked, {"2"})

    def test_not_any_number(self) -> None:
        for owner, most in (("ann", USER_LIMIT), ("shared", SHARED_LIMIT)):
            links = self.links(*(self.link(n, owner=owner) for n in range(most)))
            with self.assertRaises(Refused) as caught:
                links.check_room(owner)
            self.assertIn(str(most), str(caught.exception))
            links.check_room("bob")

    def test_a_link(self) -> None:
        url = "https://app.example.com:8443"
        link, text = make_link(KEY, "ann", "app.example.com", url, 1000.9, 60)
        self.assertTrue(text.startswith(f"{url}/?tunnel_token="))
        (token,) = parse_qs(urlsplit(text).query)["tunnel_token"]
        self.assertEqual(link_end(token.encode(), KEY, "app.example.com", "ann", 1000.9), 1060)
        self.assertIsNone(
            link_end(token.encode(), KEY, "app.example.com", "ann", 1000.9, {link.id})
        )
        self.assertEqual(
            (link.target, link.created_at, link.expires_at), (urlsplit(url).hostname, 1000, 1060)
        )

    def test_a_share_token(self) -> None:
        link, text = make_link(KEY, "ann", "", "private:db", 1000.0, 60)
        leave = read_share_token(text, KEY, 1000.0)
        assert leave is not None
        self.assertEqual(leave.service, PrivateName("ann", "db"))
        self.assertIsNone(read_share_token(text, KEY, 1000.0, {link.id}))
        self.assertEqual(link.target, "private:db")

    def test_the_mark_of_a_key_tells_nothing_of_it(self) -> None:
        self.assertNotEqual(key_mark(KEY), key_mark("j" * 43))
        self.assertNotIn("kkk", key_mark(KEY))
        self.assertEqual(key_mark(""), "")
