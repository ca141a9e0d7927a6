"""The second vocabulary: what an operation asks of a thread or of an event loop.

A program (`_steps.py`) asks for bytes and is indifferent to sockets. An *operation* has the
sockets, on none of which a try ever blocks, tries first, and yields a wait only when the
kernel says "not now". There are a few things to wait for, and each shell performs them in
its `wait.py`. Nothing else in this library differs between threads, asyncio and trio.

Time is a `Deadline`, shared with whoever waits and moved by the driver as parts begin. When
it passes, `Expired` is thrown in where the operation waits. An operation that is cancelled
is closed; it may hold on to nothing but what its `finally` lets go of without waiting.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable, Generator

T = TypeVar("T")

READ: Final = 1
WRITE: Final = 2


class Ready:
    """Wait until one socket can be read from, or written to."""

    __slots__ = __match_args__ = ("sock", "direction")
    seconds: Final = None  # as long as the operation has

    def __init__(self, sock: socket.socket, direction: int) -> None:
        self.sock: Final = sock
        self.direction: Final = direction


class AnyReady:
    """Wait until one of several can, for so many seconds at most; sends which ones can.

    A signal that is given ends it, too, where an event loop waits. A thread has to have a
    socket for that among the others.
    """

    __slots__ = __match_args__ = ("interests", "seconds", "signal")

    def __init__(
        self,
        interests: list[tuple[socket.socket, int]],
        seconds: float | None = None,
        signal: Signal | None = None,
    ) -> None:
        self.interests: Final = interests
        self.seconds: Final = seconds
        self.signal: Final = signal


class Settled:
    """Wait for an awaitable of the caller's; sends its result."""

    __slots__ = __match_args__ = ("awaitable",)
    seconds: Final = None

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable: Final = awaitable


class Signal:
    """Something that happens once, and wakes who waits for it."""

    __slots__ = ("_wake", "given")

    def __init__(self) -> None:
        self.given: bool = False
        self._wake: Callable[[], object] | None = None

    def give(self) -> None:
        """Let it happen. From any thread, where the waiter is a thread."""
        self.given = True
        if self._wake is not None:
            self._wake()

    def call(self, wake: Callable[[], object]) -> None:
        """Say what wakes the waiter; called at once if it has happened, and perhaps twice."""
        self._wake = wake
        if self.given:
            wake()


class Signalled:
    """Wait until a signal is given, or for so many seconds at most."""

    __slots__ = __match_args__ = ("signal", "seconds")

    def __init__(self, signal: Signal, seconds: float | None = None) -> None:
        self.signal: Final = signal
        self.seconds: Final = seconds


class Nested:
    """Wait as an operation does: for a stream whose connection others use, too."""

    __slots__ = __match_args__ = ("operation",)
    seconds: Final = None

    def __init__(self, operation: Operation[object]) -> None:
        self.operation: Final = operation


class FirstOf:
    """Wait until the first of several waits is over, for so many seconds at most."""

    __slots__ = __match_args__ = ("waits", "seconds")

    def __init__(
        self, waits: list[Ready | Nested | Signalled], seconds: float | None = None
    ) -> None:
        self.waits: Final = waits
        self.seconds: Final = seconds


Wait: TypeAlias = Ready | AnyReady | Settled | Signalled | Nested | FirstOf
Operation: TypeAlias = "Generator[Wait, Any, T]"


class Deadline:
    """When to stop waiting, on the monotonic clock; None for never."""

    __slots__ = ("at",)

    def __init__(self, seconds: float | None = None) -> None:
        self.at: float | None = None if seconds is None else monotonic() + seconds

    def left(self) -> float | None:
        """Seconds until then, 0 if it is past."""
        return None if self.at is None else max(0.0, self.at - monotonic())


class Expired(Exception):
    """The deadline passed while an operation waited."""
