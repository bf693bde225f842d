"""The calls as an OpenAPI document (OpenAPI Specification 3.1.1).

Made from the calls themselves, which are checked by the same schemas. Knows no call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from inletspy import __version__
from inletspy.web.calls import Call
from inletspy.web.cookies import COOKIE
from inletspy.web.schemas import Schema, named, record, text

__all__ = ["document"]

_ABOUT: Final = """\
The status port of an inletspy server: what tunnels there are, and who may have which.
What a user's token reaches is that user's alone; what is somebody else's is answered as \
what does not exist. A token with the scope `admin` reaches all."""

_ERROR: Final = record(
    {"error": text("What is wrong, in a word or two.")},
    {"detail": text("What is wrong with this very request.")},
)
_FAILURE: Final = record(
    {"success": {"const": False}, "error": text("What is wrong, in a word or two.")},
    {"detail": text("What is wrong with this very request.")},
)

_COOKIE: Final = (
    "Set by `POST /api/session`; over https its name has `__Host-` before it. With it, what "
    "changes something must come from a page of the server's own origin, by `Sec-Fetch-Site` or "
    "`Origin`, and a body as `application/json`."
)

_TOO_LONG: Final = "The body is not as it must be, or longer than 64 KiB."


def document(calls: Iterable[Call], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """The document.

    Args:
        calls: all there are.
        schemas: what their schemas call by name.
    """
    paths: dict[str, dict[str, Any]] = {}
    for call in calls:
        paths.setdefault(call.path, {})[call.method.lower()] = _operation(call)
    return {
        "openapi": "3.1.1",
        "info": {"title": "inletspy", "version": __version__, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {"Error": _ERROR, "Failure": _FAILURE, **schemas},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": _COOKIE,
                },
            },
        },
    }


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {"summary": call.summary, "security": _security(call)}
    scopes = " and ".join(f"`{scope}`" for scope in call.scopes)
    if scopes:
        also = ", or `admin`" if call.or_admin else ""
        operation["description"] = f"Scope of the token: {scopes}{also}."
    parameters = [*_in_path(call), *_in_query(call)]
    if parameters:
        operation["parameters"] = parameters
    if call.body is not None:
        content = {"application/json": {"schema": call.body}}
        operation["requestBody"] = {"required": True, "content": content}
    operation["responses"] = _responses(call)
    return operation


def _security(call: Call) -> list[dict[str, list[str]]]:
    """Who may call; no item at all stands for everybody."""
    ways: list[dict[str, list[str]]] = [{"token": []}]
    if call.by_cookie:
        ways.append({"session": []})
    return {"needed": ways, "optional": [{}, *ways], "none": []}[call.token]


def _in_path(call: Call) -> list[dict[str, Any]]:
    names = [segment.strip("{}") for segment in call.segments if segment.startswith("{")]
    schema = {"type": "string", "minLength": 1}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _in_query(call: Call) -> list[dict[str, Any]]:
    schema = {"type": "string"}
    return [
        {"name": name, "in": "query", "description": meaning, "schema": schema}
        for name, meaning in call.query.items()
    ]


def _responses(call: Call) -> dict[str, Any]:
    schema = call.answer
    if call.enveloped and call.media_type == "application/json":
        schema = record({"success": {"const": True}, "data": schema})
    success = _response("What was asked for.", schema, call.media_type)
    if call.status == 201:
        success["headers"] = {"Location": {"schema": {"type": "string"}}}
    problems: dict[int, str] = {}
    if "{" in call.path or call.query or call.body is not None:
        problems[400] = "The path or the query can't be read."
    if call.body is not None:
        problems[400] = _TOO_LONG
        if not call.any_type:
            problems[415] = "The body is not JSON by its Content-Type."
    if call.token != "none":
        problems[401] = "No token, or one that is good for nothing."
        problems[403] = (
            "The token lacks a scope, or may not do this; a page of another origin asks."
        )
        problems[429] = "Too many wrong tokens came from this address, or too many calls at once."
    if "{" in call.path and call.enveloped:
        problems[404] = "There is none, or it is somebody else's."
    problems.update(call.errors)
    error = call.failure or named("Failure" if call.enveloped else "Error")
    responses = {str(status): _response(problems[status], error) for status in sorted(problems)}
    return {str(call.status): success, **responses}


def _response(
    description: str, schema: Schema, media_type: str = "application/json"
) -> dict[str, Any]:
    return {"description": description, "content": {media_type: {"schema": schema}}}
