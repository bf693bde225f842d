"""Each sample in tap-configs/ starts a server that serves.

What only makes sense on its own machine (paths, ports, the database) is replaced by
options, which win over the file; all else is as in the sample.
"""

from __future__ import annotations

import os
import shutil
import socket
import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import SkipTest

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from twisted.internet.ssl import Certificate
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.postgres import execute
from tests.system.http import fetch, upstream
from tests.system.processes import CHECKOUT, ClientProcess, Program, ServerProcess, reactor

SAMPLES = CHECKOUT / "tap-configs"
DOMAIN = "tunnel.example.com"


def certificate(folder: Path) -> Certificate:
    """Put a key and a certificate where the samples look for them below `folder`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, DOMAIN)])
    names = [x509.DNSName(text) for text in (DOMAIN, f"*.{DOMAIN}", "localhost")]
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    folder.mkdir(parents=True)
    (folder / "fullchain.pem").write_bytes(pem)
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return Certificate.loadPEM(pem)


class ServingTestCase(TestCase):
    timeout = 180

    async def assertServes(self, server: ServerProcess) -> None:
        """The server is up, of the expected kind, and ends in order."""
        health = await fetch(f"{server.status_url}/health")
        self.assertEqual((health.status, health.json), (200, {"status": "ok"}))
        await self.assertEnds(server)

    async def assertEnds(self, server: ServerProcess) -> None:
        """The server ends in order when it is asked to."""
        self.assertEqual(await server.stop(), 0)
        self.assertFalse((server.data_dir / "server.json").exists())


class SampleTests(ServingTestCase):
    async def test_development(self) -> None:
        server = ServerProcess(self, "--config", str(SAMPLES / "development.toml"))
        await server.start()
        self.assertEqual(server.domain, "tunnel.localhost")
        answer = await fetch(server.url("nobody"))
        self.assertEqual(answer.status, 404)
        await self.assertServes(server)

    async def test_production(self) -> None:
        sample = SAMPLES / "production.toml"
        folder = Path(self.mktemp()).absolute()
        authority = certificate(folder)
        (folder / "token").write_text("a-token-for-the-test\n")
        options = ["--config", str(sample), "--access-log", str(folder / "access.log")]
        given = tomllib.loads(sample.read_text(encoding="utf-8"))
        for name in ("data", "control", "status", "token-file"):
            text = given[name].replace("/etc/inletspy", str(folder))
            for port in ("443", "8090", "8091"):
                text = text.replace(f"port={port}", "port=0")
            options += [f"--{name}", text]
        server = ServerProcess(self, *options)
        await server.start()
        self.assertEqual(server.described["public_url"], f"https://{DOMAIN}")
        visited = f"https://nobody.{DOMAIN}:{server.data_port}/"
        answer = await fetch(visited, authority=authority)
        self.assertEqual(answer.status, 404)
        await self.assertServes(server)

    async def test_behind_nginx(self) -> None:
        server = ServerProcess(self, "--config", str(SAMPLES / "behind-nginx.toml"))
        await server.start()
        self.assertEqual(server.described["public_url"], f"https://{DOMAIN}")
        await self.assertServes(server)

    async def test_application(self) -> None:
        variables = {
            "INLETSPY_INTERFACE": "127.0.0.1",
            "INLETS_CONTROL_PORT": "0",
            "INLETS_DATA_PORT": "0",
            "INLETS_STATUS_PORT": "0",
        }
        server = ServerProcess(self, environ=variables)
        assert server.database is not None
        server.environ |= {
            "INLETSPY_DATA_DIR": str(server.data_dir),
            "INLETSPY_DATABASE": server.database,
        }
        # In place of the plugin and its options.
        own = server.command.index("inletspy")
        server.command[own:] = ["--python", str(SAMPLES / "inletspy.tac")]
        await server.start()
        self.assertEqual(server.domain, "tunnel.localhost")
        await self.assertServes(server)


class NginxTests(ServingTestCase):
    """The way of a request through nginx as nginx.conf sets it up."""

    def setUp(self) -> None:
        self.program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if self.program is None:
            raise SkipTest("needs nginx")

    async def start_nginx(self, server: ServerProcess) -> tuple[int, Path, Certificate]:
        """Start it in front of a server; gives its port, folder and certificate."""
        folder = Path(self.mktemp()).absolute()
        authority = certificate(folder)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        text = (SAMPLES / "nginx.conf").read_text(encoding="utf-8")
        for sample, here in (
            ("listen 443", f"listen 127.0.0.1:{port}"),
            ("127.0.0.1:8080", f"127.0.0.1:{server.data_port}"),
            ("127.0.0.1:8090", f"127.0.0.1:{server.control_port}"),
            ("/etc/inletspy", str(folder)),
        ):
            self.assertIn(sample, text)
            text = text.replace(sample, here)
        (folder / "site.conf").write_text(text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(
            ("user root;" if os.getuid() == 0 else "")
            + f"pid {folder}/pid; error_log stderr; daemon off; events {{}}"
            + f"http {{ access_log off; {paths} include {folder}/site.conf; }}"
        )
        assert self.program is not None
        nginx = Program(self, [self.program, "-c", str(folder / "nginx.conf"), "-e", "stderr"])
        nginx.spawn()

        def listens() -> bool | None:
            with socket.socket() as probe:
                return True if probe.connect_ex(("127.0.0.1", port)) == 0 else None

        await nginx.until("listening", listens)
        return port, folder, authority

    async def test_visitor_and_client_through_it(self) -> None:
        server = ServerProcess(self, "--config", str(SAMPLES / "behind-nginx.toml"))
        await server.start()
        assert server.database is not None
        set_both = (
            "UPDATE config_settings SET value = CASE key WHEN 'tunnels_enabled' THEN 'true'"
            """ ELSE '["127.0.0.1/32"]' END WHERE key IN ('tunnels_enabled', 'trusted_proxies')"""
        )
        execute(server.database, set_both)
        while (await self.configuration(server)) == 404:  # as long as tunnels are off
            await deferLater(reactor, 0.02)
        port, folder, authority = await self.start_nginx(server)

        client = ClientProcess(
            self,
            server,
            *(str(upstream(self)), "--name", "app", "--server", f"wss://localhost:{port}"),
            environ={"SSL_CERT_FILE": str(folder / "fullchain.pem")},
        )
        ready = await client.start()
        self.assertEqual(ready["public_url"], f"https://app.{DOMAIN}")

        visited = f"https://app.{DOMAIN}:{port}"
        answer = await fetch(f"{visited}/a//b?c", authority=authority, source="127.0.0.2")
        self.assertEqual((answer.status, answer.json["target"]), (200, "/a//b?c"))
        headers = answer.json["headers"]
        self.assertEqual(headers["x-forwarded-proto"], ["https"])
        self.assertEqual(headers["x-forwarded-for"][0].split(",")[0], "127.0.0.2")
        self.assertEqual(headers["x-forwarded-port"], [str(port)])

        sent = b"x" * 3_000_000  # more than nginx takes of a body by default
        answer = await fetch(visited, "POST", body=sent, authority=authority)
        self.assertEqual((answer.status, answer.body == sent), (200, True))
        await self.assertEnds(server)

    async def configuration(self, server: ServerProcess) -> int:
        """The status of the answer to a container that asks for its configuration."""
        url = f"{server.status_url}/api/config/tunnels"
        return (await fetch(url, token=server.token)).status
