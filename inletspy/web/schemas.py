"""What bodies look like: JSON Schemas, and the check of a body by one.

The same schema stands in the OpenAPI document and is checked by, so that the two can't
differ. Knows no call. What is said about a faulty body is for people, and repeats nothing
of it but the names of fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

from inletspy.answers import InvalidRequest

if TYPE_CHECKING:
    from jsonschema import ValidationError

__all__ = ["Schema", "array", "check", "named", "record", "text"]

#: A JSON Schema, 2020-12, as OpenAPI 3.1 has them.
Schema = Mapping[str, Any]

#: Types, in words that go after "must be".
_KINDS: Final = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def text(description: str, *, most: int | None = None, **more: Any) -> Schema:
    """A text, of at least one character if there is a limit."""
    bounds = {} if most is None else {"minLength": 1, "maxLength": most}
    return {"type": "string", "description": description, **bounds, **more}


def array(items: Schema, *, most: int | None = None, **more: Any) -> Schema:
    """A list."""
    bounds = {} if most is None else {"maxItems": most}
    return {"type": "array", **bounds, "items": items, **more}


def record(
    required: Mapping[str, Schema],
    optional: Mapping[str, Schema] | None = None,
    *,
    closed: bool = False,
) -> Schema:
    """An object.

    Args:
        required: fields that are always there.
        optional: fields that may be there.
        closed: whether there are no others.
    """
    properties = {**required, **(optional or {})}
    more = {"additionalProperties": False} if closed else {}
    # The first fault found is told of, and they are looked for in this order.
    return {"type": "object", "required": [*required], **more, "properties": properties}


def named(name: str) -> Schema:
    """The schema of that name in the OpenAPI document."""
    return {"$ref": f"#/components/schemas/{name}"}


def check(schema: Schema, body: Any) -> None:
    """See whether a body is as its schema has it.

    Raises:
        InvalidRequest: it is not; the detail says where and why.
    """
    error = next(Draft202012Validator(schema).iter_errors(body), None)
    if error is not None:
        raise InvalidRequest(_fault(error))


def _fault(error: ValidationError) -> str:
    """What is wrong, for people."""
    where = _place(list(error.absolute_path)) or "the body"
    limit: Any = error.validator_value
    schema: Any = error.schema
    given: Any = error.instance
    match error.validator:
        case "required":
            missing = next(name for name in limit if name not in given)
            return f"{missing} is missing"
        case "additionalProperties":
            unknown = next(name for name in given if name not in schema["properties"])
            shown = json.dumps(unknown[:50])
            return f"unknown field {shown}; known are {', '.join(schema['properties'])}"
        case "type":
            kinds = [limit] if isinstance(limit, str) else limit
            return f"{where} must be {' or '.join(_KINDS[kind] for kind in kinds)}"
        case "enum":
            return f"{where} must be {' or '.join(map(json.dumps, limit))}"
        case "minLength" | "maxLength":
            return f"{where} must have {schema['minLength']} to {schema['maxLength']} characters"
        case "minimum" | "maximum":
            return f"{where} must be from {schema['minimum']} to {schema['maximum']}"
        case "minItems" | "maxItems":
            return f"{where} must have {schema.get('minItems', 0)} to {schema['maxItems']} items"
        case "pattern":
            return f"{where} must be like {' or '.join(map(json.dumps, schema['examples']))}"
    return f"{where} is not as it should be"


def _place(path: Sequence[str | int]) -> str:
    """Where in a body something is, like `names[2]`."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).removeprefix(".")
