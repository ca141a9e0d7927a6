"""The four ways to use a tunnel, put to the cases as one: opened, and spoken through."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

import connect_tunnel

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable
    from types import TracebackType
    from typing import Self

    from connect_tunnel import AsyncTunnel, Proxy, ProxyResponse, Tunnel

T = TypeVar("T")

SEND_TIMEOUT: Final = 3.0


class Stream(Protocol):
    """What a case does with an open tunnel."""

    def send(self, data: bytes) -> None: ...
    def receive(self, max_bytes: int, timeout: float) -> bytes: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Opened:
    """A tunnel, and the answer that opened it."""

    response: ProxyResponse
    stream: Stream


class Clients:
    """Opens tunnels in every shell; the loops live as long as the `with` block."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._loops = {
            backend: self._stack.enter_context(start_blocking_portal(backend))
            for backend in ("asyncio", "trio")
        }
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def open(self, client: str, target: tuple[str, int], via: Proxy, timeout: float) -> Opened:
        if client in self._loops:
            loop = self._loops[client]
            opening = partial(connect_tunnel.open_tunnel_async, target, via=via, timeout=timeout)
            tunnel = loop.call(opening)
            return Opened(tunnel.response, AsyncStream(tunnel, loop))
        blocking = connect_tunnel.open_tunnel(target, via=via, timeout=timeout)
        stream = SyncStream(blocking) if client == "sync" else SocketStream(blocking)
        return Opened(blocking.response, stream)


class SyncStream:
    """A `Tunnel`."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel

    def send(self, data: bytes) -> None:
        self._tunnel.write(data, timeout=SEND_TIMEOUT)

    def receive(self, max_bytes: int, timeout: float) -> bytes:
        return self._tunnel.read(max_bytes, timeout=timeout)

    def close(self) -> None:
        self._tunnel.close()


class SocketStream:
    """What `Tunnel.socket()` hands over."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._sock: socket.socket = tunnel.socket()

    def send(self, data: bytes) -> None:
        self._sock.settimeout(SEND_TIMEOUT)
        self._sock.sendall(data)

    def receive(self, max_bytes: int, timeout: float) -> bytes:
        self._sock.settimeout(timeout)
        return self._sock.recv(max_bytes)

    def close(self) -> None:
        self._sock.close()


class AsyncStream:
    """An `AsyncTunnel`, in a loop that runs in another thread."""

    def __init__(self, tunnel: AsyncTunnel, loop: BlockingPortal) -> None:
        self._tunnel = tunnel
        self._loop = loop

    def send(self, data: bytes) -> None:
        self._within(SEND_TIMEOUT, partial(self._tunnel.send, data))

    def receive(self, max_bytes: int, timeout: float) -> bytes:
        try:
            return self._within(timeout, partial(self._tunnel.receive, max_bytes))
        except anyio.EndOfStream:
            return b""

    def close(self) -> None:
        self._loop.call(self._tunnel.aclose)

    def _within(self, seconds: float, function: Callable[[], Awaitable[T]]) -> T:
        async def call() -> T:
            with anyio.fail_after(seconds):
                return await function()

        return self._loop.call(call)
