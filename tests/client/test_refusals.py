"""Which answers are known as a dev server's refusal of the host, and what is advised."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from inletspy.client.exchanges import Exchange
from inletspy.client.refusals import refusal_hint

RESTART = "restart with `tunnel 3000 --host-header rewrite`"


def answer(status: int | None, body: bytes, target: bytes = b"/") -> Exchange:
    head = b"GET %b HTTP/1.1\r\nHost: app.tunnel.localhost\r\n\r\n" % target
    return Exchange(head, "192.0.2.1", status, 0.1, size=len(body), excerpt=body)


#: As each server has it in its source.
VITE = (
    b'Blocked request. This host ("app.tunnel.localhost") is not allowed.\nTo allow this host, '
    b'add "app.tunnel.localhost" to `server.allowedHosts` in vite.config.js.'
)
ANGULAR = (
    b"<!doctype html><title>Blocked request</title><h1>Blocked request. This host "
    b'("app.tunnel.localhost") is not allowed.</h1><p>To allow this host, add it to '
    b"<code>allowedHosts</code> under the <code>serve</code> target in <code>angular.json</code>"
)
RSBUILD = (
    b"Blocked request: disallowed or invalid Host header. To allow a trusted hostname, add it "
    b"to server.allowedHosts."
)
DJANGO = b"<!DOCTYPE html>\n<html><head>\n  <title>DisallowedHost\n         at /</title>"


class RefusalHintTests(TestCase):
    def test_the_exact_remedy(self) -> None:
        self.assertEqual(
            refusal_hint(answer(403, VITE), RESTART),
            "vite refuses the host app.tunnel.localhost: restart with "
            '`tunnel 3000 --host-header rewrite`, or add "app.tunnel.localhost" to '
            "server.allowedHosts in vite.config.js",
        )

    def test_each_is_known(self) -> None:
        for exchange, program, setting in (
            (answer(403, VITE), "vite", "server.allowedHosts in vite.config.js"),
            (
                answer(403, VITE.replace(b"server.", b"preview.")),
                "vite",
                "preview.allowedHosts in vite.config.js",
            ),
            (answer(403, ANGULAR), "the Angular dev server", "angular.json"),
            (answer(403, RSBUILD), "Rsbuild", "rsbuild.config.ts"),
            (answer(403, b"Invalid Host header"), "webpack-dev-server", "webpack.config.js"),
            (answer(200, b"Invalid Host header"), "webpack-dev-server", "webpack.config.js"),
            (answer(421, b"Invalid Host header"), "the MCP server", "allowed_hosts"),
            (answer(403, b"Invalid host"), "Storybook", ".storybook/main"),
            (answer(400, DJANGO), "Django", "ALLOWED_HOSTS"),
        ):
            hint = refusal_hint(exchange, RESTART) or ""
            self.assertTrue(hint.startswith(f"{program} refuses the host app.tunnel"), hint)
            self.assertIn(setting, hint)
            self.assertIn(RESTART, hint)

    def test_what_rewriting_does_not_help(self) -> None:
        for exchange, program in (
            (answer(403, b"Unauthorized", b"/_next/static/a.woff2"), "Next.js"),
            (answer(None, b"Unauthorized", b"/_next/webpack-hmr"), "Next.js"),
            (answer(403, b"<h1>Blocked hosts: app.tunnel.localhost</h1>"), "Rails"),
        ):
            hint = refusal_hint(exchange, RESTART) or ""
            self.assertTrue(hint.startswith(f"{program} refuses the host app.tunnel"), hint)
            self.assertNotIn("--host-header", hint)

    def test_without_a_way_to_restart(self) -> None:
        self.assertEqual(
            refusal_hint(answer(403, b"Invalid Host header"), ""),
            'webpack-dev-server refuses the host app.tunnel.localhost: add "app.tunnel.localhost" '
            "to devServer.allowedHosts in webpack.config.js",
        )

    def test_other_answers(self) -> None:
        for exchange in (
            answer(403, b"Forbidden"),
            answer(403, b"Unauthorized"),
            answer(200, VITE),
            answer(403, b"an article on 'Invalid Host header' errors"),
            answer(400, b"Bad Request"),
            answer(200, b""),
        ):
            self.assertIsNone(refusal_hint(exchange, RESTART), exchange)
