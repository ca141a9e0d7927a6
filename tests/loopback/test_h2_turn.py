"""Tunnels of one connection do its work in turn, and none of them stops another."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import TunnelBroken
from connect_tunnel.testing import _h2_frames as h2

from .h2_party import End, Party, clear, meanwhile, play, until
from .h2_raw import CANCEL, OPEN, RawH2Proxy, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.timeout(60)

MUCH = 16 * 2**20  # more than the kernel's buffers hold


class Stage:
    """A proxy that does what it is told from outside, and has so many tunnels open."""

    def __init__(self) -> None:
        self.told = threading.Semaphore(0)
        self.tell: list[Callable[[Wire], object]] = []

    def do(self, act: Callable[[Wire], object]) -> None:
        self.tell.append(act)
        self.told.release()

    def say(self, stream: int, data: bytes) -> None:
        self.do(lambda wire: wire.send(h2.frame(h2.DATA, 0, stream, data)))

    def script(self, tunnels: int) -> Callable[[Wire], None]:
        def run(wire: Wire) -> None:
            for _ in range(tunnels):
                wire.accept()
            while not wire.stopping.is_set():
                if self.told.acquire(timeout=0.05):
                    self.tell.pop(0)(wire)

        return run


async def open_some(party: Party, count: int) -> list[End]:
    """One after the other: streams 1, 3, 5."""
    return [await party.open() for _ in range(count)]


async def close_all(ends: list[End]) -> None:
    for end in ends:
        await end.close()


@pytest.mark.parametrize("leader", [0, 1])
def test_who_has_the_turn_wakes_the_others(shell: str, leader: int) -> None:
    stage = Stage()

    async def story(party: Party) -> None:
        ends = await open_some(party, 2)
        first, second = ends[leader], ends[1 - leader]
        async with meanwhile(first.read) as of_first, meanwhile(second.read) as of_second:
            began = time.monotonic()
            stage.say(1 + 2 * (1 - leader), b"second")
            await until(lambda: of_second)
            assert time.monotonic() - began < 1  # while the other would wait for 10
            assert of_second == [b"second"]
            assert not of_first
            stage.say(1 + 2 * leader, b"first")
        assert of_first == [b"first"]
        await close_all(ends)

    with RawH2Proxy(stage.script(2)) as proxy:
        play(shell, story, clear(proxy))


def test_the_turn_is_handed_on_past_those_who_need_it_no_more(shell: str) -> None:
    """Two have their data at once, and leave; the third is not forgotten."""
    stage = Stage()

    async def story(party: Party) -> None:
        ends = await open_some(party, 3)
        first, second, third = ends
        async with (
            meanwhile(first.read) as of_first,
            meanwhile(second.read) as of_second,
            meanwhile(third.read) as of_third,
        ):
            both = h2.frame(h2.DATA, 0, 1, b"1") + h2.frame(h2.DATA, 0, 3, b"3")
            stage.do(lambda wire: wire.send(both))
            await until(lambda: of_first and of_second)
            await anyio.sleep(0.1)
            assert not of_third
            stage.say(5, b"5")
            await until(lambda: of_third, 3)
        assert (of_first, of_second, of_third) == ([b"1"], [b"3"], [b"5"])
        await close_all(ends)

    with RawH2Proxy(stage.script(3)) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("gone", ["returned", "late", "closed"])
@pytest.mark.parametrize("parked", [0.2, None], ids=["one late", "both stay"])
def test_the_turn_is_handed_on(shell: str, gone: str, parked: float | None) -> None:
    stage = Stage()

    async def story(party: Party) -> None:
        ends = await open_some(party, 3)
        leader, heir, last = ends
        seconds = 0.3 if gone == "late" else 10
        async with (
            meanwhile(partial(leader.read, seconds)) as of_leader,
            meanwhile(partial(heir.read, parked or 10)) as of_heir,
            meanwhile(last.read) as of_last,
        ):
            if gone == "closed":
                await leader.close()
            elif gone == "returned":
                stage.say(1, b"1")
            await until(lambda: of_leader)
            if parked:
                await until(lambda: of_heir)
            else:
                stage.say(3, b"3")
            await anyio.sleep(0.1)
            stage.say(5, b"5")
            await until(lambda: of_last, 3)
        assert of_last == [b"5"]
        assert isinstance(of_heir[0], TimeoutError) if parked else of_heir == [b"3"]
        await close_all(ends)

    with RawH2Proxy(stage.script(3)) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("role", ["leads", "is parked"])
@pytest.mark.parametrize("does", ["reads", "writes"])
def test_closing_wakes_its_own_and_nobody_else(shell: str, role: str, does: str) -> None:
    stage = Stage()

    async def story(party: Party) -> None:
        ends = await open_some(party, 3)
        mine, other, third = ends if role == "leads" else (ends[1], ends[0], ends[2])
        act = mine.read if does == "reads" else partial(mine.write, bytes(100_000))
        first, second = (act, other.read) if role == "leads" else (other.read, act)
        async with (
            meanwhile(first) as one,
            meanwhile(second) as two,
            meanwhile(third.read) as of_third,
        ):
            of_mine, of_other = (one, two) if role == "leads" else (two, one)
            await mine.close()
            await until(lambda: of_mine, 3)
            assert "closed" in str(of_mine[0])
            await anyio.sleep(0.1)
            assert not of_other
            assert not of_third
            stage.say(3 if role == "leads" else 1, b"x")
            stage.say(5, b"y")
        assert of_other == [b"x"]
        assert of_third == [b"y"]
        await close_all(ends)

    with RawH2Proxy(stage.script(3)) as proxy:
        play(shell, story, clear(proxy))


def test_a_writer_without_a_window_stops_nobody(shell: str) -> None:
    stage = Stage()

    def widen(wire: Wire) -> None:
        wire.take(3, 4)
        wire.send(h2.frame(h2.DATA, 0, 3, b"pong"), h2.window_update(1, 200_000))
        wire.send(h2.window_update(0, 200_000))
        wire.take(1, 150_000)
        wire.send(h2.frame(h2.DATA, 0, 1, b"done"))

    async def story(party: Party) -> None:
        ends = await open_some(party, 2)
        blocked, other = ends
        async with meanwhile(partial(blocked.write, bytes(150_000))) as outcome:
            assert not outcome
            stage.do(lambda wire: wire.send(h2.window_update(0, 1000)))
            await other.write(b"ping")
            stage.do(widen)
            assert await other.read() == b"pong"
        assert outcome == [None]
        assert await blocked.read() == b"done"
        await close_all(ends)

    with RawH2Proxy(stage.script(2)) as proxy:
        play(shell, story, clear(proxy))


def take_all(wire: Wire) -> None:
    wire.take(1, MUCH)
    wire.take(5, 1)


def opened_wide(stage: Stage, tunnels: int) -> Callable[[Wire], None]:
    def run(wire: Wire) -> None:
        wire.send(h2.window_update(0, 2**30))
        stage.script(tunnels)(wire)

    return run


@pytest.mark.parametrize("reader", ["before", "after"])
def test_a_writer_that_the_kernel_stops_stops_nobody(shell: str, reader: str) -> None:
    stage = Stage()

    async def story(party: Party) -> None:
        ends = await open_some(party, 3)
        blocked, other, writer = ends
        write = partial(blocked.write, bytes(MUCH))
        acts: list[Callable[[], Awaitable[object]]] = [other.read, write]
        if reader == "after":
            acts.reverse()
        async with meanwhile(acts[0]) as first, meanwhile(acts[1]) as second:
            of_reader, of_writer = (first, second) if reader == "before" else (second, first)
            await anyio.sleep(0.3)
            assert not of_writer
            stage.say(3, b"while it is blocked")
            await until(lambda: of_reader, 3)
            async with meanwhile(partial(writer.write, b"w")) as of_second_writer:
                assert not of_second_writer
                stage.do(take_all)
        assert of_writer == [None]
        assert of_second_writer == [None]
        stage.say(1, b"done")
        assert await blocked.read() == b"done"
        await close_all(ends)

    with RawH2Proxy(opened_wide(stage, 3), settings=OPEN) as proxy:
        play(shell, story, clear(proxy))


def test_who_has_the_turn_sends_for_who_is_parked(shell: str) -> None:
    """Nothing comes from the proxy meanwhile: it only begins to take."""
    stage = Stage()

    async def story(party: Party) -> None:
        ends = await open_some(party, 2)
        leader, writer = ends
        async with meanwhile(leader.read) as of_leader:
            async with meanwhile(partial(writer.write, bytes(MUCH))) as of_writer:
                assert not of_writer
                stage.do(partial(Wire.take, stream=3, size=MUCH))
            assert of_writer == [None]
            assert not of_leader
            stage.say(1, b"and still leads")
        assert of_leader == [b"and still leads"]
        await close_all(ends)

    with RawH2Proxy(opened_wide(stage, 2), settings=OPEN) as proxy:
        play(shell, story, clear(proxy))


def test_a_write_cut_short_in_a_frame_costs_its_own_tunnel_only(shell: str) -> None:
    """What the kernel has taken half of is sent whole by whoever passes next."""
    stage = Stage()

    def read_on(wire: Wire) -> None:
        assert wire.until(h2.RST_STREAM).stream == 1
        assert wire.take(3, 5) == b"after"
        wire.send(h2.frame(h2.DATA, 0, 3, b"right"))

    async def story(party: Party) -> None:
        ends = await open_some(party, 2)
        blocked, other = ends
        with pytest.raises(TimeoutError):
            await blocked.write(bytes(MUCH), timeout=0.5)
        with pytest.raises(TunnelBroken, match="cut short"):
            await blocked.write(b"x")
        await blocked.close()
        async with meanwhile(partial(other.write, b"after")) as outcome:
            stage.do(read_on)
        assert outcome == [None]
        assert await other.read() == b"right"
        await close_all(ends)

    with RawH2Proxy(opened_wide(stage, 2), settings=OPEN) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("how", ["ends", "stream"])
def test_a_writer_that_the_kernel_stops_hears_of_a_loss(shell: str, how: str) -> None:
    """It neither waits for ever nor spins, although nothing can be sent."""
    stage = Stage()

    def lose(wire: Wire) -> None:
        if how == "ends":
            wire.end()
        else:
            wire.send(h2.rst_stream(1, CANCEL), h2.rst_stream(3, CANCEL))

    async def story(party: Party) -> None:
        ends = await open_some(party, 3)
        filling, blocked, reader = ends

        async def fill() -> None:
            while True:  # in pieces that are framed at once
                await filling.write(bytes(60_000))

        async with (
            meanwhile(fill) as of_filling,
            meanwhile(partial(blocked.write, bytes(MUCH))) as of_blocked,
            meanwhile(reader.read) as of_reader,
        ):
            await anyio.sleep(0.2)
            assert not of_filling
            stage.do(lose)
            await until(lambda: of_filling and of_blocked, 5)
            if how == "stream":
                assert not of_reader
                stage.do(lambda wire: wire.send(h2.frame(h2.DATA, 0, 5, b"well")))
        assert isinstance(of_filling[0], TunnelBroken)
        assert isinstance(of_blocked[0], TunnelBroken)
        if how == "ends":
            assert isinstance(of_reader[0], TunnelBroken)
        else:
            assert of_reader == [b"well"]
        await close_all(ends)

    with RawH2Proxy(opened_wide(stage, 3), settings=OPEN) as proxy:
        play(shell, story, clear(proxy))
