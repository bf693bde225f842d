"""What to do after `inletspy setup`, as text whose commands can be typed as they are.

Knows the samples in `tap-configs/` by name, and where they expect things to be.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

from inletspy.config import ServerConfig, default_data_dir

__all__ = ["config_command", "next_steps"]

#: Where tap-configs/inletspy.service has them.
UNIT_DATA_DIR: Final = Path("/var/lib/inletspy")
UNIT_ENVIRONMENT: Final = UNIT_DATA_DIR / "inletspy.env"

DEVELOPMENT: Final = """\
Start the server:
     {start}

Then, in another shell, give the service on port 3000 a public address:
     {tunnel} 3000
"""

PRODUCTION: Final = """\
1. DNS: both names lead to this machine (A, and AAAA where it has IPv6).
     {domain}
     *.{domain}

2. A certificate with both names. For the second one, authorities ask by DNS.
     /etc/inletspy/fullchain.pem
     /etc/inletspy/key.pem

3. TLS ends in an nginx on this machine:
     cp tap-configs/behind-nginx.toml /etc/inletspy/server.toml
     sed 's/tunnel\\.example\\.com/{domain}/g' tap-configs/nginx.conf > {site}
     {trust}
   or in the server itself:
     cp tap-configs/production.toml /etc/inletspy/server.toml

4. Start the server, by systemd:
     cp tap-configs/inletspy.service /etc/systemd/system/{differences}
     systemctl enable --now inletspy
   or by hand:
     {start}

5. Let in through the firewall: ports 80 and 443, and those of tcp tunnels.
     {ports}

6. Where a service runs, with the token (INLETS_TOKEN above) in a file:
     tunnel 3000 --server {control} --token-file FILE
"""


def next_steps(config: ServerConfig, development: bool, file: Path, control: str) -> str:
    """The steps that are left to whoever set up a server.

    Args:
        config: where the server will be.
        development: whether it is for one's own machine.
        file: its environment.
        control: the address for clients.
    """
    if development:
        tunnel = _program("tunnel")
        if config.data_dir != default_data_dir():
            tunnel = f"INLETSPY_DATA_DIR={shlex.quote(str(config.data_dir))} {tunnel}"
        return DEVELOPMENT.format(start=_with(file, "twistd -n inletspy"), tunnel=tunnel)
    return PRODUCTION.format(
        domain=config.domain,
        site="/etc/nginx/conf.d/inletspy.conf",
        trust=config_command(config, file, "set trusted_proxies '[\"127.0.0.1/32\"]'"),
        differences="".join(f"\n   {line}" for line in _differences(config, file)),
        start=_with(file, "twistd -n inletspy --config /etc/inletspy/server.toml"),
        ports=config_command(config, file, "get tcp_port_range"),
        control=shlex.quote(control),
    )


def config_command(config: ServerConfig, file: Path, words: str) -> str:
    """`inletspy config …` for this server's database.

    Args:
        config: where the server will be.
        file: its environment.
        words: what comes after `config`.
    """
    command = f"inletspy config {words}"
    if config.database:  # a URL that may hold a password
        return _with(file, command)
    if config.data_dir != default_data_dir():
        command += f" --data-dir {shlex.quote(str(config.data_dir))}"
    return _located(command)


def _with(file: Path, command: str) -> str:
    """A command that is run with the environment in the file, and leaves none behind."""
    return f"(set -a; . {shlex.quote(str(file))}; exec {_located(command)})"


def _located(command: str) -> str:
    """The command, with the path of its program where its name alone does not do."""
    name, _, words = command.partition(" ")
    return f"{_program(name)} {words}"


def _differences(config: ServerConfig, file: Path) -> list[str]:
    """What has to be changed in the unit, which has its own places for things."""
    lines = []
    if file != UNIT_ENVIRONMENT:
        lines.append(f"and say in it: EnvironmentFile={file}")
    if config.data_dir != UNIT_DATA_DIR:
        lines.append(f"and say in it: ReadWritePaths={config.data_dir}, User= its owner")
    return lines


def _program(name: str) -> str:
    """How to call a program of ours: by its name, or by its path where that is needed."""
    beside = Path(sys.argv[0]).absolute().parent / name
    return name if shutil.which(name) or not beside.exists() else shlex.quote(str(beside))
