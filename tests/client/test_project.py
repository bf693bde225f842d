"""The file with several services: what is made of it, and every mistake with its line."""

from __future__ import annotations

import os
import socket
import tomllib
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from inletspy.client.access import Access
from inletspy.client.config import ClientConfig, Wishes
from inletspy.client.project import FILE_NAME, SERVICE_KEYS, Project, find_project, in_keys
from inletspy.errors import UsageError
from inletspy.policy.visits import VisitRule
from inletspy.wire.control import ServiceOffer
from tests.system.processes import CHECKOUT

WEB = "[services.web]\nupstream = 3000\n"


async def no_platform(backend: str, token: str) -> Access:
    raise AssertionError("no platform is to be asked")


class ProjectTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(socket, "gethostname", lambda: "c0ffee")
        self.home = Path(self.mktemp()).absolute()
        self.home.mkdir()
        self.environ = {"HOME": str(self.home), "INLETS_SERVER": "ws://named"}
        self.path = self.home / "project" / FILE_NAME
        self.path.parent.mkdir()

    def project(self, text: str, *names: str) -> Project:
        self.path.write_text(text)
        return Project(self.path, names)

    def load(self, text: str, *names: str, **wishes: Any) -> ClientConfig:
        return self.loaded(self.project(text, *names), **wishes)

    def loaded(self, project: Project, **wishes: Any) -> ClientConfig:
        coroutine = project.load(Wishes("", **wishes), self.environ, no_platform)
        try:
            coroutine.send(None)
        except StopIteration as done:
            config: ClientConfig = done.value
            return config
        raise AssertionError("it waits for something")

    def fault(self, text: str, *names: str, **wishes: Any) -> str:
        error = str(self.assertRaises(UsageError, self.load, text, *names, **wishes))
        self.assertNotIn("\n", error)
        return error.removeprefix(str(self.path))


class ServicesTests(ProjectTestCase):
    def test_each_key(self) -> None:
        config = self.load(
            """
            [services.web]
            upstream = 3000
            [services.dev]
            proto = "http"
            upstream = "https://localhost:5173"
            hostname = "Shop"
            host-header = "rewrite"
            [services.db]
            proto = "tcp"
            upstream = "db.internal:5432"
            remote-port = 30007
            proxy-protocol = "v2"
            share = true
            [services.ssh]
            upstream = "tcp://localhost:22"
            [services.cache]
            upstream = "tcp://localhost:6379"
            hostname = "cache"
            private = true
            """
        )
        self.assertEqual(config.file, str(self.path))
        self.assertEqual(
            config.services,
            (
                ServiceOffer(
                    "web",
                    "http",
                    "http://localhost:3000",
                    hostname="c0ffee-3000",
                    options={"derived": True},
                ),
                ServiceOffer(
                    "dev",
                    "http",
                    "https://localhost:5173",
                    hostname="shop",
                    options={"host_header": "rewrite"},
                ),
                ServiceOffer(
                    "db",
                    "tcp",
                    "tcp://db.internal:5432",
                    remote_port=30007,
                    options={"share": True, "proxy_protocol": "v2"},
                ),
                ServiceOffer("ssh", "tcp", "tcp://localhost:22"),
                ServiceOffer("cache", "tcp", "tcp://localhost:6379", private="cache"),
            ),
        )

    def test_who_may_visit(self) -> None:
        (self.path.parent / "passwords").write_text("ann:pass:word\n")
        text = """
            [services.web]
            upstream = 3000
            allow = ["10.0.0.0/8", "::1"]
            deny = ["10.0.0.1"]
            basic-auth-file = "passwords"
            private-http = true
            """
        (service,) = self.load(text).services
        rule = VisitRule.read("http", service.options)
        assert rule is not None
        self.assertEqual([account.user for account in rule.accounts], [b"ann"])
        self.assertEqual((len(rule.allow), len(rule.deny), rule.private), (2, 1, True))
        self.assertEqual(self.load(text).services, (service,))

    def test_mistakes_about_visitors(self) -> None:
        for line, fault in (
            ('allow = "10.0.0.0/8"', ":3: allow is text in [services.web]; expected a list"),
            ("allow = [1]", ":3: allow must be a list of texts"),
            ('deny = ["10.0.0.1/8"]', ":3: deny '10.0.0.1/8' is no network: is it 10.0.0.0/8"),
            ('private-http = "yes"', ":3: private-http is text in [services.web]; expected true"),
            ('basic-auth-file = "nothing"', ":3: basic-auth-file can't read"),
            ('basic-auth = "ann:x"', ":3: unknown key 'basic-auth'"),
        ):
            self.assertTrue(self.fault(f"{WEB}{line}\n").startswith(fault), self.fault(WEB + line))
        tcp = '[services.db]\nupstream = "tcp://a:1"\nprivate-http = true\n'
        self.assertIn(":3: private-http is for http", self.fault(tcp))

    def test_what_the_environment_has_for_one_service(self) -> None:
        for variable in ("INLETSPY_BASIC_AUTH", "INLETSPY_BEARER"):
            self.environ[variable] = "ann:s3cret"
            fault = self.fault(WEB)
            del self.environ[variable]
            self.assertIn(f"{variable} is for one service", fault)
            self.assertNotIn("s3cret", fault)

    def test_every_key_sets_a_wish(self) -> None:
        wishes = set(Wishes.__dataclass_fields__)
        self.assertEqual({key.wish for key in SERVICE_KEYS.values()} - wishes, set())

    def test_chosen_ones(self) -> None:
        text = WEB + '[services.a]\nupstream = 1\n[services.b]\nupstream = 2\nhostname = "x"\n'
        config = self.load(text, "b", "web")
        self.assertEqual([offer.name for offer in config.services], ["web", "b"])
        # What is not chosen is in nobody's way, as long as it is well-formed.
        text += '[services.c]\nupstream = 3\nhostname = "x"\n'
        self.assertEqual(len(self.load(text, "c").services), 1)
        self.assertIn("hostname", self.fault(text))
        self.assertIn("unknown key", self.fault(text + "[services.d]\nx = 1", "c"))

    def test_unknown_names(self) -> None:
        error = self.fault(WEB + "[services.db]\nupstream = 1", "web", "bd")
        self.assertEqual(error, " has no service 'bd'; there are web, db")

    def test_mistakes(self) -> None:
        for text, fault in (
            ("", " has no services; expected a table like [services.web] with an upstream"),
            ("[services]", " has no services; expected a table"),
            ("\n[service.web]\nupstream = 1", ":2: unknown key 'service'; did you mean services?"),
            ("services = 1", ":1: services is a number; expected tables"),
            ("[[services]]\nx = 1", ":1: services is a list; expected tables"),
            ("[services]\n\nweb = 1", ":3: web is no table; expected a table like [services.web]"),
            (f"{WEB}x = 1", ":3: unknown key 'x' in [services.web]; known: upstream, proto, "),
            (f"{WEB}[services.b]", ":3: b has no upstream; expected a port, HOST:PORT or a URL"),
            (f"{WEB}private = 1", ":3: private is a number in [services.web]; expected true or"),
            (f"{WEB}private = true\nremote-port = 1", ":4: remote-port is for public tunnels"),
            (
                f"{WEB}private = true\n[services.b]\nupstream = 1\nprivate = true\n"
                'hostname = "c0ffee-3000"',
                ":7: b has the hostname private:c0ffee-3000, which web (line 1) has, too",
            ),
            ("[services.web]\nupstream = true", ":2: upstream is true or false in"),
            ("[services.web]\nupstream = 70000", ":2: '70000' is no port"),
            ("[services.web]\nupstream = -1", ":2: '-1' is no port"),
            ('[services.web]\nupstream = "http://a/b"', ":2: 'http://a/b': an upstream is only"),
            (f'{WEB}proto = "udp"', ":3: proto is 'udp'; expected http or tcp"),
            ('[services.a]\nproto = "tcp"\nupstream = "http://a:1"', ":3: http://a:1 is not for"),
            (f'{WEB}hostname = ""', ":3: hostname is empty in [services.web]; expected a label"),
            (f'{WEB}hostname = "a b"', ":3: hostname 'a b' is no name"),
            (f'{WEB}host-header = "a b"', ":3: host-header 'a b' is neither"),
            (f"{WEB}remote-port = 30000", ":3: remote-port is for tcp"),
            (f'{WEB}remote-port = "1"', ":3: remote-port is text in [services.web]; expected a p"),
            (f"{WEB}remote-port = 0", ":3: remote-port is 0; expected a port from 1 to 65535"),
            (f"{WEB}remote-port = 65536", ":3: remote-port is 65536; expected"),
            (f'{WEB}proxy-protocol = "v1"', ":3: proxy-protocol is for tcp"),
            (f'{WEB}proto = "tcp"\nhostname = "x"', ":4: hostname is for http"),
            (f'{WEB}proto = "tcp"\nproxy-protocol = "v3"', ":4: proxy-protocol 'v3' is neither"),
            ('[services."a b"]\nupstream = 1', ":1: 'a b' is no service name; expected letters"),
            (f"[services.{'a' * 65}]\nupstream = 1", "is no service name"),
            (f"[services.{'a' * 600}]\nupstream = 1", ":1: name is"),
            (f"{WEB}{WEB}", ":3: this key or table is there already; expected each once"),
            (
                f'{WEB}hostname = "x"\n[services.b]\nhostname = "X"\nupstream = 1',
                ":5: b has the hostname x, which web (line 1) has, too; expected a hostname of",
            ),
            (
                f'[services.a]\nupstream = "b:3000"\n{WEB}',
                ":3: web has the hostname c0ffee-3000, which a (line 1) has, too",
            ),
            (
                'services.a = {upstream = "tcp://a:1", remote-port = 9}\n'
                'services.b = {upstream = "tcp://a:1", remote-port = 9}\n',
                ":2: b has the remote-port 9, which a (line 1) has, too",
            ),
            (f"server = 1\n{WEB}", ":1: server is a number; expected a URL"),
            (f'client-id = "a b"\n{WEB}', ":1: client_id must be letters"),
        ):
            self.assertIn(fault, self.fault(text), text)

    def test_no_token_in_it(self) -> None:
        error = self.fault(f'token = "s3cret"\n{WEB}')
        self.assertIn(":1: a token in a file that others may read; expected token-file", error)
        self.assertNotIn("s3cret", error)

    def test_no_file(self) -> None:
        project = Project(self.path)
        error = self.assertRaises(UsageError, self.loaded, project)
        self.assertEqual(str(error), f"there is no {self.path}")

    def test_sample(self) -> None:
        sample = (CHECKOUT / "tap-configs" / FILE_NAME).read_text(encoding="utf-8")
        (self.path.parent / "token").write_text("secret-of-the-sample")
        self.environ.pop("INLETS_SERVER")
        config = self.load(sample)
        self.assertEqual((config.server, config.token)[1], "secret-of-the-sample")
        self.assertEqual(config.server, tomllib.loads(sample)["server"])
        self.assertEqual(
            [o.name for o in config.services], ["web", "dev", "draft", "db", "cache", "mail"]
        )

    def test_advice_of_servers(self) -> None:
        self.assertEqual(
            in_keys("choose with --name, --remote-port; --frob --host-header"),
            "choose with hostname, remote-port; --frob host-header",
        )


class SessionTests(ProjectTestCase):
    """Where the server is, what the token is, and who this is."""

    def setUp(self) -> None:
        super().setUp()
        self.environ.pop("INLETS_SERVER")
        for name in ("own", "users"):
            (self.home / name).write_text(f"{name}-token")

    def user(self, text: str) -> None:
        """Write the user's own file."""
        path = self.home / ".config" / "inletspy" / "client.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def test_comes_before_the_users_file(self) -> None:
        self.user(
            'server = "ws://users"\ntoken-file = "../../users"\nclient-id = "me"\n'
            'domain = "users.example.com"'
        )
        config = self.load(WEB)
        self.assertEqual(
            (config.server, config.token, config.client_id, config.services[0].hostname),
            ("ws://users", "users-token", "me", "c0ffee-3000.users.example.com"),
        )
        config = self.load(
            'server = "ws://own"\ntoken-file = "../own"\nclient-id = "it"\n'
            f'domain = "own.example.com"\n{WEB}'
        )
        self.assertEqual(
            (config.server, config.token, config.client_id, config.services[0].hostname),
            ("ws://own", "own-token", "it", "c0ffee-3000.own.example.com"),
        )
        self.assertFalse(config.derived)

    def test_flags_and_environment_before_it(self) -> None:
        text = f'server = "ws://own"\nclient-id = "it"\n{WEB}'
        config = self.load(text, server="ws://flag", client_id="flag", insecure=True)
        self.assertEqual((config.server, config.client_id), ("ws://flag", "flag"))
        self.assertTrue(config.insecure)
        self.environ["INLETS_SERVER"] = "ws://env"
        self.assertEqual(self.load(text).server, "ws://env")
        error = self.fault(text, client_id="a b")
        self.assertTrue(error.startswith("client_id must be"), error)  # of no file's line

    def test_a_token_is_for_its_server(self) -> None:
        for users in ('server = "ws://users"\n', ""):
            self.user(f'{users}token-file = "{self.home}/users"')
            self.assertEqual(self.load(f'server = "ws://evil"\n{WEB}').token, "")
        self.user(f'server = "ws://users"\ntoken-file = "{self.home}/users"')
        self.assertEqual(self.load(f'server = "ws://users"\n{WEB}').token, "users-token")
        # Nor the other way round.
        config = self.load(
            f'server = "ws://own"\ntoken-file = "../own"\n{WEB}', server="ws://another"
        )
        self.assertEqual(config.token, "")


class ReloadTests(ProjectTestCase):
    def reload(self, project: Project, text: str) -> tuple[list[str], bool]:
        self.path.write_text(text)
        offers, for_next_start = project.reload()
        return [f"{offer.name} {offer.hostname}" for offer in offers], for_next_start

    def test_changes(self) -> None:
        project = self.project(f'domain = "a.example.com"\n{WEB}')
        self.loaded(project)
        web, more = "web c0ffee-3000.a.example.com", "[services.b]\nupstream = 1\n"
        self.assertEqual(self.reload(project, f'domain = "a.example.com"\n{WEB}'), ([web], False))
        found = self.reload(project, f'domain = "b.example.com"\n{WEB}{more}')
        self.assertEqual(found, ([web, "b c0ffee-1.a.example.com"], True))
        found = self.reload(project, f'domain = "b.example.com"\n{more}')
        self.assertEqual(found, (["b c0ffee-1.a.example.com"], False))  # said once

    def test_mistakes(self) -> None:
        project = self.project(WEB)
        self.loaded(project)
        for text in ("", "[", f"{WEB}x = 1", f"server = 1\n{WEB}"):
            self.assertRaises(UsageError, self.reload, project, text)
        self.path.unlink()
        self.assertRaises(UsageError, project.reload)
        self.assertEqual(self.reload(project, WEB), (["web c0ffee-3000"], False))

    def test_chosen_ones_may_go(self) -> None:
        db = '[services.db]\nupstream = "tcp://a:1"\n'
        project = self.project(WEB + db, "web", "db")
        self.loaded(project)
        self.assertEqual(self.reload(project, f"{db}[services.x]\nupstream = 1"), (["db "], False))
        error = self.assertRaises(UsageError, self.reload, project, "[services.x]\nupstream = 1")
        self.assertIn("has none of the services web, db any more", str(error))


class FindTests(ProjectTestCase):
    def test_here_before_the_users_folder(self) -> None:
        before = os.getcwd()
        self.addCleanup(os.chdir, before)
        os.chdir(self.path.parent)
        self.assertIsNone(find_project(self.environ))
        users = self.home / ".config" / "inletspy" / FILE_NAME
        users.parent.mkdir(parents=True)
        users.write_text("")
        self.assertEqual(find_project(self.environ), users)
        self.path.write_text("")
        self.assertEqual(find_project(self.environ), Path(FILE_NAME))
        other = self.environ | {"XDG_CONFIG_HOME": str(self.home / "other")}
        self.path.unlink()
        self.assertIsNone(find_project(other))
