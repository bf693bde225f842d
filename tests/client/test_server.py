"""How the address of a server may be written."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.server import ServerAddress


class ServerAddressTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        for text, url, shown in (
            ("wss://tunnel.example.com", "wss://tunnel.example.com:443/tunnel", None),
            ("https://tunnel.example.com", "wss://tunnel.example.com:443/tunnel", None),
            ("ws://localhost:8090", "ws://localhost:8090/tunnel", "ws://localhost:8090"),
            ("http://localhost", "ws://localhost:80/tunnel", "ws://localhost:80"),
            ("localhost:8090", "ws://localhost:8090/tunnel", None),
            ("LocalHost:8090", "ws://localhost:8090/tunnel", None),
            ("192.0.2.1:1", "ws://192.0.2.1:1/tunnel", None),
            ("[2001:DB8::1]:1", "ws://[2001:db8::1]:1/tunnel", "ws://[2001:db8::1]:1"),
            ("my_server:1", "ws://my_server:1/tunnel", None),
            ("wss://bücher.example", "wss://xn--bcher-kva.example:443/tunnel", None),
            ("wss://a.example/", "wss://a.example:443/tunnel", "wss://a.example:443"),
            ("wss://a.example/tunnel", "wss://a.example:443/tunnel", None),
            ("wss://a.example/tunnel/", "wss://a.example:443/tunnel", None),
            ("wss://a.example/x/y/", "wss://a.example:443/x/y/tunnel", "wss://a.example:443/x/y"),
            ("ws://a.example:8090\n", "ws://a.example:8090/tunnel", None),
        ):
            address = ServerAddress.parse(text)
            self.assertEqual(address.url, url)
            self.assertEqual(address.secure, url.startswith("wss:"))
            if shown is not None:
                self.assertEqual(str(address), shown)

    def test_what_is_none(self) -> None:
        for text in (
            "",
            "ws://",
            "ws://:80",
            "ftp://a.example",
            "a b:1",
            "ws://a.example:0",
            "ws://a.example:65536",
            "ws://a.example:x",
            "ws://[::1",
            "::1",
            "ws://[zz]",
            "a:1:2",
            "ws://user@a.example",
            "ws://user:secret@a.example",
            "ws://@a.example",
            "ws://a.example?x=1",
            "ws://a.example#x",
            "ws://a..example",
            "ws://\u200d.example",
            "ws://*.example",
        ):
            error = self.assertRaises(ValueError, ServerAddress.parse, text)
            self.assertIn("write it like wss://", str(error), text)
