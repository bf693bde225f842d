"""Methods, errors and bodies, whatever the resource."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from tests.web.support import SHARED_TOKEN, StatusPort, bearer, registration

NO_OBJECTS = {
    b"": "The body is not JSON",
    b"{": "The body is not JSON",
    b"{} {}": "The body is not JSON",
    b"[]": "The body must be a JSON object",
    b'"text"': "The body must be a JSON object",
    b"null": "The body must be a JSON object",
    b"12": "The body must be a JSON object",
    b'{"a": NaN}': "The body is not JSON",
    b'{"a": -Infinity}': "The body is not JSON",
    b'{"a": ' + b"9" * 5000 + b"}": "The body is not JSON",
    b'{"a": "\xff"}': "The body is not UTF-8",
    b"\xef\xbb\xbf{}": "The body is not JSON",
    b"[" * 65_536: "The body is nested too deeply",
    b'{"a":' * 13_000: "The body is nested too deeply",
}


class BodyTests(TestCase):
    def test_what_is_no_object_is_an_invalid_request(self) -> None:
        port = StatusPort()
        for body, detail in NO_OBJECTS.items():
            answer = port.ask("POST", "/tunnels", body, bearer(SHARED_TOKEN))
            with self.subTest(body=body[:20]):
                self.assertEqual(answer.status, 400)
                self.assertEqual(answer.json, {"error": "Invalid request", "detail": detail})

    def test_an_object_is_read(self) -> None:
        body = json.dumps(registration(client_id="Zoë")).encode()
        port = StatusPort()
        answer = port.ask("POST", "/tunnels", body, bearer(SHARED_TOKEN))
        self.assertEqual((answer.status, answer.json), (200, {"success": True}))

    def test_a_form_is_no_reason_to_read_the_body_otherwise(self) -> None:
        headers = {**bearer(SHARED_TOKEN), "Content-Type": "multipart/form-data; boundary="}
        body = json.dumps(registration()).encode()
        self.assertEqual(StatusPort().ask("POST", "/tunnels", body, headers).status, 200)


class MethodTests(TestCase):
    def test_other_methods_are_answered_with_those_there_are(self) -> None:
        port = StatusPort()
        for method, path, allow in (
            ("POST", "/status", "GET, HEAD, OPTIONS"),
            ("DELETE", "/health", "GET, HEAD, OPTIONS"),
            ("TRACE", "/health", "GET, HEAD, OPTIONS"),
            ("get", "/health", "GET, HEAD, OPTIONS"),
            ("GET", "/tunnels", "POST, OPTIONS"),
            ("GET", "/tunnels/someone", "DELETE, OPTIONS"),
            ("GET", "/tunnels/%", "DELETE, OPTIONS"),
        ):
            answer = port.ask(method, path)
            with self.subTest(method=method, path=path):
                self.assertEqual((answer.status, answer.headers["Allow"]), (405, allow))
                self.assertEqual(answer.json, {"error": "Method not allowed"})

    def test_errors_of_the_api_say_that_they_are_no_success(self) -> None:
        answer = StatusPort().ask("POST", "/api/tunnels")
        self.assertEqual(answer.status, 405)
        self.assertEqual(answer.json, {"success": False, "error": "Method not allowed"})

    def test_head_is_get_without_the_body(self) -> None:
        port = StatusPort()
        got, headed = port.ask("GET", "/health"), port.ask("HEAD", "/health")
        self.assertEqual((headed.status, headed.body), (200, b""))
        self.assertEqual(headed.headers["Content-Length"], str(len(got.body)))
        self.assertTrue(headed.raw.endswith(b"\r\n\r\n"))
        self.assertEqual(port.ask("HEAD", "/nowhere").status, 404)

    def test_options_tells_the_methods_and_needs_no_token(self) -> None:
        answer = StatusPort().ask("OPTIONS", "/tunnels")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.headers["Allow"], "POST, OPTIONS")
        self.assertNotIn("Access-Control-Allow-Methods", answer.headers)


class PathTests(TestCase):
    def test_any_other_path_is_not_found(self) -> None:
        port = StatusPort()
        paths = ["//status", "/status/", "/status/x", "/Status", "/tunnels/", "/tunnels/a/b"]
        paths += ["/api", "/api/", "/api/config/", "/api/x", "*", "/%", "/%00", "/../status", "x"]
        for path in paths:
            for method in ("GET", "OPTIONS", "DELETE"):
                answer = port.ask(method, path)
                with self.subTest(path=path, method=method):
                    self.assertEqual((answer.status, answer.json), (404, {"error": "Not found"}))


class Failing(Resource):
    """A resource that breaks what a call's can't."""

    isLeaf = True

    def render_GET(self, request: Any) -> Any:
        raise RuntimeError("the secret is xyzzy")

    def render_DELETE(self, request: Any) -> Any:
        request.write(b"half an answer")
        raise RuntimeError("the secret is xyzzy")


class FailingTree(Resource):
    def getChild(self, path: bytes, request: Any) -> Any:
        raise RuntimeError("the secret is xyzzy")


class FailureTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()
        self.port.site.resource.putChild(b"failing", Failing())
        self.port.site.resource.putChild(b"tree", FailingTree())

    def check(self, method: str, path: str, exception: type[Exception]) -> None:
        answer = self.port.ask(method, path)
        self.assertEqual((answer.status, answer.json), (500, {"error": "Internal error"}))
        self.assertNotIn(b"xyzzy", answer.raw)
        self.assertEqual(len(self.flushLoggedErrors(exception)), 1)
        self.assertEqual(self.port.ask("GET", "/health").status, 200)

    def test_a_resource_that_fails(self) -> None:
        self.check("GET", "/failing", RuntimeError)

    def test_a_tree_that_fails(self) -> None:
        self.check("GET", "/tree/child", RuntimeError)

    def test_a_resource_that_fails_after_it_started_to_answer(self) -> None:
        channel, wire = self.port.connect()
        channel.dataReceived(b"DELETE /failing HTTP/1.1\r\n\r\n")
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(wire.value().endswith(b"half an answer\r\n"))
        self.assertTrue(wire.disconnecting)

    def test_the_connection_goes_on(self) -> None:
        channel, wire = self.port.connect()
        channel.dataReceived(b"GET /failing HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n")
        self.flushLoggedErrors(RuntimeError)
        self.assertIn(b'{"error": "Internal error"}\nHTTP/1.1 200 OK', wire.value())


class HeaderTests(TestCase):
    def test_all_answers_have_the_safe_fields_and_none_names_the_program(self) -> None:
        port = StatusPort()
        for method, path in (("GET", "/health"), ("GET", "/x"), ("OPTIONS", "/status"), ("P", "/")):
            headers = port.ask(method, path).headers
            with self.subTest(method=method, path=path):
                self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
                self.assertEqual(headers["Cache-Control"], "no-store")
                self.assertNotIn("Server", headers)
