"""What the tests of the person's side have in common."""

from __future__ import annotations

from typing import Any, cast

from inletspy.client.config import ClientConfig
from inletspy.client.exchanges import Exchange
from inletspy.client.output import SteadyOutput
from inletspy.wire.control import Grant, ServiceOffer

__all__ = ["CONFIG", "GRANT", "Written", "exchange"]

CONFIG = ClientConfig(
    server="ws://localhost:8090",
    token="s3cret",
    client_id="c0ffee",
    services=(ServiceOffer("3000", "http", "http://localhost:3000", hostname="c0ffee-3000"),),
    restart="tunnel 3000 --host-header rewrite",
)
GRANT = Grant("3000", 1, "http://c0ffee-3000.tunnel.localhost:8080")


class Written:
    """Stands in for standard output; `full` makes it take no more of what can be left out."""

    def __init__(self) -> None:
        self.text = ""
        self.closed = False
        self.full = False

    @property
    def steady(self) -> SteadyOutput:
        return cast(SteadyOutput, self)

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def offer(self, text: str) -> bool:
        if not self.full:
            self.write(text)
        return not self.full

    def close(self) -> None:
        self.closed = True


def exchange(**fields: Any) -> Exchange:
    """An exchange that differs from a plain one in the given fields."""
    said: dict[str, Any] = {
        "method": b"GET",
        "target": b"/a?b=1",
        "host": b"c0ffee-3000.tunnel.localhost",
        "visitor": "203.0.113.9",
        "status": 200,
        "seconds": 0.0125,
        "size": 4096,
        **fields,
    }
    method, target, host, visitor = (
        said.pop(key) for key in ("method", "target", "host", "visitor")
    )
    head = b"%b %b HTTP/1.1\r\nHost: %b:8080\r\n\r\n" % (method, target, host)
    return Exchange(head, visitor, **said)
