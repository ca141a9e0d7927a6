"""A connected transport for aiohttp's protocol, through a tunnel."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from aiohttp.client_proto import ResponseHandler

if TYPE_CHECKING:
    import ssl

    from connect_tunnel._async.tunnel import AsyncTunnel
    from connect_tunnel._response import ProxyResponse


class TunnelHandler(ResponseHandler):
    """aiohttp's protocol, which remembers the tunnel that it speaks through.

    Attributes:
        answer: The proxy's 2xx that opened it; None if it is direct.
        lost: Done when the connection is over.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: ProxyResponse | None) -> None:
        super().__init__(loop)
        self.answer = answer
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._end()

    def give_up(self) -> None:
        """End without a connection, or with one that came too late to be used."""
        if self.transport is not None:
            self.transport.abort()  # rather than a farewell that nobody waits for
        self._end()

    def _end(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)


async def connect(
    tunnel: AsyncTunnel,
    handler: TunnelHandler,
    *,
    ssl: ssl.SSLContext | None,
    server_hostname: str,
    bridges: set[asyncio.Task[None]],
) -> asyncio.Transport:
    """Connect a protocol to a tunnel, which is the transport's from now on.

    Args:
        tunnel: Just opened. It is closed with the transport, and if this fails.
        handler: The protocol.
        ssl: For TLS inside the tunnel, with
        server_hostname: whoever has this name.
        bridges: Where the task is put that serves the connection, if it needs one.

    Raises:
        OSError: TLS failed.
    """
    loop = asyncio.get_running_loop()
    try:
        try:
            sock = tunnel.socket()
        except TypeError:  # there is TLS below
            sock = await _bridged(tunnel, handler, bridges)
        unix = sock.family == getattr(socket, "AF_UNIX", None)
        create = loop.create_unix_connection if unix else loop.create_connection
        transport, _ = await create(
            lambda: handler, sock=sock, ssl=ssl, server_hostname=server_hostname if ssl else None
        )
    except BaseException:
        handler.give_up()
        raise
    return transport


def _bridged(
    tunnel: AsyncTunnel, handler: TunnelHandler, bridges: set[asyncio.Task[None]]
) -> asyncio.Future[socket.socket]:
    """One end of a bridge, served by a task until the handler has lost its connection."""
    loop = asyncio.get_running_loop()
    given: asyncio.Future[socket.socket] = loop.create_future()
    task = loop.create_task(_serve(tunnel, given, handler.lost))
    bridges.add(task)
    task.add_done_callback(bridges.discard)
    return given


async def _serve(
    tunnel: AsyncTunnel, given: asyncio.Future[socket.socket], lost: asyncio.Future[None]
) -> None:
    try:
        async with tunnel.bridged() as sock:
            if not given.done():
                given.set_result(sock)
                await lost
    except OSError as error:  # no descriptors are left
        if not given.done():
            given.set_exception(error)
