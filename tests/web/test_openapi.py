"""The document is one, has every call, and what is in it is what happens."""

from __future__ import annotations

from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource

from tests.web.support import StatusPort, bearer


def calls_of(resource: Resource, path: str = "") -> set[tuple[str, str]]:
    """Method and path of all that a tree answers, with `*` for what may be anything."""
    found = {(method.decode(), path) for method in getattr(resource, "calls", {})}
    for name, child in resource.children.items():
        found |= calls_of(child, f"{path}/{name.decode()}")
    variable = getattr(resource, "_any", None)
    return found if variable is None else found | calls_of(variable, f"{path}/*")


class DocumentTests(TestCase):
    def setUp(self) -> None:
        self.port = StatusPort()
        answer = self.port.ask("GET", "/api/openapi.json")
        self.assertEqual(answer.status, 200)
        self.document = answer.json

    def test_it_is_valid(self) -> None:
        faults = [error.message for error in OpenAPIV31SpecValidator(self.document).iter_errors()]
        self.assertEqual(faults, [])

    def test_all_calls_of_the_tree_and_no_others(self) -> None:
        described = {
            (method.upper(), "/".join("*" if s.startswith("{") else s for s in path.split("/")))
            for path, methods in self.document["paths"].items()
            for method in methods
        }
        heads = {("HEAD", path) for method, path in described if method == "GET"}
        self.assertEqual(calls_of(self.port.site.resource), described | heads)

    def test_whoever_needs_a_token_does_not_get_in_without(self) -> None:
        for path, methods in self.document["paths"].items():
            for method, call in methods.items():
                if not call["security"] and "requestBody" in call:
                    continue  # its body is what lets in
                answer = self.port.ask(method.upper(), path.replace("{", "").replace("}", ""))
                open_to_all = not call["security"] or {} in call["security"]
                with self.subTest(method=method, path=path):
                    self.assertEqual(answer.status, 200 if open_to_all else 401)
                    if not open_to_all:
                        self.assertIn("WWW-Authenticate", answer.headers)

    def test_it_tells_nothing_of_this_server(self) -> None:
        other = StatusPort(tunnel_base_domain="secret.example.com", inlets_shared_token="s" * 40)
        self.assertEqual(other.ask("GET", "/api/openapi.json").json, self.document)
        answer = other.ask("GET", "/api/openapi.json", headers=bearer("of no use"))
        self.assertEqual(answer.status, 200)
