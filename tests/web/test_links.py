"""Share links, who may visit, and QR codes, at the status port."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from ipaddress import ip_network
from typing import Any

from twisted.trial.unittest import TestCase

from inletspy.policy.links import LONGEST_LINK, link_end
from inletspy.policy.private import read_share_token
from inletspy.policy.sharing import USER_LIMIT, SharedLinks, make_link
from inletspy.policy.visits import Account, VisitRule
from tests.web.support import (
    ADMIN_TOKEN,
    ALICE_TOKEN,
    CONNECT_ONLY_TOKEN,
    NEW_YEAR,
    READ_ONLY_TOKEN,
    SHARED_TOKEN,
    Answer,
    StatusPort,
    bearer,
    live_row,
    registration,
)

KEY = "k" * 43
HOST = "app.tunnel.example.com"


class TunnelTestCase(TestCase):
    """One tunnel of alice's, for those with a link."""

    def setUp(self) -> None:
        self.port = StatusPort(link_signing_key=KEY)
        self.row = live_row(owner="alice", hostname=HOST, public_url=f"https://{HOST}")
        self.serve(self.row, VisitRule(private=True))

    def serve(self, row: dict[str, Any], rule: VisitRule | None) -> str:
        """Show a tunnel; gives its path."""
        self.port.live.show(*self.port.live.live, row)
        if rule is not None:
            self.port.live.rules[row["id"]] = rule
        return f"/api/tunnels/{row['id']}"

    def ask(
        self, method: str, end: str, body: Any = None, token: str = ALICE_TOKEN, path: str = ""
    ) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        where = (path or f"/api/tunnels/{self.row['id']}") + end
        return self.port.ask(method, where, content, bearer(token))

    def made(self, seconds: int = 7200, **more: Any) -> Any:
        answer = self.ask("POST", "/links", {"expires_in": seconds}, **more)
        self.assertEqual(answer.status, 201, answer.body)
        return answer.json["data"]

    def listed(self, **more: Any) -> list[dict[str, Any]]:
        links: list[dict[str, Any]] = self.ask("GET", "/links", **more).json["data"]["links"]
        return links


class LinkTests(TunnelTestCase):
    def test_made_listed_revoked(self) -> None:
        self.assertEqual(self.listed(), [])
        answer = self.ask("POST", "/links", {"expires_in": 7200})
        link = answer.json["data"]
        self.assertEqual((answer.status, link["expires_at"]), (201, "2026-01-01T02:00:00Z"))
        self.assertEqual(
            answer.headers["Location"], f"/api/tunnels/{self.row['id']}/links/{link['id']}"
        )
        start = f"https://{HOST}/?tunnel_token="
        self.assertTrue(link["url"].startswith(start))
        token = link["url"].removeprefix(start).encode()
        self.assertEqual(link_end(token, KEY, HOST, "alice", NEW_YEAR), NEW_YEAR + 7200)
        row = {
            "id": link["id"],
            "created_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T02:00:00Z",
            "revoked_at": None,
        }
        self.assertEqual(self.listed(), [row])
        for _ in range(2):  # a second time changes nothing, and is no fault
            answer = self.ask("DELETE", f"/links/{link['id']}")
            self.assertEqual((answer.status, answer.json["data"]), (200, {"id": link["id"]}))
        self.assertEqual(self.listed(), [{**row, "revoked_at": "2026-01-01T00:00:00Z"}])
        self.assertEqual(self.port.shared_links.current.revoked, {link["id"]})

    def test_the_link_itself_is_shown_once(self) -> None:
        link = self.made()
        secret = link["url"].rpartition(".")[2]
        self.assertNotIn(secret, self.ask("GET", "/links").body.decode())

    def test_those_that_have_ended_are_not_listed(self) -> None:
        self.made(60)
        later = self.made(120)
        self.port.clock.advance(60)
        self.assertEqual([link["id"] for link in self.listed()], [later["id"]])

    def test_another_key(self) -> None:
        link = self.made()
        self.port.settings.change(link_signing_key="j" * 43)
        self.assertEqual(self.listed(), [])
        self.assertEqual(self.ask("DELETE", f"/links/{link['id']}").status, 404)

    def test_a_private_service(self) -> None:
        row = live_row(
            owner="alice", hostname="", public_url="private:db", protocol="tcp", private=True
        )
        path = self.serve(row, VisitRule())
        link = self.made(path=path)
        leave = read_share_token(link["url"], KEY, NEW_YEAR)
        assert leave is not None
        self.assertEqual(leave.service, ("alice", "db"))
        self.assertEqual([found["id"] for found in self.listed(path=path)], [link["id"]])
        self.assertEqual(self.listed(), [])

    def test_while_the_client_is_away(self) -> None:
        link = self.made()
        self.port.live.kept = [{**self.row, "status": "away"}]
        self.port.live.rules.clear()
        self.port.live.show()
        self.assertEqual([found["id"] for found in self.listed()], [link["id"]])
        self.assertEqual(self.ask("DELETE", f"/links/{link['id']}").status, 200)
        self.assertEqual(self.ask("POST", "/links", {"expires_in": 60}).status, 404)
        self.assertEqual(self.ask("GET", "/qr.svg").status, 200)

    def test_how_long(self) -> None:
        for seconds in (0, -1, LONGEST_LINK + 1, 1.5, "60", None, True):
            answer = self.ask("POST", "/links", {"expires_in": seconds})
            with self.subTest(seconds=seconds):
                self.assertEqual((answer.status, answer.json["error"]), (400, "Invalid request"))
        for seconds in (1, LONGEST_LINK):
            self.made(seconds)

    def test_a_service_that_asks_for_no_links(self) -> None:
        for rule in (VisitRule(), VisitRule(tokens=(b"x" * 32,))):
            path = self.serve(live_row(owner="alice"), rule)
            answer = self.ask("POST", "/links", {"expires_in": 60}, path=path)
            self.assertEqual((answer.status, answer.json["error"]), (409, "Conflict"))
            self.assertIn("--private-http", answer.json["detail"])
            self.assertEqual(self.listed(path=path), [])

    def test_not_any_number(self) -> None:
        links = (
            make_link(KEY, "alice", HOST, f"https://{HOST}", NEW_YEAR, 60)[0]
            for _ in range(USER_LIMIT)
        )
        self.port.shared_links.current = SharedLinks({link.id: link for link in links})
        answer = self.ask("POST", "/links", {"expires_in": 60})
        self.assertEqual((answer.status, answer.json["error"]), (409, "Conflict"))
        self.assertIn("1000 links", answer.json["detail"])

    def test_without_a_key(self) -> None:
        self.port.settings.change(link_signing_key="")
        answer = self.ask("POST", "/links", {"expires_in": 60})
        self.assertEqual((answer.status, answer.json["error"]), (503, "No key to sign with"))

    def test_the_database_is_away(self) -> None:
        link = self.made()
        self.port.shared_links.away = True
        for method, end, body in (
            ("POST", "/links", {"expires_in": 60}),
            ("DELETE", f"/links/{link['id']}", None),
        ):
            answer = self.ask(method, end, body)
            self.assertEqual((answer.status, answer.json["error"]), (503, "Database unavailable"))
        self.assertEqual(len(self.listed()), 1)

    def test_whose_they_are(self) -> None:
        link = self.made()
        for token in (SHARED_TOKEN, READ_ONLY_TOKEN):
            self.assertEqual(self.ask("GET", "/links", token=token).status, 404)
        self.assertEqual(self.ask("DELETE", f"/links/{link['id']}", token=SHARED_TOKEN).status, 404)
        wish = {"expires_in": 60}
        self.assertEqual(self.ask("POST", "/links", wish, token=SHARED_TOKEN).status, 404)
        self.assertEqual(self.ask("POST", "/links", wish, token=READ_ONLY_TOKEN).status, 403)
        self.assertEqual(self.ask("GET", "/links", token=CONNECT_ONLY_TOKEN).status, 403)
        # An admin's are the owner's all the same.
        made = self.made(token=ADMIN_TOKEN)
        self.assertEqual(len(self.listed()), 2)
        self.assertEqual(self.port.shared_links.current.by_id[made["id"]].owner, "alice")
        self.assertEqual(self.ask("DELETE", f"/links/{link['id']}", token=ADMIN_TOKEN).status, 200)

    def test_links_of_another_tunnel(self) -> None:
        path = self.serve(live_row(owner="alice"), VisitRule(private=True))
        link = self.made(path=path)
        for end in (link["id"], "x", "%00", "..", link["id"].swapcase()):
            self.assertEqual(self.ask("DELETE", f"/links/{end}").status, 404)
        self.assertEqual(self.port.shared_links.current.revoked, frozenset())


class AccessTests(TunnelTestCase):
    def test_no_secrets(self) -> None:
        rule = VisitRule(
            allow=(ip_network("203.0.113.0/24"), ip_network("2001:db8::/32")),
            deny=(ip_network("203.0.113.7/32"),),
            accounts=(Account("zoë".encode(), b"salt" * 4, b"hash" * 8),),
            tokens=(b"d" * 32,),
        )
        answer = self.ask("GET", "/access", path=self.serve(live_row(owner="alice"), rule))
        self.assertEqual(
            answer.json["data"],
            {
                "basic_auth": ["zoë"],
                "bearer": True,
                "allow": ["203.0.113.0/24", "2001:db8::/32"],
                "deny": ["203.0.113.7/32"],
                "private": False,
            },
        )

    def test_everybody_and_those_with_a_link(self) -> None:
        self.assertTrue(self.ask("GET", "/access").json["data"]["private"])
        path = self.serve(live_row(owner="alice"), VisitRule())
        told = self.ask("GET", "/access", path=path).json["data"]
        self.assertEqual([*told.values()], [[], False, [], [], False])

    def test_what_is_not_known(self) -> None:
        self.assertEqual(self.port.post(registration()).status, 200)
        (row,) = (r for r in self.port.tunnels.rows() if r["client_id"] == "claude-web-user-1")
        for path in (f"/api/tunnels/{row['id']}", "/api/tunnels/none"):
            answer = self.ask("GET", "/access", path=path, token=SHARED_TOKEN)
            self.assertEqual(answer.status, 404)
            answer = self.ask("POST", "/links", {"expires_in": 60}, SHARED_TOKEN, path)
            self.assertEqual(answer.status, 404)


class CodeTests(TunnelTestCase):
    def test_a_picture(self) -> None:
        answer = self.ask("GET", "/qr.svg")
        self.assertEqual((answer.status, answer.headers["Content-Type"]), (200, "image/svg+xml"))
        picture = ElementTree.fromstring(answer.body)
        self.assertEqual(picture.tag, "{http://www.w3.org/2000/svg}svg")
        self.assertIn("viewBox", picture.attrib)
        text = answer.body.decode()
        self.assertNotIn("style=", text)
        self.assertNotIn("currentColor", text)
        self.assertIn("#fff", text)
        head = self.ask("HEAD", "/qr.svg")
        self.assertEqual((head.status, head.body), (200, b""))

    def test_the_longest_address(self) -> None:
        url = "https://a.example.com/" + "x" * 2000
        path = self.serve(live_row(owner="alice", public_url=url), VisitRule())
        self.assertEqual(self.ask("GET", "/qr.svg", path=path).status, 200)

    def test_none(self) -> None:
        row = live_row(owner="alice", public_url="private:db", private=True)
        path = self.serve(row, VisitRule())
        self.assertEqual(self.ask("GET", "/qr.svg", path=path).status, 404)
        self.assertEqual(self.ask("GET", "/qr.svg", token=SHARED_TOKEN).status, 404)
        self.assertEqual(self.ask("GET", "/qr.svg", token="wrong").status, 401)
