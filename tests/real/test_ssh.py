"""SSH: OpenSSH by ProxyCommand, paramiko and asyncssh by `sock=`; and the relay by itself."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncssh
import paramiko
import pytest

from connect_tunnel import open_tunnel, open_tunnel_async

from .ring import PASSWORD, USER, Port, Ring, Service
from .targets import ORIGINS, SSHD

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from .entrance import Entrance

ACCOUNT = pwd.getpwuid(os.getuid()).pw_name
COMMAND = "printf 'tunnel %s' ok; cat"
RELAY = [sys.executable, "-m", "connect_tunnel", "relay"]
ENTRANCES = ["squid", "squid-tls", "squid-basic", "tinyproxy", "apache-tls", "envoy"]
MEGABYTE = bytes(range(256)) * 4096


@dataclass(frozen=True)
class Server:
    """Where sshd is, and what its clients need to know."""

    port: int
    key: Path
    known_hosts: Path

    @classmethod
    def of(cls, ring: Ring) -> Server:
        folder = ring.folder / SSHD.name
        return cls(ring.port(Port.SSH), folder / "user", folder / "known_hosts")

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture
def server(ring: Ring, start: Callable[[Service], None]) -> Server:
    start(SSHD)
    return Server.of(ring)


def relay(ring: Ring, entrance: Entrance, words: list[str]) -> tuple[list[str], dict[str, str]]:
    """The relay's command line and environment: a URL cannot hold a context."""
    password = f"{USER}:{PASSWORD}@" if entrance.auth else ""
    url = entrance.url(ring).replace("://", f"://{password}")
    environment = {**os.environ, "SSL_CERT_FILE": str(ring.proxy_authority.ca)}
    lax = [] if entrance.close_notify else ["--no-close-notify"]
    return [*RELAY, *words, "-x", url, *lax], environment


@pytest.mark.parametrize("entrance", ENTRANCES, indirect=True)
def test_openssh(ring: Ring, entrance: Entrance, server: Server) -> None:
    command, environment = relay(ring, entrance, ["%h", "%p"])
    options = {
        "ProxyCommand": " ".join(command),
        "UserKnownHostsFile": server.known_hosts,
        "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes",
        "IdentitiesOnly": "yes",
        "BatchMode": "yes",
    }
    words = [word for key, value in options.items() for word in ("-o", f"{key}={value}")]
    ssh = ["ssh", "-F", "/dev/null", "-i", str(server.key), "-p", str(server.port), *words]
    done = subprocess.run(
        [*ssh, f"{ACCOUNT}@127.0.0.1", COMMAND],
        input=MEGABYTE,
        env=environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == b""
    assert done.stdout == b"tunnel ok" + MEGABYTE
    assert done.returncode == 0


@pytest.mark.parametrize("entrance", ENTRANCES, indirect=True)
def test_paramiko(ring: Ring, entrance: Entrance, server: Server) -> None:
    tunnel = open_tunnel(server.target, via=entrance.via(ring))
    run_by_paramiko(server, tunnel.socket())


def run_by_paramiko(server: Server, sock: socket.socket) -> None:
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(server.known_hosts))
        client.connect(
            "127.0.0.1",
            server.port,
            ACCOUNT,
            key_filename=str(server.key),
            sock=sock,
            allow_agent=False,
            look_for_keys=False,
        )
        stdin, stdout, _ = client.exec_command(COMMAND, timeout=10)
        stdin.write(b"hello")
        stdin.channel.shutdown_write()
        assert stdout.read() == b"tunnel okhello"


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("entrance", ENTRANCES, indirect=True)
async def test_asyncssh(ring: Ring, entrance: Entrance, server: Server) -> None:
    tunnel = await open_tunnel_async(server.target, via=entrance.via(ring))
    if entrance.tls:
        async with tunnel.bridged() as sock:
            await run_by_asyncssh(server, sock)
    else:
        await run_by_asyncssh(server, tunnel.socket())


async def run_by_asyncssh(server: Server, sock: object) -> None:
    async with asyncssh.connect(
        "127.0.0.1",
        server.port,
        username=ACCOUNT,
        client_keys=[str(server.key)],
        known_hosts=str(server.known_hosts),
        sock=sock,
        config=None,
    ) as connection:
        done = await connection.run(COMMAND, input="hello", check=True)
        assert done.stdout == "tunnel okhello"


def test_relay_passes_both_ends(
    ring: Ring, enter: Callable[[str], Entrance], start: Callable[[Service], None]
) -> None:
    start(ORIGINS)
    words = ["127.0.0.1", str(ring.port(Port.EOF))]
    command, environment = relay(ring, enter("apache"), words)
    done = subprocess.run(
        command, input=MEGABYTE, env=environment, capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"eof after %d bytes\n" % len(MEGABYTE)


def test_relay_that_is_refused(ring: Ring, enter: Callable[[str], Entrance]) -> None:
    words = ["127.0.0.1", str(ring.port(Port.FORBIDDEN))]
    command, environment = relay(ring, enter("squid-basic"), words)
    done = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, b"")
    [line] = done.stderr.decode().splitlines()
    assert "403" in line
    assert PASSWORD not in line
