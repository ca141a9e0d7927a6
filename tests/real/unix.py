"""A proxy behind a Unix socket: socat in front of squid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ring import Port, Ring, Run, Service
from .squid import SQUID

if TYPE_CHECKING:
    from pathlib import Path


def socat(ring: Ring, folder: Path) -> Run:
    where = f"TCP:127.0.0.1:{ring.port(Port.SQUID)}"
    return Run(["socat", f"UNIX-LISTEN:{folder / SOCKET},fork,mode=666", where])


SOCKET = "squid.sock"
SOCAT = Service("socat", (), socat, needs=(SQUID,), sockets=(SOCKET,))


def path_of(ring: Ring) -> Path:
    return ring.folder / SOCAT.name / SOCKET
