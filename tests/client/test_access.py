"""Where the server and the token come from, and which source wins."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import fields
from pathlib import Path

from twisted.trial.unittest import TestCase

from inletspy.client.access import Access, ClientFile, check_token, find_access
from inletspy.errors import InletspyError, ServerUnreachable, UsageError

PLATFORM = {"CLAUDE_WEB_BACKEND_URL": "https://ide", "CLAUDE_WEB_AUTH_TOKEN": "backend-token"}


class AccessTests(TestCase):
    def setUp(self) -> None:
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.environ = {"HOME": str(self.home)}

    def write_file(self, text: str) -> Path:
        path = self.home / ".config" / "inletspy" / "client.toml"
        path.parent.mkdir(parents=True)
        path.write_text(text)
        return path

    def write_token(self, token: str, path: str = "token") -> str:
        (self.home / path).write_text(token + "\n")
        return str(self.home / path)

    def run_server(self, **content: object) -> Path:
        """What a running server leaves behind."""
        folder = self.home / ".local" / "state" / "inletspy"
        folder.mkdir(parents=True)
        told = {"pid": os.getpid(), "control_port": 18090, "host": "127.0.0.1"} | content
        (folder / "server.json").write_text(json.dumps(told))
        (folder / "token.txt").write_text("local-token\n")
        return folder

    def find(self, server: str = "", token_file: str = "", **environ: str) -> Access:
        async def ask(backend: str, token: str) -> Access:
            self.assertEqual((backend, token), ("https://ide", "backend-token"))
            return Access("wss://platform", "platform-token", "platform.example.com")

        everything = self.environ | environ
        coroutine = find_access(server, token_file, everything, ClientFile.read(everything), ask)
        try:
            coroutine.send(None)
        except StopIteration as done:
            access: Access = done.value
            return access
        raise AssertionError("it waits for something")

    def fault(self, kind: type[InletspyError] = UsageError, **environ: str) -> str:
        return str(self.assertRaises(kind, self.find, **environ))

    def test_flags_before_environment_before_file_before_discovery(self) -> None:
        self.run_server()
        self.assertEqual(self.find(), Access("ws://127.0.0.1:18090", "local-token"))
        self.write_token("filed-token", ".config-token")
        self.write_file(f'server = "ws://filed"\ntoken-file = "{self.home}/.config-token"')
        self.assertEqual(self.find(), Access("ws://filed", "filed-token"))
        self.assertEqual(
            self.find(**PLATFORM),
            Access("wss://platform", "platform-token", "platform.example.com"),
        )
        environ = PLATFORM | {"INLETS_SERVER": "ws://env", "INLETS_TOKEN": "env-token"}
        self.assertEqual(self.find(**environ), Access("ws://env", "env-token"))
        self.assertEqual(
            self.find("ws://flag", self.write_token("flag-token"), **environ),
            Access("ws://flag", "flag-token"),
        )

    def test_a_token_of_ones_own_for_a_server_that_was_found(self) -> None:
        self.run_server()
        self.assertEqual(self.find(INLETS_TOKEN=" mine\n").token, "mine")
        self.assertEqual(self.find(token_file=self.write_token("mine")).token, "mine")
        self.assertEqual(self.find(**PLATFORM, INLETS_TOKEN="mine").token, "mine")

    def test_a_token_goes_to_its_own_server_only(self) -> None:
        self.run_server()
        self.write_token("filed-token", ".config-token")
        path = self.write_file(f'server = "ws://filed"\ntoken-file = "{self.home}/.config-token"')
        self.assertEqual(self.find("ws://elsewhere").token, "")
        self.assertEqual(self.find("ws://elsewhere:18090").token, "")
        self.assertEqual(self.find("ws://filed").token, "filed-token")
        path.write_text(f'token-file = "{self.home}/.config-token"')
        self.assertEqual(self.find("ws://elsewhere").token, "filed-token")

    def test_the_local_server_by_its_address(self) -> None:
        self.run_server()
        self.assertEqual(self.find("ws://localhost:18090").token, "local-token")
        self.assertEqual(self.find(INLETS_SERVER="ws://[::1]:18090").token, "local-token")
        self.assertEqual(self.find("ws://localhost:8090").token, "")
        self.assertEqual(self.find("ws://localhost:99999").token, "")

    def test_base_domain(self) -> None:
        self.write_file('server = "ws://filed"\ndomain = "filed.example.com"')
        self.assertEqual(self.find().base_domain, "filed.example.com")
        self.assertEqual(
            self.find(TUNNEL_BASE_DOMAIN="Env.example.com.").base_domain, "env.example.com"
        )
        self.assertIn("TUNNEL_BASE_DOMAIN", self.fault(TUNNEL_BASE_DOMAIN="a b"))

    def test_platform_without_its_token(self) -> None:
        self.assertIn(
            "CLAUDE_WEB_AUTH_TOKEN is not", self.fault(CLAUDE_WEB_BACKEND_URL="https://ide")
        )

    def test_local_server(self) -> None:
        folder = self.run_server(host="::1")
        self.assertEqual(self.find().server, "ws://[::1]:18090")
        elsewhere = self.home / "data"
        folder.rename(elsewhere)
        self.assertEqual(self.find(INLETSPY_DATA_DIR=str(elsewhere)).server, "ws://[::1]:18090")
        for host in ("", "0.0.0.0", "::"):
            told = {"pid": os.getpid(), "control_port": 1, "host": host}
            (elsewhere / "server.json").write_text(json.dumps(told))
            self.assertEqual(self.find(INLETSPY_DATA_DIR=str(elsewhere)).server, "ws://127.0.0.1:1")

    def test_no_server_here(self) -> None:
        self.assertIn("start one with", self.fault(ServerUnreachable))

    def test_server_that_has_died(self) -> None:
        ended = subprocess.Popen(["true"])
        ended.wait()
        self.run_server(pid=ended.pid)
        self.assertIn("start one with", self.fault(ServerUnreachable))

    def test_server_without_a_control_port(self) -> None:
        self.run_server(control_port=0)
        self.fault(ServerUnreachable)

    def test_local_files_that_make_no_sense(self) -> None:
        folder = self.run_server()
        (folder / "token.txt").unlink()
        self.assertIn("by --token-file FILE or INLETS_TOKEN", self.fault())
        (folder / "token.txt").mkdir()
        self.assertIn("can't read the token file", self.fault())
        for text in ("", "[]", "{}", '{"pid": "x", "control_port": 1}', "\xff"):
            (folder / "server.json").write_text(text, encoding="latin-1")
            self.assertIn("server.json", self.fault())

    def test_token_files(self) -> None:
        error = self.assertRaises(UsageError, self.find, "ws://h", str(self.home / "none"))
        self.assertIn("can't read the token file", str(error))
        error = self.assertRaises(UsageError, self.find, "ws://h", self.write_token(""))
        self.assertIn("is empty", str(error))

    def test_tokens_that_would_break_a_header(self) -> None:
        for token in ("a b", "a\r\nX: y", "a\0", "é"):
            error = self.assertRaises(UsageError, check_token, token)
            self.assertNotIn(token, str(error))
        self.assertEqual(check_token(""), "")
        self.fault(INLETS_SERVER="ws://h", INLETS_TOKEN="a b")
        self.fault(CLAUDE_WEB_BACKEND_URL="https://ide", CLAUDE_WEB_AUTH_TOKEN="a b")


class ClientFileTests(TestCase):
    def setUp(self) -> None:
        self.config = Path(self.mktemp()).absolute()
        self.path = self.config / "inletspy" / "client.toml"
        self.path.parent.mkdir(parents=True)

    def read(self) -> ClientFile:
        return ClientFile.read({"XDG_CONFIG_HOME": str(self.config)})

    def test_none(self) -> None:
        self.assertEqual(self.read(), ClientFile())

    def test_keys(self) -> None:
        names = [field.name.replace("_", "-") for field in fields(ClientFile)]
        self.assertEqual(list(ClientFile.KEYS), names)

    def test_token_file_beside_it(self) -> None:
        self.path.write_text('token-file = "token"')
        self.assertEqual(self.read().token_file, str(self.path.parent / "token"))

    def test_faults_are_named(self) -> None:
        for text, fault in (
            ('tokne-file = "x"', "unknown key 'tokne-file'"),
            ("\n\nserver = 1", ":3: server is a number; expected a URL, as text"),
            ("server", ":1: this is no TOML"),
            ("\xff", ":1: this is not UTF-8"),
        ):
            self.path.write_text(text, encoding="latin-1")
            error = self.assertRaises(UsageError, self.read)
            self.assertIn(fault, str(error))
            self.assertIn(str(self.path), str(error))

    def test_a_folder_in_its_place(self) -> None:
        self.path.mkdir()
        self.assertIn("can't read", str(self.assertRaises(UsageError, self.read)))
