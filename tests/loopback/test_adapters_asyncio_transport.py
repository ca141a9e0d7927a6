"""What a protocol is told, and when: by a loop's own transports, and by ours just so.

On a plain hop the transport is the loop's own, on one of TLS it is ours. Each test here is the
contract for both, on both loops, and so the loop's own is what ours is compared with.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from connect_tunnel import TunnelBroken
from connect_tunnel.adapters._asyncio_transport import TunnelTransport
from connect_tunnel.adapters.asyncio import create_connection
from connect_tunnel.testing import (
    Close,
    Echo,
    HalfClose,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .asyncio_loops import LOOPS, Buffered, Recorder, run, way
from .raw import OK
from .shells import nothing_left

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

    from connect_tunnel.testing import Step

HOPS: Final = ("plain", "TLS")
MUCH: Final = bytes(range(256)) * (1 << 16)  # 16 MiB: more than the kernel keeps for a peer


class World:
    """A loop, and a hop to a scripted proxy."""

    def __init__(self, loop: str, hop: str, server: ssl.SSLContext, client: ssl.SSLContext) -> None:
        self.loop = loop
        self.ours = hop == "TLS"
        self._server = server if self.ours else None
        self._client = client
        self.reported: list[dict[str, Any]] = []
        self._opened: list[asyncio.Transport] = []

    @contextmanager
    def proxy(self, *script: Step) -> Generator[ScriptedProxy]:
        """A proxy that grants a tunnel, and then plays the script as its target."""
        steps = (Receive(), Send(OK), *script)
        with nothing_left(), ScriptedProxy(*steps, ssl_context=self._server) as proxy:
            yield proxy

    async def open(self, proxy: ScriptedProxy, protocol: asyncio.BaseProtocol) -> asyncio.Transport:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.reported.append(context))
        transport, same = await create_connection(
            lambda: protocol, "a.test", 1, via=way(proxy, self._client), timeout=5
        )
        self._opened.append(transport)
        assert same is protocol
        assert isinstance(transport, TunnelTransport) == self.ours
        return transport

    def run(self, main: Coroutine[Any, Any, None]) -> None:
        async def and_close() -> None:
            try:
                await main
            finally:
                for transport in self._opened:
                    if not transport.is_closing():  # when a loop of uvloop's does not close
                        transport.abort()

        run(self.loop, and_close())


@pytest.fixture(params=HOPS)
def world(
    request: pytest.FixtureRequest,
    loop: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> World:
    return World(loop, request.param, server_context, client_context)


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


# --- reading ---


def test_data_comes_after_connection_made(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        assert protocol.calls[0] == "made"
        await protocol.until_data(b"220 ready\r\n")
        transport.write(b"hello")
        await protocol.until_data(b"220 ready\r\nhello")
        transport.close()
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "data", "lost"]
        assert protocol.error is None

    with world.proxy(Send(b"220 ready\r\n"), Echo()) as proxy:
        world.run(main(proxy))


def test_an_end_closes_unless_the_protocol_keeps_it_open(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "data", "eof", "lost"]
        assert protocol.error is None
        assert transport.is_closing()

    with world.proxy(Send(b"bye"), HalfClose()) as proxy:
        world.run(main(proxy))


def test_what_is_kept_open_can_be_written_to(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(keep_open=True)
        transport = await world.open(proxy, protocol)
        await protocol.until_called("eof")
        assert not transport.is_closing()
        transport.write(b"still here.")
        transport.close()
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "data", "eof", "lost"]

    with world.proxy(Send(b"bye"), HalfClose(), Receive(b"here.")) as proxy:
        world.run(main(proxy))
        assert proxy.wait_closed()
        assert proxy.received[0].endswith(b"\r\n\r\nstill here.")


def test_nothing_is_passed_on_while_reading_is_paused(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()  # again is no error
        assert not transport.is_reading()
        transport.write(b"hello")
        await asyncio.sleep(0.05)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await protocol.until_data(b"hello")
        transport.close()
        transport.pause_reading()
        transport.resume_reading()  # of what is closing, no error either
        assert not transport.is_reading()
        await protocol.until_called("lost")

    with world.proxy(Echo()) as proxy:
        world.run(main(proxy))


def test_reading_may_be_paused_before_it_begins(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(on={"made": lambda transport: transport.pause_reading()})
        transport = await world.open(proxy, protocol)
        await asyncio.sleep(0.05)
        assert protocol.calls == ["made"]
        transport.resume_reading()
        await protocol.until_data(b"220 ready")
        transport.close()
        await protocol.until_called("lost")

    if world.ours or world.loop == "asyncio":  # uvloop's own does not mind it
        with world.proxy(Send(b"220 ready")) as proxy:
            world.run(main(proxy))


def test_an_end_is_not_passed_on_while_reading_is_paused(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(on={"data": lambda transport: transport.pause_reading()})
        transport = await world.open(proxy, protocol)
        await protocol.until_data(b"bye")
        await asyncio.sleep(0.05)
        assert protocol.calls == ["made", "data"]
        transport.resume_reading()
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "data", "eof", "lost"]

    with world.proxy(Send(b"bye"), Wait(0.02), HalfClose()) as proxy:
        world.run(main(proxy))


def test_a_protocol_with_a_buffer_of_its_own(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Buffered(7)
        protocol.pause_at = 50
        transport = await world.open(proxy, protocol)
        await asyncio.sleep(0.05)
        assert protocol.data == MUCH[: len(protocol.data)]
        assert 50 <= len(protocol.data) < 57
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == MUCH[:1000]

    with world.proxy(Send(MUCH[:1000]), HalfClose()) as proxy:
        world.run(main(proxy))


def test_a_buffer_of_no_size_ends_the_connection(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Buffered(0)
        await world.open(proxy, protocol)
        error = await protocol.lost
        assert isinstance(error, RuntimeError)
        assert "empty buffer" in str(error)
        assert [context["exception"] for context in world.reported] == [error]

    with world.proxy(Send(b"x")) as proxy:
        world.run(main(proxy))


def test_another_protocol_takes_over(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        first, second = Recorder(), Recorder()
        transport = await world.open(proxy, first)
        await first.until_data(b"220 ready\r\n")
        second.connection_made(transport)
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        transport.write(b"hello")
        await second.until_data(b"hello")
        transport.close()
        await second.until_called("lost")
        assert first.calls == ["made", "data"]

    with world.proxy(Send(b"220 ready\r\n"), Echo()) as proxy:
        world.run(main(proxy))


# --- writing ---


def test_writing_is_paused_and_resumed(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        low, high = transport.get_write_buffer_limits()
        assert low < high == 64 * 1024
        transport.write(MUCH)
        assert protocol.calls == ["made", "pause"]
        assert transport.get_write_buffer_size() > high
        transport.write(b"and more")
        assert protocol.calls == ["made", "pause"]  # told once
        await protocol.until_called("resume")
        assert transport.get_write_buffer_size() <= low
        transport.close()
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "pause", "resume", "lost"]

    with world.proxy(Wait(0.05)) as proxy:
        world.run(main(proxy))
        assert proxy.wait_closed()
        assert proxy.received[0].endswith(MUCH + b"and more")


def test_the_limits_of_what_may_wait(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        transport.set_write_buffer_limits(high=1000)
        assert transport.get_write_buffer_limits() == (250, 1000)
        transport.set_write_buffer_limits(low=1000)
        assert transport.get_write_buffer_limits() == (1000, 4000)
        for high, low in [(1, 2), (1, -1)]:
            with pytest.raises(ValueError, match="must be"):
                transport.set_write_buffer_limits(high=high, low=low)
        transport.set_write_buffer_limits(high=1 << 30)
        transport.write(MUCH)
        assert protocol.calls == ["made"]
        transport.set_write_buffer_limits(high=0)
        assert protocol.calls == ["made", "pause"]
        await protocol.until_called("resume")
        assert transport.get_write_buffer_size() == 0
        transport.close()
        await protocol.until_called("lost")

    with world.proxy(Wait(0.05)) as proxy:
        world.run(main(proxy))


def test_a_protocol_that_fails_at_being_paused_is_reported(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(on={"pause": failing, "resume": failing})
        transport = await world.open(proxy, protocol)
        transport.write(MUCH)
        await protocol.until_called("resume")
        await protocol.until(lambda _: len(world.reported) == 2)
        transport.close()
        await protocol.until_called("lost")
        assert protocol.error is None
        assert all(isinstance(told["exception"], Broken) for told in world.reported)

    with world.proxy(Wait(0.05)) as proxy:
        world.run(main(proxy))
        assert proxy.wait_closed()
        assert proxy.received[0].endswith(MUCH)


class Broken(Exception):
    pass


def failing(transport: asyncio.Transport) -> None:
    raise Broken


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_of_every_kind_are_sent_as_they_were_then(world: World, kind: Any) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        data = kind(b"hello")
        transport.write(b"")
        transport.write(data)
        if isinstance(data, bytearray):
            data[:] = b"wrong"
        transport.writelines([b" ", b"world"])
        await protocol.until_data(b"hello world")
        transport.close()
        await protocol.until_called("lost")

    with world.proxy(Echo()) as proxy:
        world.run(main(proxy))


def test_text_is_not_sent(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        with pytest.raises(TypeError):
            transport.write("hello")  # type: ignore[arg-type]
        transport.close()
        await protocol.until_called("lost")

    with world.proxy() as proxy:
        world.run(main(proxy))


def test_the_sending_side_ends_by_itself(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        assert transport.can_write_eof()
        transport.write(MUCH)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError):
            transport.write(b"more")
        await protocol.until_data(MUCH)
        transport.close()
        transport.write_eof()  # of what is closing, no error
        await protocol.until_called("lost")

    with world.proxy(Echo()) as proxy:
        world.run(main(proxy))


# --- the end ---


def test_closing_sends_what_was_written(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        transport.write(MUCH)
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert "lost" not in protocol.calls
        await protocol.until_called("lost")
        assert protocol.error is None
        if world.ours:  # here the loops' own raise something of their inner parts
            transport.write(b"too late")
            transport.abort()

    with world.proxy(Wait(0.05)) as proxy:
        world.run(main(proxy))
        assert proxy.wait_closed()
        assert proxy.received[0].endswith(b"\r\n\r\n" + MUCH)
        assert proxy.hangups == []


@pytest.mark.parametrize("written", [b"", MUCH])
def test_aborting_drops_what_was_written(world: World, written: bytes) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        transport.write(written)
        transport.abort()
        transport.abort()
        assert transport.is_closing()
        assert "lost" not in protocol.calls
        await protocol.until_called("lost")
        assert protocol.error is None

    rest = [Receive(b"never")] if world.ours else []
    with world.proxy(Wait(0.05), *rest) as proxy:
        world.run(main(proxy))
        assert proxy.wait_closed()
        assert len(proxy.received[0]) < len(MUCH)
        # TLS tells an end from this, and the script would say so.
        assert [type(error) for error in proxy.hangups] == [ssl.SSLEOFError] * world.ours


def test_a_reset_is_told(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        await world.open(proxy, protocol)
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "lost"]
        assert isinstance(protocol.error, ConnectionError)

    with world.proxy(Reset()) as proxy:
        world.run(main(proxy))


def test_a_reset_is_told_to_who_writes(world: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        transport.pause_reading()
        while "lost" not in protocol.calls:
            transport.write(bytes(65536))
            await asyncio.sleep(0.001)
        assert isinstance(protocol.error, ConnectionError)

    with world.proxy(Reset()) as proxy:
        world.run(main(proxy))


@pytest.mark.parametrize("call", ["made", "data"])
@pytest.mark.parametrize("act", ["close", "abort"])
def test_nothing_comes_after_the_end(world: World, call: str, act: str) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(on={call: lambda transport: getattr(transport, act)()})
        transport = await world.open(proxy, protocol)
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "lost"] if call == "made" else ["made", "data", "lost"]
        assert protocol.error is None
        assert transport.is_closing()
        await asyncio.sleep(0.02)

    with world.proxy(Send(b"x" * 100_000, size=10_000, delay=0.001)) as proxy:
        world.run(main(proxy))


@pytest.mark.parametrize("call", ["data", "eof"])
@pytest.mark.parametrize("kind", [Broken, OSError])
def test_a_protocol_that_fails_ends_the_connection(
    world: World, call: str, kind: type[Exception]
) -> None:
    """And an error of the system's is no news for the handler of the rest."""

    def fail(transport: asyncio.Transport) -> None:
        raise kind

    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(on={call: fail})
        await world.open(proxy, protocol)
        await protocol.until_called("lost")
        assert isinstance(protocol.error, kind)
        if kind is Broken:
            [told] = world.reported
            assert told["exception"] is protocol.error
            assert told["protocol"] is protocol
        else:
            assert world.reported == []

    with world.proxy(Send(b"x"), HalfClose()) as proxy:
        world.run(main(proxy))


@pytest.mark.parametrize("act", ["close", "abort"])
def test_the_end_may_be_a_callback_of_the_loop(world: World, act: str) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        for written in (b"", MUCH):
            protocol = Recorder()
            transport = await world.open(proxy, protocol)
            transport.write(written)
            await asyncio.sleep(0.01)  # by when it waits
            asyncio.get_running_loop().call_soon(getattr(transport, act))
            await protocol.until_called("lost")
            assert world.reported == []

    with world.proxy(Wait(0.05)) as proxy:
        world.run(main(proxy))


# --- what only ours has ---


@pytest.fixture
def ours(loop: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> World:
    return World(loop, "TLS", server_context, client_context)


def test_it_says_what_it_is(ours: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await ours.open(proxy, protocol)
        way = f"<AsyncTunnel to a.test:1 through {proxy.url}"
        assert repr(transport) == f"<TunnelTransport over {way}>>"
        transport.write(MUCH)
        transport.close()
        assert repr(transport) == f"<TunnelTransport over {way}> closing>"
        await protocol.until_called("lost")
        assert repr(transport) == f"<TunnelTransport over {way} closed> closed>"

    with ours.proxy() as proxy:
        ours.run(main(proxy))


@pytest.mark.parametrize("call", ["data", "eof", "pause"])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_ends_the_loop(ours: World, call: str, kind: type[BaseException]) -> None:
    def interrupt(transport: asyncio.Transport) -> None:
        raise kind

    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder(on={call: interrupt})
        transport = await ours.open(proxy, protocol)
        transport.write(MUCH)
        await protocol.until_called("never")

    steps = (Wait(0.05), Send(b"x"), HalfClose()) if call != "pause" else (Wait(0.05),)
    with ours.proxy(*steps) as proxy, pytest.raises(kind):
        ours.run(main(proxy))


@pytest.mark.parametrize("writing", [False, True])
def test_whoever_cancels_all_tasks_ends_it(ours: World, writing: bool) -> None:
    """As a loop does that shuts down, which is no way to close a connection."""

    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await ours.open(proxy, protocol)
        if writing:
            transport.write(MUCH)
            transport.pause_reading()
        await asyncio.sleep(0.01)
        tasks = [task for task in asyncio.all_tasks() if "TunnelTransport" in repr(task)]
        assert len(tasks) == 1 + writing
        (sender(tasks) if writing else tasks[0]).cancel()
        with pytest.warns(ResourceWarning, match="unclosed <TunnelTransport"):
            await asyncio.wait(tasks)
        await protocol.until_called("lost")
        assert isinstance(protocol.error, ConnectionAbortedError)

    def sender(tasks: list[asyncio.Task[Any]]) -> asyncio.Task[Any]:
        [task] = [task for task in tasks if "_send()" in repr(task)]
        return task

    with ours.proxy(Wait(0.05)) as proxy:
        ours.run(main(proxy))


def test_what_was_closed_is_closed_when_the_loop_ends(world: World) -> None:
    """Also where nobody waits for it, and in order."""

    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        transport = await world.open(proxy, protocol)
        transport.write(b"bye")
        await asyncio.sleep(0.05)
        transport.close()

    with world.proxy(Receive(b"bye")) as proxy:
        with asyncio.Runner(loop_factory=LOOPS[world.loop]) as runner:
            runner.run(main(proxy))
        assert proxy.wait_closed()
        assert proxy.hangups == []


def test_a_loop_that_shuts_down_warns_of_it(ours: World) -> None:
    async def main(proxy: ScriptedProxy) -> None:
        await create_connection(Recorder, "a.test", 1, via=way(proxy, ours._client), timeout=5)

    with (
        ours.proxy() as proxy,
        asyncio.Runner(loop_factory=LOOPS[ours.loop]) as runner,
    ):
        runner.run(main(proxy))
        with pytest.warns(ResourceWarning, match="unclosed <TunnelTransport"):
            runner.close()


def test_a_tunnel_that_is_cut_off_is_told(ours: World) -> None:
    """TLS that ends without a close_notify may have been cut short."""

    async def main(proxy: ScriptedProxy) -> None:
        protocol = Recorder()
        await ours.open(proxy, protocol)
        await protocol.until_called("lost")
        assert protocol.calls == ["made", "data", "lost"]
        assert isinstance(protocol.error, TunnelBroken)

    with ours.proxy(Send(b"half a"), Close()) as proxy:
        ours.run(main(proxy))
