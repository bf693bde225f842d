"""The dashboard's page and its files, as the status port serves them."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.assets import PAGE_FIELDS, asset, names
from tests.web.support import STRANGER, StatusPort


class FileTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()

    def test_the_page(self) -> None:
        for target in ("/", "/?x=1", "/assets/dashboard/index.html"):
            answer = self.port.ask("GET", target, peer=STRANGER)
            page = asset("dashboard/index.html")
            self.assertEqual((answer.status, answer.body), (200, page.content))
            self.assertEqual(answer.headers["Content-Type"], "text/html; charset=utf-8")
            self.assertEqual(answer.headers["ETag"], page.etag)

    def test_every_file_is_confined(self) -> None:
        for name in ["", *(f"assets/{n}" for n in names() if not n.startswith("inspector/"))]:
            answer = self.port.ask("GET", f"/{name}", peer=STRANGER)
            with self.subTest(name=name):
                self.assertEqual(answer.status, 200)
                for field, value in PAGE_FIELDS.items():
                    self.assertEqual(answer.headers.get_all(field), [value])
                self.assertNotIn("Access-Control-Allow-Credentials", answer.headers)

    def test_head_is_get_without_the_content(self) -> None:
        head, get = self.port.ask("HEAD", "/"), self.port.ask("GET", "/")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(sorted(set(head.headers.items()) ^ set(get.headers.items())), [])

    def test_what_the_browser_has_is_not_sent_again(self) -> None:
        etag = asset("dashboard/index.html").etag
        for method in ("GET", "HEAD"):
            answer = self.port.ask(method, "/", headers={"If-None-Match": f'"x", W/{etag}'})
            self.assertEqual((answer.status, answer.body), (304, b""))
            self.assertEqual(answer.headers["ETag"], etag)
            for field, value in PAGE_FIELDS.items():
                self.assertEqual(answer.headers[field], value)
        answer = self.port.ask("GET", "/", headers={"If-None-Match": '"x"'})
        self.assertEqual(answer.status, 200)

    def test_there_is_nothing_else(self) -> None:
        for target in (
            "/assets",
            "/assets/",
            "/assets/shared",
            "/assets/shared/none.css",
            "/assets/inspector/index.html",
            "/assets/dashboard/../../__init__.py",
            "/assets/dashboard/%2e%2e/dashboard/index.html",
            "/assets/dashboard/index%2ehtml",
            "/assets//dashboard/index.html",
            "/assets/dashboard/index.html/",
            "//",
            "x",
            "assets/dashboard/index.html",
            "/index.html",
            "/nonsense",
        ):
            answer = self.port.ask("GET", target)
            with self.subTest(target=target):
                self.assertEqual((answer.status, answer.json), (404, {"error": "Not found"}))

    def test_files_are_only_read(self) -> None:
        for target in ("/", "/assets/dashboard/index.html"):
            for method in ("POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"):
                answer = self.port.ask(method, target)
                self.assertEqual(answer.status, 405)
                self.assertEqual(answer.json, {"error": "Method not allowed"})
                self.assertEqual(answer.headers["Allow"], "GET, HEAD")
