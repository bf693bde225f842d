"""Each sample in tap-configs/ starts what it is there to start."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import SkipTest

from inletspy.config import ServerConfig
from tests.system.http import fetch, upstream
from tests.system.processes import CHECKOUT, ClientProcess, Program, ServerProcess
from tests.system.samples import DOMAIN, SAMPLES, SampleTestCase, certificate, moved


class ServerTests(SampleTestCase):
    async def test_development(self) -> None:
        server = ServerProcess(self, "--config", str(SAMPLES / "development.toml"))
        await server.start()
        self.assertEqual(server.domain, "tunnel.localhost")
        answer = await fetch(server.url("nobody"))
        self.assertEqual(answer.status, 404)
        await self.assertServes(server)

    async def test_production(self) -> None:
        folder = Path(self.mktemp()).absolute()
        authority = certificate(folder)
        server = ServerProcess(self, *moved("production.toml", folder))
        await server.start()
        self.assertEqual(server.described["public_url"], f"https://{DOMAIN}")
        self.assertEqual(server.control_port, server.data_port)
        visited = f":{server.data_port}/"
        answer = await fetch(f"https://nobody.{DOMAIN}{visited}", authority=authority)
        self.assertEqual(answer.status, 404)

        await self.enable(server)
        client = ClientProcess(
            self,
            server,
            *(str(upstream(self)), "--name", "app", "--server", f"wss://localhost{visited}"),
            environ={"SSL_CERT_FILE": str(folder / "fullchain.pem")},
        )
        self.assertEqual((await client.start())["public_url"], f"https://app.{DOMAIN}")
        answer = await fetch(f"https://app.{DOMAIN}{visited}", authority=authority)
        self.assertEqual(answer.status, 200)
        await self.assertServes(server)

    async def test_behind_nginx(self) -> None:
        server = ServerProcess(self, *moved("behind-nginx.toml"))
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


class UnitTests(SampleTestCase):
    def setUp(self) -> None:
        analyze = shutil.which("systemd-analyze")
        if analyze is None:
            raise SkipTest("needs systemd-analyze")
        self.analyze = analyze

    def analyzed(self, unit: Path, *arguments: str) -> str:
        """What systemd-analyze says about a unit that it takes."""
        ran = subprocess.run(
            [self.analyze, *arguments, str(unit)], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((ran.stderr, ran.returncode), ("", 0), ran.stdout)
        return ran.stdout

    def test_each_is_understood_and_leaves_little_open(self) -> None:
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        for sample, name, program in (
            ("inletspy.service", "inletspy.service", "twistd"),
            ("inletspy-tunnel@.service", "inletspy-tunnel@3000.service", "tunnel"),
        ):
            text = (SAMPLES / sample).read_text(encoding="utf-8")
            self.assertIn(f"ExecStart=/opt/inletspy/bin/{program} ", text)
            unit = folder / name
            # Any program that there is: whether ours takes its options, other tests show.
            unit.write_text(text.replace(f"/opt/inletspy/bin/{program}", "/bin/true"))
            self.assertEqual(self.analyzed(unit, "verify"), "")
            help_text = subprocess.run(
                [self.analyze, "--help"], capture_output=True, text=True, timeout=60
            ).stdout
            if "--offline" in help_text:
                self.analyzed(unit, "security", "--offline=yes", "--threshold=20", "--no-pager")


class ImageTests(SampleTestCase):
    """What of the image can be told without a container engine."""

    def setUp(self) -> None:
        text = (SAMPLES / "Dockerfile").read_text(encoding="utf-8")
        joined = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", "")
        self.lines = [line for line in joined.splitlines() if line]

    def command(self, instruction: str) -> list[str]:
        """The command of `CMD` or `HEALTHCHECK … CMD`."""
        (line,) = [line for line in self.lines if line.startswith(instruction)]
        command: list[str] = json.loads(line[line.index("[") :])
        return command

    async def test_health_check(self) -> None:
        server = ServerProcess(self)
        await server.start()
        variables = {"INLETS_STATUS_PORT": str(server.status_port), "http_proxy": "http://[::]:1"}
        program, *arguments = self.command("HEALTHCHECK ")
        self.assertEqual(program, "python3")
        for status in (0, 1):
            check = Program(self, [sys.executable, *arguments], variables)
            check.spawn()
            self.assertEqual(await check.ended(), status, check.stderr)
            if not status:
                await self.assertEnds(server)

    async def test_command(self) -> None:
        program, *arguments = self.command("CMD ")
        self.assertEqual(program, "twistd")
        # What the image says, and free ports in place of those that it exposes.
        server = ServerProcess(self)
        own = server.command.index("-n")
        given = server.command[server.command.index("inletspy") + 1 :]
        server.command[own:] = [*arguments, *given]
        await server.start()
        await self.assertServes(server)
        plain = ServerConfig(Path())
        ports = f"{plain.data_port} {plain.control_port} {plain.status_port}"
        self.assertIn(f"EXPOSE {ports}", self.lines)

    def test_all_that_is_copied_is_sent(self) -> None:
        sent = (CHECKOUT / ".dockerignore").read_text(encoding="utf-8").splitlines()
        for line in self.lines:
            if line.startswith("COPY ") and "--from=" not in line:
                for name in line.split()[1:-1]:
                    self.assertTrue((CHECKOUT / name).exists(), name)
                    self.assertIn(f"!{name}", sent)


#: Stands in for a Python: makes an environment whose programs tell what they are called
#: with, and what they can see.
STAND_IN = """\
#!/bin/sh
[ "$1" = -m ] || exit 0
mkdir -p "$3/bin"
for name in pip tunnel; do
    printf '#!/bin/sh\\necho "%s $*"; env\\n' $name > "$3/bin/$name"
    chmod +x "$3/bin/$name"
done
"""


class InstallTunnelTests(SampleTestCase):
    script = SAMPLES / "container" / "install-tunnel.sh"

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.python = self.folder / "python"
        self.python.write_text(STAND_IN)
        self.python.chmod(0o755)

    def install(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the script, with places of the test's own."""
        return subprocess.run(
            ["/bin/sh", str(self.script), *arguments],
            env={
                "PATH": os.defpath,
                "PREFIX": f"{self.folder}/a prefix",
                "BINDIR": f"{self.folder}/bin",
                "PYTHON": str(self.python),
                **variables,
            },
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_installing_again_and_again(self) -> None:
        for _ in range(2):
            ran = self.install(CLAUDE_WEB_AUTH_TOKEN="hush", INLETS_TOKEN="hush")
            self.assertEqual((ran.stderr, ran.returncode), ("", 0))
            self.assertRegex(
                ran.stdout, rf"(?m)^pip install .* --upgrade {re.escape(str(CHECKOUT))}$"
            )
            self.assertRegex(ran.stdout, r"(?m)^tunnel --version$")
            self.assertNotIn("hush", ran.stdout)
            command = self.folder / "bin" / "tunnel"
            self.assertEqual(os.readlink(command), f"{self.folder}/a prefix/bin/tunnel")

    def test_what_can_not_be_installed(self) -> None:
        for ran, reason in (
            (self.install("/no/such.whl"), "there is no /no/such.whl"),
            (self.install(PYTHON="/bin/false"), "/bin/false is not Python 3.11"),
        ):
            self.assertEqual((ran.stdout, ran.returncode), ("", 1))
            self.assertIn(f"install-tunnel: {reason}", ran.stderr)

    def test_no_shell_is_surprised(self) -> None:
        shellcheck = shutil.which("shellcheck")
        if shellcheck is None:
            raise SkipTest("needs shellcheck")
        ran = subprocess.run([shellcheck, str(self.script)], capture_output=True, timeout=60)
        self.assertEqual((ran.stdout, ran.returncode), (b"", 0))
