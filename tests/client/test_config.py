"""From a person's wishes to what a server is offered."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase, TestCase

from inletspy.client.access import Access
from inletspy.client.config import (
    ClientConfig,
    WishError,
    Wishes,
    client_id_for,
    container_id,
    load,
)
from inletspy.errors import UsageError
from inletspy.policy.names import check_label


class Loading(TestCase):
    """Loads with a server that is named, in an environment without a file."""

    def setUp(self) -> None:
        self.patch(socket, "gethostname", lambda: "C0ffee.example.com")
        self.environ = {"HOME": self.mktemp(), "INLETS_SERVER": "ws://h:8090", "INLETS_TOKEN": "t"}

    def load(self, wishes: Wishes, **environ: str) -> ClientConfig:
        async def ask(backend: str, token: str) -> Access:
            raise AssertionError("nobody is to be asked")

        coroutine = load(wishes, self.environ | environ, ask)
        try:
            coroutine.send(None)
        except StopIteration as done:
            config: ClientConfig = done.value
            return config
        raise AssertionError("it waits for something")

    def offered(self, upstream: str, protocol: str = "", **wishes: object) -> tuple[str, ...]:
        [service] = self.load(Wishes(upstream, protocol, **wishes)).services  # type: ignore[arg-type]
        return (service.proto, service.upstream, service.hostname)

    def test_ways_to_name_a_service(self) -> None:
        for typed, offered in (
            (("3000",), ("http", "http://localhost:3000", "c0ffee-3000")),
            (("3000", "http"), ("http", "http://localhost:3000", "c0ffee-3000")),
            (("5432", "tcp"), ("tcp", "tcp://localhost:5432", "")),
            (("192.168.1.5:80",), ("http", "http://192.168.1.5:80", "c0ffee-80")),
            (("[::1]:8080",), ("http", "http://[::1]:8080", "c0ffee-8080")),
            (("db:5432", "tcp"), ("tcp", "tcp://db:5432", "")),
            (("https://localhost:8443",), ("http", "https://localhost:8443", "c0ffee-8443")),
            (("https://localhost",), ("http", "https://localhost", "c0ffee-443")),
            (("http://localhost:1", "http"), ("http", "http://localhost:1", "c0ffee-1")),
            (("tcp://localhost:22",), ("tcp", "tcp://localhost:22", "")),
            (("65535",), ("http", "http://localhost:65535", "c0ffee-65535")),
        ):
            self.assertEqual(self.offered(*typed), offered)

    def test_what_names_no_service(self) -> None:
        for typed, message in (
            (("0",), "'0' is no port"),
            (("65536",), "'65536' is no port"),
            (("abc",), "'abc' is no port"),
            (("",), "'' is no port"),
            (("²",), "'²' is no port"),
            (("9" * 40,), "is no port"),
            (("h:0",), "'h:0' has no port from 1 to 65535"),
            (("h:x",), "'h:x' has no port"),
            (("a b:80",), "'http://a b:80'"),
            (("ftp://h:21",), "'ftp://h:21' is no address"),
            (("http://h:80/path",), "only scheme, host and port"),
            (("tcp://h",), "names no port"),
            (("3000", "udp"), "unknown protocol 'udp': use http or tcp"),
            (("8443", "https"), "for an https service: tunnel https://localhost:8443"),
            (("tcp://h:1", "http"), "not for http"),
            (("http://h:1", "tcp"), "not for tcp"),
        ):
            error = self.assertRaises(UsageError, self.load, Wishes(*typed))
            self.assertIn(message, str(error))
            self.assertNotIn("\n", str(error))

    def test_sharing(self) -> None:
        for wishes, shares in (
            (Wishes("3000", name="shop"), None),
            (Wishes("3000", name="shop", share=True), True),
            (Wishes("5432", "tcp", remote_port=30000, share=True), True),
            (Wishes("5432", "tcp", private=True, share=True), True),
            (Wishes("3000", private=True, share=True), True),
        ):
            (service,) = self.load(wishes).services
            self.assertEqual(service.options.get("share"), shares)
            self.assertEqual(service.shares, bool(shares))
        error = self.assertRaises(WishError, self.load, Wishes("5432", "tcp", share=True))
        self.assertIn("remote-port", str(error))

    def test_services_of_one_client_are_told_apart(self) -> None:
        names = [
            self.load(Wishes(upstream, "tcp")).services[0].name
            for upstream in ("5432", "5433", "db1:5432", "db2:5432", "[2001:db8::1]:5432")
        ]
        self.assertEqual(names, ["5432", "5433", "db1-5432", "db2-5432", "2001-db8--1-5432"])

    def test_name(self) -> None:
        for name, hostname in (
            ("shop", "shop"),
            ("Shop", "shop"),
            ("shop.tunnel.example.com.", "shop.tunnel.example.com"),
        ):
            self.assertEqual(self.offered("3000", name=name)[2], hostname)

    def test_name_that_is_none(self) -> None:
        for name in ("a..b", "-a", "a" * 64, "xn--", "a b", "a\0", "a.-", "*"):
            error = self.assertRaises(UsageError, self.load, Wishes("3000", name=name))
            self.assertIn("--name: ", str(error))

    def test_base_domain_makes_a_whole_name(self) -> None:
        config = self.load(Wishes("3000"), TUNNEL_BASE_DOMAIN="Tunnel.example.com")
        self.assertEqual(config.services[0].hostname, "c0ffee-3000.tunnel.example.com")
        config = self.load(Wishes("3000", name="a.b.c"), TUNNEL_BASE_DOMAIN="tunnel.example.com")
        self.assertEqual(config.services[0].hostname, "a.b.c")
        self.assertRaises(UsageError, self.load, Wishes("3000"), TUNNEL_BASE_DOMAIN="a b")

    def test_what_nobody_chose_is_marked_so(self) -> None:
        config = self.load(Wishes("3000"))
        self.assertEqual((config.derived, config.services[0].derived), (True, True))
        config = self.load(Wishes("3000", name="app", client_id="me"))
        self.assertEqual((config.derived, config.services[0].derived), (False, False))
        self.assertFalse(self.load(Wishes("3000"), USER_ID="7").derived)

    def test_host_header(self) -> None:
        for wish, options in (
            ("preserve", {}),
            ("rewrite", {"host_header": "rewrite"}),
            ("dev.local:3000", {"host_header": "dev.local:3000"}),
            ("[::1]:3000", {"host_header": "[::1]:3000"}),
        ):
            [service] = self.load(Wishes("3000", name="app", host_header=wish)).services
            self.assertEqual(service.options, options)
        for wish in ("", "a b", "a\r\nX: y", "a/b", "http://a"):
            self.assertRaises(UsageError, self.load, Wishes("3000", host_header=wish))

    def test_wishes_for_the_other_kind_of_service(self) -> None:
        for wishes, wish, advice in (
            (Wishes("5432", "tcp", name="db"), "name", "a port (remote-port)"),
            (Wishes("5432", "tcp", host_header="rewrite"), "host_header", "no headers"),
            (Wishes("3000", remote_port=30000), "remote_port", "an http tunnel has a name"),
            (Wishes("3000", proxy_protocol="v1"), "proxy_protocol", "in X-Forwarded-For"),
        ):
            error = self.assertRaises(WishError, self.load, wishes)
            self.assertEqual(error.wish, wish)
            self.assertTrue(str(error).startswith(f"--{wish.replace('_', '-')}: is for "), error)
            self.assertIn(advice, error.reason)
        [service] = self.load(Wishes("5432", "tcp", remote_port=30001)).services
        self.assertEqual(service.remote_port, 30001)

    def test_proxy_protocol(self) -> None:
        for version in ("v1", "v2"):
            [service] = self.load(Wishes("5432", "tcp", proxy_protocol=version)).services
            self.assertEqual(service.options, {"proxy_protocol": version})
        for version in ("1", "v3", "V1"):
            error = self.assertRaises(
                WishError, self.load, Wishes("5432", "tcp", proxy_protocol=version)
            )
            self.assertIn("is neither v1 nor v2", str(error))

    def test_private(self) -> None:
        for upstream, protocol, typed, name in (
            ("5432", "tcp", "", "c0ffee-5432"),
            ("5432", "tcp", "Db", "db"),
            ("3000", "", "web", "web"),
            ("3000", "", "", "c0ffee-3000"),
        ):
            [service] = self.load(Wishes(upstream, protocol, name=typed, private=True)).services
            self.assertEqual((service.private, service.hostname), (name, ""))
            self.assertEqual(service.options, {})
        wishes = Wishes("5432", "tcp", private=True, proxy_protocol="v2")
        self.assertEqual(self.load(wishes).services[0].options, {"proxy_protocol": "v2"})

    def test_private_and_public(self) -> None:
        for wishes, fault in (
            (Wishes("5432", "tcp", remote_port=30000), "--remote-port: is for public tunnels"),
            (Wishes("3000", host_header="rewrite"), "--host-header: is for public tunnels"),
            (Wishes("3000", name="a.b"), "--name: 'a.b' is no name"),
            (Wishes("3000", allow=("127.0.0.1",)), "--allow: is for public tunnels"),
            (Wishes("3000", private_http=True), "--private-http: is for public tunnels"),
        ):
            error = self.assertRaises(WishError, self.load, replace(wishes, private=True))
            self.assertIn(fault, str(error))

    def test_client_id(self) -> None:
        self.assertEqual(self.load(Wishes("3000")).client_id, "c0ffee")
        self.assertEqual(self.load(Wishes("3000"), USER_ID="12").client_id, "claude-web-user-12")
        wishes = Wishes("3000", client_id="me")
        self.assertEqual(self.load(wishes, USER_ID="12").client_id, "me")
        for wrong in ("-", "a b", "x" * 129):
            self.assertRaises(UsageError, self.load, Wishes("3000", client_id=wrong))

    def test_client_id_in_the_file(self) -> None:
        folder = Path(self.environ["HOME"], ".config", "inletspy")
        folder.mkdir(parents=True)
        (folder / "client.toml").write_text('client-id = "filed"')
        self.assertEqual(self.load(Wishes("3000")).client_id, "filed")

    def test_the_command_that_rewrites_the_host(self) -> None:
        self.assertEqual(self.load(Wishes("3000")).restart, "tunnel 3000 --host-header rewrite")
        self.assertEqual(self.load(Wishes("3000", host_header="rewrite")).restart, "")

    def test_the_token_is_not_shown(self) -> None:
        config = self.load(Wishes("3000"), INLETS_TOKEN="s3cret")
        self.assertEqual(config.token, "s3cret")
        self.assertNotIn("s3cret", repr(config))


class ContainerTests(SynchronousTestCase):
    def test_fits_a_hostname(self) -> None:
        for machine, container in (
            ("c0ffee", "c0ffee"),
            ("My_Laptop.local", "my-laptop"),
            ("a--b", "a--b"),
            ("ab--c", "ab-c"),
            ("xn--mnchen-3ya", "xn-mnchen-3ya"),
            ("-x-", "x"),
            ("", "container"),
            ("...", "container"),
            ("日本", "container"),
            ("h" * 70, "h" * 57),
            ("h" * 56 + "-x", "h" * 56),
        ):
            self.assertEqual(container_id(machine), container)
            self.assertEqual(check_label(f"{container}-65535"), f"{container}-65535")

    def test_user_of_the_platform(self) -> None:
        self.assertEqual(client_id_for("c", {"USER_ID": "7"}), ("claude-web-user-7", False))
        self.assertEqual(client_id_for("c", {"USER_ID": ""}), ("c", True))
