"""What is measured, for clients that block and for those that are awaited.

Each function opens tunnels with the client it is given and returns its figures, in the order
and unit that its table in tables.py names. CPU time is user and system time of this process.
"""

from __future__ import annotations

import gc
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

    from .place import AsyncGet, AsyncLink, AsyncOpen, Get, Link, Open, Place

Figures: TypeAlias = list[float]

CHUNK = 1 << 16
MB = 1_000_000
GREETING = b"x" * 100


class Meter:
    """CPU seconds spent in its context."""

    __slots__ = ("_begun", "spent")

    def __enter__(self) -> Self:
        gc.collect()
        self.spent = 0.0
        self._begun = time.process_time()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.spent = time.process_time() - self._begun


def resident() -> int:
    """This process's resident memory in bytes; only Linux says."""
    gc.collect()
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


# --- opening ---


def _open_and_close(open_one: Open, target: str, count: int) -> float:
    with Meter() as meter:
        for _ in range(count):
            open_one(target)[2]()
    return meter.spent / count * 1e6


async def _open_and_close_async(open_one: AsyncOpen, target: str, count: int) -> float:
    with Meter() as meter:
        for _ in range(count):
            await (await open_one(target))[2]()
    return meter.spent / count * 1e6


def opening(open_one: Open, place: Place, count: int) -> Figures:
    """Microseconds for one of `count` tunnels, opened and closed one after another."""
    _open_and_close(open_one, place.target("echo"), 30)
    return [_open_and_close(open_one, place.target("echo"), count)]


async def opening_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    await _open_and_close_async(open_one, place.target("echo"), 30)
    return [await _open_and_close_async(open_one, place.target("echo"), count)]


def many(open_one: Open, place: Place, count: int) -> Figures:
    """Microseconds for each of `count` tunnels, which stay open, and what they share."""
    echo = place.target("echo")
    _open_and_close(open_one, echo, 1)
    with Meter() as meter:
        links = [open_one(echo) for _ in range(count)]
    for _, _, close in links:
        close()
    return [meter.spent / count * 1e6]


async def many_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    echo = place.target("echo")
    await _open_and_close_async(open_one, echo, 1)
    with Meter() as meter:
        links = [await open_one(echo) for _ in range(count)]
    for _, _, close in links:
        await close()
    return [meter.spent / count * 1e6]


def at_once(open_one: Open, place: Place, count: int) -> Figures:
    """The same where they are asked for at the same time, in as many threads."""
    echo = place.target("echo")
    _open_and_close(open_one, echo, 1)
    with ThreadPoolExecutor(count) as threads:
        list(threads.map(time.sleep, [0.05] * count))  # they are started before
        with Meter() as meter:
            first = open_one(echo)
            links = [first, *threads.map(open_one, [echo] * (count - 1))]
    for _, _, close in links:
        close()
    return [meter.spent / count * 1e6]


async def at_once_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    echo = place.target("echo")
    links: list[AsyncLink] = []

    async def open_another() -> None:
        links.append(await open_one(echo))

    await _open_and_close_async(open_one, echo, 1)
    with Meter() as meter:
        await open_another()
        async with anyio.create_task_group() as tasks:
            for _ in range(count - 1):
                tasks.start_soon(open_another)
    for _, _, close in links:
        await close()
    return [meter.spent / count * 1e6]


CROWD = 2000


def crowd(open_one: Open, place: Place, count: int) -> Figures:
    """The same beside no other open tunnel, and beside 2,000 of them."""
    echo = place.target("echo")
    _open_and_close(open_one, echo, 200)
    alone = _open_and_close(open_one, echo, count)
    others = [open_one(echo) for _ in range(CROWD)]
    beside = _open_and_close(open_one, echo, count)
    for _, _, close in others:
        close()
    others.clear()
    # Once more, since a process's first tunnels and its later ones differ by themselves.
    return [(alone + _open_and_close(open_one, echo, count)) / 2, beside]


async def crowd_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    echo = place.target("echo")
    await _open_and_close_async(open_one, echo, 200)
    alone = await _open_and_close_async(open_one, echo, count)
    others = [await open_one(echo) for _ in range(CROWD)]
    beside = await _open_and_close_async(open_one, echo, count)
    for _, _, close in others:
        await close()
    others.clear()
    return [(alone + await _open_and_close_async(open_one, echo, count)) / 2, beside]


# --- bytes ---


def down(open_one: Open, place: Place, count: int) -> Figures:
    """Seconds for a gigabyte received, of `count` megabytes, 64 KiB at most at a time."""
    _receive(open_one, place, 8)
    return [_receive(open_one, place, count) / count * 1000]


def _receive(open_one: Open, place: Place, megabytes: int) -> float:
    left = megabytes * MB
    send, receive, close = open_one(place.target(f"source-{left}"))
    with Meter() as meter:
        send(b".")
        while left > 0:
            left -= _some(len(receive(CHUNK)))
    close()
    return meter.spent


async def down_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    await _receive_async(open_one, place, 8)
    return [await _receive_async(open_one, place, count) / count * 1000]


async def _receive_async(open_one: AsyncOpen, place: Place, megabytes: int) -> float:
    left = megabytes * MB
    send, receive, close = await open_one(place.target(f"source-{left}"))
    with Meter() as meter:
        await send(b".")
        while left > 0:
            left -= _some(len(await receive(CHUNK)))
    await close()
    return meter.spent


def up(open_one: Open, place: Place, count: int) -> Figures:
    """Seconds for a gigabyte sent, of `count` megabytes, 64 KiB at a time."""
    _send(open_one, place, 8)
    return [_send(open_one, place, count) / count * 1000]


def _send(open_one: Open, place: Place, megabytes: int) -> float:
    data, times = bytes(CHUNK), megabytes * MB // CHUNK
    send, receive, close = open_one(place.target(f"sink-{times * CHUNK}"))
    with Meter() as meter:
        for _ in range(times):
            send(data)
        _some(len(receive(1)))
    close()
    return meter.spent


async def up_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    await _send_async(open_one, place, 8)
    return [await _send_async(open_one, place, count) / count * 1000]


async def _send_async(open_one: AsyncOpen, place: Place, megabytes: int) -> float:
    data, times = bytes(CHUNK), megabytes * MB // CHUNK
    send, receive, close = await open_one(place.target(f"sink-{times * CHUNK}"))
    with Meter() as meter:
        for _ in range(times):
            await send(data)
        _some(len(await receive(1)))
    await close()
    return meter.spent


def _some(size: int) -> int:
    if not size:
        raise EOFError("the tunnel ended early")
    return size


# --- requests ---


def gets(get: Get, place: Place, count: int) -> Figures:
    """Microseconds for one of `count` GETs, one after another."""
    _get(get, place, 30)
    return [_get(get, place, count)]


def _get(get: Get, place: Place, count: int) -> float:
    url = f"https://{place.target('page')}/"
    with Meter() as meter:
        for _ in range(count):
            get(url)
    return meter.spent / count * 1e6


async def gets_async(get: AsyncGet, place: Place, count: int) -> Figures:
    await _get_async(get, place, 30)
    return [await _get_async(get, place, count)]


async def _get_async(get: AsyncGet, place: Place, count: int) -> float:
    url = f"https://{place.target('page')}/"
    with Meter() as meter:
        for _ in range(count):
            await get(url)
    return meter.spent / count * 1e6


# --- memory ---


def memory(open_one: Open, place: Place, count: int) -> Figures:
    """KiB for each of `count` open tunnels: fresh, and after 100 bytes each way.

    The tunnels are left open; the process ends next.
    """
    echo = place.target("echo")
    for _ in range(20):
        send, receive, close = open_one(echo)
        send(GREETING)
        receive(CHUNK)
        close()
    links: list[Link | None] = [None] * count
    before = resident()
    for number in range(count):
        links[number] = open_one(echo)
    fresh = resident()
    for link in links:
        assert link is not None
        link[0](GREETING)
        link[1](CHUNK)
    return _kib(before, fresh, resident(), count)


async def memory_async(open_one: AsyncOpen, place: Place, count: int) -> Figures:
    echo = place.target("echo")
    for _ in range(20):
        send, receive, close = await open_one(echo)
        await send(GREETING)
        await receive(CHUNK)
        await close()
    links: list[AsyncLink | None] = [None] * count
    before = resident()
    for number in range(count):
        links[number] = await open_one(echo)
    fresh = resident()
    for link in links:
        assert link is not None
        await link[0](GREETING)
        await link[1](CHUNK)
    return _kib(before, fresh, resident(), count)


def _kib(before: int, fresh: int, used: int, count: int) -> Figures:
    return [(fresh - before) / 1024 / count, (used - before) / 1024 / count]


Measure: TypeAlias = "Callable[[Any, Place, int], Figures]"
AsyncMeasure: TypeAlias = "Callable[[Any, Place, int], Awaitable[Figures]]"

MEASURES: dict[str, tuple[Measure, AsyncMeasure]] = {
    "opening": (opening, opening_async),
    "many": (many, many_async),
    "at once": (at_once, at_once_async),
    "crowd": (crowd, crowd_async),
    "down": (down, down_async),
    "up": (up, up_async),
    "memory": (memory, memory_async),
    "gets": (gets, gets_async),
}
