"""Other tunnels, where their programs are on the machine: started as their documents say.

Each function gives a `Way`, or None where the program is missing. Those that forward TCP
only carry HTTP as bytes, and so do less than one that knows HTTP.
"""

from __future__ import annotations

import getpass
import os
import secrets
from functools import partial
from typing import Final

from bench.load import Place
from bench.programs import BenchError, Program, Programs, free_port, listens
from bench.ways import TARGET, Upstreams, Way, find_program, start_inletspy, version_of

__all__ = ["PEERS", "start_inlets_server"]

_TOKEN: Final = secrets.token_hex(16)


def inlets(programs: Programs, upstreams: Upstreams) -> Way | None:
    """Stock inlets, 2.x or 3.x: server and client."""
    binary = find_program("inlets")
    if binary is None:
        return None
    server, data, control, _ = start_inlets_server(programs, binary)
    hosts = {"small.bench": upstreams.small, "own.bench": upstreams.own}
    client = programs.start("inlets-client", _inlets_client(programs, binary, control, hosts))
    small, own = Place(data, "small.bench"), Place(data, "own.bench")
    client.until("its tunnel was up", lambda: small.answers(TARGET))
    name = f"inlets {version_of(programs, binary, 'version')}".strip()
    return Way(name, small, own, 0, (server,), (client,))


def start_inlets_server(programs: Programs, binary: str) -> tuple[Program, int, int, str]:
    """A stock inlets server; with its data port, its control port and its token."""
    data, control = free_port(), free_port()
    command = [binary, "server", f"--port={data}", f"--control-port={control}"]
    help_text = programs.ask(binary, "server", "--help")
    for option in ("--bind-addr", "--control-addr", "--data-addr"):
        if option in help_text:
            command.append(f"{option}=127.0.0.1")
    server = programs.start(f"inlets-server-{data}", [*command, f"--token={_TOKEN}"])
    server.until("it listened", lambda: listens(data) and listens(control))
    return server, data, control, _TOKEN


def _inlets_client(
    programs: Programs, binary: str, control: int, hosts: dict[str, int], token: str = _TOKEN
) -> list[str]:
    help_text = programs.ask(binary, "client", "--help")
    remote = "--remote" if "--remote" in help_text else "--url"
    if remote not in help_text:
        raise BenchError(f"{binary} is no inlets of version 2 or 3")
    announced = ",".join(f"{host}=http://127.0.0.1:{port}" for host, port in hosts.items())
    command = [binary, "client", f"{remote}=ws://127.0.0.1:{control}", f"--token={token}"]
    return [
        *command,
        f"--upstream={announced}",
        *(["--insecure"] if "--insecure" in help_text else []),
    ]


def inlets_client(programs: Programs, upstreams: Upstreams) -> Way | None:
    """Our server with a stock inlets client."""
    binary = find_program("inlets")
    if binary is None:
        return None
    data = programs.folder / "stock-client"
    ports = ("--control-port", "0", "--data-port", "0", "--status-port", "0")
    server, described = start_inletspy(programs, data, *ports)
    names = {name: f"{name}.{described['domain']}" for name in ("small", "own")}
    hosts = {names["small"]: upstreams.small, names["own"]: upstreams.own}
    token = (data / "token.txt").read_text().strip()
    client = programs.start(
        "stock-client",
        _inlets_client(programs, binary, described["control_port"], hosts, token),
    )
    small, own = (Place(described["data_port"], names[name]) for name in ("small", "own"))
    client.until("its tunnel was up", lambda: small.answers(TARGET))
    return Way("inletspy, stock client", small, own, 0, (server,), (client,))


def frp(programs: Programs, upstreams: Upstreams) -> Way | None:
    """frp: HTTP by host name, and TCP."""
    server_binary, client_binary = find_program("frps"), find_program("frpc")
    if server_binary is None or client_binary is None:
        return None
    control, http, tcp = free_port(), free_port(), free_port()
    auth = f'auth.method = "token"\nauth.token = "{_TOKEN}"\n'
    folder = programs.folder
    (folder / "frps.toml").write_text(
        f'bindAddr = "127.0.0.1"\nproxyBindAddr = "127.0.0.1"\nbindPort = {control}\n'
        f"vhostHTTPPort = {http}\n{auth}"
    )
    proxies = "".join(
        f'[[proxies]]\nname = "{name}"\ntype = "http"\nlocalIP = "127.0.0.1"\n'
        f'localPort = {port}\ncustomDomains = ["{name}.bench"]\n'
        for name, port in (("small", upstreams.small), ("own", upstreams.own))
    )
    (folder / "frpc.toml").write_text(
        f'serverAddr = "127.0.0.1"\nserverPort = {control}\n{auth}'
        "transport.tls.enable = false\n"
        f'{proxies}[[proxies]]\nname = "tcp"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n'
        f"localPort = {upstreams.tcp}\nremotePort = {tcp}\n"
    )
    server = programs.start("frps", [server_binary, "-c", str(folder / "frps.toml")])
    server.until("it listened", lambda: listens(control) and listens(http))
    client = programs.start("frpc", [client_binary, "-c", str(folder / "frpc.toml")])
    small, own = Place(http, "small.bench"), Place(http, "own.bench")
    client.until("its tunnel was up", lambda: small.answers(TARGET) and listens(tcp))
    name = f"frp {version_of(programs, server_binary, '--version')}"
    return Way(name, small, own, tcp, (server,), (client,), "its TLS off")


def chisel(programs: Programs, upstreams: Upstreams) -> Way | None:
    """chisel: TCP through SSH through a WebSocket."""
    binary = find_program("chisel")
    if binary is None:
        return None
    control, ports = free_port(), _public_ports(upstreams)
    server = programs.start(
        "chisel-server",
        [binary, "server", "--host", "127.0.0.1", "--port", str(control), "--reverse"],
    )
    server.until("it listened", lambda: listens(control))
    forwards = [f"R:127.0.0.1:{public}:127.0.0.1:{port}" for public, port in ports]
    client = programs.start(
        "chisel-client", [binary, "client", f"http://127.0.0.1:{control}", *forwards]
    )
    name = f"chisel {version_of(programs, binary, '--version')}".strip()
    return _by_port(name, ports, server, client, "forwards TCP, encrypted")


def rathole(programs: Programs, upstreams: Upstreams) -> Way | None:
    """rathole: TCP."""
    binary = find_program("rathole")
    if binary is None:
        return None
    control, ports = free_port(), _public_ports(upstreams)
    folder = programs.folder
    (folder / "rathole-server.toml").write_text(
        f'[server]\nbind_addr = "127.0.0.1:{control}"\ndefault_token = "{_TOKEN}"\n'
        + "".join(
            f'[server.services.s{port}]\nbind_addr = "127.0.0.1:{public}"\n'
            for public, port in ports
        )
    )
    (folder / "rathole-client.toml").write_text(
        f'[client]\nremote_addr = "127.0.0.1:{control}"\ndefault_token = "{_TOKEN}"\n'
        + "".join(
            f'[client.services.s{port}]\nlocal_addr = "127.0.0.1:{port}"\n' for _, port in ports
        )
    )
    server = programs.start("rathole-server", [binary, str(folder / "rathole-server.toml")])
    server.until("it listened", lambda: listens(control))
    client = programs.start("rathole-client", [binary, str(folder / "rathole-client.toml")])
    name = f"rathole {version_of(programs, binary, '--version')}".strip()
    return _by_port(name, ports, server, client, "forwards TCP, nothing encrypted")


def ssh(programs: Programs, upstreams: Upstreams) -> Way | None:
    """OpenSSH's remote forwarding, with a server of our own for this."""
    server_binary, client_binary = find_program("sshd"), find_program("ssh")
    if server_binary is None or client_binary is None:
        return None
    port, ports = free_port(), _public_ports(upstreams)
    folder = programs.folder / "ssh"
    folder.mkdir(mode=0o700)
    for key in ("host", "user"):
        programs.ask("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key))
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/user.pub\nStrictModes no\nUsePAM no\n"
        "PermitRootLogin prohibit-password\nAllowTcpForwarding yes\n"
    )
    if os.geteuid() == 0:  # where sshd of root confines itself; it may stay
        os.makedirs("/run/sshd", exist_ok=True)
    server = programs.start("sshd", [server_binary, "-D", "-e", "-f", str(folder / "sshd_config")])
    server.until("it listened", lambda: listens(port))
    forwards = [f"-R127.0.0.1:{public}:127.0.0.1:{target}" for public, target in ports]
    client = programs.start(
        "ssh",
        [
            *(client_binary, "-N", "-F", "none", "-i", str(folder / "user"), "-p", str(port)),
            *("-o", f"UserKnownHostsFile={folder}/known_hosts"),
            *("-o", "StrictHostKeyChecking=accept-new", "-o", "ExitOnForwardFailure=yes"),
            *(*forwards, f"{getpass.getuser()}@127.0.0.1"),
        ],
    )
    name = f"ssh {version_of(programs, client_binary, '-V')}"
    return _by_port(name, ports, server, client, "forwards TCP, encrypted")


def _public_ports(upstreams: Upstreams) -> list[tuple[int, int]]:
    """A free public port for each upstream: for small requests, our own, and TCP."""
    return [(free_port(), port) for port in (upstreams.small, upstreams.own, upstreams.tcp)]


def _by_port(
    name: str, ports: list[tuple[int, int]], server: Program, client: Program, note: str
) -> Way:
    small, own, tcp = (public for public, _ in ports)
    client.until("its tunnel was up", partial(_all_listen, small, own, tcp))
    client.until("its tunnel answered", lambda: Place(small, "x").answers(TARGET))
    return Way(name, Place(small, "x"), Place(own, "x"), tcp, (server,), (client,), note)


def _all_listen(*ports: int) -> bool:
    return all(listens(port) for port in ports)


#: What each is called on the command line.
PEERS: Final = {
    "inlets": inlets,
    "stock-client": inlets_client,
    "frp": frp,
    "chisel": chisel,
    "rathole": rathole,
    "ssh": ssh,
}
