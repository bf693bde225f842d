"""The exceptions of inletspy.

Local misuse (`UsageError`, `StartError`) is kept apart from what a peer did wrong
(`ProtocolViolation`, `HeadError`) and from what a peer may not do (`Refused`). Each
error that a peer gets to see knows the status or close code it is answered with.
This module knows nothing of sockets, logging or the reactor.
"""

from __future__ import annotations

import enum
import math
from typing import Final

__all__ = [
    "ClientAway",
    "Code",
    "Conflict",
    "DatabaseUnavailable",
    "HeadError",
    "InletspyError",
    "NotThere",
    "OverLimit",
    "ProtocolViolation",
    "Refused",
    "ResetCode",
    "ServerUnreachable",
    "StartError",
    "StreamReset",
    "TooManyGuesses",
    "UsageError",
]

#: Native close codes are this number plus the error's own number (`Code.number`).
CLOSE_CODE_BASE: Final = 4000


class InletspyError(Exception):
    """Base of all errors that inletspy raises on purpose."""


class UsageError(InletspyError):
    """A person gave a wrong option, argument or setting; the text says what to do."""


class NotThere(UsageError):
    """What a person named does not exist."""


class Conflict(UsageError):
    """What a person wants does not go together with what there is."""


class StartError(InletspyError):
    """The server can't start; the text is the one line that the operator sees."""


class ServerUnreachable(InletspyError):
    """A client can't reach its server; the text says why, for people."""


class DatabaseUnavailable(InletspyError):
    """The database can't be reached just now."""


class ProtocolViolation(InletspyError):
    """The peer of a link broke the protocol; the link ends.

    Attributes:
        close_code: the WebSocket close code to end it with (RFC 6455, 7.4.1).
    """

    def __init__(self, reason: str, close_code: int = 1002) -> None:
        super().__init__(reason)
        self.close_code = close_code


class HeadError(InletspyError):
    """An HTTP message that must be refused.

    Attributes:
        status: what a visitor gets when the message was a request; a broken
            response is always answered with 502.
    """

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.status = status


class Code(enum.Enum):
    """Why a client is refused, in words it can act on (protocol inletspy.v1)."""

    UNAUTHORIZED = "unauthorized"
    TUNNELS_DISABLED = "tunnels_disabled"
    HOSTNAME_TAKEN = "hostname_taken"
    HOSTNAME_INVALID = "hostname_invalid"
    HOSTNAME_NOT_YOURS = "hostname_not_yours"
    PORT_UNAVAILABLE = "port_unavailable"
    QUOTA = "quota"
    VERSION = "version"
    SESSION_EXPIRED = "session_expired"
    INVALID = "invalid"
    REPLACED = "replaced"
    NO_SUCH_SERVICE = "no_such_service"
    CLOSED = "closed"

    @property
    def close_code(self) -> int:
        """The WebSocket close code that carries this code."""
        return CLOSE_CODE_BASE + 1 + list(Code).index(self)


class Refused(InletspyError):
    """The server will not do what a client asked for.

    Attributes:
        code: the reason, for programs.
        message: the reason, for people, with the next step where there is one.
        retry: whether asking again later can help.
        service: the client's name for the service that it is about; empty where it is
            about the whole session.
    """

    def __init__(self, code: Code, message: str, *, retry: bool = False, service: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry = retry
        self.service = service


class OverLimit(Refused):
    """An owner has as much of something as it may.

    Attributes:
        wait: seconds after which there may be more; 0 if that is not known.
    """

    def __init__(self, message: str, wait: int = 0, *, retry: bool = True) -> None:
        super().__init__(Code.QUOTA, message, retry=retry)
        self.wait = wait


class TooManyGuesses(InletspyError):
    """Too many wrong tokens came from an address.

    Attributes:
        wait: seconds after which the next may come.
    """

    def __init__(self, wait: float) -> None:
        self.wait = math.ceil(wait)
        super().__init__(
            f"too many wrong tokens from your address: check the token, and try again in "
            f"{self.wait} s"
        )


class ResetCode(enum.IntEnum):
    """Why a stream was reset (RESET frame of inletspy.v1)."""

    REFUSED = 1
    UNREACHABLE = 2
    TIMEOUT = 3
    CANCELLED = 4
    LIMIT = 5
    INTERNAL = 6


class StreamReset(InletspyError):
    """A stream ended at once, in both directions.

    Attributes:
        code: why.
        reason: the peer's text; shown to the tunnel's own user, never to a visitor.
    """

    def __init__(self, code: ResetCode, reason: str = "") -> None:
        super().__init__(reason or code.name.lower())
        self.code = code
        self.reason = reason


class ClientAway(InletspyError):
    """The client of a known service has no link at the moment."""
