"""How a thread waits: poll, with this call's own time.

Not `socket.settimeout`, which two threads on one socket would share; not `select`, which
ends at descriptor 1023.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Coroutine
from functools import partial
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from connect_tunnel._net.waits import READ, WRITE, AnyReady, Deadline, Expired, Ready, Settled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from connect_tunnel._net.waits import Operation

    Interests: TypeAlias = Sequence[tuple[socket.socket, int]]
    Watch: TypeAlias = Callable[[float | None], list[tuple[int, int]]]

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
                result: Any = None
                if isinstance(wait, Ready):  # as nearly all are
                    until_ready(wait.sock, wait.direction, deadline)
                else:
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
    if not watch(sock, direction)(deadline.at):
        raise Expired


def _perform(wait: AnyReady | Settled, deadline: Deadline) -> Any:  # noqa: ANN401 - as they are
    match wait:
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

    def watch(sock: socket.socket, direction: int) -> Watch:
        return lambda at: _poll([(sock, direction)], at)

else:

    def _poll(interests: Interests, at: float | None) -> list[tuple[int, int]]:
        """The descriptors that are ready and for what, none if that time comes first."""
        poller = select.poll()
        wanted: dict[int, int] = {}
        for sock, direction in interests:
            number = sock.fileno()
            wanted[number] = wanted.get(number, 0) | _EVENTS[direction]
            poller.register(number, wanted[number])
        return _until(poller, at)

    def watch(sock: socket.socket, direction: int) -> Watch:
        """A wait for one socket, to be used again and again by one thread at a time.

        It gives something if the socket is ready, and nothing if that time comes first.
        """
        poller = select.poll()
        poller.register(sock.fileno(), _EVENTS[direction])
        return partial(_until, poller)

    def _until(poller: select.poll, at: float | None) -> list[tuple[int, int]]:
        if at is None:
            return poller.poll()
        while (left := at - monotonic()) > 0:
            # Rounded up: to wake a moment early would mean to spin.
            if found := poller.poll(min(int(left * 1000) + 1, _DAY)):
                return found
        return []

    _DAY = 86_400_000  # in milliseconds, which poll counts in 32 bits
    _EVENTS = {READ: select.POLLIN, WRITE: select.POLLOUT}
