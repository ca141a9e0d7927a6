"""One direction between two kernel sockets: what comes from one goes out by the other.

What is written to a socket and not yet delivered is lost when it is reset, and a socket that
is closed with something left to read is reset. So a flow says not only that it is over, but
which side ended or broke, and whether there may be something left to read.

A long transfer is spliced on Linux: it goes through a pipe in the kernel, and is never
copied to us. For less than that, a pipe is not worth its descriptors.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
from typing import Final, Literal, Protocol, TypeAlias

from .sock import MAX_READ
from .waits import READ, WRITE

LINGER: Final = 2.0  # seconds for what was written last to arrive
GLANCE: Final = 0.01  # seconds between two looks at whether it has

State: TypeAlias = Literal["open", "ended", "source broke", "sink broke"]

_LONG: Final = 8  # so many full reads in a row are a long transfer
_PIPE_SIZE: Final = 1 << 18  # a user may have 64 MiB in pipes before the kernel makes them small
_F_SETPIPE_SZ: Final = 1031  # fcntl has the name where Python's libc has it
_FLAGS: Final = getattr(os, "SPLICE_F_NONBLOCK", 0) | getattr(os, "SPLICE_F_MOVE", 0)
# What a socket that cannot be spliced says, and a kernel that knows no splice.
_UNSPLICEABLE: Final = frozenset({errno.EINVAL, errno.ENOSYS})


class Flow:
    """Carries from source to sink, and never waits.

    Attributes:
        state: "open"; "ended", and the sink was told; or which side broke.
        blocked_on: What to wait for when nothing can be moved.
    """

    def __init__(self, source: socket.socket, sink: socket.socket) -> None:
        self.source: Final = source
        self.sink: Final = sink
        self.state: State = "open"
        self.blocked_on: tuple[socket.socket, int] = (source, READ)
        self._twin: Flow | None = None
        self._way: _Way = _Copy()
        self._full_reads = 0  # in a row
        self._was_reset = False  # whether sending told of a reset

    def advance(self) -> bool:
        """Move what can be moved now; False if nothing can, or this is over."""
        try:
            return self._empty() if self._way.held else self._fill()
        except _Unspliceable as found:
            self._way.close()
            self._way = _Copy(found.held)
            return True

    def close(self) -> None:
        """Let go of what is on the way. The sockets stay open."""
        self._way.close()

    def _fill(self) -> bool:
        if self._full_reads == _LONG:
            self._full_reads += 1  # once is enough
            self._way = _splice() or self._way
        try:
            count = self._way.take(self.source)
        except BlockingIOError:
            self.blocked_on = (self.source, READ)
            return False
        except OSError:
            self.state = "source broke"
            return False
        if not count:
            return self._finish()
        if self._full_reads < _LONG:
            self._full_reads = self._full_reads + 1 if count == MAX_READ else 0
        self._empty()
        return True

    def _empty(self) -> bool:
        try:
            self._way.give(self.sink)
        except BlockingIOError:
            self.blocked_on = (self.sink, WRITE)
            return False
        except OSError as error:
            # EPIPE is of one who had ended what it sent before it went away.
            self._was_reset = error.errno != errno.EPIPE
            self.state = "sink broke"
            return False
        return True

    def _finish(self) -> bool:
        # The kernel tells of a reset once: if the other direction has heard of it, then it
        # reads as an end.
        if self._twin is not None and self._twin._was_reset:
            self.state = "source broke"
            return False
        self.state = "ended"
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is gone, as the other direction will find
        return False


def between(one: socket.socket, other: socket.socket) -> tuple[Flow, Flow]:
    """The two directions between two sockets."""
    out, back = Flow(one, other), Flow(other, one)
    out._twin, back._twin = back, out
    return out, back


def unsent(sock: socket.socket) -> int:
    """Bytes written to a socket that its peer has not received; 0 where nobody can say."""
    try:
        import fcntl  # noqa: PLC0415 - which Windows has not
        import termios  # noqa: PLC0415 - likewise

        sock.getpeername()  # what nobody will receive any more does not count
        # SIOCOUTQ of Linux, which has the same number (tcp(7)); others know no such thing.
        count = fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4))
    except (ImportError, OSError, ValueError):
        return 0
    return int.from_bytes(count, sys.byteorder)


class _Way(Protocol):
    """How bytes get from one socket to another. `held` of them are on the way."""

    @property
    def held(self) -> int: ...
    def take(self, source: socket.socket) -> int: ...
    def give(self, sink: socket.socket) -> None: ...
    def close(self) -> None: ...


class _Copy:
    def __init__(self, held: bytes = b"") -> None:
        self._data = memoryview(held)

    @property
    def held(self) -> int:
        return len(self._data)

    def take(self, source: socket.socket) -> int:
        self._data = memoryview(source.recv(MAX_READ))
        return len(self._data)

    def give(self, sink: socket.socket) -> None:
        while self._data:
            self._data = self._data[sink.send(self._data) :]

    def close(self) -> None:
        pass


class _Unspliceable(Exception):
    """This kernel does not splice these sockets; and what was on the way."""

    def __init__(self, held: bytes) -> None:
        self.held: Final = held


class _Splice:
    def __init__(self, out: int, into: int) -> None:
        self._out, self._into = out, into
        self.held = 0

    def take(self, source: socket.socket) -> int:
        self.held = self._move(source.fileno(), self._into, _PIPE_SIZE)
        return self.held

    def give(self, sink: socket.socket) -> None:
        while self.held:
            self.held -= self._move(self._out, sink.fileno(), self.held)

    def _move(self, source: int, sink: int, count: int) -> int:
        try:
            return os.splice(source, sink, count, flags=_FLAGS)
        except OSError as error:
            if error.errno in _UNSPLICEABLE:
                held = os.read(self._out, self.held) if self.held else b""
                raise _Unspliceable(held) from error
            raise

    def close(self) -> None:
        os.close(self._out)
        os.close(self._into)


def _splice() -> _Way | None:
    """A pipe to splice through; None if there is none that is worth it."""
    if not hasattr(os, "splice"):  # as on macOS
        return None
    import fcntl  # noqa: PLC0415 - which Windows has not

    try:
        out, into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # too many descriptors: a copy needs none
        return None
    way = _Splice(out, into)
    try:
        if fcntl.fcntl(into, _F_SETPIPE_SZ, _PIPE_SIZE) >= MAX_READ:
            return way
    except OSError:  # too much memory in this user's pipes
        pass
    way.close()
    return None
