"""A connection that several tunnels share (HTTP/2), without a thread or a task of its own.

Whoever waits for something on the connection does the work of all: one of them holds the
*turn*, waits for the socket, digests what arrives, and wakes exactly those for whom something
came. The others wait for their signal. Who leaves, for whatever reason, hands the turn on.

The state of the connection is touched only under its monitor, and nobody waits under that, nor
ever in a send: outgoing bytes belong to the connection, and leave it by the count that the kernel
took. So a writer that is cancelled in the middle of a frame takes nothing with it, and the next
one to pass sends the rest.

What nobody waits for nobody reads: a connection whose tunnels are all left alone is unattended,
and must answer a PING before it is trusted with a new tunnel.
"""

from __future__ import annotations

import errno
from _thread import RLock  # as in `stream.py`: a signal handler may close what its thread uses
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from connect_tunnel.protocols import h2_frames as wire
from connect_tunnel.protocols.h2_connection import H2Connection
from connect_tunnel.protocols.h2_stream import Loss

from .sock import MAX_READ
from .waits import READ, WRITE, AnyReady, Ready, Signal, Signalled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from connect_tunnel.protocols.h2_stream import Fields, H2Stream

    from .sock import Layer
    from .waits import Operation, Wait

UNATTENDED = 5.0  # seconds after which a connection has to prove that it is alive
_PROOF = 5.0  # seconds that it has for that
# A closed tunnel's stream is not reset at once: that would let the proxy drop what was written
# last. It is when more comes for it, or after so many seconds.
_LINGER = 2.0
_LONGEST_STREAK = 16  # reads in a row, before others have their turn
_SILENT = Loss("does not answer a PING", "unprocessed")
_GIVEN_UP = Loss("gave up the stream", "reset", wire.CANCEL)


class Bell(Protocol):
    """What gets the attention of whoever holds the turn and waits for the socket."""

    @property
    def interests(self) -> list[tuple[socket.socket, int]]:
        """What to wait for besides the connection's own socket."""
        ...

    def ring(self) -> None:
        """Wake who waits."""
        ...

    def quiet(self) -> None:
        """Forget that it was rung."""
        ...

    def close(self) -> None:
        """Let go of what it needs."""
        ...


class Waiter:
    """Somebody who waits for something of a connection.

    Attributes:
        stream: Of which stream; None if it is of the connection.
        direction: Whether it wants to read or to write.
        signal: What wakes it; a new one each time before it looks whether there is enough.
        leads: Whether it holds the turn.
    """

    __slots__ = ("direction", "leads", "signal", "stream")

    def __init__(self, stream: H2Stream | None = None, direction: int = READ) -> None:
        self.stream: Final = stream
        self.direction: Final = direction
        self.signal: Signal = Signal()
        self.leads: bool = False


class SharedConnection:
    """A connection to a proxy, and those who have a seat on it.

    Args:
        layer: What carries it.
        window: How many bytes each stream may have on the way and unread.
        bell: Of the shell's kind.
        on_change: Called when there may be room for others, or nobody is left; perhaps under
            the monitor.

    Attributes:
        state: What HTTP/2 knows of it; touched under the monitor.
        monitor: Held for as long as something is being done, and never in a wait.
        limit: How many tunnels it is trusted with, if that was learnt.
        seats: How many have a place on it.
        closed: Whether its socket was let go of.
    """

    __slots__ = (
        "__weakref__", "_attended", "_bell", "_busy", "_drained", "_holder", "_leaving",
        "_lingering", "_on_change", "_parked", "_polling", "_rest", "abandoned", "closed", "layer",
        "limit", "monitor", "reserved", "seats", "state",
    )  # fmt: skip

    def __init__(
        self,
        layer: Layer,
        *,
        window: int,
        bell: Bell,
        on_change: Callable[[SharedConnection], None],
    ) -> None:
        self.layer: Final = layer
        self.state: Final = H2Connection(window=window)
        self.monitor: Final = RLock()
        self.limit: int | None = None
        self.seats: int = 1  # whoever made it has one
        self.reserved: int = 1  # seats without a stream
        self.closed: bool = False
        self.abandoned: Final[deque[H2Stream | None]] = deque()  # by finalizers
        self._bell: Final = bell
        self._on_change: Final = on_change
        self._busy = False
        self._leaving = False
        self._drained = False  # whether all that had arrived was read
        self._rest: memoryview = memoryview(b"")
        self._holder: Waiter | None = None
        self._polling: tuple[int, ...] = ()
        self._parked: Final[dict[Waiter, None]] = {}
        self._lingering: Final[dict[H2Stream, float]] = {}
        self._attended = monotonic()

    # ---- seats ----

    def take_seat(self) -> bool:
        """Have a place for a stream, if there is one."""
        with self.monitor:
            self.attend()
            if self.free_seats() <= 0:
                return False
            self.seats += 1
            self.reserved += 1
            return True

    def free_seats(self) -> int:
        """How many more streams may be opened."""
        slots = self.state.slots
        if self.limit is not None:
            slots = min(slots, self.limit - len(self.state.streams))
        return slots - self.reserved

    @property
    def usable(self) -> bool:
        """Whether it may take another stream, now or later."""
        return not self.state.exhausted and not self._leaving

    def tunnels(self) -> int:
        """How many tunnels are open on it."""
        return sum(stream.tunnels for stream in self.state.streams.values())

    def leave(self, stream: H2Stream | None) -> None:
        """Give a seat back."""
        with self.monitor:
            self.seats -= 1
            if stream is None:
                self.reserved -= 1
        self._on_change(self)

    def open(self, fields: Fields, instead_of: H2Stream | None) -> H2Stream:
        """Begin a stream on a seat, in place of the one it had."""
        with self.monitor:
            if instead_of is None:
                self.reserved -= 1
            else:
                self.state.reset(instead_of, wire.CANCEL, _GIVEN_UP)
            stream = self.state.open(fields)
            self.flush()
            return stream

    def give_up(self, stream: H2Stream, code: int) -> None:
        """Reset a stream, unless it has ended."""
        with self.monitor:
            self.state.reset(stream, code, _GIVEN_UP)
            self.flush()

    def linger(self, stream: H2Stream) -> None:
        """Have a stream that was ended by us end by itself, if it does so soon."""
        with self.monitor:
            stream.forget()
            if not stream.closed:
                self._lingering[stream] = monotonic() + _LINGER
            self.flush()

    def is_alive(self) -> Operation[bool]:
        """Whether it can be trusted: asked only if nobody has looked for long."""
        state = self.state
        with self.monitor:
            if self._holder is not None or monotonic() - self._attended < UNATTENDED:
                return True
            heard = state.pongs
            state.ping()
            self.flush()
        yield from self.wait(
            lambda: state.pongs > heard or state.lost is not None, Waiter(), seconds=_PROOF
        )
        with self.monitor:
            if state.pongs == heard:
                # Its tunnels may still be good: who reads them will find out.
                state.going = state.going or _SILENT
        return state.pongs > heard

    # ---- bytes ----

    def attend(self, enough: Callable[[], bool] | None = None) -> None:
        """Digest what has arrived, until there is enough; and send what is to be sent."""
        with self.monitor:
            if self._busy or self.closed:
                return  # this thread is at it, and was interrupted by a signal handler
            self._busy = True
            try:
                self._receive(enough)
            except OSError as error:
                self._lose(error)
            except BaseException:
                # Something was read and not digested.
                self._lose(None)
                raise
            finally:
                self._busy = False
            self.flush()
            self._tell()

    def _receive(self, enough: Callable[[], bool] | None) -> None:
        state = self.state
        for _ in range(_LONGEST_STREAK):
            data = self.layer.receive_now(MAX_READ)
            self._drained = not data
            if data is None:
                return
            if not data:
                said = state.going.said + ", and " if state.going else ""
                state.lose(Loss(f"{said}closed the connection", "ended"))
                return
            self._attended = monotonic()
            state.receive(data)
            if enough is not None and enough():
                return

    def flush(self) -> bool:
        """Give the kernel what it takes, and say whether that is all. For who has the monitor."""
        if self._busy or self.closed:
            return False
        self._busy = True
        try:
            self._clean_up()
            sent = self._send()
        except OSError as error:
            self._lose(error)
            sent = True
        except BaseException:
            # Something was sent, and nobody knows how much.
            self._lose(None)
            raise
        finally:
            self._busy = False
        if not sent and self._polling and WRITE not in self._polling:
            self._bell.ring()
        return sent

    def _send(self) -> bool:
        state = self.state
        while self._rest or state.outbox:
            if not self._rest:
                outbox, state.outbox = state.outbox, []
                self._rest = memoryview(b"".join(outbox))
            count = self.layer.send_now(self._rest)
            if not count:
                return False
            self._rest = self._rest[count:]
        state.sent()
        return self.layer.flush_now()

    def _clean_up(self) -> None:
        """See to the streams that nobody has any more."""
        while self.abandoned:
            stream = self.abandoned.popleft()
            self.seats -= 1
            if stream is None:
                self.reserved -= 1
            else:
                self.state.reset(stream, wire.CANCEL, _GIVEN_UP)
        if self._lingering:
            now = monotonic()
            for stream, ends in list(self._lingering.items()):
                if stream.closed:
                    del self._lingering[stream]
                elif now >= ends or stream.peek():
                    del self._lingering[stream]
                    self.state.reset(stream, wire.CANCEL, _GIVEN_UP)

    def _lose(self, error: OSError | None) -> None:
        if error is None:
            said = "was left in the middle of something"
        elif error.errno == errno.ECONNRESET:
            said = "reset the connection"
        else:
            said = f"broke the connection: {getattr(error, 'reason', None) or error.strerror}"
        self.state.lose(Loss(said, "ended"))
        self._tell()

    # ---- waiting ----

    def wait(
        self,
        enough: Callable[[], bool],
        waiter: Waiter,
        seconds: float | None = None,
    ) -> Operation[None]:
        """Wait until there is enough, for so many seconds at most, doing the work of all.

        Args:
            enough: Looked at under the monitor.
            waiter: Who waits, and what that depends on.
            seconds: None for as long as it takes.
        """
        ends = None if seconds is None else monotonic() + seconds
        try:
            # Who waits has looked before: at first there is nothing more to be found.
            looked = self._drained
            while not self._turn(waiter, enough, looked=looked):
                left = None if ends is None else ends - monotonic()
                if left is not None and left <= 0:
                    return
                yield self._what_to_wait_for(waiter, left)
                looked = False
        finally:
            self._end_turn(waiter)

    def _turn(self, waiter: Waiter, enough: Callable[[], bool], *, looked: bool) -> bool:
        """Whether there is enough, after work if it is this one's turn."""
        with self.monitor:
            # Before it looks, so that what comes afterwards is not missed.
            waiter.signal = Signal()
            if waiter.leads:
                self._polling = ()
                self._bell.quiet()
            if enough():
                return True
            if self._holder is None:
                self._holder = waiter
                waiter.leads = True
                self._parked.pop(waiter, None)
            if not waiter.leads:
                self._parked[waiter] = None
            if looked or not waiter.leads:
                return False
            self.attend(enough)
            return enough()

    def _what_to_wait_for(self, waiter: Waiter, seconds: float | None) -> Wait:
        with self.monitor:
            if not waiter.leads:
                return Signalled(waiter.signal, seconds)
            sock = self.layer.sock
            interests = [(sock, READ), *self._bell.interests]
            if not self.flush():
                interests.append((sock, WRITE))
            self._polling = tuple(direction for _, direction in interests)
            if not self._drained and not self.closed:
                seconds = 0.0  # there is more, and others have had no turn for long
            if len(interests) == 1 and seconds is None:
                return Ready(sock, READ)
            return AnyReady(interests, seconds)

    def _end_turn(self, waiter: Waiter) -> None:
        with self.monitor:
            self._parked.pop(waiter, None)
            if waiter.leads:
                waiter.leads = False
                self._holder = None
                self._polling = ()
                self._attended = monotonic()
                for heir in self._parked:
                    heir.signal.give()
                    break
                else:
                    if self._leaving:
                        self._let_go()

    def _tell(self) -> None:
        """Wake those for whom something is new."""
        state = self.state
        changed, everybody = state.changed, state.room_changed
        if not changed and not everybody:
            return
        state.changed, state.room_changed = set(), False
        waiters = list(self._parked)
        if self._polling and self._holder is not None:
            waiters.append(self._holder)
        for waiter in waiters:
            general = waiter.stream is None or waiter.direction == WRITE
            if (everybody and general) or waiter.stream in changed:
                self.call(waiter)
        if everybody:
            self._on_change(self)

    def call(self, waiter: Waiter) -> None:
        """Wake a waiter of this connection; needs no monitor."""
        waiter.signal.give()
        if waiter.leads:
            self._bell.ring()

    def wake(self, stream: H2Stream | None) -> None:
        """Wake whoever waits for a stream, or for the connection, which need not have changed."""
        with self.monitor:
            for waiter in [*self._parked, self._holder]:
                if waiter is not None and waiter.stream is stream:
                    self.call(waiter)

    # ---- the end ----

    def close(self) -> None:
        """Say goodbye, as far as that can be done at once, and let go of the socket."""
        with self.monitor:
            if self.closed or self._leaving:
                return
            self.state.leave()
            self.flush()
            self._leaving = True
            self.state.lose(Loss("was left", "ended"))
            self._tell()
            if self._holder is None:
                self._let_go()

    def _let_go(self) -> None:
        self.closed = True
        self.layer.close_now(cleanly=not self._rest)
        self.layer.drop()
        self._bell.close()

    def __del__(self) -> None:
        if not self.closed:
            # All who had a seat were collected, and have said so.
            self.layer.abandon()
            self._bell.close()
