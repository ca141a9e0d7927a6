"""How a thread and a task wait, and what they make of deadlines."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import connect_tunnel._async.wait
from connect_tunnel import Timeout
from connect_tunnel._net.waits import (
    READ,
    WRITE,
    AnyReady,
    Deadline,
    Expired,
    Ready,
    Settled,
    Wait,
)

from .shells import BACKENDS, SHELLS, perform, took

if TYPE_CHECKING:
    from collections.abc import Generator

    from connect_tunnel._net.waits import Operation

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Generator[Pair]:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        yield near, far


def one(wait: Wait) -> Operation[Any]:
    return (yield wait)


@pytest.mark.parametrize("shell", SHELLS)
def test_ready(shell: str, pair: Pair) -> None:
    near, far = pair
    assert perform(shell, one(Ready(near, WRITE)), Deadline()) is None
    with took(0.05, 1), pytest.raises(Expired):
        perform(shell, one(Ready(near, READ)), Deadline(0.1))
    far.send(b"x")
    assert perform(shell, one(Ready(near, READ)), Deadline(5)) is None


@pytest.mark.parametrize("shell", SHELLS)
def test_one_wait_after_another(shell: str, pair: Pair) -> None:
    """For the same again, which is not set up twice, and for another direction and socket."""
    near, far = pair

    def operation() -> Operation[list[bytes]]:
        seen: list[bytes] = []
        for sock, other, data in ((near, far, b"1"), (near, far, b"2"), (far, near, b"3")):
            yield Ready(other, WRITE)
            other.send(data)
            for _ in range(2):
                yield Ready(sock, READ)
            seen.append(sock.recv(9))
        try:
            yield Ready(far, READ)
        except Expired:
            return seen
        return []

    with took(0.05, 1):
        assert perform(shell, operation(), Deadline(0.1)) == [b"1", b"2", b"3"]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_longest_limit_is_one_that_can_be_waited_for(shell: str, pair: Pair) -> None:
    near, far = pair
    far.send(b"x")
    longest = Timeout.parse(2_000_000).total
    assert perform(shell, one(Ready(near, READ)), Deadline(longest)) is None
    assert perform(shell, one(AnyReady([(near, READ)])), Deadline(longest)) == [near]


@pytest.mark.parametrize("shell", SHELLS)
def test_any_ready(shell: str, pair: Pair) -> None:
    near, far = pair
    both = [(near, READ), (far, READ)]
    with took(0.05, 1):
        assert perform(shell, one(AnyReady(both, 0.1)), Deadline()) == []
    with took(0.05, 1):
        assert perform(shell, one(AnyReady(both, 0.1)), Deadline(5)) == []
    with took(0.05, 1), pytest.raises(Expired):
        perform(shell, one(AnyReady(both)), Deadline(0.1))
    with took(0.05, 1), pytest.raises(Expired):
        perform(shell, one(AnyReady(both, 5)), Deadline(0.1))
    far.send(b"x")
    assert perform(shell, one(AnyReady(both)), Deadline()) == [near]


@pytest.mark.parametrize("shell", SHELLS)
def test_one_socket_for_both_directions(shell: str, pair: Pair) -> None:
    """What a relay waits for that may read from a socket and write to it."""
    near, _ = pair
    wait = AnyReady([(near, READ), (near, WRITE)])
    assert near in perform(shell, one(wait), Deadline(5))


@pytest.mark.parametrize("shell", SHELLS)
def test_an_operation_may_go_on_when_a_deadline_passes(shell: str, pair: Pair) -> None:
    """The part of an opening that took too long, and the next one with its own time."""
    near, far = pair
    deadline = Deadline(0.1)

    def operation() -> Operation[str]:
        try:
            yield Ready(near, READ)
        except Expired:
            deadline.at = None
            far.send(b"x")
            yield Ready(near, READ)
            deadline.at = Deadline(0.1).at
            near.recv(1)
            try:
                yield Ready(near, READ)
            except Expired:
                return "twice"
        return "not at all"

    with took(0.15, 1):
        assert perform(shell, operation(), deadline) == "twice"


@pytest.mark.parametrize("shell", SHELLS)
def test_what_an_operation_raises_ends_it(shell: str, pair: Pair) -> None:
    def operation() -> Operation[None]:
        yield Ready(pair[0], WRITE)
        raise LookupError

    with pytest.raises(LookupError):
        perform(shell, operation(), Deadline())


@pytest.mark.parametrize("shell", SHELLS)
def test_an_operation_that_need_not_wait(shell: str) -> None:
    def operation() -> Operation[int]:
        yield from ()
        return 5

    assert perform(shell, operation(), Deadline()) == 5


# --- awaitables of the caller's ---


async def answer(value: int) -> int:
    await anyio.lowlevel.checkpoint()
    return value


async def fail() -> None:
    raise LookupError("mine")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_task_awaits_what_a_callable_gave(backend: str) -> None:
    assert perform(backend, one(Settled(answer(5))), Deadline()) == 5
    with pytest.raises(LookupError, match="mine"):
        perform(backend, one(Settled(fail())), Deadline())
    with took(0.05, 1), pytest.raises(Expired):
        perform(backend, one(Settled(anyio.sleep(5))), Deadline(0.1))


def test_a_thread_cannot_await() -> None:
    """And says so, with no coroutine left that was never awaited."""
    with pytest.raises(TypeError, match="the synchronous API returned an awaitable"):
        perform("sync", one(Settled(answer(5))), Deadline())
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(TypeError, match="the synchronous API returned an awaitable"):
            perform("sync", one(Settled(loop.create_future())), Deadline())
    finally:
        loop.close()


# --- cancellation ---


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("several", [False, True])
def test_a_cancelled_operation_is_closed(several: bool, backend: str, pair: Pair) -> None:
    ended: list[type[BaseException]] = []

    def operation() -> Operation[None]:
        try:
            yield AnyReady([(sock, READ) for sock in pair]) if several else Ready(pair[0], READ)
        except BaseException as error:
            ended.append(type(error))
            raise

    async def use() -> None:
        with anyio.move_on_after(0.05) as scope:
            await connect_tunnel._async.wait.run(operation(), Deadline(5))
        assert scope.cancelled_caught
        assert ended == [GeneratorExit]

    anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("direction", [READ, WRITE])
def test_a_socket_that_is_closed_meanwhile_is_as_ready_as_it_will_be(
    direction: int, backend: str, pair: Pair
) -> None:
    near, _ = pair
    try:
        while direction == WRITE:
            near.send(b"x" * 65536)
    except BlockingIOError:
        pass

    async def use() -> None:
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                operation = one(Ready(near, direction))
                tasks.start_soon(connect_tunnel._async.wait.run, operation, Deadline())
                await anyio.sleep(0.05)
                anyio.notify_closing(near)

    anyio.run(use, backend=backend)


def test_a_deadline() -> None:
    assert Deadline().left() is None
    left = Deadline(5).left()
    assert left is not None
    assert 4 < left <= 5
    assert Deadline(-1).left() == 0
