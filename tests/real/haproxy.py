"""A load balancer that wants the PROXY protocol, in front of squid: haproxy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .entrance import written
from .ring import Port, Ring, Run, Service
from .squid import SQUID

if TYPE_CHECKING:
    from pathlib import Path


def haproxy(ring: Ring, folder: Path) -> Run:
    """Lets nobody in who does not say where they come from, and logs what they say."""
    conf = f"""
        global
        log stdout format raw local0
        defaults
        mode tcp
        timeout connect 5s
        timeout client 60s
        timeout server 60s
        frontend entrance
        bind 127.0.0.1:{ring.port(Port.HAPROXY)} accept-proxy
        bind unix@{folder / SOCKET} accept-proxy mode 666
        log global
        log-format "%ci:%cp %fi:%fp"
        default_backend squid
        backend squid
        server squid 127.0.0.1:{ring.port(Port.SQUID)}
        """
    return Run(["haproxy", "-db", "-f", written(ring, folder / "haproxy.cfg", conf)])


SOCKET = "haproxy.sock"
HAPROXY = Service("haproxy", (Port.HAPROXY,), haproxy, needs=(SQUID,), sockets=(SOCKET,))


def path_of(ring: Ring) -> Path:
    return ring.folder / HAPROXY.name / SOCKET
