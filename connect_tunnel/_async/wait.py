"""How a task waits: anyio, with one cancel scope for a whole operation.

The scope's deadline moves with the operation's and with those of its waits, so that an opening
with three waits costs one scope. A cancellation that comes from outside closes the operation,
which lets go of everything at once; nothing is awaited on that path.
"""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

import anyio

from connect_tunnel._net.waits import (
    READ,
    AnyReady,
    Deadline,
    Expired,
    FirstOf,
    Nested,
    Ready,
    Settled,
    Signalled,
)

if TYPE_CHECKING:
    import socket

    from connect_tunnel._net.sock import Layer
    from connect_tunnel._net.waits import Operation, Signal, Wait

T = TypeVar("T")


async def run(operation: Operation[T], deadline: Deadline) -> T:
    """Perform an operation, waiting in this task.

    Raises:
        Expired: The deadline passed, and the operation made nothing else of it.
    """
    try:
        wait = next(operation)
        while True:
            until = _end_of(wait, deadline)
            waiting = True
            with anyio.CancelScope(deadline=_on_loop_clock(until)) as scope:
                while True:
                    waiting = True
                    try:
                        result = await _perform(wait)
                    except Exception as error:  # noqa: BLE001 - the operation's to decide
                        waiting = False
                        wait = operation.throw(error)
                    else:
                        waiting = False
                        wait = operation.send(result)
                    if scope.cancel_called:
                        break
                    at = _end_of(wait, deadline)
                    if at != until:
                        until = at
                        scope.deadline = _on_loop_clock(at)
            if waiting:
                # Of an operation that goes on after its deadline there is another.
                over = until != deadline.at
                wait = operation.send([]) if over else operation.throw(Expired())
    except StopIteration as stop:
        done: T = stop.value
        return done
    except BaseException:
        operation.close()
        raise


def _end_of(wait: Wait, deadline: Deadline) -> float | None:
    """When a wait is over at the latest, or the whole operation."""
    if wait.seconds is None:
        return deadline.at
    ends = monotonic() + wait.seconds
    return ends if deadline.at is None or ends < deadline.at else deadline.at


def _on_loop_clock(at: float | None) -> float:
    """The same moment on the clock of the event loop, which need not be ours."""
    return math.inf if at is None else anyio.current_time() + at - monotonic()


async def _perform(wait: Wait) -> Any:  # noqa: ANN401 - as varied as waits are
    match wait:
        case Ready() | Nested():
            await until_ready(wait)
            return None
        case AnyReady(interests, _, signal):
            return await _any_ready(interests, signal)
        case Signalled(signal):
            await _given(signal)
            return None
        case FirstOf(waits):
            await _first_of(waits)
            return None
        case Settled(awaitable):
            return await awaitable
        case _:
            assert_never(wait)


async def until_ready(wait: Ready | Nested) -> None:
    """Wait for one layer, without an operation round it unless it needs one."""
    if isinstance(wait, Nested):
        await run(wait.operation, Deadline())
        return
    try:
        if wait.direction == READ:
            await anyio.wait_readable(wait.sock)
        else:
            await anyio.wait_writable(wait.sock)
    except anyio.ClosedResourceError:
        pass  # closed meanwhile: as ready as it will be, and whoever waited will find out


def wake(layer: Layer) -> None:
    """Wake the tasks that wait for a layer, which is being closed."""
    if not layer.wake_now():
        anyio.notify_closing(layer.sock)


async def _any_ready(
    interests: list[tuple[socket.socket, int]], signal: Signal | None
) -> list[socket.socket]:
    if len(interests) == 1:  # as nearly always: who is registered hears the bell without a task
        if signal is not None and signal.given:
            return []
        await until_ready(Ready(*interests[0]))
        return [interests[0][0]]
    ready: list[socket.socket] = []

    async def wait_for(sock: socket.socket, direction: int) -> None:
        await until_ready(Ready(sock, direction))
        ready.append(sock)
        tasks.cancel_scope.cancel()

    async def wait_for_signal(signal: Signal) -> None:
        await _given(signal)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for interest in interests:
            tasks.start_soon(wait_for, *interest)
        if signal is not None:
            tasks.start_soon(wait_for_signal, signal)
    return ready


async def _given(signal: Signal) -> None:
    event = anyio.Event()
    signal.call(event.set)
    await event.wait()


async def _first_of(waits: list[Ready | Nested | Signalled]) -> None:
    async def wait_for(wait: Ready | Nested | Signalled) -> None:
        await _perform(wait)
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for wait in waits:
            tasks.start_soon(wait_for, wait)
