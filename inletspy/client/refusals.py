"""Dev servers that refuse a host they don't know: how to tell, and what to do about it.

Such servers guard against DNS rebinding and answer with a page that the visitor sees,
not the person who can change the setting. A table holds what each is known by, as its
source has it; nothing here keeps state.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from inletspy.client.exchanges import Exchange

__all__ = ["refusal_hint"]


@dataclass(frozen=True)
class _Refusal:
    """What one kind of server answers an unknown host with.

    Attributes:
        program: the server, for people.
        statuses: the answer's possible statuses; None is an answer without a head.
        text: what the answer's body holds, or, ending in `$`, is.
        setting: what to change in it, with `NAME` for the host.
        rewriting_helps: whether it is content with its own address as the host.
        below: what the target must hold.
    """

    program: str
    statuses: tuple[int | None, ...]
    text: bytes
    setting: str
    rewriting_helps: bool = True
    below: bytes = b"/"

    def matches(self, exchange: Exchange) -> bool:
        if exchange.status not in self.statuses or self.below not in exchange.target:
            return False
        if self.text[-1:] == b"$":
            return exchange.excerpt.strip() == self.text[:-1]
        return self.text in exchange.excerpt


#: The first that matches counts.
_REFUSALS: Final = (
    _Refusal(
        "the Angular dev server",
        (403,),
        b"<code>angular.json</code>",
        '"NAME" to allowedHosts under "serve" in angular.json',
    ),
    _Refusal(
        "vite",
        (403,),
        b"`preview.allowedHosts` in vite.config",
        '"NAME" to preview.allowedHosts in vite.config.js',
    ),
    _Refusal(
        "vite",
        (403,),
        b"Blocked request. This host (",
        '"NAME" to server.allowedHosts in vite.config.js',
    ),
    _Refusal(
        "Rsbuild",
        (403,),
        b"Blocked request: disallowed or invalid Host header.",
        '"NAME" to server.allowedHosts in rsbuild.config.ts',
    ),
    _Refusal(
        "webpack-dev-server",
        (403, 200),
        b"Invalid Host header$",
        '"NAME" to devServer.allowedHosts in webpack.config.js',
    ),
    _Refusal(
        "the MCP server",
        (421,),
        b"Invalid Host header$",
        '"NAME" to allowed_hosts in its TransportSecuritySettings',
    ),
    _Refusal(
        "Storybook",
        (403,),
        b"Invalid host$",
        '"NAME" to core.allowedHosts in .storybook/main',
    ),
    _Refusal(
        "Django",
        (400,),
        b"<title>DisallowedHost",
        '"NAME" to ALLOWED_HOSTS in settings.py',
    ),
    # The next two look at Referer or X-Forwarded-Host too, which rewriting leaves alone.
    _Refusal(
        "Next.js",
        (403, None),
        b"Unauthorized$",
        '"NAME" to allowedDevOrigins in next.config.js',
        rewriting_helps=False,
        below=b"/_next",
    ),
    _Refusal(
        "Rails",
        (403,),
        b"Blocked host",
        '"NAME" to config.hosts in config/environments/development.rb',
        rewriting_helps=False,
    ),
)


def refusal_hint(exchange: Exchange, rewriting: str) -> str | None:
    """What a person should do about a dev server that refuses the tunnel's host.

    Args:
        exchange: what was asked and answered.
        rewriting: how to make the tunnel send the upstream's own address as the host;
            empty where it can't, or does.

    Returns:
        One line; None if the answer is no such refusal.
    """
    if not exchange.excerpt:
        return None
    for refusal in _REFUSALS:
        if refusal.matches(exchange):
            host = exchange.host.decode("ascii", "replace")
            remedy = f"add {refusal.setting.replace('NAME', host)}"
            if refusal.rewriting_helps and rewriting:
                remedy = f"{rewriting}, or {remedy}"
            return f"{refusal.program} refuses the host {host}: {remedy}"
    return None
