"""The parts of a shared connection, in states that no tunnel brings about by itself."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import HTTP2, Dialer, Proxy
from connect_tunnel._async.bell import LoopBell
from connect_tunnel._async.wait import run as run_async
from connect_tunnel._net import shared
from connect_tunnel._net.seat import Seat
from connect_tunnel._net.shared import SharedConnection
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.turn import Turn, Waiter
from connect_tunnel._net.waits import (
    READ,
    WRITE,
    AnyReady,
    Deadline,
    Expired,
    FirstOf,
    Nested,
    Settled,
    Signalled,
)
from connect_tunnel._sync.bell import SocketBell
from connect_tunnel._sync.wait import run
from connect_tunnel.auth import Digest
from connect_tunnel.protocols.h2_stream import H2Stream
from connect_tunnel.testing import Echo, LoopbackProxy, ScriptedProxy
from connect_tunnel.testing import _h2_frames as h2

from .h2_party import Party, clear, play, until
from .h2_raw import RawH2Proxy, Wire
from .shells import BACKENDS, SHELLS, nothing_left, perform, took

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from connect_tunnel._net.waits import Operation, Signal

    from .conftest import Contexts

pytestmark = pytest.mark.timeout(60)

CONNECT = [(b":method", b"CONNECT"), (b":authority", b"a.test:1")]


class Line(SocketLayer):
    """A layer that can be told to fail.

    Attributes:
        fails: Raised once by the next read or write, whichever is named.
        full: How many more times nothing is taken.
    """

    __slots__ = ("fails", "full")

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self.fails: dict[str, BaseException] = {}
        self.full = 0

    def receive_now(self, max_bytes: int) -> bytes | None:
        if "read" in self.fails:
            raise self.fails.pop("read")
        return super().receive_now(max_bytes)

    def send_now(self, data: bytes | memoryview) -> int:
        if "write" in self.fails:
            raise self.fails.pop("write")
        if self.full:
            self.full -= 1
            return 0
        return super().send_now(data)


class Rig:
    """A connection and the proxy's end of it.

    Attributes:
        changes: How often somebody was told that there may be room.
    """

    def __init__(self, shell: str = "sync") -> None:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.settimeout(5)
        self.changes = 0
        self.line = Line(near)
        self.connection = SharedConnection(
            self.line,
            window=65535,
            bell=SocketBell(near) if shell == "sync" else LoopBell(near),
            on_change=self._on_change,
        )
        self.seat = Seat(self.connection, joined=False)

    def _on_change(self, _: SharedConnection) -> None:
        self.changes += 1

    def open(self) -> None:
        self.far.sendall(h2.settings({}))
        self.seat.ask(CONNECT)
        block = b"\x88"  # 200
        self.far.sendall(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, block))
        run(self.seat.answered(5), Deadline(5))


class Interrupted(Line):
    """In the middle of a read a signal handler uses the same connection."""

    __slots__ = ("connection",)

    connection: SharedConnection

    def receive_now(self, max_bytes: int) -> bytes | None:
        self.connection.attend()
        assert not self.connection.flush()
        return super().receive_now(max_bytes)


def test_what_is_interrupted_in_its_work_is_not_begun_again() -> None:
    with nothing_left():
        rig = Rig()
        layer = Interrupted(rig.line.sock)
        layer.connection = rig.connection
        rig.connection.layer = layer  # type: ignore[misc]
        rig.far.sendall(h2.settings({}))
        rig.connection.attend()
        assert rig.connection.state.settled
        rig.connection.close()
        rig.far.close()


@pytest.fixture
def rig() -> Generator[Rig]:
    with nothing_left():
        rig = Rig()
        yield rig
        rig.connection.close()
        rig.far.close()


def test_who_is_interrupted_in_a_read_leaves_no_connection_to_others(rig: Rig) -> None:
    """What was read and not digested is lost, and so is all that follows."""
    rig.open()
    rig.line.fails["read"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        rig.seat.receive_now(1)
    with pytest.raises(ConnectionResetError, match="left in the middle of something"):
        rig.seat.receive_now(1)
    assert not rig.connection.turn.held
    assert rig.changes


def test_who_is_interrupted_in_a_write_neither(rig: Rig) -> None:
    rig.open()
    rig.line.fails["write"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        rig.seat.send_now(b"x")
    with pytest.raises(ConnectionResetError, match="left in the middle of something"):
        rig.seat.send_now(b"x")


def test_a_loss_that_shows_in_a_write_ends_a_wait(rig: Rig) -> None:
    rig.open()
    rig.connection.attend()
    rig.connection.state.ping()  # there is something to be sent
    rig.line.fails["write"] = ConnectionResetError(104, "reset")
    run(rig.connection.wait(lambda: rig.connection.state.lost is not None, Waiter()), Deadline(5))
    assert rig.connection.state.lost is not None
    assert rig.connection.state.lost.said == "reset the connection"
    assert not rig.connection.turn.held


@pytest.mark.parametrize("looks", range(1, 5))
def test_room_that_the_kernel_makes_between_two_looks_is_not_missed(rig: Rig, looks: int) -> None:
    """What is all sent is not waited for, at whichever look that turns out."""
    rig.open()
    rig.connection.attend()
    rig.line.full = looks
    assert rig.seat.send_now(b"x") == 1  # framed, and not taken
    run(rig.seat.ready(WRITE).operation, Deadline(5))
    assert not rig.line.full
    assert rig.seat.flush_now()


def test_who_comes_after_the_end_finds_it_ended(rig: Rig) -> None:
    rig.open()
    rig.connection.close()
    with pytest.raises(ConnectionResetError, match="was left"):
        rig.seat.receive_now(1)
    run(rig.seat.answered(5), Deadline(5))
    rig.connection.close()
    assert rig.connection.closed


def test_a_seat_without_a_stream(rig: Rig) -> None:
    assert rig.seat.peek_now() is None
    rig.seat.close_now(cleanly=True)
    rig.seat.drop()
    rig.seat.drop()
    assert (rig.connection.seats, rig.connection.reserved) == (0, 0)
    assert rig.changes == 1


def test_a_seat_is_abandoned_once(rig: Rig) -> None:
    assert rig.connection.seats == 1
    rig.seat.abandon()
    rig.seat.abandon()
    rig.connection.attend()
    assert (rig.connection.seats, rig.connection.reserved) == (0, 0)
    assert rig.changes == 1


def test_who_is_called_before_it_has_the_turn_looks_again(rig: Rig) -> None:
    """A call from a thread that does not have the monitor, as the pool's are."""
    waiter = Waiter()
    looks: list[bool] = []

    def enough() -> bool:
        looks.append(waiter.leads)
        if len(looks) == 1:
            rig.connection.turn.call(waiter)  # after the look, and before the claim
        return len(looks) > 2

    with took(0, 3):
        run(rig.connection.wait(enough, waiter), Deadline(5))


@pytest.mark.parametrize("shell", SHELLS)
def test_more_than_one_streak_is_read(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a layer holds back the kernel says nothing: nobody waits for it."""
    monkeypatch.setattr(shared, "_LONGEST_STREAK", 1)
    monkeypatch.setattr(shared, "MAX_READ", 1)  # what gives so much may hold something back
    rig = Rig(shell)

    class Holding(Line):
        """It has all that there is, and the kernel nothing."""

        __slots__ = ("held",)

        def __init__(self, sock: socket.socket) -> None:
            super().__init__(sock)
            self.held: deque[bytes] = deque()

        def receive_now(self, max_bytes: int) -> bytes | None:
            return self.held.popleft() if self.held else None

    layer = Holding(rig.line.sock)
    rig.connection.layer = layer  # type: ignore[misc]
    layer.held.extend([h2.settings({}), h2.frame(h2.PING, 0, 0, bytes(8))] * 5)
    layer.held.append(h2.frame(h2.PING, h2.ACK, 0, bytes(8)))
    state = rig.connection.state

    def wait() -> Operation[None]:
        return rig.connection.wait(lambda: state.pongs > 0, Waiter())

    def nested() -> Operation[None]:
        layer.held.extend([h2.settings({})] * 3 + [h2.frame(h2.PING, h2.ACK, 0, bytes(8))])
        state.pongs = 0
        yield FirstOf([Nested(wait())])

    with took(0, 3):
        perform(shell, wait(), Deadline(4))
        perform(shell, nested(), Deadline(4))
    rig.connection.closed = True
    for sock in (rig.far, rig.line.sock):
        sock.close()
    rig.connection._bell.close()


def test_a_signal_that_is_given_twice_is_one() -> None:
    """The second is not taken for one of what is waited for next, nor asked for without end."""
    signals: list[Signal] = []

    def wait() -> Operation[None]:
        for _ in range(2):
            waiter = Waiter()
            signals.append(waiter.signal)
            yield Signalled(waiter.signal)

    def give() -> None:
        while not signals:
            time.sleep(0.01)
        time.sleep(0.1)
        signals[0].give()
        while len(signals) < 2:
            time.sleep(0.01)
        signals[0].give()
        time.sleep(1.5)
        signals[1].give()

    def both() -> Operation[None]:
        yield FirstOf([Nested(wait())])

    thread = threading.Thread(target=give)
    thread.start()
    used = time.thread_time()
    with took(1, 8):
        run(both(), Deadline(9))
    assert time.thread_time() - used < 0.25  # it did not spin
    thread.join()


def test_of_two_that_wait_one_may_have_to_go_on_waiting() -> None:
    one, other = socket.socketpair()
    with one, other:
        reached: list[str] = []

        def first() -> Operation[None]:
            yield AnyReady([(one, READ)], 0.2)
            reached.append("late")
            yield AnyReady([(one, READ)], None)
            reached.append("read")

        def second() -> Operation[None]:
            yield AnyReady([(one, READ)], 0.3)
            other.send(b"x")
            yield AnyReady([(one, READ)], None)
            yield Signalled(Waiter().signal)

        def both() -> Operation[None]:
            yield FirstOf([Nested(first()), Nested(second())])

        run(both(), Deadline(5))
        assert reached == ["late", "read"]


def test_a_bell_that_is_just_being_rung_is_quiet_afterwards() -> None:
    """The ringer has said that it rings, and its byte comes later."""
    one, other = socket.socketpair()
    with one, other:
        bell = SocketBell(one)
        ((rung, _),) = bell.interests

        def heard() -> bool:
            return bool(select.select([rung], [], [], 0)[0])

        bell._rung = True
        bell.quiet()
        bell._near.send(b"!")
        assert heard()
        bell.quiet()
        assert not heard()
        for _ in range(2):
            bell.ring()
            assert heard()
            bell.quiet()
            assert not heard()
        bell.close()


def test_what_arrives_concerns_those_of_its_stream_and_nobody_else() -> None:
    """Thousands of idle tunnels may be parked, and are not even looked at."""
    one, other = socket.socketpair()
    with one, other:
        turn = Turn(SocketBell(one))
        streams = [H2Stream(number, send_window=0, window=0) for number in range(1, 200, 2)]
        holder, readers = Waiter(), [Waiter(stream) for stream in streams]
        writer = Waiter(streams[7], WRITE)
        for waiter in (holder, *readers, writer):
            turn.look(waiter)
            assert turn.claim(waiter) is (waiter is holder)

        def called() -> list[Waiter]:
            given = [waiter for waiter in (*readers, writer) if waiter.signal.given]
            for waiter in given:
                turn.look(waiter)
            return given

        turn.tell({streams[3]}, everybody=False)
        assert called() == [readers[3]]
        turn.tell({streams[7]}, everybody=False)
        assert called() == [readers[7], writer]
        turn.tell({streams[5]}, everybody=True)
        assert called() == [readers[5], writer]
        for waiter in (readers[3], writer):
            turn.leave(waiter)
        turn.tell({streams[3], streams[7]}, everybody=True)
        assert called() == [readers[7]]
        turn.leave(holder)
        assert called() == [readers[0]]  # who came first
        turn._bell.close()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_comes_when_time_is_up_is_not_lost(backend: str) -> None:
    """A result that is there is given, and then the time is up for what follows."""
    given: list[object] = []

    async def settle() -> str:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.2)
        return "settled"

    def wait() -> Operation[None]:
        given.append((yield Settled(settle())))
        yield Signalled(Waiter().signal)

    async def story() -> None:
        with pytest.raises(Expired):
            await run_async(wait(), Deadline(0.1))

    with took(0, 3):
        anyio.run(story, backend=backend)
    assert given == ["settled"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_new_backlog_reaches_a_holder_that_only_begins_to_wait(backend: str) -> None:
    async def story() -> None:
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            turn, holder = Turn(LoopBell(one)), Waiter()
            turn.look(holder)
            turn.claim(holder)
            poll = turn.poll(holder, SocketLayer(one), [READ], 10)

            def wait() -> Operation[None]:
                yield poll

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(run_async, wait(), Deadline(8))
                turn.ask_to_write()  # before the task has begun

    with took(0, 4):
        anyio.run(story, backend=backend)


# ---- what a proxy can bring about ----


def test_a_connection_closes_though_somebody_waits_on_it(shell: str) -> None:
    """Nobody has a seat, one waits for a slot, and the proxy goes away."""

    def go(wire: Wire) -> None:
        first = wire.accept()
        wire.send(h2.settings({h2.MAX_CONCURRENT_STREAMS: 0}))
        wire.send(h2.frame(h2.DATA, h2.END_STREAM, first, b"bye"))
        while not wire.until(h2.DATA, first).has(h2.END_STREAM):
            pass
        time.sleep(0.5)
        wire.send(h2.goaway(first, 0))

    async def story(party: Party) -> None:
        first = await party.open()
        assert await first.all() == b"bye"
        await first.close()
        second = await party.open()
        await second.echo()
        await second.close()
        await until(lambda: proxy.wires[0].sock.fileno() == -1)

    with nothing_left(), RawH2Proxy(go, Wire.serve) as proxy:
        play(shell, story, clear(proxy, http2=HTTP2(max_connections=1)))


def test_what_tasks_ask_for_at_once_is_sent_at_once() -> None:
    """Of an asyncio loop: a write for each would cost more than all else."""
    writes: list[int] = []

    class Counts(SocketLayer):
        __slots__ = ()

        def send_now(self, data: bytes | memoryview) -> int:
            writes.append(len(data))
            return super().send_now(data)

    async def story(party: Party) -> None:
        ends = [await party.open()]
        (connection,) = party.connections
        connection.layer = Counts(connection.layer.sock)
        ends += await party.together(*[party.open] * 20)
        assert len(writes) < 5, writes  # that of who has the turn, and one for all others
        for end in ends:
            await end.echo()
        for end in ends:
            await end.close()

    with RawH2Proxy(Wire.serve, settings={h2.MAX_CONCURRENT_STREAMS: 100}) as proxy:
        play("asyncio", story, clear(proxy))


def test_a_challenge_is_answered_on_a_new_stream(shell: str) -> None:
    """The stream before it, if the proxy has not ended that, is given up."""

    def challenge(wire: Wire) -> None:
        stream = wire.request()
        fields = [("proxy-authenticate", 'Digest realm="r", nonce="n", qop="auth"')]
        wire.send(wire.head(stream, 407, *fields))
        wire.send(wire.head(wire.request()))
        wire.serve()

    async def story(party: Party) -> None:
        end = await party.open()
        await end.echo()
        await end.close()
        assert len(proxy.wires) == 1
        (connection,) = party.connections
        assert connection.seats == 0
        resets = [f.stream for f in proxy.wires[0].frames if f.type == h2.RST_STREAM]
        assert resets == [1]

    with RawH2Proxy(challenge) as proxy:
        play(shell, story, clear(proxy, auth=Digest("user", "word")))


def test_who_joined_and_asks_for_nothing_gives_the_seat_back(shell: str) -> None:
    def never(_: object) -> dict[str, str]:
        if asked:
            raise ZeroDivisionError
        asked.append(1)
        return {}

    asked: list[int] = []

    async def story(party: Party) -> None:
        first = await party.open()
        assert isinstance(await party.failure(), ZeroDivisionError)
        (connection,) = party.connections
        assert (connection.seats, connection.reserved) == (1, 0)
        await first.echo()
        await first.close()

    with RawH2Proxy(Wire.serve) as proxy:
        play(shell, story, clear(proxy, headers=never))


def test_who_does_not_agree_to_http_2_has_a_connection_each(
    shell: str, server_context: ssl.SSLContext, both_h2: Contexts
) -> None:
    async def story(party: Party) -> None:
        async def use() -> None:
            end = await party.open((party_target.host, party_target.port))
            await end.echo()
            await end.close()

        await party.together(*([use] * 5))
        assert len(proxy.requests) == 5

    with ScriptedProxy(Echo()) as party_target, LoopbackProxy(ssl_context=server_context) as proxy:
        play(shell, story, Proxy(proxy.url, http2=True, ssl_context=both_h2.client))


def test_another_process_leaves_alone_what_it_inherits(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawH2Proxy(Wire.serve) as proxy, Dialer(clear(proxy), timeout=5) as dialer:
        with dialer.open_tunnel("a.test:1") as tunnel:
            dialer.open_tunnel("b.test:1").close()
            with monkeypatch.context() as patch:
                patch.setattr(os, "getpid", lambda: -1)
                assert dialer._pool is not None
                places = dialer._pool._places
                dialer._pool.close()
                assert dialer._pool._places is places
                with dialer.open_tunnel("c.test:1") as own:
                    own.write(b"child")
                    assert own.read(timeout=5) == b"child"
                assert len(proxy.wires) == 2
            tunnel.write(b"parent")
            assert tunnel.read(timeout=5) == b"parent"
        (place,) = places.values()
        for connection in place.connections:
            connection.close()


def test_another_process_does_not_close_what_is_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    with RawH2Proxy(Wire.serve) as proxy, Dialer(clear(proxy), timeout=5) as dialer:
        dialer.open_tunnel("a.test:1").close()
        assert dialer._pool is not None
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            dialer._pool.close()
        with dialer.open_tunnel("b.test:1") as tunnel:
            tunnel.write(b"parent")
            assert tunnel.read(timeout=5) == b"parent"
        assert len(proxy.wires) == 1
