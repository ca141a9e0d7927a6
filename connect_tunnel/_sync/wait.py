"""How a thread waits: poll, with this call's own time.

Not `socket.settimeout`, which two threads on one socket would share; not `select`, which
ends at descriptor 1023.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Coroutine
from itertools import chain
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from connect_tunnel._net.waits import READ, WRITE, AnyReady, Deadline, Expired, Ready, Settled

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence
    from typing import TypeAlias

    from connect_tunnel._net.waits import Operation, Wait

    Interests: TypeAlias = Sequence[tuple[socket.socket, int]]

T = TypeVar("T")


def run(operation: Operation[T], deadline: Deadline) -> T:
    """Perform an operation, waiting in this thread.

    Raises:
        Expired: The deadline passed, and the operation made nothing else of it.
    """
    try:
        wait = next(operation)
        while True:
            try:
                result = _perform(wait, deadline)
            except Exception as error:  # noqa: BLE001 - the operation decides what it means
                wait = operation.throw(error)
            else:
                wait = operation.send(result)
    except StopIteration as stop:
        done: T = stop.value
        return done
    except BaseException:
        operation.close()
        raise


def until_ready(sock: socket.socket, direction: int, deadline: Deadline) -> None:
    """Wait for one socket, without an operation round it.

    Raises:
        Expired: The deadline passed.
    """
    if not _poll([(sock, direction)], deadline.at):
        raise Expired


def _perform(wait: Wait, deadline: Deadline) -> Any:  # noqa: ANN401 - as varied as waits are
    match wait:
        case Ready(sock, direction):
            return until_ready(sock, direction, deadline)
        case AnyReady(interests, seconds):
            soon = None if seconds is None else monotonic() + seconds
            ends = [at for at in (soon, deadline.at) if at is not None]
            ready = _poll(interests, min(ends, default=None))
            if not ready and deadline.left() == 0:
                raise Expired
            numbers = {number for number, _ in ready}
            return [sock for sock, _ in interests if sock.fileno() in numbers]
        case Settled(awaitable):
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise TypeError("a callable given to the synchronous API returned an awaitable")
        case _:
            assert_never(wait)


if sys.platform == "win32":  # no poll; and no limit on descriptor numbers for select

    def _poll(interests: Interests, at: float | None) -> list[tuple[int, int]]:
        readers = [sock.fileno() for sock, direction in interests if direction == READ]
        writers = [sock.fileno() for sock, direction in interests if direction != READ]
        left = None if at is None else max(0.0, at - monotonic())
        # A connection that failed is reported among the exceptional.
        found = select.select(readers, writers, writers, left)
        return [(number, 0) for number in chain.from_iterable(found)]

else:

    def _poll(interests: Interests, at: float | None) -> list[tuple[int, int]]:
        """The descriptors that are ready and for what, none if that time comes first."""
        poller = select.poll()
        if len(interests) == 1:
            sock, direction = interests[0]
            poller.register(sock.fileno(), _EVENTS[direction])
        else:
            wanted: dict[int, int] = {}
            for sock, direction in interests:
                number = sock.fileno()
                wanted[number] = wanted.get(number, 0) | _EVENTS[direction]
                poller.register(number, wanted[number])
        while True:
            left = None if at is None else at - monotonic()
            if left is not None and left <= 0:
                return []
            # Rounded up: to wake a moment early would mean to spin.
            if found := poller.poll(None if left is None else ceil(min(left, _DAY) * 1000)):
                return found

    _DAY = 86400.0  # poll counts milliseconds in 32 bits
    _EVENTS = {READ: select.POLLIN, WRITE: select.POLLOUT}
