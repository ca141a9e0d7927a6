"""Who opens tunnels shares connections: how many there are, and whom they are trusted with."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import (
    HTTP2,
    Proxy,
    ProxyHungUp,
    TunnelError,
)
from connect_tunnel._net import driver, liveness, remains
from connect_tunnel.protocols import h2 as h2_program
from connect_tunnel.testing import Echo, LoopbackH2Proxy, ScriptedProxy
from connect_tunnel.testing import _h2_frames as h2

from .h2_party import Party, clear, meanwhile, play, until
from .h2_raw import CANCEL, HTTP_1_1_REQUIRED, OPEN, RawH2Proxy, Wire
from .shells import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import trustme

    from .conftest import Contexts

pytestmark = pytest.mark.timeout(60)

ONE = HTTP2(max_connections=1)


@pytest.fixture
def target() -> Generator[ScriptedProxy]:
    with ScriptedProxy(Echo()) as server:
        yield server


def test_many_at_once_make_one_connection(
    shell: str, target: ScriptedProxy, both_h2: Contexts
) -> None:
    async def story(party: Party) -> None:
        async def use(number: int) -> None:
            end = await party.open((target.host, target.port))
            await end.echo(bytes([number]) * 3000)
            await end.close()

        await party.together(*(partial(use, number) for number in range(50)))
        assert proxy.connections == 1

    with LoopbackH2Proxy(ssl_context=both_h2.server) as proxy:
        play(shell, story, Proxy(proxy.url, http2=True, ssl_context=both_h2.client))
    assert proxy.protocols == ["h2"]


@pytest.mark.parametrize("at_once", [1, 20])
def test_where_the_first_connection_fails_the_next_makes_one(shell: str, at_once: int) -> None:
    def refuse(wire: Wire) -> None:
        wire.reset()

    async def story(party: Party) -> None:
        async def use() -> bool:
            try:
                end = await party.open()
            except TunnelError:
                return False
            await end.echo()
            await end.close()
            return True

        opened = await party.together(*([use] * at_once))
        assert opened.count(False) <= 1  # who made it
        assert len(proxy.wires) == 2 or at_once == 1

    with RawH2Proxy(refuse, Wire.serve) as proxy:
        play(shell, story, clear(proxy))


def test_where_a_dial_is_given_up_the_next_dials(shell: str) -> None:
    """The first is stuck in TLS with a proxy that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        via = Proxy(f"https://127.0.0.1:{silent.getsockname()[1]}", http2=True)

        async def story(party: Party) -> None:
            began = time.monotonic()
            errors = await party.together(party.failure, party.failure)
            assert all(isinstance(error, TimeoutError) for error in errors)
            assert time.monotonic() - began < 5
            silent.setblocking(False)
            for _ in range(1 if shell == "sync" else 2):
                silent.accept()[0].close()

        async def cancelled(party: Party) -> None:
            """Of two tasks, the one that dials is cancelled."""
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(party.open)
                await anyio.sleep(0.1)
                async with anyio.create_task_group() as others:
                    others.start_soon(_swallow, party.open)
                    await anyio.sleep(0.2)
                    tasks.cancel_scope.cancel()

        async def _swallow(act: Callable[[], object]) -> None:
            with suppress(TunnelError):
                await act()  # type: ignore[misc]

        if shell != "sync":
            play(shell, cancelled, via, timeout=3)
        play(shell, story, via, timeout=1)


@pytest.mark.parametrize("shell", BACKENDS)
def test_who_made_it_and_is_cancelled_leaves_it_to_the_next(shell: str) -> None:
    async def story(party: Party) -> None:
        async with anyio.create_task_group() as tasks:
            scope = anyio.CancelScope()

            async def first() -> None:
                with scope:
                    await party.open()

            tasks.start_soon(first)
            await until(lambda: proxy.wires)
            async with meanwhile(party.open) as opened:
                scope.cancel()
                await until(lambda: opened)
            await opened[0].close()  # type: ignore[union-attr]
        # Without its CONNECT answered the first leaves, and the connection is good.
        assert len(proxy.wires) == 1

    def slow(wire: Wire) -> None:
        first = wire.request()
        assert wire.until(h2.RST_STREAM, first).number() == CANCEL
        for stream in wire.requests:
            if stream != first:
                wire.send(wire.head(stream))
        wire.serve()

    with RawH2Proxy(slow) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("limit", [1, 2])
def test_another_connection_where_the_proxy_takes_no_more(
    shell: str, limit: int, target: ScriptedProxy
) -> None:
    async def story(party: Party) -> None:
        ends = [await party.open((target.host, target.port)) for _ in range(2 * limit)]
        assert proxy.connections == 2
        for end in ends:
            await end.echo()
            await end.close()

    with LoopbackH2Proxy(max_concurrent_streams=limit) as proxy:
        play(shell, story, clear(proxy))


def test_one_after_the_other_needs_one_connection(shell: str, target: ScriptedProxy) -> None:
    async def story(party: Party) -> None:
        for _ in range(10):
            end = await party.open((target.host, target.port))
            await end.echo()
            await end.close()
            await anyio.sleep(0.1)  # in which its end comes, and nobody is there to read it
        assert proxy.connections == 1

    with LoopbackH2Proxy(max_concurrent_streams=1) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("waits_by", ["itself", "another's read"])
def test_who_may_make_no_connection_waits_for_a_slot(
    shell: str, waits_by: str, target: ScriptedProxy
) -> None:
    limit = 1 if waits_by == "itself" else 2

    async def story(party: Party) -> None:
        where = (target.host, target.port)
        ends = [await party.open(where) for _ in range(limit)]
        read = ends[-1].read if limit == 2 else partial(anyio.sleep, 0)
        async with meanwhile(read), meanwhile(partial(party.open, where)) as opened:
            await anyio.sleep(0.2)
            assert not opened
            await ends[0].close()
            await until(lambda: opened, 5)
            if limit == 2:
                await ends[1].write(b"x")
        assert proxy.connections == 1
        await opened[0].echo()  # type: ignore[union-attr]
        for end in (*ends, opened[0]):
            await end.close()  # type: ignore[union-attr]

    with LoopbackH2Proxy(max_concurrent_streams=limit) as proxy:
        play(shell, story, clear(proxy, http2=ONE))


def test_a_slot_is_free_soon_even_if_the_target_stays(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tunnel that was closed is reset after a while, by the one that waits for its place."""
    monkeypatch.setattr(remains, "LINGER", 0.5)

    def stay(wire: Wire) -> None:
        first = wire.accept()
        assert wire.until(h2.RST_STREAM).number() == CANCEL
        assert first == 1
        wire.serve()

    async def story(party: Party) -> None:
        first = await party.open()
        await first.close()
        second = await party.open()
        await second.echo()
        await second.close()
        assert len(proxy.wires) == 1

    with RawH2Proxy(stay, settings={h2.MAX_CONCURRENT_STREAMS: 1}) as proxy:
        play(shell, story, clear(proxy, http2=ONE), timeout=8)


def test_a_limit_of_none_at_all_is_waited_for(shell: str) -> None:
    def relent(wire: Wire) -> None:
        first = wire.accept()
        wire.send(h2.settings({h2.MAX_CONCURRENT_STREAMS: 0}))
        wire.take(first, 4)
        wire.send(h2.frame(h2.DATA, 0, first, b"pong"))
        wire.take(first, 4)
        wire.send(h2.settings({h2.MAX_CONCURRENT_STREAMS: 2}))
        wire.serve()

    async def story(party: Party) -> None:
        first = await party.open()
        await first.write(b"ping")
        assert await first.read() == b"pong"
        async with meanwhile(party.open) as second:
            assert not second
            await first.write(b"more")
        await second[0].echo()  # type: ignore[union-attr]
        await second[0].close()  # type: ignore[union-attr]
        await first.close()
        assert len(proxy.wires) == 1

    with RawH2Proxy(relent) as proxy:
        play(shell, story, clear(proxy, http2=ONE))


def some_in_silence(answered: int) -> Callable[[Wire], None]:
    """A proxy that leaves tunnels beyond so many on a connection waiting."""

    def run(wire: Wire) -> None:
        for _ in range(answered):
            wire.accept()
        while True:
            wire.next()

    return run


def test_who_is_left_in_silence_moves(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h2_program, "SILENCE", 0.3)

    async def story(party: Party) -> None:
        ends = [await party.open() for _ in range(2)]
        third = await party.open()
        assert [len(wire.requests) for wire in proxy.wires] == [3, 1]
        ends += [third, *[await party.open() for _ in range(2)]]
        assert [len(wire.requests) for wire in proxy.wires] == [3, 3, 1]
        # What was learnt is used: the third is trusted with two from the beginning.
        ends += [await party.open() for _ in range(2)]
        assert [len(wire.requests) for wire in proxy.wires] == [3, 3, 2, 1]
        for end in ends:
            await end.close()

    with RawH2Proxy(some_in_silence(2)) as proxy:
        play(shell, story, clear(proxy))


def test_who_is_alone_stays_in_silence(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h2_program, "SILENCE", 0.2)

    def dawdle(wire: Wire) -> None:
        stream = wire.request()
        time.sleep(1)
        wire.send(wire.head(stream))
        wire.serve()

    async def story(party: Party) -> None:
        end = await party.open()
        await end.close()
        assert len(proxy.wires) == 1

    with RawH2Proxy(dawdle) as proxy:
        play(shell, story, clear(proxy))


def test_who_may_not_move_stays(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(h2_program, "SILENCE", 0.2)

    async def story(party: Party) -> None:
        first = await party.open()
        assert isinstance(await party.failure(), TimeoutError)
        assert len(proxy.wires) == 1
        await first.close()

    with RawH2Proxy(some_in_silence(1)) as proxy:
        play(shell, story, clear(proxy, http2=ONE), timeout=1)


def test_a_connection_left_alone_must_answer_a_ping(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "UNATTENDED", 0.2)

    async def story(party: Party) -> None:
        first = await party.open()
        await anyio.sleep(0.4)
        second = await party.open()
        (wire,) = proxy.wires
        kinds = [frame.type for frame in wire.frames if frame.type in (h2.PING, h2.HEADERS)]
        assert kinds == [h2.HEADERS, h2.PING, h2.HEADERS]
        await first.echo()
        await first.close()
        await second.close()

    with RawH2Proxy(Wire.serve) as proxy:
        play(shell, story, clear(proxy))


def test_a_connection_that_somebody_reads_is_not_asked(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits on it would hear of its end at once, however long nothing comes."""
    monkeypatch.setattr(liveness, "UNATTENDED", 0.2)

    async def story(party: Party) -> None:
        first = await party.open()
        async with meanwhile(first.read) as heard:
            await anyio.sleep(0.4)
            second = await party.open()
            (wire,) = proxy.wires
            assert not [frame for frame in wire.frames if frame.type == h2.PING]
            await second.close()
            await first.write(b"ping")
        assert heard == [b"ping"]
        await first.close()

    with RawH2Proxy(Wire.serve) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("used", [False, True], ids=["idle", "with a tunnel"])
def test_one_that_does_not_answer_is_left(
    shell: str, used: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "UNATTENDED", 0.1)
    monkeypatch.setattr(liveness, "_PROOF", 0.3)

    def stop(wire: Wire) -> None:
        first = wire.accept()
        if not used:
            wire.send(h2.frame(h2.DATA, h2.END_STREAM, first))
        wire.until(h2.PING)
        while True:
            frame = wire.next()
            if frame.type == h2.DATA and frame.payload == b"still":
                wire.send(h2.frame(h2.DATA, 0, first, b"there"))

    async def story(party: Party) -> None:
        first = await party.open()
        if not used:
            assert await first.read() == b""
            await first.close()
        await anyio.sleep(0.3)
        second = await party.open()
        assert len(proxy.wires) == 2
        await second.echo()
        if used:  # which may still be good
            await first.write(b"still")
            assert await first.read() == b"there"
            await first.close()
        await second.close()
        assert len(party.connections) == 1  # and nothing of the other is left
        await until(lambda: proxy.wires[0].sock.fileno() == -1)

    with RawH2Proxy(stop, Wire.serve) as proxy:
        play(shell, story, clear(proxy))


def test_a_ping_is_answered_while_a_tunnel_waits(shell: str) -> None:
    def ping(wire: Wire) -> None:
        stream = wire.accept()
        wire.send(h2.frame(h2.PING, 0, 0, b"12345678"))
        answer = wire.until(h2.PING)
        assert answer.has(h2.ACK)
        assert answer.payload == b"12345678"
        wire.send(h2.frame(h2.DATA, 0, stream, b"alive"))

    async def story(party: Party) -> None:
        end = await party.open()
        assert await end.read() == b"alive"
        await end.close()

    with RawH2Proxy(ping) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize(
    ("code", "again"), [(h2.REFUSED_STREAM, True), (CANCEL, False)], ids=["refused", "cancelled"]
)
def test_what_was_not_processed_is_asked_once_more(shell: str, code: int, again: bool) -> None:
    def refuse(wire: Wire) -> None:
        wire.send(h2.rst_stream(wire.request(), code))
        wire.serve()

    async def story(party: Party) -> None:
        if again:
            end = await party.open()
            await end.echo()
            await end.close()
        else:
            assert isinstance(await party.failure(), ProxyHungUp)
        assert sum(len(wire.requests) for wire in proxy.wires) == 1 + again

    with RawH2Proxy(refuse) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("how", ["stream", "connection"])
@pytest.mark.parametrize("code", [HTTP_1_1_REQUIRED, h2.PROTOCOL_ERROR])
def test_a_proxy_that_cannot_is_asked_in_http_1(  # noqa: PLR0913, PLR0917 - what, how, and where
    shell: str,
    how: str,
    code: int,
    ca: trustme.CA,
    both_h2: Contexts,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def context_for(protocols: tuple[str, ...] = ()) -> ssl.SSLContext:
        context = ssl.create_default_context()
        ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
        context.set_alpn_protocols(protocols)
        return context

    monkeypatch.setattr(driver, "default_context", context_for)

    def refuse(wire: Wire) -> None:
        stream = wire.request()
        wire.send(h2.rst_stream(stream, code) if how == "stream" else h2.goaway(0, code))

    def speak_http_1(wire: Wire) -> None:
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += wire.peer.recv(1)
        wire.peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        wire.peer.recv(1)

    async def story(party: Party) -> None:
        first = await party.open()
        second = await party.open()  # which is not asked in HTTP/2 any more
        assert len(proxy.wires) == 3
        assert [first.raw.response.http_version, second.raw.response.http_version] == ["1.1"] * 2
        await first.close()
        await second.close()

    with RawH2Proxy(refuse, speak_http_1, ssl_context=both_h2.server) as proxy:
        play(shell, story, Proxy(proxy.url, http2=True))


@pytest.mark.parametrize("last", [1, 0])
def test_after_a_goaway_tunnels_run_on_and_others_go_elsewhere(shell: str, last: int) -> None:
    def go_away(wire: Wire) -> None:
        first = wire.accept()
        second = wire.request()
        wire.send(h2.goaway(first if last else 2**31 - 1, h2.NO_ERROR))
        if not last:
            wire.send(wire.head(second))
        wire.serve()

    async def story(party: Party) -> None:
        first = await party.open()
        second = await party.open()
        third = await party.open()
        assert [len(wire.requests) for wire in proxy.wires] == ([2, 2] if last else [2, 1])
        for end in (first, second, third):
            await end.echo(bytes(range(256)) * 500)
        await first.send_eof()
        assert await first.read() == b""
        for end in (first, second, third):
            await end.close()
        await until(lambda: proxy.wires[0].sock.fileno() == -1)

    with RawH2Proxy(go_away, Wire.serve, settings=OPEN) as proxy:
        play(shell, story, clear(proxy))


def test_an_idle_connection_that_ended_is_no_harm(shell: str) -> None:
    def end(wire: Wire) -> None:
        first = wire.accept()
        wire.send(h2.frame(h2.DATA, h2.END_STREAM, first))
        wire.until(h2.DATA, first)
        wire.end()

    async def story(party: Party) -> None:
        first = await party.open()
        assert await first.read() == b""
        await first.close()
        await anyio.sleep(0.2)
        second = await party.open()
        await second.echo()
        await second.close()
        assert len(proxy.wires) == 2

    with RawH2Proxy(end, Wire.serve) as proxy:
        play(shell, story, clear(proxy))
