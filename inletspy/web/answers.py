"""What the status port says: JSON, errors as well, and nothing but JSON.

Owns the shape of answers and errors, the methods a resource has, OPTIONS and CORS
preflights, and the reading of JSON bodies. Knows nothing of tunnels, settings or
tokens; a resource says what it has to say by returning it or by raising `Problem`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, NoReturn

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from inletspy.errors import InletspyError

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = [
    "ApiResource",
    "InvalidRequest",
    "JsonResource",
    "NotFound",
    "Problem",
    "encode",
    "error_of",
    "read_object",
    "send",
]

#: HTTP method to the name of the resource's method that answers it.
_METHODS: Final = {b"GET": "get", b"HEAD": "get", b"POST": "post", b"DELETE": "delete"}

#: How long a browser may remember the answer to a preflight, in seconds.
_PREFLIGHT_SECONDS: Final = 600


class Problem(InletspyError):
    """A request that is not granted, and how to say so.

    Attributes:
        status: the HTTP status.
        error: what is wrong, in a word or two.
        detail: what is wrong with this very request; empty to leave it out.
        headers: header fields that go with the status.
    """

    def __init__(
        self,
        status: int,
        error: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail or error)
        self.status = status
        self.error = error
        self.detail = detail
        self.headers = dict(headers or {})


class InvalidRequest(Problem):
    """A request that makes no sense (400); the detail says where."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, "Invalid request", detail)


def error_of(problem: Problem) -> dict[str, Any]:
    """The body that tells of `problem`."""
    body = {"error": problem.error}
    if problem.detail:
        body["detail"] = problem.detail
    return body


def encode(answer: Any) -> bytes:
    """`answer` as JSON (ASCII only, so that no reader can get the encoding wrong)."""
    return json.dumps(answer, allow_nan=False).encode("ascii") + b"\n"


def send(request: Request, answer: Any) -> None:
    """Finish `request` with `answer` as its body, under the status it has by now."""
    body = encode(answer)
    request.setHeader("Content-Type", "application/json")
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()


class JsonResource(Resource):
    """A resource that answers JSON.

    A subclass defines `get`, `post` or `delete`: each takes the request and returns
    what is to be encoded, or raises `Problem`. One without any is a mere branch of
    the tree, and itself not found.
    """

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Whatever is not in the tree is not found."""
        return NotFound()

    def error_body(self, problem: Problem) -> dict[str, Any]:
        """The body that tells of `problem` here."""
        return error_of(problem)

    def render(self, request: Request) -> int:
        """Answer the request; errors other than `Problem` are the request's to tell."""
        try:
            answer = self._answer(request)
        except Problem as problem:
            # Not every version of twisted.web has a phrase for each.
            request.setResponseCode(problem.status, HTTPStatus(problem.status).phrase.encode())
            for name, value in problem.headers.items():
                request.setHeader(name, value)
            answer = self.error_body(problem)
        if request.code == 204:
            request.finish()
        else:
            send(request, answer)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        methods: dict[bytes, Callable[[Request], Any]] = {
            method: getattr(self, name) for method, name in _METHODS.items() if hasattr(self, name)
        }
        if not methods:
            raise Problem(404, "Not found")
        allow = b", ".join([*methods, b"OPTIONS"]).decode("ascii")
        if request.method == b"OPTIONS":
            request.setResponseCode(204)
            request.setHeader("Allow", allow)
            if request.requestHeaders.hasHeader("Access-Control-Request-Method"):
                request.setHeader("Access-Control-Allow-Methods", allow)
                request.setHeader("Access-Control-Allow-Headers", "Authorization, Content-Type")
                request.setHeader("Access-Control-Max-Age", str(_PREFLIGHT_SECONDS))
            return None
        if request.method not in methods:
            raise Problem(405, "Method not allowed", headers={"Allow": allow})
        return methods[request.method](request)


class NotFound(JsonResource):
    """A path that leads nowhere, or only further into the tree."""


class ApiResource(JsonResource):
    """A resource under `/api`, whose answers say whether they are a success."""

    def error_body(self, problem: Problem) -> dict[str, Any]:
        """The body that tells of `problem`, marked as no success."""
        return {"success": False, **error_of(problem)}

    @staticmethod
    def success(data: Any) -> dict[str, Any]:
        """The body that carries `data`."""
        return {"success": True, "data": data}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that is the request's body.

    Raises:
        InvalidRequest: it is not JSON (RFC 8259), or no object.
    """
    assert request.content is not None
    try:
        body = json.loads(request.content.read().decode("utf-8"), parse_constant=_no_constant)
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply") from None
    except ValueError:
        raise InvalidRequest("The body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    return body
