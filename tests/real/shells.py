"""One face for the three shells, so that a scenario is written once.

A scenario is an `async def`. The asyncio and trio shells await the library in the test's own
loop; the sync shell calls it in a worker thread, where no loop runs.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import anyio
import anyio.to_thread

from connect_tunnel import (
    AsyncDialer,
    AsyncTunnel,
    Dialer,
    ProxyResponse,
    Refusal,
    Tunnel,
    open_tunnel,
    open_tunnel_async,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from connect_tunnel import Proxy

    Backend = Literal["asyncio", "trio"]
    Via = str | Proxy | list[str | Proxy]

T = TypeVar("T")
SECONDS = 10.0


async def in_thread(call: Callable[..., T], *args: object, **options: object) -> T:
    return await anyio.to_thread.run_sync(functools.partial(call, *args, **options))


class Stream(Protocol):
    """An open tunnel, whichever shell opened it."""

    @property
    def response(self) -> ProxyResponse: ...
    @property
    def port(self) -> int: ...  # ours, by which a proxy's log names the connection
    async def send(self, data: bytes) -> None: ...
    async def receive(self) -> bytes: ...  # b"" at the end
    async def send_eof(self) -> None: ...
    async def start_tls(self, context: ssl.SSLContext) -> Stream: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Opener(Protocol):
    """A dialer, which remembers what the proxy said, and may share connections."""

    async def open(self, target: str) -> Stream: ...
    async def aclose(self) -> None: ...
    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class Shell(Protocol):
    """A way of calling the library."""

    backend: Backend

    async def open(self, target: str, via: Via, timeout: float = SECONDS) -> Stream: ...
    async def ask(self, target: str, via: Via) -> ProxyResponse:
        """The refusal as a value, its body read."""
        ...

    def dialer(self, via: Via) -> Opener: ...


class Closing:
    async def aclose(self) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()


class SyncStream(Closing):
    def __init__(self, tunnel: Tunnel) -> None:
        self.tunnel = tunnel

    @property
    def response(self) -> ProxyResponse:
        return self.tunnel.response

    @property
    def port(self) -> int:
        return local_port(self.tunnel)

    async def send(self, data: bytes) -> None:
        await in_thread(self.tunnel.write, data, timeout=SECONDS)

    async def receive(self) -> bytes:
        return await in_thread(self.tunnel.read, 65536, timeout=SECONDS)

    async def send_eof(self) -> None:
        await in_thread(self.tunnel.send_eof)

    async def start_tls(self, context: ssl.SSLContext) -> SyncStream:
        return SyncStream(await in_thread(self.tunnel.start_tls, context, timeout=SECONDS))

    async def aclose(self) -> None:
        await in_thread(self.tunnel.close)


class AsyncStream(Closing):
    def __init__(self, tunnel: AsyncTunnel) -> None:
        self.tunnel = tunnel

    @property
    def response(self) -> ProxyResponse:
        return self.tunnel.response

    @property
    def port(self) -> int:
        return local_port(self.tunnel)

    async def send(self, data: bytes) -> None:
        with anyio.fail_after(SECONDS):
            await self.tunnel.send(data)

    async def receive(self) -> bytes:
        with anyio.fail_after(SECONDS):
            try:
                return await self.tunnel.receive(65536)
            except anyio.EndOfStream:
                return b""

    async def send_eof(self) -> None:
        await self.tunnel.send_eof()

    async def start_tls(self, context: ssl.SSLContext) -> AsyncStream:
        return AsyncStream(await self.tunnel.start_tls(context, timeout=SECONDS))

    async def aclose(self) -> None:
        await self.tunnel.aclose()


class SyncOpener(Closing):
    def __init__(self, via: Via) -> None:
        self.dialer = Dialer(via, timeout=SECONDS)

    async def open(self, target: str) -> Stream:
        return SyncStream(await in_thread(self.dialer.open_tunnel, target))

    async def aclose(self) -> None:
        await in_thread(self.dialer.close)


class AsyncOpener(Closing):
    def __init__(self, via: Via) -> None:
        self.dialer = AsyncDialer(via, timeout=SECONDS)

    async def open(self, target: str) -> Stream:
        return AsyncStream(await self.dialer.open_tunnel(target))

    async def aclose(self) -> None:
        await self.dialer.aclose()


class SyncShell:
    backend: Backend = "asyncio"  # runs the scenario, and is not seen by the library

    async def open(self, target: str, via: Via, timeout: float = SECONDS) -> Stream:
        return SyncStream(await in_thread(open_tunnel, target, via=via, timeout=timeout))

    async def ask(self, target: str, via: Via) -> ProxyResponse:
        return await in_thread(self._ask, target, via)

    def _ask(self, target: str, via: Via) -> ProxyResponse:
        with Dialer(via, timeout=SECONDS) as dialer, dialer.request_tunnel(target) as answer:
            assert isinstance(answer, Refusal)
            return answer.read()

    def dialer(self, via: Via) -> Opener:
        return SyncOpener(via)


class AsyncShell:
    def __init__(self, backend: Backend) -> None:
        self.backend: Backend = backend

    async def open(self, target: str, via: Via, timeout: float = SECONDS) -> Stream:
        return AsyncStream(await open_tunnel_async(target, via=via, timeout=timeout))

    async def ask(self, target: str, via: Via) -> ProxyResponse:
        async with AsyncDialer(via, timeout=SECONDS) as dialer:
            answer = await dialer.request_tunnel(target)
            async with answer:
                assert not isinstance(answer, AsyncTunnel)
                return await answer.read()

    def dialer(self, via: Via) -> Opener:
        return AsyncOpener(via)


SHELLS: dict[str, Shell] = {
    "sync": SyncShell(),
    "asyncio": AsyncShell("asyncio"),
    "trio": AsyncShell("trio"),
}


def local_port(tunnel: Tunnel | AsyncTunnel) -> int:
    _, port, *_ = tunnel.get_extra_info("client_addr")
    assert isinstance(port, int)
    return port


async def receive_exactly(stream: Stream, size: int) -> bytes:
    """`size` bytes, or what came before the end."""
    data = b""
    while len(data) < size and (more := await stream.receive()):
        data += more
    return data


async def echoed(stream: Stream, data: bytes) -> bytes:
    await stream.send(data)
    return await receive_exactly(stream, len(data))
