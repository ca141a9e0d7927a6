"""The least that opening a tunnel can cost, by hand: no deadline, no checks, no errors.

Nobody should write this, and nobody can do with less: what a library costs, it costs above it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

from .place import HOST, PORT

if TYPE_CHECKING:
    from .place import AsyncLink, AsyncOpen, Link, Open, Place

CHUNK = 1 << 16
END = b"\r\n\r\n"


def request(target: str) -> bytes:
    return f"CONNECT {target}:{PORT} HTTP/1.1\r\nHost: {target}:{PORT}\r\n\r\n".encode("ascii")


def check(head: bytes) -> None:
    if not head.startswith(b"HTTP/1.1 200"):
        raise OSError(head)


def sockets(place: Place) -> Open:
    """`socket`, and `ssl` on it."""

    def open_tunnel(target: str) -> Link:
        sock = socket.create_connection((HOST, place.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if place.hop:
            sock = place.hop.wrap_socket(sock, server_hostname=HOST)
        sock.sendall(request(target))
        head = sock.recv(CHUNK)
        while END not in head:
            head += sock.recv(CHUNK)
        check(head)
        if not place.inner:
            return sock.sendall, sock.recv, sock.close
        if place.hop:
            inner = TLSOnTLS(sock, place.inner, target)
            return inner.send, inner.receive, sock.close
        sock = place.inner.wrap_socket(sock, server_hostname=target)
        return sock.sendall, sock.recv, sock.close

    return open_tunnel


class TLSOnTLS:
    """TLS on a socket that is itself an SSLSocket, which `ssl` does not wrap a second time."""

    __slots__ = ("_incoming", "_outgoing", "_sock", "_tls")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=name)
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._exchange()
        sock.sendall(self._outgoing.read())

    def send(self, data: bytes) -> None:
        self._tls.write(data)
        self._sock.sendall(self._outgoing.read())

    def receive(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._exchange()

    def _exchange(self) -> None:
        if self._outgoing.pending:
            self._sock.sendall(self._outgoing.read())
        self._incoming.write(self._sock.recv(CHUNK))


def streams(place: Place) -> AsyncOpen:
    """`asyncio.open_connection`."""

    async def open_tunnel(target: str) -> AsyncLink:
        name = HOST if place.hop else None
        reader, writer = await asyncio.open_connection(
            HOST, place.port, ssl=place.hop, server_hostname=name
        )
        writer.write(request(target))
        check(await reader.readuntil(END))
        if place.inner:
            await writer.start_tls(place.inner, server_hostname=target)

        async def send(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        async def close() -> None:
            writer.close()

        return send, reader.read, close

    return open_tunnel


def loop_sock(place: Place) -> AsyncOpen:
    """`loop.sock_recv` and its kin, on a socket of one's own; plain only."""

    async def open_tunnel(target: str) -> AsyncLink:
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, (HOST, place.port))
        await loop.sock_sendall(sock, request(target))
        head = await loop.sock_recv(sock, CHUNK)
        while END not in head:
            head += await loop.sock_recv(sock, CHUNK)
        check(head)

        async def send(data: bytes) -> None:
            await loop.sock_sendall(sock, data)

        async def receive(size: int) -> bytes:
            return await loop.sock_recv(sock, size)

        async def close() -> None:
            sock.close()

        return send, receive, close

    return open_tunnel


def trio_streams(place: Place) -> AsyncOpen:
    """`trio.open_tcp_stream`; plain only."""
    import trio  # noqa: PLC0415 - asyncio's processes do without

    async def open_tunnel(target: str) -> AsyncLink:
        stream = await trio.open_tcp_stream(HOST, place.port)
        await stream.send_all(request(target))
        head = bytes(await stream.receive_some(CHUNK))
        while END not in head:
            head += await stream.receive_some(CHUNK)
        check(head)
        return stream.send_all, stream.receive_some, stream.aclose

    return open_tunnel
