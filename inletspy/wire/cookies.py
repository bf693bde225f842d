"""Cookies as the edge has to read them (RFC 6265): whose they are, and which to leave out.

Works on the values of `Set-Cookie` and `Cookie` fields. What a cookie means is not known
here.
"""

from __future__ import annotations

import re

__all__ = ["cookie_values", "reaches", "without_cookies"]

#: A domain that all user agents read alike; some decode escapes and fold other letters.
_match_plain_domain = re.compile(rb"[a-z0-9._-]*").fullmatch


def reaches(set_cookie: bytes, domain: bytes) -> bool:
    """Whether a cookie may be set for `domain`, or a domain that `domain` is under.

    Of several Domain attributes the last one counts (RFC 6265, 5.3), but not to all user
    agents if it is empty: here each counts, as does one that can be read in two ways.

    Args:
        set_cookie: the value of the Set-Cookie field.
        domain: in lower case, without dots at its ends.
    """
    for attribute in set_cookie.lower().split(b";")[1:]:
        name, _, value = attribute.partition(b"=")
        if name.strip(b" \t") != b"domain":
            continue
        value = value.strip(b' \t"')
        wide = value.strip(b".")
        if _match_plain_domain(value) is None:
            return True
        if wide and (domain == wide or domain.endswith(b"." + wide)):
            return True
    return False


def cookie_values(cookie: bytes, names: frozenset[bytes]) -> list[bytes]:
    """The values of the cookies of those names in a Cookie field."""
    found = []
    for pair in cookie.split(b";"):
        name, _, value = pair.partition(b"=")
        if name.strip(b" \t") in names:
            found.append(value.strip(b' \t"'))
    return found


def without_cookies(cookie: bytes, names: frozenset[bytes]) -> bytes:
    """A Cookie field's value less the cookies of those names; empty if none is left."""
    kept = [
        pair.strip(b" \t")
        for pair in cookie.split(b";")
        if pair.partition(b"=")[0].strip(b" \t") not in names
    ]
    return b"; ".join(filter(None, kept))
