"""Why an exchange failed, and what a person can do about it.

Turns what the relay and the follower have noted into a title and advice. How dev servers
refuse a host is known to `refusals`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inletspy.client.exchanges import Exchange
from inletspy.client.inspector.bodies import content_of
from inletspy.client.inspector.captured import Captured
from inletspy.client.inspector.heads import status_of
from inletspy.client.refusals import refusal_hint
from inletspy.client.requests import MAX_EXCERPT, may_refuse
from inletspy.wire.control import ServiceOffer

__all__ = ["Failure", "Rewriting", "failure_of"]

#: How to have a service asked by its own host; see `ClientConfig.rewriting`.
Rewriting = Callable[[ServiceOffer], str]

#: Cause to advice; `PLACE` is where the upstream is.
_ADVICE: Final = {
    "refused": "Start the service, or check the port: the tunnel leads to PLACE. The next request "
    "gets through as soon as something listens there.",
    "timeout": "PLACE took no connection within 10 seconds: check the address, and that no "
    "firewall drops what is sent there.",
    "unknown_host": "Check the spelling of the host, and that this machine can look it up.",
    "unreachable": "Check the address, and that this machine has a way to PLACE.",
    "tls": "Announce it with http:// if it speaks no TLS.",
    "reset": "The service may have crashed while it answered: look at its own log.",
    "closed": "The service closed the connection without a whole answer. It may have crashed or "
    "restarted, or given the request up: look at its own log.",
    "silent": "The service took the request and sent nothing for too long: look at its own log.",
    "cut": "The visitor went away, the service took longer than the tunnel's server waits, or the "
    "link to the server was lost. What had come until then is shown.",
    "unreadable": "What passed is not HTTP/1.1 as it may be, or not HTTP at all. It was passed on "
    "as it was.",
}


@dataclass(frozen=True)
class Failure:
    """Why an exchange failed.

    Attributes:
        kind: a word for programs.
        title: what happened, in a line.
        advice: what to do about it.
    """

    kind: str
    title: str
    advice: str


def failure_of(captured: Captured, rewriting: Rewriting) -> Failure | None:
    """What went wrong with an exchange; None if nothing did."""
    if captured.cause is not None:
        kind, reason = captured.cause
        place = captured.service.upstream.partition("://")[2]
        advice = _ADVICE.get(kind, "").replace("PLACE", place)
        # A host or an address stays as it is typed.
        from_place = place.startswith(reason.partition(" ")[0])
        title = reason if from_place else _capitalised(reason)
        return Failure(kind, title, advice)
    hint = refusal_hint(_exchange(captured), rewriting(captured.service))
    if hint is None:
        return None
    title, _, remedy = hint.partition(": ")
    return Failure("host_not_allowed", _capitalised(title), f"To mend it: {remedy}")


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def _exchange(captured: Captured) -> Exchange:
    """As the display would have it, as far as it matters for refusals."""
    status = status_of(captured.answer)
    excerpt = b""
    if status is None:
        excerpt = captured.unread
    elif may_refuse(status, captured.answer_size) and captured.ended is not None:
        raw = captured.answer_bytes[: MAX_EXCERPT * 2]
        content = content_of(captured.answer, raw, cut=True, most=MAX_EXCERPT).content
        excerpt = content[:MAX_EXCERPT]
    return Exchange(captured.head, "", status, 0.0, excerpt=excerpt)
