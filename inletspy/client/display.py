"""What a person is told about a tunnel: its address, its requests, its troubles.

`Display` is the agent's observer. It keeps the little state that all ways of telling
have in common (what is up, what was already said) and leaves the words to its
subclasses: plain lines, JSON lines and the quiet one here, the live one in `live`.
It neither dials nor ends anything. Whatever comes from a visitor or a server is made
printable first, so that nobody can send control sequences to a person's terminal.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, succeed

from inletspy.client.config import ClientConfig
from inletspy.client.exchanges import Exchange
from inletspy.client.output import SteadyOutput
from inletspy.client.project import in_keys
from inletspy.client.refusals import refusal_hint
from inletspy.client.requests import RequestFollower
from inletspy.client.watch import UpstreamWatch, look
from inletspy.errors import Refused
from inletspy.policy.addresses import UpstreamAddress
from inletspy.policy.private import PRIVATE
from inletspy.wire.control import Grant, ServiceOffer, ShareLink

if TYPE_CHECKING:
    from inletspy.client.inspector.inspection import Inspection

__all__ = ["Display", "JsonDisplay", "LinesDisplay", "QuietDisplay", "printable"]


#: How long a share link lasts where a person does not say.
LINK_SECONDS: Final = 7200


def printable(text: str | bytes) -> str:
    """The text with all that a terminal might act on escaped, invisible characters too."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def is_reached(offer: ServiceOffer) -> bool:
    """Whether it stands for the private service of another client that this one reaches."""
    return offer.upstream.startswith(PRIVATE)


def way_to(offer: ServiceOffer) -> str:
    """What a person types elsewhere to reach a private service."""
    return f"tunnel connect {offer.private} LOCALPORT"


class Display:
    """Tells a person about a tunnel; the `Observer` of its agent.

    Args:
        reactor: for the time, and to look whether the upstreams listen.
        config: what the tunnel was started with.
        output: where to tell.
    """

    #: Whether it is of interest that an upstream listens.
    watches = True

    def __init__(self, reactor: Any, config: ClientConfig, output: SteadyOutput) -> None:
        self.reactor = reactor
        self.config = config
        self.output = output
        self.offers = {offer.name: offer for offer in config.services}
        #: Service name to public address, as of the last time the tunnel was up.
        self.addresses: dict[str, str] = {}
        #: Has the server make a share link; tells whether it could be asked.
        self.link_source: Callable[[str, int], bool] = lambda service, seconds: False
        #: Captures what passes; None costs nothing.
        self.inspection: Inspection | None = None
        self.open_streams = 0
        #: What the server lists this client as.
        self.client_id = config.client_id
        self._was_ready = False
        self._hinted: set[str] = set()
        self._watches = {name: self._watch(offer) for name, offer in self.offers.items()}

    def _watch(self, offer: ServiceOffer) -> UpstreamWatch:
        return UpstreamWatch(
            self.reactor,
            partial(self._look, offer),
            partial(self._upstream_down, offer),
            partial(self.show_upstream_up, offer),
        )

    def _look(self, offer: ServiceOffer) -> Deferred[None]:
        if is_reached(offer):
            return succeed(None)  # only the server knows
        return look(self.reactor, UpstreamAddress.parse(offer.upstream))

    def start(self) -> None:
        """Begin: look whether the upstreams listen."""
        if self.watches:
            for watch in self._watches.values():
                watch.start()

    def change(self, services: Sequence[ServiceOffer]) -> None:
        """Other services are wanted from now on; new ones are told of once they are up."""
        before, self.offers = self.offers, {offer.name: offer for offer in services}
        for name, offer in before.items():
            if self.offers.get(name) != offer:
                self._watches.pop(name).stop()
                self.addresses.pop(name, None)
                self._hinted.discard(name)
                self.show_removed(offer, replaced=name in self.offers)
        for name, offer in self.offers.items():
            if before.get(name) != offer:
                self._watches[name] = self._watch(offer)
                if self.watches:
                    self._watches[name].start()

    def stop(self) -> None:
        """End; all that was told is written, as far as anybody reads it."""
        for watch in self._watches.values():
            watch.stop()
        self.output.close()

    # -- what the agent tells; see `inletspy.client.agent.Observer`

    def listed(self, client_id: str) -> None:
        """The server has said how it lists this client."""
        self.client_id = printable(client_id)

    def ready(self, grants: Sequence[Grant]) -> None:
        """The tunnel is up, for the first time or again."""
        before = self.addresses
        self.addresses = {
            # A stock server does not say what it answers for, nor under which port.
            grant.name: printable(grant.public_url) or "(any name that nobody else has)"
            for grant in grants
            if grant.name in self.offers
        }
        if self._was_ready:
            self.show_reconnected(self.addresses != before)
        else:
            self._was_ready = True
            self.show_ready()
            if self.config.link_seconds:
                self.ask_for_links()

    def service_added(self, grant: Grant) -> None:
        """A service was granted while the tunnel is up."""
        self.addresses[grant.name] = printable(grant.public_url)
        self.show_added(self.offers[grant.name])

    def service_refused(self, error: Refused) -> None:
        """A service was refused while the tunnel is up, or is served no longer."""
        self.addresses.pop(error.service, None)
        text = in_keys(printable(error.message))
        self.show_refused(self.offers[error.service], error.code.value, text)

    def disconnected(self, reason: str, retry_in: float) -> None:
        """The link was lost; the next try is `retry_in` seconds away."""
        self.show_disconnected(printable(reason), retry_in)

    def notice(self, text: str) -> None:
        """The server says something to the person."""
        self.show_notice(printable(text))

    def shared(self, link: ShareLink) -> None:
        """The server has made a share link."""
        if link.service in self.offers:
            self.show_link(self.offers[link.service], printable(link.url), link.expires)

    def upstream_failed(self, service: str, reason: str) -> None:
        """A visitor's request did not get through to the upstream."""
        if service in self._watches:  # else it is served no longer
            self._watches[service].failed(printable(reason))

    def follow(self, service: str, visitor: str) -> RequestFollower | None:
        """A stream of an http service begins."""
        if service not in self.offers:
            return None  # it is served no longer, but visitors were on their way
        self.open_streams += 1
        offer = self.offers[service]
        return RequestFollower(
            self.reactor.seconds,
            visitor.rpartition(":")[0].strip("[]") or visitor,
            partial(self._exchanged, offer) if self.watches else None,
            self._stream_ended,
            self.inspection.recorder(offer) if self.inspection is not None else None,
        )

    def services(self) -> list[dict[str, str]]:
        """The services that are up, for programs."""
        up = [self.offers[name] for name in self.addresses if name in self.offers]
        return [{"name": offer.name, **self._facts(offer)} for offer in up]

    def _facts(self, offer: ServiceOffer) -> dict[str, str]:
        return {
            "protocol": offer.proto,
            "upstream": offer.upstream,
            "local_address" if is_reached(offer) else "public_url": self.addresses[offer.name],
        }

    def change_failed(self, reason: str) -> None:
        """What is wanted now can't be made out, and stays as it was."""
        self.show_fault(printable(reason))

    # -- for subclasses: each is called when there is something to tell

    def show_ready(self) -> None:
        """The tunnel is up for the first time; see `addresses`."""
        raise NotImplementedError

    def show_reconnected(self, changed: bool) -> None:
        """The tunnel is up again; `changed` says whether `addresses` are."""
        raise NotImplementedError

    def show_disconnected(self, reason: str, retry_in: float) -> None:
        """The link was lost."""
        raise NotImplementedError

    def show_notice(self, text: str) -> None:
        """The server said something."""
        raise NotImplementedError

    def show_added(self, offer: ServiceOffer) -> None:
        """A service is up, later than others; see `addresses`."""
        self.show_notice(f"{offer.name} is up: {self.addresses[offer.name]}")

    def show_removed(self, offer: ServiceOffer, replaced: bool) -> None:
        """A service is served no longer; `replaced` says that one of its name is to come."""
        if not replaced:
            self.show_notice(f"{offer.name} is served no longer")

    def show_refused(self, offer: ServiceOffer, code: str, text: str) -> None:
        """A service is not served, for the reason that `text` gives."""
        self.show_notice(f"{offer.name} is refused: {text}")

    def show_fault(self, text: str) -> None:
        """The file with the services can't be followed."""
        self.show_notice(text)

    def show_link(self, offer: ServiceOffer, url: str, expires: int) -> None:
        """A share link or token, and when it ends, in seconds since the epoch."""
        what = f"share token for `{way_to(offer)}`" if offer.private else "share link"
        self.show_notice(f"{what}, good until {_for_people(expires)}: {url}")

    def show_upstream_down(self, offer: ServiceOffer, text: str, reason: str) -> None:
        """Nothing listens on the upstream: `text` tells so, `reason` alone says why."""
        raise NotImplementedError

    def show_upstream_up(self, offer: ServiceOffer) -> None:
        """The upstream listens after it did not."""
        raise NotImplementedError

    def show_request(self, offer: ServiceOffer, exchange: Exchange) -> None:
        """A request is over."""
        raise NotImplementedError

    def show_hint(self, text: str) -> None:
        """What the person could do about a trouble that visitors have."""
        self.show_notice(text)

    # -- what all have in common

    def ask_for_links(self) -> bool:
        """Have share links made for all private services; False if there are none."""
        asked = False
        for name, offer in self.offers.items():
            if offer.has_links:
                asked |= self.link_source(name, self.config.link_seconds or LINK_SECONDS)
        return asked

    def _upstream_down(self, offer: ServiceOffer, reason: str, by_request: bool) -> None:
        place = offer.upstream.partition("://")[2]
        refused = "refused" in reason
        fault = f"nothing listens on {place}" if refused else f"{place} can't be reached: {reason}"
        if by_request:
            what = "request" if offer.proto == "http" else "connection"
            text = f"a {what} came, but {fault}"
        elif refused:
            what = "requests" if offer.proto == "http" else "connections"
            text = f"{fault} yet; {what} will work as soon as something does"
        else:
            text = fault
        self.show_upstream_down(offer, self.labelled(offer, text), reason)

    def labelled(self, offer: ServiceOffer, text: str) -> str:
        """The text with the service's name before it, where a person has given it one."""
        return f"{offer.name}: {text}" if self.config.file else text

    def _exchanged(self, offer: ServiceOffer, exchange: Exchange) -> None:
        if exchange.status is not None and offer.name in self._watches:
            self._watches[offer.name].answered()
        self.show_request(offer, exchange)
        if exchange.excerpt and offer.name not in self._hinted:
            hint = refusal_hint(exchange, self.config.rewriting(offer))
            if hint is not None:
                self._hinted.add(offer.name)
                self.show_hint(printable(hint))

    def _stream_ended(self) -> None:
        self.open_streams -= 1


def _for_people(moment: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


class LinesDisplay(Display):
    """Plain lines, for a log or a pipe.

    A request is one line of seven words: the time of day, method, target, status (`-`
    if there was no answer), milliseconds with `ms`, bytes with `B`, and the visitor's
    address. A public address is the first word of its line, followed by `->` and the
    upstream. Where services have names, they are the last word of both. All else is text
    for people, with a word and a colon before it.
    """

    #: Why the tunnel is down, as it was said already.
    _reason = ""

    def show_ready(self) -> None:
        """See `Display`."""
        for name in self.addresses:
            self.show_added(self.offers[name])
        if self.inspection is not None:
            self._say(f"inspector: {self.inspection.url}")

    def show_added(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        self._say(f"{self.addresses[offer.name]} -> {offer.upstream}{self._name(offer)}")
        if offer.private:
            self._say(f"private: {way_to(offer)}")

    def show_removed(self, offer: ServiceOffer, replaced: bool) -> None:
        """See `Display`."""
        if not replaced:
            self._say(f"removed: {offer.name}")

    def show_refused(self, offer: ServiceOffer, code: str, text: str) -> None:
        """See `Display`."""
        self._say(f"refused: {offer.name}: {text}")

    def show_fault(self, text: str) -> None:
        """See `Display`."""
        self._say(f"config: {text}")

    def _name(self, offer: ServiceOffer) -> str:
        return f" {offer.name}" if self.config.file else ""

    def show_reconnected(self, changed: bool) -> None:
        """See `Display`."""
        self._reason = ""
        self._say("reconnected: the tunnel is up again")
        if changed:
            self.show_ready()

    def show_disconnected(self, reason: str, retry_in: float) -> None:
        """See `Display`."""
        if reason != self._reason:  # a long outage takes many tries
            self._reason = reason
            self._say(f"disconnected: {reason}; trying again")

    def show_notice(self, text: str) -> None:
        """See `Display`."""
        self._say(f"notice: {text}")

    def show_hint(self, text: str) -> None:
        """See `Display`."""
        self._say(f"hint: {text}")

    def show_link(self, offer: ServiceOffer, url: str, expires: int) -> None:
        """See `Display`."""
        what = "token" if offer.private else "link"
        self._say(f"{what}: {url} (good until {_for_people(expires)}){self._name(offer)}")

    def show_upstream_down(self, offer: ServiceOffer, text: str, reason: str) -> None:
        """See `Display`."""
        self._say(f"upstream: {text}")

    def show_upstream_up(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        place = offer.upstream.partition("://")[2]
        self._say(f"upstream: {self.labelled(offer, place)} answers now")

    def show_request(self, offer: ServiceOffer, exchange: Exchange) -> None:
        """See `Display`."""
        self.output.offer(
            f"{time.strftime('%H:%M:%S')} {printable(exchange.method)} "
            f"{printable(exchange.target)} {exchange.status or '-'} "
            f"{exchange.seconds * 1000:.0f}ms {exchange.size}B {printable(exchange.visitor)}"
            f"{self._name(offer)}\n"
        )

    def _say(self, line: str) -> None:
        self.output.write(line + "\n")


class QuietDisplay(Display):
    """The public address alone, and the service's name where it has one.

    Requests are not even looked at, unless they are captured.
    """

    watches = False

    def follow(self, service: str, visitor: str) -> RequestFollower | None:
        """See `Display`."""
        return None if self.inspection is None else super().follow(service, visitor)

    def show_ready(self) -> None:
        """See `Display`."""
        for name in self.addresses:
            self.show_added(self.offers[name])

    def show_added(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        name = f" {offer.name}" if self.config.file else ""
        self.output.write(f"{self.addresses[offer.name]}{name}\n")

    def show_reconnected(self, changed: bool) -> None:
        """See `Display`."""
        if changed:
            self.show_ready()

    def show_link(self, offer: ServiceOffer, url: str, expires: int) -> None:
        """See `Display`."""
        name = f" {offer.name}" if self.config.file else ""
        self.output.write(f"{url}{name}\n")

    def upstream_failed(self, service: str, reason: str) -> None:
        """See `Display`."""

    def show_disconnected(self, reason: str, retry_in: float) -> None:
        """See `Display`."""

    def show_notice(self, text: str) -> None:
        """See `Display`."""


class JsonDisplay(Display):
    """One JSON object a line, for programs.

    Each has `event` and `time` (ISO 8601, UTC). `ready` and `reconnected` have
    `public_url`, `upstream`, `protocol`, `client_id` and `services`, and `inspector_url`
    while there is an inspector; `request` has
    `service`, `method`, `path`, `status` (null if there was no answer), `duration_ms`,
    `bytes`, `visitor` and `upgraded`; `disconnected` has `reason` and `retry_in`
    (seconds); `upstream_failed` has `service`, `upstream`, `reason` and `message`;
    `upstream_ready` has `service` and `upstream`; `service_added` has `service`,
    `protocol`, `upstream` and `public_url`, `service_removed` has `service`,
    `service_refused` has `service`, `code` and `message`; `share_link` has `service`,
    `url` and `expires` (as `time`), `share_token` `token` in place of `url`;
    `config_error`, `notice` and `hint` have `message`. Where a private service of another
    client is reached, there is `local_address` in place of `public_url`.
    """

    def show_ready(self) -> None:
        """See `Display`."""
        self._tell_up("ready")

    def show_reconnected(self, changed: bool) -> None:
        """See `Display`."""
        self._tell_up("reconnected")

    def show_disconnected(self, reason: str, retry_in: float) -> None:
        """See `Display`."""
        self._tell("disconnected", reason=reason, retry_in=round(retry_in, 3))

    def show_notice(self, text: str) -> None:
        """See `Display`."""
        self._tell("notice", message=text)

    def show_hint(self, text: str) -> None:
        """See `Display`."""
        self._tell("hint", message=text)

    def show_link(self, offer: ServiceOffer, url: str, expires: int) -> None:
        """See `Display`."""
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(expires))
        if offer.private:
            self._tell("share_token", service=offer.name, token=url, expires=until)
        else:
            self._tell("share_link", service=offer.name, url=url, expires=until)

    def show_added(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        self._tell("service_added", service=offer.name, **self._facts(offer))

    def show_removed(self, offer: ServiceOffer, replaced: bool) -> None:
        """See `Display`."""
        self._tell("service_removed", service=offer.name)

    def show_refused(self, offer: ServiceOffer, code: str, text: str) -> None:
        """See `Display`."""
        self._tell("service_refused", service=offer.name, code=code, message=text)

    def show_fault(self, text: str) -> None:
        """See `Display`."""
        self._tell("config_error", message=text)

    def show_upstream_down(self, offer: ServiceOffer, text: str, reason: str) -> None:
        """See `Display`."""
        self._tell(
            "upstream_failed",
            service=offer.name,
            upstream=offer.upstream,
            reason=reason,
            message=text,
        )

    def show_upstream_up(self, offer: ServiceOffer) -> None:
        """See `Display`."""
        self._tell("upstream_ready", service=offer.name, upstream=offer.upstream)

    def show_request(self, offer: ServiceOffer, exchange: Exchange) -> None:
        """See `Display`."""
        self.output.offer(
            json_line(
                "request",
                service=offer.name,
                method=printable(exchange.method),
                path=printable(exchange.target),
                status=exchange.status,
                duration_ms=round(exchange.seconds * 1000, 1),
                bytes=exchange.size,
                visitor=printable(exchange.visitor),
                upgraded=exchange.upgraded,
            )
        )

    def _tell_up(self, event: str) -> None:
        services = self.services()
        fields: dict[str, Any] = {k: v for k, v in (services or [{}])[0].items() if k != "name"}
        fields |= {"client_id": self.client_id, "services": services}
        if self.inspection is not None:
            fields["inspector_url"] = self.inspection.url
        self._tell(event, **fields)

    def _tell(self, event: str, **fields: Any) -> None:
        self.output.write(json_line(event, **fields))


def json_line(event: str, **fields: Any) -> str:
    """One event as a line of JSON."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return json.dumps({"event": event, "time": now, **fields}) + "\n"
