"""What stands in front of a proxy: a Unix socket, or a SOCKS proxy."""

from __future__ import annotations

import contextlib
import socket
import tempfile
import threading
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from connect_tunnel.testing._relay import join

from .raw import receive_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

Meet: TypeAlias = "Callable[[socket.socket], tuple[tuple[str, int], bytes]]"
"""Hears where a client wants to go, and says how to tell it that it is there."""


@contextmanager
def behind_unix_socket(port: int) -> Generator[str]:
    """The path of a socket; whoever connects to it is connected to the port."""
    with (
        tempfile.TemporaryDirectory() as folder,  # pytest's own are too long for a socket
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = str(Path(folder) / "proxy.sock")
        listener.bind(path)
        listener.listen()
        with passing_on(listener, lambda _: (("127.0.0.1", port), b"")):
            yield path


@contextmanager
def socks5(asked: list[tuple[str, int]]) -> Generator[str]:
    """The address of a SOCKS5 proxy, which keeps what it was asked for."""

    def meet(client: socket.socket) -> tuple[tuple[str, int], bytes]:
        receive_exactly(client, 3)
        client.sendall(b"\x05\x00")
        head = receive_exactly(client, 5)
        if head[3] == 3:
            host = receive_exactly(client, head[4]).decode()
        else:
            host = socket.inet_ntoa(head[4:] + receive_exactly(client, 3))
        port = int.from_bytes(receive_exactly(client, 2), "big")
        asked.append((host, port))
        return ("127.0.0.1", port), b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00"

    with closing(socket.create_server(("127.0.0.1", 0))) as listener, passing_on(listener, meet):
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def passing_on(listener: socket.socket, meet: Meet) -> Generator[None]:
    """Serve one client after the other, in a thread of its own."""

    def serve() -> None:
        with contextlib.suppress(OSError):  # at its end the listener is shut down
            while True:
                client, _ = listener.accept()
                with client, contextlib.suppress(OSError, AssertionError):
                    address, granted = meet(client)
                    with socket.create_connection(address, timeout=5) as server:
                        server.settimeout(None)
                        client.sendall(granted)
                        join(client, server)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)
