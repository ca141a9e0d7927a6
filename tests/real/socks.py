"""SOCKS proxies: microsocks speaks version 5, dante 4 and 5, and OpenSSH's `ssh -D` 4, 4a and 5.

dante takes the address that 4a has where there is a name for an address.
"""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from connect_tunnel import Proxy

from .entrance import service, written
from .ring import PASSWORD, USER, Port, Ring, Run, Service
from .targets import SSHD

if TYPE_CHECKING:
    from pathlib import Path


def microsocks(ring: Ring, folder: Path) -> Run:
    return microsocks_at(ring, Port.MICROSOCKS)


def microsocks_login(ring: Ring, folder: Path) -> Run:
    return microsocks_at(ring, Port.MICROSOCKS_LOGIN, "-u", USER, "-P", PASSWORD)


def microsocks_at(ring: Ring, port: Port, *extra: str) -> Run:
    return Run(["microsocks", "-i", "127.0.0.1", "-p", str(ring.port(port)), *extra])


def dante(ring: Ring, folder: Path) -> Run:
    anywhere = "from: 0.0.0.0/0 to: 0.0.0.0/0"
    conf = f"""
        logoutput: {folder}/danted.log
        internal: 127.0.0.1 port = {ring.port(Port.DANTE)}
        external: lo
        clientmethod: none
        socksmethod: none
        user.unprivileged: {ring.account}
        client pass {{ {anywhere} }}
        socks block {{ {anywhere} port = {ring.port(Port.FORBIDDEN)} }}
        socks pass {{ {anywhere} }}
        """
    path = written(ring, folder / "danted.conf", conf)
    return Run(["danted", "-f", path, "-p", str(folder / "pid")])


def openssh(ring: Ring, folder: Path) -> Run:
    """Hangs up where others say no."""
    server = ring.folder / SSHD.name
    argv = ["ssh", "-N", "-F", "none", "-i", str(server / "user"), "-p", str(ring.port(Port.SSH))]
    argv += ["-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={server / 'known_hosts'}"]
    argv += ["-o", "ExitOnForwardFailure=yes", "-D", f"127.0.0.1:{ring.port(Port.OPENSSH)}"]
    return Run([*argv, f"{pwd.getpwuid(os.getuid()).pw_name}@127.0.0.1"], as_nobody=False)


MICROSOCKS = service(microsocks, Port.MICROSOCKS)
MICROSOCKS_LOGIN = service(microsocks_login, Port.MICROSOCKS_LOGIN)
DANTE = service(dante, Port.DANTE)
OPENSSH = service(openssh, Port.OPENSSH, needs=(SSHD,))


@dataclass(frozen=True)
class Socks:
    """One port of a SOCKS proxy, and the version that it is to be asked in."""

    service: Service
    port: Port
    scheme: str
    login: bool = False

    @property
    def name(self) -> str:
        return f"{self.scheme}-{self.service.name}"

    def url(self, ring: Ring) -> str:
        return f"{self.scheme}://localhost:{ring.port(self.port)}"

    def via(self, ring: Ring, *, auth: tuple[str, str] | None = None) -> Proxy:
        return Proxy(self.url(ring), auth=auth or ((USER, PASSWORD) if self.login else None))

    def without_password(self, ring: Ring) -> Proxy:
        return Proxy(self.url(ring))


SOCKS = {
    way.name: way
    for way in (
        Socks(MICROSOCKS, Port.MICROSOCKS, "socks5"),
        Socks(MICROSOCKS, Port.MICROSOCKS, "socks5h"),
        Socks(MICROSOCKS_LOGIN, Port.MICROSOCKS_LOGIN, "socks5h", login=True),
        Socks(DANTE, Port.DANTE, "socks4"),
        Socks(DANTE, Port.DANTE, "socks5"),
        Socks(DANTE, Port.DANTE, "socks5h"),
        Socks(OPENSSH, Port.OPENSSH, "socks4"),
        Socks(OPENSSH, Port.OPENSSH, "socks4a"),
        Socks(OPENSSH, Port.OPENSSH, "socks5h"),
    )
}
