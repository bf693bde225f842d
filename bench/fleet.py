"""A thousand clients of one server: what an idle tunnel weighs, and how soon all are back.

`python -m bench.fleet COUNT PROTOCOL` is the clients: so many dialers of our own in one
process, each with one http tunnel, which find their server by the environment. It says
how many are connected, in a line each time that changes. The functions measure with it.
"""

from __future__ import annotations

import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from bench.peers import start_inlets_server
from bench.programs import Program, Programs, free_port
from bench.ways import content, find_program, start_inletspy

__all__ = ["idle_memory", "main", "return_seconds"]

#: Seconds for what a new client sets off to be done with.
_REST: Final = 3.0
#: Seconds from one client's start to the next one's.
_PAUSE: Final = 0.005


def idle_memory(programs: Programs, count: int) -> dict[str, float]:
    """Kilobytes of a server's memory for each of so many idle tunnels, by kind of server.

    Raises:
        BenchError: it can't be measured.
    """
    found = {}
    for name, protocol in (("inletspy", "native"), ("inletspy, stock protocol", "inlets")):
        folder = f"idle-{protocol}"
        server, _ = start_inletspy(programs, programs.folder / folder, *_ports())
        environ = {"INLETSPY_DATA_DIR": str(programs.folder / folder)}
        if protocol == "inlets":
            described = content(programs.folder / folder / "server.json")
            token = (programs.folder / folder / "token.txt").read_text().strip()
            environ = _access(described["control_port"], token)
        found[name] = _weight(programs, server, count, protocol, environ)
    binary = find_program("inlets")
    if binary is not None:
        server, _, control, token = start_inlets_server(programs, binary)
        found["inlets"] = _weight(programs, server, count, "inlets", _access(control, token))
    return found


def _weight(
    programs: Programs, server: Program, count: int, protocol: str, environ: Mapping[str, str]
) -> float:
    # What one client loads, such as modules, is no matter of how many there are.
    programs.end(_fleet(programs, 1, protocol, environ))
    time.sleep(_REST)
    before = server.memory()
    fleet = _fleet(programs, count, protocol, environ)
    time.sleep(_REST)
    weight = (server.memory() - before) / count / 1000
    programs.end(fleet)
    programs.end(server)
    return weight


def return_seconds(programs: Programs, count: int) -> float:
    """Seconds from a restarted server's being ready until so many clients are back.

    Raises:
        BenchError: they don't come back.
    """
    data = programs.folder / "return"
    ports = _ports()
    server, _ = start_inletspy(programs, data, *ports)
    fleet = _fleet(programs, count, "native", {"INLETSPY_DATA_DIR": str(data)})
    programs.end(server)
    fleet.until("all were gone", lambda: _connected(fleet) == 0)
    (data / "server.json").unlink(missing_ok=True)
    server, _ = start_inletspy(programs, data, *ports)
    began = time.perf_counter()
    fleet.until("all were back", lambda: _connected(fleet) == count)
    took = time.perf_counter() - began
    programs.end(fleet)
    programs.end(server)
    return took


def _ports() -> list[str]:
    """Options for free ports, the same after a restart."""
    planes = ("control", "data", "status")
    return [word for plane in planes for word in (f"--{plane}-port", str(free_port()))]


def _access(control_port: int, token: str) -> dict[str, str]:
    return {"INLETS_SERVER": f"ws://127.0.0.1:{control_port}", "INLETS_TOKEN": token}


def _fleet(programs: Programs, count: int, protocol: str, environ: Mapping[str, str]) -> Program:
    command = [sys.executable, "-m", "bench.fleet", str(count), protocol]
    fleet = programs.start(f"fleet-{free_port()}", command, **environ)
    fleet.until("all were connected", lambda: _connected(fleet) == count)
    return fleet


def _connected(fleet: Program) -> int:
    lines = fleet.output.splitlines()
    return int(lines[-1]) if lines and lines[-1].isdigit() else -1


# -- the clients -----------------------------------------------------------------------


class _Client:
    """What one dialer tells: only whether it is connected."""

    def __init__(self, connected: set[_Client]) -> None:
        self._connected = connected

    def ready(self, grants: Sequence[Any]) -> None:
        self._connected.add(self)

    def disconnected(self, reason: str, retry_in: float) -> None:
        self._connected.discard(self)

    def __getattr__(self, name: str) -> Any:
        return lambda *words: None  # all else that a person would be told


def main(count: int, protocol: str) -> None:
    """Run so many clients until the process is ended."""
    from twisted.internet import reactor as installed_reactor
    from twisted.internet.defer import ensureDeferred
    from twisted.internet.task import LoopingCall, deferLater

    from inletspy.client.access import ClientFile, find_access
    from inletspy.client.dialer import Dialer, ServerAddress
    from inletspy.tunnel.endpoint import quicken
    from inletspy.wire.control import ServiceOffer

    reactor: Any = installed_reactor
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    connected: set[_Client] = set()
    told = [-1]

    def tell() -> None:
        if len(connected) != told[0]:
            told[0] = len(connected)
            print(told[0], flush=True)

    async def begin() -> None:
        async def no_platform(backend: str, token: str) -> Any:
            raise NotImplementedError

        access = await find_access("", "", os.environ, ClientFile(), no_platform)
        for number in range(count):
            dialer = Dialer(
                reactor,
                ServerAddress.parse(access.server),
                access.token,
                f"fleet-{number}",
                [ServiceOffer("web", "http", "http://localhost:9", f"fleet-{number}")],
                _Client(connected),
                protocol=protocol,
            )
            dialer.run().addErrback(lambda failure: print(failure.getErrorMessage(), flush=True))
            # Of one address, a server takes only so many at once that it does not know yet.
            await deferLater(reactor, _PAUSE)

    def start() -> None:
        quicken(reactor)
        ensureDeferred(begin())
        LoopingCall(tell).start(0.02)

    reactor.callWhenRunning(start)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
