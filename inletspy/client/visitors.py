"""What a person says about visitors, made into what a server is told.

Passwords and tokens are read from flags, files or the environment here, and leave the
client only as hashes. What a rule means is decided by the server.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from inletspy.policy.tokens import is_token
from inletspy.policy.visits import (
    MAX_CREDENTIAL,
    SALT_SIZE,
    credential_bytes,
    hash_password,
    parse_network,
)

__all__ = ["ENVIRONMENT", "VISIT_WISHES", "secrets_in"]

#: A token is only hashed once, and may be guessed at: it has to be long.
_MIN_TOKEN: Final = 16
_MAX_FILE: Final = 65536

#: The wishes that may come from the environment, and the variables that hold them.
ENVIRONMENT: Final = {"basic_auth": "INLETSPY_BASIC_AUTH", "bearer": "INLETSPY_BEARER"}


def secrets_in(text: str) -> tuple[str, ...]:
    """The lines of a file or variable that hold something; # begins a comment."""
    lines = (line.strip("\r") for line in text.split("\n"))
    return tuple(line for line in lines if line and not line.startswith("#"))


def _in_file(path: str) -> tuple[str, ...]:
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise ValueError(f"can't read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not text in UTF-8") from None
    found = secrets_in(text)
    if not found or len(text) > _MAX_FILE:
        raise ValueError(f"{path} is too long" if found else f"{path} is empty")
    return found


def _accounts(texts: Iterable[str], shares: bool) -> list[dict[str, str]]:
    return [dict(_account(text, shares)) for text in texts]


@cache  # so that a service that is read again is the same, and takes no time
def _account(text: str, shares: bool) -> Mapping[str, str]:
    """What is kept of `user:password`; the text of an error shows neither."""
    user, colon, password = text.partition(":")
    if not colon or not user or not password:
        raise ValueError("must be USER:PASSWORD")
    if not user.isprintable():
        raise ValueError("the user's name has characters that can't be printed")
    if max(len(credential_bytes(part)) for part in (user, password)) > MAX_CREDENTIAL:
        raise ValueError(f"name and password may have {MAX_CREDENTIAL} bytes each")
    name = credential_bytes(user).decode("utf-8", "surrogateescape")
    if shares:  # the server can only tell that all ask for the same if their hashes are the same
        salt = hashlib.sha256(b"inletspy share " + credential_bytes(user)).digest()[:SALT_SIZE]
    else:
        salt = secrets.token_bytes(SALT_SIZE)
    kept = hash_password(credential_bytes(password), salt)
    return {"user": name, "salt": salt.hex(), "hash": kept.hex()}


def _digests(texts: Iterable[str], shares: bool) -> list[str]:
    return [_digest(text) for text in texts]


def _digest(text: str) -> str:
    if not is_token(text) or not _MIN_TOKEN <= len(text) <= MAX_CREDENTIAL:
        raise ValueError(
            f"a token must have {_MIN_TOKEN} to {MAX_CREDENTIAL} printable ASCII characters and "
            "no spaces, like one of `openssl rand -hex 32`"
        )
    return hashlib.sha256(text.encode()).hexdigest()


def _networks(texts: Iterable[Any], shares: bool) -> list[str]:
    if not all(isinstance(text, str) for text in texts):  # in a file, they may be anything
        raise ValueError("must be a list of texts")
    return [str(parse_network(text.strip())) for text in texts]


#: Wish to the option that it becomes, and what makes it so, told whether the service
#: shares its name; that raises ValueError.
VISIT_WISHES: Final[Mapping[str, tuple[str, Callable[[Any, bool], Any]]]] = {
    "basic_auth": ("basic_auth", _accounts),
    "basic_auth_file": ("basic_auth", lambda path, shares: _accounts(_in_file(path), shares)),
    "bearer": ("bearer", _digests),
    "bearer_file": ("bearer", lambda path, shares: _digests(_in_file(path), shares)),
    "allow": ("allow", _networks),
    "deny": ("deny", _networks),
    "private_http": ("private", lambda wished, shares: bool(wished)),
}
