"""Ways to the upstream: direct, through inletspy, through stock inlets.

Each is a function that starts what is needed and gives a `Way`. There are two upstreams:
one for small requests, nginx where there is one, and one for bulk, always our own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench.load import Place
from bench.programs import BenchError, Program, Programs, free_port, listens

__all__ = ["TARGET", "Upstreams", "Way", "direct", "inlets", "inletspy", "start_upstreams"]

#: What small requests ask for, and how many bytes they get.
_SMALL: Final = 1024
TARGET: Final = f"/{_SMALL}"

_NGINX: Final = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 4096; }}
http {{
    access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location = {target} {{ default_type text/plain; return 200 "{body}"; }}
    }}
}}
"""


@dataclass(frozen=True)
class Upstreams:
    """The services behind the tunnels.

    Attributes:
        name: what the one for small requests is.
        small: its port.
        bulk: the port of the one for bulk.
    """

    name: str
    small: int
    bulk: int


@dataclass(frozen=True)
class Way:
    """One way to the upstreams.

    Attributes:
        name: for tables.
        small: where visitors ask for little.
        bulk: where they ask for much.
        server: the tunnel's server; none where there is no tunnel.
        client: the tunnel's client for small requests.
    """

    name: str
    small: Place
    bulk: Place
    server: Sequence[Program] = ()
    client: Sequence[Program] = ()


def start_upstreams(programs: Programs) -> Upstreams:
    """Start the services behind the tunnels."""
    bulk = _own_upstream(programs, "bulk-upstream")
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if nginx is None:
        small = _own_upstream(programs, "small-upstream")
        return Upstreams("our own in Python (there is no nginx)", small, bulk)
    port = free_port()
    settings = programs.folder / "nginx.conf"
    content = _NGINX.format(folder=programs.folder, port=port, target=TARGET, body="x" * _SMALL)
    settings.write_text(content)
    program = programs.start("nginx", [nginx, "-c", str(settings)])
    program.until("it listened", lambda: listens(port))
    return Upstreams("nginx", port, bulk)


def _own_upstream(programs: Programs, name: str) -> int:
    port = free_port()
    program = programs.start(name, [sys.executable, "-m", "bench.upstream", str(port)])
    program.until("it listened", lambda: listens(port))
    return port


def direct(upstreams: Upstreams) -> Way:
    """No tunnel."""
    return Way("direct", Place(upstreams.small, "localhost"), Place(upstreams.bulk, "localhost"))


def inletspy(programs: Programs, upstreams: Upstreams) -> Way:
    """This checkout's server and clients, each as a person would start it."""
    data = programs.folder / "data"
    server = programs.start(
        "inletspy-server",
        [
            *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
            *("-n", "--pidfile=", "inletspy", "--data-dir", str(data), "--interface", "127.0.0.1"),
            *("--control-port", "0", "--data-port", "0", "--status-port", "0"),
        ],
    )
    described: dict[str, Any] = server.until("it was ready", lambda: _content(data / "server.json"))
    hosts = {}
    clients = {}
    for name, port in (("small", upstreams.small), ("bulk", upstreams.bulk)):
        client = programs.start(
            f"inletspy-client-{name}",
            [
                *(sys.executable, "-c"),
                "import sys; from inletspy.client.cli import main; sys.exit(main())",
                *(str(port), "--quiet", "--name", f"bench-{name}"),
            ],
            INLETSPY_DATA_DIR=str(data),
        )
        client.until("its tunnel was up", partial(_names_an_address, client))
        hosts[name] = Place(described["data_port"], f"bench-{name}.{described['domain']}")
        clients[name] = client
    return Way("inletspy", hosts["small"], hosts["bulk"], (server,), (clients["small"],))


def _names_an_address(client: Program) -> bool:
    return "://" in client.output


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def inlets(programs: Programs, upstreams: Upstreams, binary: str) -> Way:
    """Stock inlets, 2.x or 3.x; raises BenchError where the binary is neither."""
    help_text, version = (_ask(binary, *words) for words in (("client", "--help"), ("version",)))
    remote = "--remote" if "--remote" in help_text else "--url"
    if remote not in help_text:
        raise BenchError(f"{binary} is no inlets of version 2 or 3")
    known = re.search(r"Version: *v?([0-9][0-9.]*)", version) or re.search(
        r"([0-9]+\.[0-9]+\.[0-9]+)", Path(binary).name
    )
    name = f"inlets {known[1]}" if known else "inlets"
    data, control = free_port(), free_port()
    server = programs.start(
        "inlets-server",
        [binary, "server", f"--port={data}", f"--control-port={control}", "--token=bench"],
    )
    server.until("it listened", lambda: listens(data) and listens(control))
    hosts = {"small.bench": upstreams.small, "bulk.bench": upstreams.bulk}
    announced = ",".join(f"{host}=http://127.0.0.1:{port}" for host, port in hosts.items())
    command = [binary, "client", f"{remote}=ws://127.0.0.1:{control}", "--token=bench"]
    command += [f"--upstream={announced}", *(["--insecure"] if "--insecure" in help_text else [])]
    client = programs.start("inlets-client", command)
    small, bulk = Place(data, "small.bench"), Place(data, "bulk.bench")
    client.until("its tunnel was up", lambda: small.answers(TARGET))
    return Way(name, small, bulk, (server,), (client,))


def _ask(binary: str, *words: str) -> str:
    try:
        done = subprocess.run([binary, *words], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BenchError(f"can't run {binary}: {error}") from error
    return done.stdout + done.stderr
