"""The event loops of asyncio, and a protocol that keeps what it is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import uvloop

from connect_tunnel import Proxy

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Mapping

    from connect_tunnel.testing import LoopbackProxy, ScriptedProxy

T = TypeVar("T")

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
SECONDS: Final = 10

uvloop.new_event_loop().close()  # its first loop opens a pipe that stays


def run(loop: str, main: Coroutine[Any, Any, T]) -> T:
    """Run a test in a loop, with nothing of it left afterwards."""

    async def limited() -> T:
        async with asyncio.timeout(SECONDS):
            result = await main
        for _ in range(5):  # what was closed last is closed soon
            await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, f"tasks are left: {others}"
        return result

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(limited())


def way(proxy: LoopbackProxy | ScriptedProxy, client: ssl.SSLContext, **facts: Any) -> Proxy:
    """A proxy as the client with this context sees it."""
    context = client if proxy.url.startswith("https") else None
    return Proxy(proxy.url, ssl_context=context, **facts)


class Recorder(asyncio.Protocol):
    """Keeps what it is told, in order; data in one piece.

    Args:
        keep_open: What `eof_received` says.
        on: What to do besides, by the name of a callback.
    """

    def __init__(
        self,
        *,
        keep_open: bool = False,
        on: Mapping[str, Callable[[asyncio.Transport], object]] | None = None,
    ) -> None:
        self.calls: list[str] = []
        self.data = b""
        self.error: Exception | None = None
        self.transport: asyncio.Transport
        self._keep_open = keep_open
        self._on = on or {}
        self._told = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are of no such class
        self._note("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        assert data, "data_received is not called without data"
        self.data += data
        self._note("data")

    def eof_received(self) -> bool:
        self._note("eof")
        return self._keep_open

    def pause_writing(self) -> None:
        self._note("pause")

    def resume_writing(self) -> None:
        self._note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self._note("lost")

    def _note(self, call: str) -> None:
        assert "lost" not in self.calls, f"{call} after connection_lost"
        if not (call == "data" and self.calls[-1] == "data"):
            self.calls.append(call)
        self._told.set()
        if act := self._on.get(call):
            act(self.transport)

    async def until(self, condition: Callable[[Recorder], bool]) -> None:
        """Wait for something that it will be told."""
        while not condition(self):
            self._told.clear()
            await self._told.wait()

    async def until_data(self, data: bytes) -> None:
        await self.until(lambda self: len(self.data) >= len(data))
        assert self.data == data

    async def until_called(self, call: str) -> None:
        await self.until(lambda self: call in self.calls)


class Buffered(asyncio.BufferedProtocol):
    """Takes what comes in a buffer of its own, which is small."""

    def __init__(self, size: int) -> None:
        self._buffer = bytearray(size)
        self.data = b""
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.pause_at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert 0 < nbytes <= len(self._buffer)
        self.data += self._buffer[:nbytes]
        if 0 < self.pause_at <= len(self.data):
            self.pause_at = 0
            self.transport.pause_reading()

    def eof_received(self) -> None:
        pass

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)
