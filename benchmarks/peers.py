"""Other libraries that open tunnels, each in the way that its documentation shows.

They are imported when they are measured: none of them is needed, and none pays for another.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from .place import HOST, PORT

if TYPE_CHECKING:
    import socket

    from .place import AsyncLink, AsyncOpen, Link, Open, Place


class ProxySocks(Protocol):
    """The part of python-socks' Proxy that is used."""

    def connect(self, dest_host: str, dest_port: int, timeout: float) -> socket.socket: ...


class AsyncProxySocks(Protocol):
    """The same for asyncio."""

    async def connect(self, dest_host: str, dest_port: int, timeout: float) -> socket.socket: ...


def python_socks(place: Place) -> Open:
    module = import_module("python_socks.sync")
    proxy: ProxySocks = module.Proxy.from_url(f"http://{HOST}:{place.port}")

    def open_tunnel(target: str) -> Link:
        sock = proxy.connect(target, PORT, timeout=30)
        return sock.sendall, sock.recv, sock.close

    return open_tunnel


def python_socks_asyncio(place: Place) -> AsyncOpen:
    import asyncio  # noqa: PLC0415

    module = import_module("python_socks.async_.asyncio")
    proxy: AsyncProxySocks = module.Proxy.from_url(f"http://{HOST}:{place.port}")

    async def open_tunnel(target: str) -> AsyncLink:
        loop = asyncio.get_running_loop()
        sock = await proxy.connect(target, PORT, timeout=30)

        async def send(data: bytes) -> None:
            await loop.sock_sendall(sock, data)

        async def receive(size: int) -> bytes:
            return await loop.sock_recv(sock, size)

        async def close() -> None:
            sock.close()

        return send, receive, close

    return open_tunnel


def httpcore(place: Place) -> Open:
    """A CONNECT request, and the network stream of its response."""
    import httpcore  # noqa: PLC0415

    pool = httpcore.ConnectionPool(max_connections=None)

    def open_tunnel(target: str) -> Link:
        authority = f"{target}:{PORT}".encode("ascii")
        url = httpcore.URL(scheme=b"http", host=HOST, port=place.port, target=authority)
        request = httpcore.Request("CONNECT", url, headers=[(b"Host", authority)])
        response: Any = pool.handle_request(request)  # whose extensions have no types
        if response.status != 200:
            raise OSError(response.status)
        stream = response.extensions["network_stream"]
        return stream.write, stream.read, response.close

    return open_tunnel
