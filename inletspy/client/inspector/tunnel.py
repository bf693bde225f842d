"""What the inspector asks of the tunnel whose requests it shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from inletspy.client.config import ClientConfig
from inletspy.wire.control import ServiceOffer

__all__ = ["Tunnel"]


class Tunnel(Protocol):
    """What is carried; the display of a tunnel is one.

    Attributes:
        config: what it was started with.
    """

    config: ClientConfig

    @property
    def offers(self) -> Mapping[str, ServiceOffer]:
        """The services that are wanted now, by name."""

    def services(self) -> list[dict[str, Any]]:
        """Those that are up, as programs are told of them."""
