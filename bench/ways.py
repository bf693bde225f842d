"""Ways to the upstreams: direct, through nginx alone, through inletspy.

Each is a function that starts what is needed and gives a `Way`; other tunnels are in
`peers`. There are three upstreams: one for small requests (nginx where there is one), and
one of our own for everything else, by HTTP and by TCP.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.load import Place
from bench.programs import Program, Programs, free_port, listens

__all__ = [
    "TARGET",
    "Upstreams",
    "Way",
    "content",
    "direct",
    "find_program",
    "inletspy",
    "nginx",
    "start_inletspy",
    "start_upstreams",
    "version_of",
]

#: What small requests ask for, and how many bytes they get.
_SMALL: Final = 1024
TARGET: Final = f"/{_SMALL}"

#: Of nginx, both as an upstream and as a proxy.
_NGINX: Final = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h; client_max_body_size 0;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {servers}
}}
"""

_UPSTREAM: Final = """
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = {target} {{ default_type text/plain; return 200 "{body}"; }}
    }}
"""

_PROXY: Final = """
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream small {{ server 127.0.0.1:{small}; keepalive 128; }}
    upstream own {{ server 127.0.0.1:{own}; keepalive 128; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off;
        proxy_set_header Host $host;
        proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
        location = {target} {{ proxy_pass http://small; }}
        location / {{ proxy_pass http://own; }}
    }}
"""


@dataclass(frozen=True)
class Upstreams:
    """The services behind the tunnels.

    Attributes:
        name: what the one for small requests is.
        small: its port.
        own: the port of our own for HTTP.
        tcp: the port of our own for TCP.
    """

    name: str
    small: int
    own: int
    tcp: int


@dataclass(frozen=True)
class Way:
    """One way to the upstreams.

    Attributes:
        name: for tables.
        small: where visitors ask for little.
        own: where they ask our own upstream, by HTTP.
        tcp: the port that leads to it by TCP; 0 for none.
        server: the programs of the tunnel's server; none where there is no tunnel.
        client: those of its client.
        note: what is to be known of it to read the figures.
    """

    name: str
    small: Place
    own: Place
    tcp: int = 0
    server: Sequence[Program] = ()
    client: Sequence[Program] = ()
    note: str = ""


def find_program(name: str) -> str | None:
    """Where a program is: named by `NAME_BIN`, or found on the PATH and in sbin."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return shutil.which(os.environ.get(f"{name.upper()}_BIN") or name, path=path)


def version_of(programs: Programs, *command: str) -> str:
    """The first thing like a version in what a command prints; empty if there is none."""
    # Not the seconds of the moment at which it was built.
    found = re.search(r"(?<![0-9:.])[0-9]+\.[0-9]+(\.[0-9]+)?(p[0-9]+)?", programs.ask(*command))
    return found[0] if found else ""


def start_upstreams(programs: Programs) -> Upstreams:
    """Start the services behind the tunnels."""
    own, tcp = free_port(), free_port()
    command = [sys.executable, "-m", "bench.upstream", str(own), str(tcp)]
    program = programs.start("upstream", command)
    program.until("it listened", lambda: listens(own) and listens(tcp))
    binary = find_program("nginx")
    if binary is None:
        return Upstreams("our own in Python (there is no nginx)", own, own, tcp)
    port = free_port()
    server = _UPSTREAM.format(port=port, target=TARGET, body="x" * _SMALL)
    _start_nginx(programs, "nginx-upstream", binary, port, server)
    return Upstreams(f"nginx {version_of(programs, binary, '-v')}", port, own, tcp)


def _start_nginx(programs: Programs, name: str, binary: str, port: int, servers: str) -> Program:
    folder = programs.folder / name
    folder.mkdir()
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(folder=folder, servers=servers))
    program = programs.start(name, [binary, "-c", str(settings)])
    program.until("it listened", lambda: listens(port))
    return program


def direct(programs: Programs, upstreams: Upstreams) -> Way:
    """No tunnel and no proxy."""
    return Way("direct", Place(upstreams.small, "x"), Place(upstreams.own, "x"), upstreams.tcp)


def nginx(programs: Programs, upstreams: Upstreams) -> Way | None:
    """Nginx as a plain reverse proxy: what can be had without a tunnel."""
    binary = find_program("nginx")
    if binary is None:
        return None
    port = free_port()
    servers = _PROXY.format(port=port, small=upstreams.small, own=upstreams.own, target=TARGET)
    server = _start_nginx(programs, "nginx-proxy", binary, port, servers)
    place = Place(port, "x")
    return Way(
        f"nginx {version_of(programs, binary, '-v')}",
        place,
        place,
        server=(server,),
        note="no tunnel: one proxy, one process",
    )


def start_inletspy(programs: Programs, data: Path, *options: str) -> tuple[Program, dict[str, Any]]:
    """A server of this checkout, as a person would start it; and its `server.json`."""
    server = programs.start(
        f"server-{data.name}",
        [
            *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
            *("-n", "--pidfile=", "inletspy", "--data-dir", str(data), "--interface", "127.0.0.1"),
            *("--access-log", str(programs.folder / f"{data.name}.access.log"), *options),
        ],
    )
    described: dict[str, Any] = server.until("it was ready", lambda: content(data / "server.json"))
    return server, described


def inletspy(programs: Programs, upstreams: Upstreams) -> Way:
    """This checkout's server and clients, each as a person would start it."""
    data = programs.folder / "inletspy"
    ports = ("--control-port", "0", "--data-port", "0", "--status-port", "0")
    server, described = start_inletspy(programs, data, *ports)
    # One client with all services, on one link, as the other tunnels have it.
    (programs.folder / "inletspy.toml").write_text(
        f'[services.small]\nupstream = {upstreams.small}\nhostname = "bench-small"\n'
        f'[services.own]\nupstream = {upstreams.own}\nhostname = "bench-own"\n'
        f'[services.tcp]\nproto = "tcp"\nupstream = {upstreams.tcp}\n'
    )
    client = programs.start(
        "tunnel",
        [
            *(sys.executable, "-c"),
            "import sys; from inletspy.client.cli import main; sys.exit(main())",
            *("--config", str(programs.folder / "inletspy.toml"), "--quiet"),
        ],
        INLETSPY_DATA_DIR=str(data),
    )
    client.until("its tunnels were up", lambda: client.output.count("://") == 3)
    (tcp,) = re.findall(r"tcp://[^ ]+:([0-9]+)", client.output)
    port, domain = described["data_port"], described["domain"]
    small, own = (Place(port, f"bench-{name}.{domain}") for name in ("small", "own"))
    return Way("inletspy", small, own, int(tcp), (server,), (client,))


def content(path: Path) -> Any:
    """What a JSON file holds; None if there is none that is whole."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
