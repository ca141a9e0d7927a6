"""The proxies of the tests, as plain sockets see them."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from connect_tunnel.testing import LoopbackProxy, ScriptedProxy

HEAD = b"CONNECT a.test:1 HTTP/1.1\r\nHost: a.test:1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\n\r\n"


@contextmanager
def dial(proxy: ScriptedProxy | LoopbackProxy) -> Generator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), timeout=5) as sock:
        yield sock


def receive_all(sock: socket.socket) -> bytes:
    return b"".join(iter(lambda: sock.recv(65536), b""))


def receive_exactly(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = sock.recv(count - len(data))
        assert more, f"ended after {bytes(data)!r}"
        data += more
    return bytes(data)


def receive_head(sock: socket.socket) -> bytes:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += receive_exactly(sock, 1)
    return head


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").glob("*"))  # 0 where there is no such folder
