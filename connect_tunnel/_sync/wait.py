"""How a thread waits: poll, with this call's own time; without a limit, also in `recv`.

Not `socket.settimeout`, which two threads on one socket would share; not `select`, which
ends at descriptor 1023. A socket on which somebody waits in `recv` blocks from then on; to
others that makes no difference, as each try says that it is one (MSG_DONTWAIT).
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
from typing import TYPE_CHECKING, Any, Final, TypeVar, assert_never

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
    Receive: TypeAlias = Callable[[int], bytes]

T = TypeVar("T")

# Elsewhere a try to send cannot be relied on to be one, whatever it says (macOS), or cannot say it
# (Windows, where a close does not wake who is in `recv` either).
CAN_BLOCK: Final = sys.platform == "linux"


def run(operation: Operation[T], deadline: Deadline) -> T:
    """Perform an operation, waiting in this thread.

    Raises:
        Expired: The deadline passed, and the operation made nothing else of it.
    """
    watched = poller = None
    try:
        wait = next(operation)
        while True:
            try:
                result: Any = None
                if isinstance(wait, Ready):  # as nearly all are, and for the same
                    interest = wait.sock, wait.direction
                    if poller is None or interest != watched:
                        poller, watched = _poller(wait.sock, wait.direction), interest
                    if not _until(poller, deadline.at):
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
        return partial(_until, _poller(ready.sock, direction))

    def until(at: float | None) -> bool:
        deadline = Deadline()
        deadline.at = at
        with suppress(Expired):
            _perform(layer.ready(direction), deadline)
            return True
        return False

    return until


def blocking_receive(sock: socket.socket) -> Receive:
    """How to receive and wait in one call of the kernel, where it CAN_BLOCK."""
    sock.setblocking(True)
    return sock.recv


def wake(layer: Layer) -> None:
    """Wake the threads that wait for a layer, which is being closed."""
    if not layer.wake_now():
        with suppress(OSError):
            layer.sock.shutdown(socket.SHUT_RDWR)


def _perform(wait: Wait, deadline: Deadline) -> Any:  # noqa: ANN401 - as they are
    match wait:
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
        case Ready() | FirstOf():
            _until_over(wait, deadline)
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
    if seconds is None:
        return deadline.at
    soon = monotonic() + seconds
    return soon if deadline.at is None or soon < deadline.at else deadline.at


def _check(deadline: Deadline) -> None:
    if deadline.left() == 0:
        raise Expired


def _until_over(wait: Wait, deadline: Deadline) -> None:
    """Wait for sockets, signals and operations at once, by one poll for all of them."""
    pending = _pending(wait)
    try:
        while not pending.over:
            at = min((at for at in (pending.at, deadline.at) if at is not None), default=None)
            ready = {number for number, _ in _poll(pending.interests, at)}
            if not ready:
                _check(deadline)
            pending.go_on(ready)
    finally:
        pending.close()


def _pending(wait: Wait) -> _Pending:
    assert not isinstance(wait, Settled), "nobody waits for an awaitable on a connection"
    match wait:
        case Ready(sock, direction):
            return _Pending([(sock, direction)])
        case AnyReady(interests, seconds, _):
            return _Pending(interests, seconds)
        case Signalled(signal, seconds):
            return _PendingSignal(signal, seconds)
        case Nested(operation):
            return _PendingOperation(operation)
        case FirstOf(waits, seconds):
            return _PendingFirst([_pending(each) for each in waits], seconds)
        case _:
            assert_never(wait)


class _Pending:
    """A wait that is one among others, here for sockets.

    Attributes:
        interests: What is to be polled for it.
        at: When it is over at the latest, on the monotonic clock; None for never.
        over: Whether it is.
    """

    def __init__(self, interests: Interests, seconds: float | None = None) -> None:
        self.interests: Interests = interests
        self.at: float | None = None if seconds is None else monotonic() + seconds
        self.over: bool = False

    def go_on(self, ready: set[int]) -> None:
        """Look at what the poll has found."""
        found = any(sock.fileno() in ready for sock, _ in self.interests)
        self.over = found or (self.at is not None and monotonic() >= self.at)

    def close(self) -> None:
        """Let go of what it needs."""


class _PendingSignal(_Pending):
    """For a signal, which writes to a socket."""

    def __init__(self, signal: Signal, seconds: float | None) -> None:
        self._bell, self._ringer = socket.socketpair()
        self._ringer.setblocking(False)
        super().__init__([(self._bell, READ)], seconds)
        signal.call(self._ring)

    def _ring(self) -> None:
        with suppress(OSError):  # closed meanwhile, or rung often enough
            self._ringer.send(b"!")

    def close(self) -> None:
        self._bell.close()
        self._ringer.close()


class _PendingOperation(_Pending):
    """For whatever an operation waits for, one thing after the other."""

    def __init__(self, operation: Operation[object]) -> None:
        super().__init__(())
        self._operation = operation
        self._inner: _Pending | None = None
        self._advance()

    def go_on(self, ready: set[int]) -> None:
        assert self._inner is not None
        self._inner.go_on(ready)
        if self._inner.over:
            self._inner.close()
            self._advance()
        else:
            self.interests, self.at = self._inner.interests, self._inner.at

    def _advance(self) -> None:
        try:
            self._inner = inner = _pending(next(self._operation))
        except StopIteration:
            self.over = True
        else:
            self.interests, self.at = inner.interests, inner.at

    def close(self) -> None:
        self._operation.close()
        if self._inner is not None:
            self._inner.close()


class _PendingFirst(_Pending):
    """For the first of several."""

    def __init__(self, each: list[_Pending], seconds: float | None) -> None:
        super().__init__((), seconds)
        self._ends: float | None = self.at
        self._each = each
        self._gather()

    def go_on(self, ready: set[int]) -> None:
        for pending in self._each:
            pending.go_on(ready)
        self._gather()

    def _gather(self) -> None:
        late = self._ends is not None and monotonic() >= self._ends
        self.over = late or any(pending.over for pending in self._each)
        self.interests = [one for pending in self._each for one in pending.interests]
        ends = (self._ends, *(pending.at for pending in self._each))
        self.at = min((at for at in ends if at is not None), default=None)

    def close(self) -> None:
        for pending in self._each:
            pending.close()


def _poll(interests: Interests, at: float | None) -> list[tuple[int, int]]:
    """The descriptors that are ready and for what, none if that time comes first."""
    poller = _Poller()
    wanted: dict[int, int] = {}
    for sock, direction in interests:
        number = sock.fileno()
        wanted[number] = wanted.get(number, 0) | _EVENTS[direction]
        poller.register(number, wanted[number])
    return _until(poller, at)


def _poller(sock: socket.socket, direction: int) -> _Poller:
    poller = _Poller()
    poller.register(sock.fileno(), _EVENTS[direction])
    return poller


def _until(poller: _Poller, at: float | None) -> list[tuple[int, int]]:
    if at is None:
        return poller.poll()
    left = at - monotonic()
    # Rounded up: to wake a moment early would mean to spin.
    return poller.poll(int(left * 1000) + 1) if left > 0 else []


if sys.platform == "win32":  # no poll; and no limit on descriptor numbers for select

    class _Poller:
        """As much of `select.poll` as is used here."""

        def __init__(self) -> None:
            self._wanted: dict[int, int] = {}

        def register(self, number: int, events: int) -> None:
            self._wanted[number] = events

        def poll(self, milliseconds: int | None = None) -> list[tuple[int, int]]:
            readers, writers = (
                [number for number, events in self._wanted.items() if events & wanted]
                for wanted in (READ, WRITE)
            )
            left = None if milliseconds is None else milliseconds / 1000
            # A connection that failed is reported among the exceptional.
            found = select.select(readers, writers, writers, left)
            return [(number, 0) for number in chain.from_iterable(found)]

    _EVENTS = {READ: READ, WRITE: WRITE}

else:
    _Poller = select.poll
    _EVENTS = {READ: select.POLLIN, WRITE: select.POLLOUT}
