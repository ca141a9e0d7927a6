"""How tunnels that share a connection, connections and dialers come to an end, and what is left."""

from __future__ import annotations

import gc
import os
import signal
import threading
import warnings
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

import anyio
import anyio.to_thread
import pytest

from connect_tunnel import (
    AsyncDialer,
    AsyncTunnel,
    Dialer,
    Tunnel,
    TunnelBroken,
    TunnelError,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel.testing import Echo, LoopbackH2Proxy, ScriptedProxy
from connect_tunnel.testing import _h2_frames as h2

from .h2_party import End, Party, clear, meanwhile, play, until
from .h2_raw import CANCEL, CONNECT_ERROR, OPEN, RawH2Proxy, Wire
from .shells import BACKENDS, nothing_left, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Generator

    from .conftest import Contexts

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def target() -> Generator[ScriptedProxy]:
    with ScriptedProxy(Echo()) as server:
        yield server


def forget(what: list[object]) -> None:
    what.clear()
    gc.collect()


# ---- tunnels ----


def test_an_unclosed_tunnel_is_reset_by_who_comes_next(shell: str) -> None:
    async def story(party: Party) -> None:
        mine: list[object] = [await party.open()]
        second = await party.open()
        (connection,) = party.connections
        tunnel = ref(mine[0].raw)  # type: ignore[attr-defined]
        with pytest.warns(ResourceWarning, match="unclosed <(Async)?Tunnel to a.test:1"):
            forget(mine)
        assert tunnel() is None  # nothing but its owner held it
        (wire,) = proxy.wires
        assert not [frame for frame in wire.frames if frame.type == h2.RST_STREAM]
        await second.echo()
        resets = [frame for frame in wire.frames if frame.type == h2.RST_STREAM]
        assert [(frame.stream, frame.number()) for frame in resets] == [(1, CANCEL)]
        assert connection.seats == 1
        await second.close()

    with RawH2Proxy(Wire.serve) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("inside", [False, True], ids=["plain", "tls inside"])
def test_a_finalizer_takes_no_lock(
    shell: str, inside: bool, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """It may run in a thread that holds any of them, or while another does."""

    async def story(party: Party) -> None:
        first = await party.open((secure.host, secure.port))
        second = await party.open((secure.host, secure.port))
        if inside:
            first = await first.start_tls(client_context)
        mine: list[object] = [first]
        del first
        (connection,) = party.connections
        held, done = threading.Event(), threading.Event()

        def hold() -> None:
            with connection.monitor:
                held.set()
                done.wait(10)

        thread = threading.Thread(target=hold)
        thread.start()
        held.wait(10)
        sent = list(connection.state.outbox)
        await party.together(*([partial(anyio.to_thread.run_sync, int)] * 20))  # forget results
        with pytest.warns(ResourceWarning, match="unclosed"):
            forget(mine)
        assert connection.state.outbox == sent
        done.set()
        thread.join(10)
        await second.close()

    with (
        ScriptedProxy(Echo(), ssl_context=server_context if inside else None) as secure,
        LoopbackH2Proxy() as proxy,
    ):
        play(shell, story, clear(proxy))


def test_an_abandoned_tunnel_of_its_own_takes_its_connection_along() -> None:
    with nothing_left(), RawH2Proxy(Wire.serve) as proxy:
        tunnel = open_tunnel("a.test:1", via=clear(proxy), timeout=5)
        tunnel.write(b"x")
        mine: list[object] = [tunnel]
        del tunnel
        with pytest.warns(ResourceWarning, match="unclosed <Tunnel"):
            forget(mine)
        assert proxy.wait_closed()


def test_a_tunnel_of_its_own_takes_its_connection_along(shell: str) -> None:
    """Without a dialer there is nobody to join it."""
    with nothing_left(), RawH2Proxy(Wire.serve) as proxy:

        async def story(party: Party) -> None:
            if shell == "sync":
                tunnel: Tunnel | AsyncTunnel = await party.in_thread(
                    partial(open_tunnel, "a.test:1", via=clear(proxy))
                )
            else:
                tunnel = await open_tunnel_async("a.test:1", via=clear(proxy))
            end = End(party, tunnel)
            await end.echo()
            await end.close()

        play(shell, story, clear(proxy))
        assert proxy.wait_closed()
        assert [frame.type for frame in proxy.wires[0].frames].count(h2.GOAWAY) == 1


@pytest.mark.parametrize("step", ["answer", "read", "window", "tls"])
def test_what_is_given_up_leaves_the_others_alone(
    shell: str, step: str, client_context: ssl.SSLContext
) -> None:
    def silent_on(wire: Wire) -> None:
        """The second tunnel gets nothing more than its answer; or not even that."""
        wire.accept()
        second = wire.request()
        if step != "answer":
            wire.send(wire.head(second))
        while True:
            frame = wire.next()
            if frame.type == h2.DATA and frame.stream != second:
                size, last = len(frame.payload), frame.flags & h2.END_STREAM
                credit = [h2.window_update(n, size) for n in (0, frame.stream) if size]
                wire.send(*credit, h2.frame(h2.DATA, last, frame.stream, frame.content()))
            elif frame.type == h2.DATA and frame.payload:
                wire.send(h2.window_update(0, len(frame.payload)))
            elif frame.type == h2.HEADERS:
                wire.send(wire.head(frame.stream))

    async def story(party: Party) -> None:
        first = await party.open()
        async with meanwhile(partial(first.exactly, 10)) as of_first:
            if step == "answer":
                if shell == "sync":
                    assert isinstance(await party.failure(), TimeoutError)
                else:
                    with anyio.move_on_after(0.3) as scope:
                        await party.open()
                    assert scope.cancelled_caught
            else:
                second = await party.open()
                act: dict[str, Callable[[], Awaitable[object]]] = {
                    "read": partial(second.read, 0.3),
                    "window": partial(second.write, bytes(100_000), 0.3),
                    "tls": partial(second.start_tls, client_context, timeout=0.3),
                }
                with pytest.raises(TimeoutError):
                    await act[step]()
                await second.close()
            third = await party.open()
            await third.echo(os.urandom(200_000))
            await third.close()
            assert not of_first
            await first.write(b"0123456789")
        assert of_first == [b"0123456789"]
        await first.echo(os.urandom(200_000))
        await first.close()
        (wire,) = proxy.wires
        resets = [(f.stream, f.number()) for f in wire.frames if f.type == h2.RST_STREAM]
        # What was read from only ends in order, unless the target takes its time.
        assert resets == [(3, CANCEL)] or (step == "read" and not resets)

    with RawH2Proxy(silent_on) as proxy:
        play(shell, story, clear(proxy), timeout=1.5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_whoever_is_cancelled_the_rest_is_right(backend: str) -> None:
    """At any step of theirs, tasks are cancelled; one tunnel goes on, byte-exact."""

    async def story(party: Party) -> None:
        steady = await party.open()

        async def churn(number: int) -> None:
            with anyio.move_on_after(0.0007 * number):
                end = await party.open()
                try:
                    await end.echo(bytes(50_000))
                finally:
                    with anyio.CancelScope(shield=True):
                        await end.close()

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(churn, number)
            for _ in range(5):
                await steady.echo(os.urandom(100_000))
        await steady.echo(os.urandom(100_000))
        await steady.close()
        (connection,) = party.connections
        assert (connection.seats, connection.reserved) == (0, 0)
        assert not connection.turn.held

    with RawH2Proxy(Wire.serve, settings=OPEN) as proxy:
        play(backend, story, clear(proxy))


def test_ctrl_c_hands_the_turn_on() -> None:
    """A thread that leaves by KeyboardInterrupt leaves as any other does."""
    with (
        RawH2Proxy(Wire.serve) as proxy,
        Dialer(clear(proxy), timeout=5) as dialer,
        dialer.open_tunnel("a.test:1") as mine,
        dialer.open_tunnel("a.test:1") as other,
    ):
        got: list[bytes] = []
        thread = threading.Thread(target=lambda: got.append(other.read(timeout=10)))

        def interrupt() -> None:
            (place,) = dialer._pool._places.values()  # type: ignore[union-attr]
            (connection,) = place.connections
            wait_until(lambda: connection.turn.held)
            thread.start()
            wait_until(lambda: connection.turn._parked)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            mine.read(timeout=10)
        other.write(b"x")
        thread.join(5)
        assert got == [b"x"]
        mine.write(b"y")
        assert mine.read(timeout=5) == b"y"


# ---- connections ----


@pytest.mark.parametrize("how", ["ends", "reset", "truncated", "garbage"])
def test_a_lost_connection_fails_all_of_its_tunnels(
    shell: str, how: str, both_h2: Contexts
) -> None:
    told = threading.Event()

    def lose(wire: Wire) -> None:
        for _ in range(3):
            wire.accept()
        told.wait(10)
        if how == "reset":
            wire.reset()
        elif how == "garbage":
            wire.send(b"\xff" * 100)
        elif how == "ends" and tls:
            wire.peer.shutdown(1)
        else:
            wire.end()

    tls = how in ("truncated", "ends")

    async def story(party: Party) -> None:
        ends = [await party.open() for _ in range(3)]
        async with (
            meanwhile(ends[0].read) as first,
            meanwhile(ends[1].read) as second,
            meanwhile(partial(ends[2].write, bytes(100_000))) as third,
        ):
            told.set()
            await until(lambda: first and second and third, 5)
        for outcome in (first, second, third):
            assert isinstance(outcome[0], TunnelBroken)
            said = {
                "ends": "the proxy closed the connection",
                "reset": "the proxy reset the connection",
                "truncated": "the proxy broke the connection",
                "garbage": "the proxy sent a frame of",
            }[how]
            assert said in str(outcome[0])
        for end in ends:
            await end.close()
        last = await party.open()
        await last.echo()
        await last.close()

    context = both_h2.server if tls else None
    with RawH2Proxy(lose, Wire.serve, ssl_context=context) as proxy:
        options = {"http1": True, "ssl_context": both_h2.client} if tls else {}
        play(shell, story, clear(proxy, **options))


def test_data_come_before_what_ends_them(shell: str) -> None:
    def break_one(wire: Wire) -> None:
        first, second = wire.accept(), wire.accept()
        data = h2.frame(h2.DATA, 0, first, b"data")
        wire.send(data, h2.rst_stream(first, CONNECT_ERROR))
        wire.send(h2.frame(h2.DATA, 0, second, b"fine"))

    async def story(party: Party) -> None:
        first, second = await party.open(), await party.open()
        assert await second.read() == b"fine"
        assert await first.read() == b"data"
        with pytest.raises(TunnelBroken, match=r"reset the stream \(CONNECT_ERROR\)"):
            await first.read()
        with pytest.raises(TunnelBroken):
            await first.write(b"x")
        for end in (first, second):
            await end.close()

    with RawH2Proxy(break_one) as proxy:
        play(shell, story, clear(proxy))


# ---- dialers ----


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_closed_dialer_lets_its_tunnels_finish(shell: str, tls: bool, both_h2: Contexts) -> None:
    async def story(party: Party) -> None:
        first, second = await party.open(), await party.open()
        await party.close()
        assert "closed" in str(await party.failure())
        for end in (first, second):
            await end.echo(os.urandom(100_000))
            assert not [f for f in proxy.wires[0].frames if f.type == h2.GOAWAY]
            await end.send_eof()
            assert await end.read() == b""
            await end.close()
        await until(lambda: proxy.wires[0].sock.fileno() == -1)
        assert proxy.wires[0].frames[-1].type == h2.GOAWAY  # and then an end in order

    options = {"http1": True, "ssl_context": both_h2.client} if tls else {}
    with RawH2Proxy(Wire.serve, ssl_context=both_h2.server if tls else None) as proxy:
        play(shell, story, clear(proxy, **options))
        assert not proxy._listener.hangups


def test_idle_connections_are_closed_with_their_dialer(shell: str) -> None:
    with nothing_left(), RawH2Proxy(Wire.serve, settings={h2.MAX_CONCURRENT_STREAMS: 1}) as proxy:

        async def story(party: Party) -> None:
            ends = [await party.open() for _ in range(3)]
            assert len(proxy.wires) == 3
            for end in ends:
                await end.send_eof()
                assert await end.read() == b""
            for end in ends:
                await end.close()
            assert len(party.connections) == 1  # one is enough to be kept

        play(shell, story, clear(proxy))
        assert proxy.wait_closed()
        assert all(wire.frames[-1].type == h2.GOAWAY for wire in proxy.wires)


def test_who_waits_for_a_connection_gets_it_though_the_dialer_is_closed(
    shell: str, both_h2: Contexts
) -> None:
    """Two opened before it was closed; one makes the connection, the other waits for that."""
    hold = threading.Event()

    async def story(party: Party) -> None:
        async with meanwhile(party.open) as first, meanwhile(party.open) as second:
            await party.close()
            hold.set()
        for outcome in (first, second):
            await outcome[0].close()  # type: ignore[union-attr]

    with RawH2Proxy(Wire.serve, ssl_context=both_h2.server, hold=hold) as proxy:
        via = clear(proxy, http1=True, ssl_context=both_h2.client)
        play(shell, story, via, timeout=5)
        assert proxy.wait_closed()


def test_an_unclosed_dialer_warns() -> None:
    with nothing_left(), RawH2Proxy(Wire.serve) as proxy:
        dialer = Dialer(clear(proxy), timeout=5)
        dialer.open_tunnel("a.test:1").close()
        mine: list[object] = [dialer]
        del dialer
        with pytest.warns(ResourceWarning, match="unclosed <Dialer"):
            forget(mine)
        assert proxy.wait_closed()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            Dialer(clear(proxy))  # that has opened nothing, has nothing to be closed
            gc.collect()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_unclosed_async_dialer_warns(backend: str) -> None:
    async def main() -> None:
        dialer = AsyncDialer(clear(proxy), timeout=5)
        await (await dialer.open_tunnel("a.test:1")).aclose()
        mine: list[object] = [dialer]
        del dialer
        with pytest.warns(ResourceWarning, match="unclosed <AsyncDialer"):
            forget(mine)

    with RawH2Proxy(Wire.serve) as proxy:
        anyio.run(main, backend=backend)
        assert proxy.wait_closed()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("act", ["opens", "closes", "both"])
def test_after_a_fork_each_process_has_its_own(act: str, both_h2: Contexts) -> None:
    with RawH2Proxy(Wire.serve, ssl_context=both_h2.server) as proxy:
        via = clear(proxy, http1=True, ssl_context=both_h2.client)
        with Dialer(via, timeout=5) as dialer, dialer.open_tunnel("a.test:1") as tunnel:
            dialer.open_tunnel("b.test:1").close()
            child = os.fork()
            if not child:
                code = 1
                try:
                    if act != "closes":
                        own = dialer.open_tunnel("c.test:1")
                        own.write(b"child")
                        assert own.read(timeout=5) == b"child"
                        own.close()
                    if act != "opens":
                        dialer.close()
                    code = 0
                finally:
                    os._exit(code)
            assert os.waitpid(child, 0)[1] == 0
            assert len(proxy.wires) == 1 + (act != "closes")
            tunnel.write(b"parent")
            assert tunnel.read(timeout=5) == b"parent"
            with dialer.open_tunnel("d.test:1") as another:
                another.write(b"too")
                assert another.read(timeout=5) == b"too"
        assert len(proxy.wires) == 1 + (act != "closes")


# ---- leaks ----


FATES = ["refused", "reset", "given up"]


@pytest.mark.parametrize("fate", FATES)
def test_failures_leave_nothing(shell: str, fate: str) -> None:
    def fail(wire: Wire) -> None:
        while True:
            frame = wire.next()
            if frame.type == h2.HEADERS and fate == "refused":
                wire.send(wire.head(frame.stream, 403, end=True))
            elif frame.type == h2.HEADERS and fate == "reset":
                wire.send(h2.rst_stream(frame.stream, CANCEL))

    count = 20 if fate == "given up" else 300

    async def story(party: Party) -> None:
        async def attempt() -> None:
            if fate == "given up" and shell != "sync":
                with anyio.move_on_after(0.05):
                    await party.open()
            else:
                assert isinstance(await party.failure(), TunnelError)

        await party.together(*([attempt] * 20))
        for _ in range(0 if fate == "given up" else count - 20):
            await attempt()
        (connection,) = party.connections
        assert (connection.seats, connection.reserved) == (0, 0)
        assert not connection.state.streams
        assert len(proxy.wires) == 1

    with nothing_left(), RawH2Proxy(fail) as proxy:
        play(shell, story, clear(proxy), timeout=1 if fate == "given up" else 10)
