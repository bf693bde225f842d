"""A status port with a real database behind it, whose answers must be as they are described.

Two users, an admin and the shared token have something each; the tunnels are made up. What
every answer must be is read in the document that the port itself serves.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from inletspy.config import ServerConfig
from inletspy.policy.signins import SignIns
from inletspy.policy.tokens import TokenPolicy
from inletspy.store.accounts import StoredAccounts
from inletspy.store.database import Database
from inletspy.store.links import StoredLinks
from inletspy.store.settings import StoredSettings
from inletspy.web.registrations import Registrations
from inletspy.web.site import status_site
from tests.peers import until
from tests.postgres import url_of_new_database
from tests.store.support import reactor
from tests.web.support import (
    CONDITION,
    SHARED_TOKEN,
    STRANGER,
    Answer,
    StubTunnels,
    Wire,
    bearer,
    live_row,
)

__all__ = ["DOMAIN", "StoredTestCase"]

DOMAIN: Final = "tunnel.example.com"
USERS: Final = ("alice", "bob", "root")


class StoredTestCase(TestCase):
    """Tests of calls that ask the database.

    Attributes:
        tokens: each user's, of all scopes for `root` and the usual ones for others.
        document: the description of all calls.
    """

    timeout = 120

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.begin())

    async def begin(self) -> None:
        """Bring all of it up."""
        self.database_url = url_of_new_database()
        self.database = Database(self.database_url, reactor)
        self.addCleanup(self.database.stop)
        await self.database.start()
        await self.database.migrate()
        self.settings = StoredSettings(self.database, reactor, SHARED_TOKEN)
        await self.settings.seed(ServerConfig(Path("unused"), domain=DOMAIN))
        await self.settings.table.set("tunnels_enabled", "true")
        await self.settings.table.set("inlets_server_url", "wss://tunnel.example.com")
        await self.settings.load()
        self.addCleanup(self.settings.stop)
        self.accounts = StoredAccounts(self.database, reactor)
        table = self.accounts.table
        for user in USERS:
            await table.add_user(user)
        self.tokens = {user: await table.create_token(user) for user in USERS[:2]}
        self.tokens["root"] = await table.create_token("root", scopes=["admin"])
        self.tokens["shared"] = SHARED_TOKEN
        await self.accounts.load()
        self.addCleanup(self.accounts.stop)
        policy = TokenPolicy(
            lambda: self.settings.current.shared_token,
            lambda: self.accounts.current,
            reactor.seconds,
        )
        self.shared_links = StoredLinks(self.database, reactor)
        await self.shared_links.load()
        self.addCleanup(self.shared_links.stop)
        self.live = StubTunnels()
        self.live.show(*(live_row(owner=owner, client_id=f"{owner}-1") for owner in self.tokens))
        self.registrations = Registrations(self.live, reactor)
        self.addCleanup(self.registrations.stop)
        self.site = status_site(
            settings=self.settings,
            accounts=self.accounts,
            tunnels=self.registrations,
            shared_links=self.shared_links,
            authenticate=lambda token, source: policy.authenticate(token),
            sign_ins=SignIns(
                policy.known, lambda: self.settings.current.session_signing_key, reactor.seconds
            ),
            health=lambda: None,
            condition=lambda: CONDITION,
            server_url=lambda: "",
            clock=reactor,
        )
        self.document: dict[str, Any] = {}
        self.document = (await self.ask("GET", "/api/openapi.json")).json

    async def create(self, user: str, **more: Any) -> str:
        """A further token of a user's, in force."""
        token: str = await self.accounts.table.create_token(user, **more)
        await self.accounts.refresh()
        return token

    async def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        token: str = "",
        **fields: str,
    ) -> Answer:
        """One request and its answer, which must be as it is described.

        Args:
            method: of the request.
            path: with the query.
            body: bytes, or what to encode; None for none.
            token: whose it is.
            fields: more of the head, with `_` for `-`.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Host": "status.example.com", **(bearer(token) if token else {})}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Content-Length": str(len(content))}
        headers |= {name.replace("_", "-"): value for name, value in fields.items()}
        lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in headers.items()), "", ""]
        channel = self.site.buildProtocol(STRANGER)
        wire = Wire(peerAddress=STRANGER)
        channel.makeConnection(wire)
        channel.dataReceived("\r\n".join(lines).encode("latin-1"))
        if body is not None:
            channel.dataReceived(content)
        await until(wire.value, f"answered: {method} {path}")
        channel.connectionLost(Failure(ConnectionDone()))
        answer = Answer(wire.value(), method)
        if self.document and method != "OPTIONS":
            self.check_answer(method, path, answer)
        return answer

    async def data(self, method: str, path: str, body: Any = None, token: str = "") -> Any:
        """What is in `data` of a success."""
        answer = await self.ask(method, path, body, token)
        self.assertTrue(answer.json["success"], answer.body)
        return answer.json["data"]

    def check_answer(self, method: str, path: str, answer: Answer) -> None:
        """See whether an answer is one that the document has for the call."""
        template = self.template(path)
        described = self.document["paths"].get(template, {}).get(method.lower())
        if described is None:
            self.assertIn(answer.status, (404, 405))
            return
        responses = described["responses"]
        self.assertIn(str(answer.status), responses, f"{method} {template}: {answer.body!r}")
        ((media_type, content),) = responses[str(answer.status)]["content"].items()
        self.assertEqual(answer.headers["Content-Type"], media_type)
        if media_type != "application/json":
            return
        schema = content["schema"]
        validator = Draft202012Validator({"components": self.document["components"], **schema})
        faults = [error.message for error in validator.iter_errors(answer.json)]
        self.assertEqual(faults, [], f"{method} {template} {answer.status}")

    def template(self, path: str) -> str:
        """The path of the call that a path leads to."""
        plain = path.partition("?")[0]
        if plain in self.document["paths"]:
            return plain
        for template in self.document["paths"]:
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), plain):
                return str(template)
        return plain
