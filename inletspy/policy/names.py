"""Which names there can be, and which of them a client may have.

Pure decisions about text: the hostname grammar (RFC 1123, 2.1, and RFC 5890 for
internationalised labels) and the place of a name beside the base domain. Who holds a
name at the moment is the route table's business.
"""

from __future__ import annotations

import re
import secrets
from typing import Final

import idna

from inletspy.errors import Code, Refused

__all__ = [
    "base_label",
    "check_hostname",
    "check_label",
    "container_of",
    "grant_hostname",
    "plain_name",
]

_match_label = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?").fullmatch
_match_container_name = re.compile(r"(.+)-[0-9]{1,5}").fullmatch
#: Letters and digits that people don't confuse when they read a name aloud.
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


def check_label(text: str) -> str:
    """One label of a hostname, in lower case.

    Raises:
        ValueError: it is none; the text says why.
    """
    label = text.lower() if text.isascii() else text  # U+212A in lower case is a k
    if not label:
        raise ValueError("a name must not be empty or have two dots in a row")
    if len(label) > 63:
        raise ValueError(f"{text[:20]!r}… is longer than 63 characters")
    if _match_label(label) is None:
        raise ValueError(
            f"{text!r} is no name: use letters, digits and hyphens, with no hyphen at either end"
        )
    if label[2:4] == "--":
        # Only a well-formed A-label may look like one (RFC 5891, 4.2.3.1 and 5.4).
        try:
            idna.ulabel(label)
        except idna.IDNAError:
            raise ValueError(f"{text!r} is no valid internationalised name") from None
    return label


def check_hostname(text: str) -> str:
    """A whole hostname, in lower case and without a final dot.

    Raises:
        ValueError: it is none; the text says why.
    """
    name = text.removesuffix(".")
    if len(name) > 253:
        raise ValueError("a hostname has 253 characters at most")
    return ".".join(check_label(label) for label in name.split("."))


def base_label(hostname: str, base_domain: str) -> str | None:
    """The part of `hostname` under the base domain; None if it is not under it."""
    suffix = "." + base_domain
    return hostname[: -len(suffix)] if base_domain and hostname.endswith(suffix) else None


def container_of(hostname: str, base_domain: str) -> str | None:
    """The container id in `[container-id]-[port]` under the base domain, if it is that."""
    label = base_label(hostname, base_domain)
    match = _match_container_name(label) if label else None
    return match[1] if match else None


def plain_name(text: str, base_domain: str) -> str:
    """A name as it is reserved: a label, or a hostname outside the base domain.

    Raises:
        ValueError: it is none; the text says why.
    """
    if "." not in text:
        return check_label(text)
    hostname = check_hostname(text)
    label = base_label(hostname, base_domain)
    if label is not None and "." in label:
        raise ValueError(f"{hostname} has more than one label under {base_domain}")
    return label or hostname


def grant_hostname(requested: str, base_domain: str, *, custom_domains: bool) -> str:
    """The full hostname for what a client asks for.

    Args:
        requested: a label, a full hostname, or nothing for a generated name.
        base_domain: the domain that labels stand under.
        custom_domains: whether names outside it are served.

    Raises:
        Refused: there is no such name, or it can't be the client's.
    """
    if not base_domain and "." not in requested:
        raise Refused(
            Code.HOSTNAME_INVALID,
            "this server has no domain to give names under; its operator can set one with "
            "`inletspy config set tunnel_base_domain DOMAIN`",
            retry=True,
        )
    if not requested:
        generated = "".join(secrets.choice(_ALPHABET) for _ in range(10))
        return f"{generated}.{base_domain}"
    try:
        if "." not in requested:
            requested = f"{check_label(requested)}.{base_domain}"
        hostname = check_hostname(requested)
    except ValueError as error:
        raise Refused(Code.HOSTNAME_INVALID, str(error)) from error
    label = base_label(hostname, base_domain)
    if label is not None:
        if "." in label:
            raise Refused(
                Code.HOSTNAME_NOT_YOURS,
                f"{hostname} has more than one label under {base_domain}: "
                f"ask for {label.replace('.', '-')}.{base_domain}",
            )
        return hostname
    if hostname.rpartition(".")[2].isdecimal():
        # The highest label of a name is never a number (RFC 1123, 2.1).
        raise Refused(Code.HOSTNAME_INVALID, f"{hostname} is an address, not a name")
    if hostname == base_domain or base_domain.endswith("." + hostname) or not custom_domains:
        raise Refused(
            Code.HOSTNAME_NOT_YOURS,
            f"{hostname} can't be served here: names are given out under {base_domain}",
        )
    return hostname
