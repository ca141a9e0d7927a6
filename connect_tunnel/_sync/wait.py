"""How a thread waits: poll, with this call's own time.

Not `socket.settimeout`, which two threads on one socket would share; not `select`, which
ends at descriptor 1023.
"""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Coroutine
from contextlib import suppress
from functools import partial
from itertools import chain
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar, assert_never

from connect_tunnel._net.waits import (
    READ,
    WRITE,
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
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    from connect_tunnel._net.sock import Layer
    from connect_tunnel._net.waits import Operation, Signal, Wait

    Interests: TypeAlias = Sequence[tuple[socket.socket, int]]
    Watch: TypeAlias = Callable[[float | None], object]

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
                    if not _watch(wait.sock, wait.direction)(deadline.at):
                        raise Expired
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


def watch(layer: Layer, direction: int) -> Watch:
    """A wait for one layer, to be used again and again by one thread at a time.

    It gives something true if there is something to be tried, and nothing if that time
    comes first.
    """
    ready = layer.ready(direction)
    if isinstance(ready, Ready):
        return _watch(ready.sock, direction)

    def until(at: float | None) -> bool:
        deadline = Deadline()
        deadline.at = at
        with suppress(Expired):
            _perform(layer.ready(direction), deadline)
            return True
        return False

    return until


def wake(layer: Layer) -> None:
    """Wake the threads that wait for a layer, which is being closed."""
    if not layer.wake_now():
        with suppress(OSError):
            layer.sock.shutdown(socket.SHUT_RDWR)


def _perform(wait: Wait, deadline: Deadline) -> Any:  # noqa: ANN401 - as they are
    match wait:
        case Ready(sock, direction):
            return _until_any([(sock, direction)], None, deadline)
        case AnyReady(interests, seconds, _):
            return _until_any(interests, seconds, deadline)
        case Signalled(signal, seconds):
            event = Event()
            signal.call(event.set)
            at = _sooner(seconds, deadline)
            if not event.wait(None if at is None else max(0.0, at - monotonic())):
                _check(deadline)
        case Nested(operation):
            run(operation, deadline)
        case FirstOf(waits):
            _until_first(waits, deadline)
        case Settled(awaitable):
            if isinstance(awaitable, Coroutine):
                awaitable.close()
            raise TypeError("a callable given to the synchronous API returned an awaitable")
        case _:
            assert_never(wait)


def _until_any(
    interests: Interests, seconds: float | None, deadline: Deadline
) -> list[socket.socket]:
    """The sockets that are ready; none after so many seconds."""
    ready = _poll(interests, _sooner(seconds, deadline))
    if not ready:
        _check(deadline)
    numbers = {number for number, _ in ready}
    return [sock for sock, _ in interests if sock.fileno() in numbers]


def _sooner(seconds: float | None, deadline: Deadline) -> float | None:
    soon = None if seconds is None else monotonic() + seconds
    return min((at for at in (soon, deadline.at) if at is not None), default=None)


def _check(deadline: Deadline) -> None:
    if deadline.left() == 0:
        raise Expired


def _until_first(waits: list[Ready | Nested], deadline: Deadline) -> None:
    """Wait for sockets and for operations at once: one poll for all of them."""
    sockets = [(wait.sock, wait.direction) for wait in waits if isinstance(wait, Ready)]
    nested = [_Stepped(wait.operation) for wait in waits if isinstance(wait, Nested)]
    try:
        while not any(each.done for each in nested):
            wanted = [interest for each in nested for interest in each.interests]
            soon = min((each.at for each in nested if each.at is not None), default=None)
            seconds = None if soon is None else max(0.0, soon - monotonic())
            ready = _until_any(sockets + wanted, seconds, deadline)
            if any(sock in ready for sock, _ in sockets):
                break
            for each in nested:
                each.go_on(ready)
    finally:
        for each in nested:
            each.close()


class _Stepped:
    """An operation whose waits are one poll's among others.

    Attributes:
        interests: What it waits for.
        at: Until when, on the monotonic clock; None if there is no end to it.
        done: Whether it is over.
    """

    def __init__(self, operation: Operation[object]) -> None:
        self._operation = operation
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        self._signal: Signal | None = None
        self.done = False
        self.at: float | None = None
        self.interests: list[tuple[socket.socket, int]] = []
        self._advance(None)

    def go_on(self, ready: list[socket.socket]) -> None:
        """Continue if what it waits for is there."""
        if self._signal is None:
            mine = [sock for sock, _ in self.interests if sock in ready]
            if mine or (self.at is not None and monotonic() >= self.at):
                self._advance(mine)
        elif self._bell in ready:
            self._bell.recv(64)
            if self._signal.given:  # and not one before it, once more
                self._advance(None)

    def _advance(self, result: object) -> None:
        self._signal = self.at = None
        try:
            wait = self._operation.send(result)
        except StopIteration:
            self.done = True
            return
        if isinstance(wait, Signalled):
            self._signal = wait.signal
            self.interests = [(self._bell, READ)]
            wait.signal.call(self._ring)
        else:
            assert isinstance(wait, AnyReady), "nothing else is waited for on a connection"
            self.interests = wait.interests
            self.at = None if wait.seconds is None else monotonic() + wait.seconds

    def _ring(self) -> None:
        with suppress(OSError):  # closed meanwhile, or rung often enough
            self._ringer.send(b"!")

    def close(self) -> None:
        self._operation.close()
        self._bell.close()
        self._ringer.close()


if sys.platform == "win32":  # no poll; and no limit on descriptor numbers for select

    def _poll(interests: Interests, at: float | None) -> list[tuple[int, int]]:
        readers = [sock.fileno() for sock, direction in interests if direction == READ]
        writers = [sock.fileno() for sock, direction in interests if direction != READ]
        left = None if at is None else max(0.0, at - monotonic())
        # A connection that failed is reported among the exceptional.
        found = select.select(readers, writers, writers, left)
        return [(number, 0) for number in chain.from_iterable(found)]

    def _watch(sock: socket.socket, direction: int) -> Watch:
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

    def _watch(sock: socket.socket, direction: int) -> Watch:
        """A wait for one socket, as `watch` gives it."""
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
