"""A server's status port, as commands ask it.

Owns where it is, which token goes there, and what is said when it does not answer as it
should. A token that is stored for a server is sent to no other one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from treq import collect
from treq.client import HTTPClient
from twisted.internet import defer
from twisted.internet import error as twisted_errors
from twisted.web.client import Agent, ResponseFailed
from twisted.web.http_headers import Headers

from inletspy.admin.eventstream import EventStream, StreamCut
from inletspy.admin.tables import printable
from inletspy.config import ServerConfig, read_token_file, runs
from inletspy.errors import InletspyError, ServerUnreachable, UsageError
from inletspy.policy.tokens import is_token

__all__ = ["StatusPort", "TokenRefused"]

#: How long the whole answer may take, in seconds, and how many bytes it may have.
PATIENCE: Final = 10.0
MAX_ANSWER: Final = 32 * 1024 * 1024

T = TypeVar("T")

#: What a row must have to be shown.
_FIELDS: Final = ("id", "public_url", "upstream", "client_id", "connected_at", "status")


class TokenRefused(InletspyError):
    """The server knows no such token, or wants one."""


class StatusPort:
    """Asks one server.

    Args:
        reactor: makes the connections.
        url: where it is, without a final slash.
        token: is sent with every request; empty for none.
        spare: is sent once it turns out that a token is needed; called once.

    Attributes:
        url: where it is.
    """

    def __init__(self, reactor: Any, url: str, token: str = "", spare: Path | None = None) -> None:
        self._reactor = reactor
        self.url = url
        self._token = token
        self._spare = spare
        self._client = HTTPClient(Agent(reactor, connectTimeout=PATIENCE))

    @classmethod
    def find(
        cls, reactor: Any, arguments: argparse.Namespace, environ: Mapping[str, str]
    ) -> StatusPort:
        """The status port that is named, else that of the server on this machine.

        Args:
            reactor: makes the connections.
            arguments: `status_url` and `token_file`; may have `data_dir`.
            environ: the environment.

        Raises:
            UsageError: what is named makes no sense.
            InletspyError: no server has run here.
        """
        if arguments.token_file:
            token = read_token_file(Path(arguments.token_file))
        else:
            token = environ.get("INLETS_TOKEN", "").strip()
            if token and not is_token(token):
                raise UsageError("INLETS_TOKEN: must be printable ASCII without spaces")
        if arguments.status_url:
            return cls(reactor, _checked(arguments.status_url), token)
        folder = _data_dir(arguments, environ)
        return cls(reactor, _announced(folder), token, folder / "token.txt")

    def with_token(self, token: str) -> StatusPort:
        """The same one, asked with another token."""
        return StatusPort(self._reactor, self.url, token)

    async def rows(self) -> list[dict[str, Any]]:
        """The tunnels that it tells of.

        Raises:
            ServerUnreachable: no answer.
            InletspyError: the token is of no use, or the answer of none.
        """
        rows = await self._answer("GET", "/status")
        good = isinstance(rows, list) and all(
            isinstance(row, dict) and isinstance(row.get(key), str)
            for row in rows
            for key in _FIELDS
        )
        if not good:
            raise self._no_status_port()
        return list(rows)

    async def sign_in_link(self) -> tuple[str, str]:
        """A link that signs in once whoever opens it, and as whom.

        Raises:
            ServerUnreachable: no answer.
            InletspyError: the token is of no use, or the answer of none.
        """
        answer = await self._answer("POST", "/api/session/links")
        try:
            fragment, user = urlsplit(str(answer["data"]["url"])).fragment, answer["data"]["user"]
        except (TypeError, KeyError, ValueError):
            raise self._no_status_port() from None
        # By the way that this command came: proxies need not tell the server by which.
        return f"{_for_browsers(self.url)}/#{fragment}", str(user)

    async def whose(self) -> tuple[str, bool]:
        """Whose the token is, and whether it shows everybody's tunnels; raises as `rows` does."""
        answer = await self._answer("GET", "/api/session")
        try:
            return str(answer["data"]["user"]), bool(answer["data"]["admin"])
        except (TypeError, KeyError):
            raise self._no_status_port() from None

    async def follow(self, opened: Callable[[], None], got: Callable[[str, str], None]) -> None:
        """Tell of each event, until the stream of events ends in order.

        Args:
            opened: is called once the stream is there.
            got: is called with the name and the data of each event.

        Raises:
            ServerUnreachable: no answer, or the stream was cut.
            InletspyError: the token is of no use, or the answer of none.
        """
        response = await self._within_patience(self._request("GET", "/api/events"))
        if response.code != 200:
            self._check(response.code, await self._within_patience(_body(response)))
            raise self._no_status_port(response.code)
        stream = EventStream(self._reactor, got)
        opened()
        response.deliverBody(stream)
        try:
            await stream.over
        except StreamCut as error:
            reason = _why(error.__cause__ or error)
            raise ServerUnreachable(f"the stream from {self.url} was cut: {reason}") from error

    async def _answer(self, method: str, path: str) -> Any:
        """What is in the answer to a request that needs a token; see `rows` for what it raises."""
        status, body = await self._ask(method, path)
        if status == 401 and not self._token and self._spare is not None:
            spare, self._spare = self._spare, None
            if spare.exists():
                self._token = read_token_file(spare)
                status, body = await self._ask(method, path)
        answer = self._check(status, body)
        if status != 200:
            raise self._no_status_port(status)
        return answer

    def _check(self, status: int, body: bytes) -> Any:
        """What is in an answer that is no refusal."""
        if status == 401:
            which = "does not accept the token" if self._token else "wants a token"
            raise TokenRefused(
                f"the server at {self.url} {which}: name a file that has one with --token-file,"
                " or set INLETS_TOKEN"
            )
        if status == 403:
            raise InletspyError("the token is not good for this: it needs the scope status")
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            if status < 500:  # else it may be a proxy's answer while the server is away
                raise self._no_status_port(status) from None
            answer = None
        detail = answer.get("detail") if isinstance(answer, dict) else None
        if status == 429:
            raise ServerUnreachable(
                f"the server at {self.url} says to wait a while: {printable(str(detail))}"
            )
        if status >= 500:
            why = printable(str(detail)) if detail else f"HTTP {status}"
            raise ServerUnreachable(f"the server at {self.url} can't do that: {why}")
        return answer

    def _no_status_port(self, status: int = 200) -> InletspyError:
        return InletspyError(
            f"{self.url} is no status port of an inletspy server (HTTP {status}): name another"
            " with --status-url"
        )

    async def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        return await self._within_patience(self._fetch(method, path))

    async def _within_patience(self, asking: Coroutine[Any, Any, T]) -> T:
        try:
            return await defer.ensureDeferred(asking).addTimeout(PATIENCE, self._reactor)
        except (defer.TimeoutError, defer.CancelledError, twisted_errors.TimeoutError):
            why = f"no answer within {PATIENCE:g} seconds"
        except Exception as error:
            why = _why(error)
        raise ServerUnreachable(
            f"can't reach the status port at {self.url}: {why}; start the server, or name"
            " another with --status-url"
        )

    async def _fetch(self, method: str, path: str) -> tuple[int, bytes]:
        response = await self._request(method, path)
        return response.code, await _body(response)

    async def _request(self, method: str, path: str) -> Any:
        """The answer to a request, as far as its head."""
        headers = Headers({"Accept": ["application/json, text/event-stream"]})
        if self._token:
            headers.addRawHeader("Authorization", f"Bearer {self._token}")
        return await self._client.request(
            method, f"{self.url}{path}", headers=headers, unbuffered=True
        )


async def _body(response: Any) -> bytes:
    body = bytearray()

    def take(data: bytes) -> None:
        body.extend(data)
        if len(body) > MAX_ANSWER:
            raise ValueError("the answer is too long")

    await collect(response, take)
    return bytes(body)


def _data_dir(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Path:
    given = {"data-dir": getattr(arguments, "data_dir", None)}
    names = (*ServerConfig.ENVIRONMENT["data-dir"], "HOME", "XDG_STATE_HOME")
    return ServerConfig.load(given, {n: environ[n] for n in names if n in environ}).data_dir


def _announced(folder: Path) -> str:
    """Where the server with this data directory says that its status port is."""
    none = InletspyError(
        f"no server runs with the data directory {folder}; start one (twistd inletspy), or name"
        " it by --data-dir or --status-url"
    )
    try:
        server = json.loads((folder / "server.json").read_bytes())
        host, port, pid = str(server["host"]), int(server["status_port"]), int(server["pid"])
    except FileNotFoundError:
        raise none from None
    except OSError as error:
        raise InletspyError(
            f"can't read {folder / 'server.json'}: {error.strerror}; name the server with"
            " --status-url"
        ) from None
    except (ValueError, KeyError, TypeError):
        raise InletspyError(f"{folder / 'server.json'} is damaged: restart the server") from None
    if not runs(pid):  # it was killed: whoever has its port by now gets no token
        raise none
    if not port:
        raise InletspyError("the server has its status port elsewhere: name it with --status-url")
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _checked(text: str) -> str:
    """A URL of a person's; raises UsageError."""
    plain = text.rstrip("/").removesuffix("/status")
    try:
        url = urlsplit(plain)
        good = url.scheme in ("http", "https") and url.hostname and url.port != 0
        good = good and plain.isascii() and plain.isprintable() and " " not in plain
    except ValueError:
        good = False
    if not good or url.query or url.fragment or "@" in url.netloc:
        raise UsageError(
            "--status-url: must be an address like http://localhost:8091 or"
            " https://tunnel.example.com"
        )
    return plain


def _for_browsers(url: str) -> str:
    """The same address where a server listens on all there are, which is none to go to."""
    return re.sub(r"^http://(0\.0\.0\.0|\[::\]):", "http://localhost:", url)


def _why(error: BaseException) -> str:
    """What went wrong with a connection, for people."""
    if isinstance(error, ResponseFailed) and error.reasons:
        return _why(error.reasons[0].value)
    number = getattr(error, "osError", None)
    return os.strerror(number) if isinstance(number, int) else str(error) or type(error).__name__
