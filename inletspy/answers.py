"""What the status port and the inspector say: JSON, errors as well, and nothing but JSON.

Owns the shape of answers and errors, and the reading of queries and JSON bodies. Knows nothing of
tunnels, settings or tokens, nor which calls there are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from inletspy.errors import InletspyError

if TYPE_CHECKING:
    from twisted.web.server import Request

__all__ = [
    "Answer",
    "InvalidRequest",
    "Problem",
    "encode",
    "error_of",
    "query_value",
    "read_object",
    "send",
]


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


@dataclass(frozen=True)
class Answer:
    """An answer with more to it than what is to be encoded.

    Attributes:
        body: that; what is no JSON comes as bytes, with `Content-Type` in `headers`.
        status: the HTTP status.
        headers: header fields that go with it.
    """

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


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


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def query_value(request: Request, name: str) -> str | None:
    """What the request's query says by that name; None if it does not have it.

    Raises:
        InvalidRequest: it has it more than once, or it is no text.
    """
    values = request.args.get(name.encode("ascii"), [])
    if len(values) > 1:
        raise InvalidRequest(f"{name} is there more than once")
    try:
        return values[0].decode("utf-8") if values else None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name} is not UTF-8") from None


def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that is the request's body.

    Raises:
        InvalidRequest: it is not JSON (RFC 8259), or no object.
    """
    assert request.content is not None
    try:
        body = json.loads(request.content.read().decode("utf-8"), parse_constant=_no_constant)
        # What no encoding has, JSON can still spell: \ud800.
        json.dumps(body, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not UTF-8") from None
    except UnicodeEncodeError:
        raise InvalidRequest("The body has half a character (a lone surrogate)") from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply") from None
    except ValueError:
        raise InvalidRequest("The body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object")
    return body
