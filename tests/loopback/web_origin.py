"""A web server, http and https, behind the proxies that the adapters' tests go through."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from aiohttp import WSMsgType, web

from connect_tunnel.testing import TLSPeer
from connect_tunnel.testing._relay import join
from connect_tunnel.testing._server import LoopbackServer

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from aiohttp.typedefs import Handler

BLOCK: Final = bytes(range(256)) * 256  # 64 KiB


class WebOrigin(LoopbackServer):
    """Serves in threads of its own, for as long as a `with` block lasts.

    The server is aiohttp's, for http; https comes to it through `TLSPeer`, as asyncio's own TLS
    leaves transports open that a client has turned away from.

    Attributes:
        http, https: Its two ports.
        requests: Method, path and fields of each request, in order.
        peers: The address that each request came from: one for each connection.
    """

    def __init__(self, ssl_context: ssl.SSLContext) -> None:
        super().__init__(ssl_context)
        self.http = 0
        self.requests: Final[list[tuple[str, str, dict[str, str]]]] = []
        self.peers: Final[list[object]] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve_http()))
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event

    @property
    def https(self) -> int:
        return self.port

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return super().__enter__()

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(exc_type, exc, traceback)
        finally:
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    def at(self, path: str = "/", scheme: str = "https", host: str = "localhost") -> str:
        port = self.https if scheme in {"https", "wss"} else self.http
        return f"{scheme}://{host}:{port}{path}"

    def _serve(self) -> None:
        while sock := self._listener.accept():
            self._listener.spawn(self._meet, sock)

    def _meet(self, sock: socket.socket) -> None:
        self._listener.run(self._talk, sock)
        self._listener.release(sock)

    def _talk(self, sock: socket.socket) -> None:
        assert self._ssl_context is not None
        client = TLSPeer(sock, self._ssl_context)
        with socket.create_connection((self.host, self.http)) as server:
            join(client, server)

    async def _serve_http(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/bytes/{count}", _send)
        app.router.add_route("*", "/digest", _digest)
        app.router.add_route("*", "/echo/{tag}", _echo)
        app.router.add_route("*", "/to", _redirect)
        app.router.add_route("*", "/slow", _slow)
        app.router.add_route("*", "/ws", _websocket)
        app.middlewares.append(self._note)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, self.host, 0).start()
            self.http = runner.addresses[0][1]
            self._ready.set()
            await self._stop.wait()
            # asyncio loses a connection that is accepted while its server is closed.
            await asyncio.sleep(0.02)
        finally:
            await runner.cleanup()
            await _let_go(self._loop)

    @web.middleware
    async def _note(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.requests.append((request.method, request.path, dict(request.headers)))
        self.peers.append(request.transport and request.transport.get_extra_info("peername"))
        return await handler(request)


async def _let_go(loop: Any) -> None:
    """Close what is still to be sent to clients that do not read it, or came last."""
    for _ in range(400):
        await asyncio.sleep(0.005)
        transports = [each for each in list(loop._transports.values()) if each._sock is not None]
        if not transports:
            break
        for transport in transports:
            transport.abort()


async def _send(request: web.Request) -> web.StreamResponse:
    count = int(request.match_info["count"])
    response = web.StreamResponse()
    response.content_length = count
    await response.prepare(request)
    while count:
        await response.write(BLOCK[:count])
        count -= len(BLOCK[:count])
    return response


async def _digest(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for data in request.content.iter_any():
        digest.update(data)
    return web.Response(text=digest.hexdigest())


async def _echo(request: web.Request) -> web.Response:
    return web.Response(text=request.match_info["tag"])


async def _redirect(request: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": request.query["url"]})


async def _slow(_request: web.Request) -> web.Response:
    await asyncio.sleep(60)
    return web.Response()


async def _websocket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type == WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type == WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


def digest_of(count: int) -> str:
    """What `/digest` says of the blocks that make so many bytes."""
    digest = hashlib.sha256()
    while count:
        digest.update(BLOCK[:count])
        count -= len(BLOCK[:count])
    return digest.hexdigest()
