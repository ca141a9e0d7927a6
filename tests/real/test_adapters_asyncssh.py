"""SSH by asyncssh's `tunnel=` and paramiko's `sock=`: a command, and a file there and back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import asyncssh
import paramiko
import pytest

from connect_tunnel import TunnelRefused
from connect_tunnel.adapters.asyncssh import Connector
from connect_tunnel.adapters.socket import create_connection

from .ring import Port, Ring, Service
from .targets import SSHD
from .test_ssh import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .entrance import Entrance

ENTRANCES: Final = ["squid", "squid-basic", "squid-tls", "squid-tls-basic"]
MEGABYTE: Final = bytes(range(256)) * 4096


@dataclass(frozen=True)
class Server:
    port: int
    key: Path
    known_hosts: Path

    @property
    def options(self) -> dict[str, Any]:
        return {
            "port": self.port,
            "username": ACCOUNT,
            "client_keys": [str(self.key)],
            "known_hosts": str(self.known_hosts),
            "config": None,
        }


@pytest.fixture
def server(ring: Ring, start: Callable[[Service], None]) -> Server:
    start(SSHD)
    folder = ring.folder / SSHD.name
    return Server(ring.port(Port.SSH), folder / "user", folder / "known_hosts")


@pytest.mark.parametrize("entrance", ENTRANCES, indirect=True)
def test_asyncssh(ring: Ring, entrance: Entrance, server: Server, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(MEGABYTE)

    async def main() -> None:
        via = Connector(entrance.via(ring), timeout=10)
        async with asyncssh.connect("127.0.0.1", tunnel=via, **server.options) as ssh:
            done = await ssh.run("cat", input="hello", check=True)
            assert done.stdout == "hello"
            async with ssh.start_sftp_client() as sftp:
                await sftp.put(str(source), str(tmp_path / "copy"))
                await sftp.get(str(tmp_path / "copy"), str(back))

    asyncio.run(asyncio.wait_for(main(), 30))
    assert back.read_bytes() == MEGABYTE


@pytest.mark.parametrize("entrance", ["squid", "squid-tls"], indirect=True)
def test_asyncssh_that_is_refused(ring: Ring, entrance: Entrance) -> None:
    async def main() -> None:
        with pytest.raises(TunnelRefused):
            await asyncssh.connect(
                "127.0.0.1",
                ring.port(Port.FORBIDDEN),
                tunnel=Connector(entrance.via(ring)),
                config=None,
                known_hosts=None,
            )

    asyncio.run(main())


@pytest.mark.parametrize("entrance", ENTRANCES, indirect=True)
def test_paramiko(ring: Ring, entrance: Entrance, server: Server, tmp_path: Path) -> None:
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(MEGABYTE)
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(server.known_hosts))
        client.connect(
            "127.0.0.1",
            server.port,
            ACCOUNT,
            key_filename=str(server.key),
            sock=create_connection(("127.0.0.1", server.port), 10, via=entrance.via(ring)),
            allow_agent=False,
            look_for_keys=False,
        )
        _, output, _ = client.exec_command("echo hello", timeout=10)
        assert output.read() == b"hello\n"
        with client.open_sftp() as sftp:
            sftp.put(str(source), str(tmp_path / "copy"))
            sftp.get(str(tmp_path / "copy"), str(back))
    assert back.read_bytes() == MEGABYTE
