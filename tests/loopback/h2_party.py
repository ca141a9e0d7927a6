"""Tunnels that share connections, in the three shells by one text.

A story is a coroutine function. In the shell of threads what it does with a tunnel is done in
a thread, and it is asyncio that waits for the thread.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import anyio.to_thread

from connect_tunnel import AsyncDialer, AsyncTunnel, Dialer, Proxy, Tunnel

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from connect_tunnel._proxy import ProxyLike
    from connect_tunnel.testing._server import LoopbackServer

T = TypeVar("T")

PATIENCE: Final = 10.0
LONGEST: Final = 20.0  # of a story


class End:
    """The client's end of a tunnel.

    Attributes:
        raw: The tunnel.
    """

    def __init__(self, party: Party, raw: Tunnel | AsyncTunnel) -> None:
        self._party = party
        self.raw = raw

    async def read(self, timeout: float = PATIENCE, max_bytes: int = 65536) -> bytes:
        """Some bytes, none at the end; TimeoutError if none come."""
        if isinstance(self.raw, Tunnel):
            return await self._party.in_thread(self.raw.read, max_bytes, timeout)
        with anyio.fail_after(timeout):
            try:
                return await self.raw.receive(max_bytes)
            except anyio.EndOfStream:
                return b""

    async def exactly(self, size: int, timeout: float = PATIENCE) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = await self.read(timeout, min(size - len(data), 65536))
            assert more, f"ended after {len(data)} of {size} bytes"
            data += more
        return bytes(data)

    async def all(self) -> bytes:
        data = bytearray()
        while more := await self.read():
            data += more
        return bytes(data)

    async def write(self, data: bytes, timeout: float = PATIENCE) -> None:
        if isinstance(self.raw, Tunnel):
            return await self._party.in_thread(self.raw.write, data, timeout)
        with anyio.fail_after(timeout):
            await self.raw.send(data)

    async def echo(self, data: bytes = b"ping") -> None:
        """Have it sent back, and compare it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self.write, data)
            assert await self.exactly(len(data)) == data

    async def send_eof(self) -> None:
        if isinstance(self.raw, Tunnel):
            return await self._party.in_thread(self.raw.send_eof, PATIENCE)
        with anyio.fail_after(PATIENCE):
            await self.raw.send_eof()

    async def start_tls(
        self, context: ssl.SSLContext, name: str = "127.0.0.1", timeout: float = PATIENCE
    ) -> End:
        if isinstance(self.raw, Tunnel):
            tunnel = self.raw

            def start() -> Tunnel:
                return tunnel.start_tls(context, name, timeout=timeout)

            return End(self._party, await self._party.in_thread(start))
        return End(self._party, await self.raw.start_tls(context, name, timeout=timeout))

    async def close(self) -> None:
        if isinstance(self.raw, Tunnel):
            return await self._party.in_thread(self.raw.close)
        await self.raw.aclose()


class Party:
    """A dialer, in its shell.

    Attributes:
        shell: "sync", "asyncio" or "trio".
        dialer: The dialer.
    """

    def __init__(self, shell: str, via: ProxyLike | list[ProxyLike], **options: Any) -> None:
        kind = Dialer if shell == "sync" else AsyncDialer
        self.shell = shell
        settings: dict[str, Any] = {"timeout": PATIENCE, **options}
        self.dialer: Dialer | AsyncDialer = kind(via, **settings)
        self._threads = anyio.CapacityLimiter(500)

    async def in_thread(self, act: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(
            act, *args, abandon_on_cancel=True, limiter=self._threads
        )

    async def open(self, target: str | tuple[str, int] = "a.test:1") -> End:
        if isinstance(self.dialer, Dialer):
            return End(self, await self.in_thread(self.dialer.open_tunnel, target))
        return End(self, await self.dialer.open_tunnel(target))

    async def request(self, target: str | tuple[str, int] = "a.test:1") -> Any:
        if isinstance(self.dialer, Dialer):
            return await self.in_thread(self.dialer.request_tunnel, target)
        return await self.dialer.request_tunnel(target)

    async def failure(self, target: str | tuple[str, int] = "a.test:1") -> Exception:
        """What opening one fails with."""
        try:
            end = await self.open(target)
        except Exception as error:  # noqa: BLE001 - handed on
            return error
        await end.close()
        raise AssertionError("the tunnel was opened")

    async def together(self, *acts: Callable[[], Awaitable[T]]) -> list[T]:
        """Do all of them at once, and give what each of them gave."""
        results: dict[int, T] = {}

        async def do(number: int) -> None:
            results[number] = await acts[number]()

        async with anyio.create_task_group() as tasks:
            for number in range(len(acts)):
                tasks.start_soon(do, number)
        return [results[number] for number in range(len(acts))]

    async def close(self) -> None:
        if isinstance(self.dialer, Dialer):
            await self.in_thread(self.dialer.close)
        else:
            await self.dialer.aclose()

    @property
    def connections(self) -> list[Any]:
        """Those that can be joined."""
        assert self.dialer._pool is not None
        return [one for place in self.dialer._pool._places.values() for one in place.connections]


def play(
    shell: str,
    story: Callable[[Party], Awaitable[None]],
    via: ProxyLike | list[ProxyLike],
    *,
    longest: float = LONGEST,
    **options: Any,
) -> None:
    """Let a story happen, with a dialer that is closed afterwards."""

    async def main() -> None:
        with anyio.fail_after(longest):
            party = Party(shell, via, **options)
            try:
                await story(party)
            finally:
                with anyio.CancelScope(shield=True):
                    await party.close()

    anyio.run(main, backend="asyncio" if shell == "sync" else shell)


@asynccontextmanager
async def meanwhile(act: Callable[[], Awaitable[T]]) -> AsyncGenerator[list[T | Exception]]:
    """Something goes on in this context, and is waited for at its end; gives what came of it."""
    outcome: list[T | Exception] = []

    async def do() -> None:
        try:
            outcome.append(await act())
        except Exception as error:  # noqa: BLE001 - kept
            outcome.append(error)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(do)
        await anyio.sleep(0.1)  # until it waits
        yield outcome


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for something that is about to happen."""
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - threads bring it about, too
            await anyio.sleep(0.005)


def clear(proxy: LoopbackServer, **options: Any) -> Proxy:
    """Without TLS, by prior knowledge."""
    settings: dict[str, Any] = {"http1": False, "http2": True, **options}
    return Proxy(proxy.url, **settings)
