"""A connection that several tunnels share (HTTP/2), without a thread or a task of its own.

Whoever waits for something on the connection does the work of all: one of them holds the
*turn*, waits for the socket, digests what arrives, and wakes exactly those for whom something
came. The others wait for their signal. Who leaves, for whatever reason, hands the turn on.

The state of the connection is touched only under its monitor, and nobody waits under that, nor
ever in a send: outgoing bytes belong to the connection, and leave it by the count that the kernel
took. So a writer that is cancelled in the middle of a frame takes nothing with it, and the next
one to pass sends the rest.

What nobody waits for nobody reads: a connection that is unattended must answer a PING before it
is trusted with a new tunnel (`liveness.py`).
"""

from __future__ import annotations

from _thread import RLock  # as in `stream.py`: a signal handler may close what its thread uses
from time import monotonic
from typing import TYPE_CHECKING, Final

from connect_tunnel.protocols import h2_frames as wire
from connect_tunnel.protocols.h2_connection import H2Connection
from connect_tunnel.protocols.h2_stream import GIVEN_UP, Loss

from .liveness import how_lost
from .remains import Remains, clean_up
from .sock import MAX_READ
from .turn import Turn, Waiter
from .waits import READ, WRITE, Signalled

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel.protocols.h2_stream import Fields, H2Stream

    from .sock import Layer
    from .turn import Bell
    from .waits import Operation, Wait

_FRESH = 0.1  # seconds for which what was seen last is believed: who errs asks again elsewhere
_LONGEST_STREAK = 16  # reads in a row, before others have their turn


class SharedConnection:
    """A connection to a proxy, and those who have a seat on it.

    Args:
        layer: What carries it.
        window: How many bytes each stream may have on the way and unread.
        bell: Of the shell's kind.
        on_change: Called when there may be room, or nobody is left; perhaps under the monitor.

    Attributes:
        state: What HTTP/2 knows of it; touched under the monitor.
        monitor: Held for as long as something is being done, and never in a wait.
        limit: How many tunnels it is trusted with, if that was learnt.
        seats: How many have a place on it.
        reserved: How many of them have no stream yet.
        turn: Who does the work, and who waits for it to be done.
        remains: What is left of closed tunnels.
        attended: When somebody looked last, on the monotonic clock.
        closed: Whether its socket was let go of.
    """

    __slots__ = (
        "__weakref__", "_bell", "_busy", "_drained", "_due", "_flushed", "_leaving", "_on_change",
        "_rest", "_stuck", "attended", "closed", "layer", "limit", "monitor", "remains", "reserved",
        "seats", "state", "turn",
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
        self.reserved: int = 1
        self.closed: bool = False
        self.remains: Final = Remains()
        self._bell: Final = bell
        self._on_change: Final = on_change
        self._busy = False
        self._flushed = False  # whether there is nothing left in the layers below
        self._leaving = self._stuck = False  # stuck: the kernel has not taken all
        self._due = False  # whether a flush is on its way
        self._drained = False  # whether all that had arrived was read
        self._rest: bytes | memoryview = b""
        self.turn: Final = Turn(bell)
        self.attended: float = monotonic()

    # ---- seats ----

    def refresh(self) -> float:
        """See what has come meanwhile: tunnels may have ended, and so may the connection.

        Returns:
            For how many seconds nobody had looked.
        """
        idle = monotonic() - self.attended
        if idle > _FRESH:
            self.attend()
        return idle

    def take_seat(self) -> bool:
        """Have a place for a stream, if there is one."""
        with self.monitor:
            if self._leaving or self.free_seats() <= 0:
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
                self.state.reset(instead_of, wire.CANCEL, GIVEN_UP)
            return self.state.open(fields)  # and sent by whoever waits for the answer

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
            if self.state.outbox or self._rest or self.remains:
                self.flush()
            else:
                self._tell()

    def _receive(self, enough: Callable[[], bool] | None) -> None:
        state = self.state
        for _ in range(_LONGEST_STREAK):
            data = self.layer.receive_now(MAX_READ)
            # A layer that gives less than it may holds nothing back.
            self._drained = data is None or len(data) < MAX_READ
            if data is None:
                return
            if not data:
                said = state.going.said + ", and " if state.going else ""
                state.lose(Loss(f"{said}closed the connection", "ended"))
                return
            self.attended = monotonic()
            self._flushed = False  # TLS may have something to say for itself
            state.receive(data)
            if enough is not None and enough():
                return

    def flush(self) -> bool:
        """Give the kernel what it takes, and say whether that is all. For who has the monitor."""
        state = self.state
        if self._flushed and not (self._rest or state.outbox or self.remains):
            return True
        if self._busy or self.closed:
            return False
        self._busy = True
        try:
            if self.remains:
                clean_up(self)
            sent = self._flushed = self._send()
        except OSError as error:
            self._lose(error)
            sent = True
        except BaseException:
            # Something was sent, and nobody knows how much.
            self._lose(None)
            raise
        finally:
            self._busy = False
        if not sent:
            self.turn.ask_to_write()
        elif self._stuck:
            self.turn.tell((), everybody=True)  # who writes may go on
        self._stuck = not sent
        if state.changed or state.room_changed:
            self._tell()
        return sent

    def _flush_soon(self) -> None:
        """Send what is to be sent, with what others will have said by then, if that is soon."""
        self._due = self._bell.soon(self._flush_due)
        if not self._due:
            self.flush()

    def _flush_due(self) -> None:
        with self.monitor:
            self._due = False
            self.flush()

    def _send(self) -> bool:
        state = self.state
        while self._rest or state.outbox:
            if not self._rest:
                outbox, state.outbox = state.outbox, []
                self._rest = b"".join(outbox)
            count = self.layer.send_now(self._rest)
            if not count:
                return False
            self._rest = memoryview(self._rest)[count:] if count < len(self._rest) else b""
        state.owed = 0
        return self.layer.flush_now()

    def _lose(self, error: OSError | None) -> None:
        self.state.lose(how_lost(error))
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
            while (wait := self._work(waiter, enough, seconds, looked=looked)) and seconds != 0:
                yield wait
                looked = False
                if ends is not None:
                    seconds = max(0.0, ends - monotonic())
        finally:
            with self.monitor:
                if waiter.leads:
                    self.attended = monotonic()
                if not self.turn.leave(waiter) and self._leaving:
                    self._let_go()

    def _work(
        self, waiter: Waiter, enough: Callable[[], bool], seconds: float | None, *, looked: bool
    ) -> Wait | None:
        """Work, if it is this one's turn; and what to wait for, unless there is enough.

        Under the monitor from the look to the wait: what somebody else digests in between would
        wake nobody.
        """
        with self.monitor:
            self.turn.look(waiter)
            if enough():
                return None
            if not self.turn.claim(waiter):
                if self.state.outbox and not self._due:
                    self._flush_soon()  # the holder waits, and does not know of it
                return Signalled(waiter.signal, seconds)
            if not looked:
                self.attend(enough)
            directions = [READ] if self.flush() else [READ, WRITE]
            # Looked at last: what went out in the flush, or failed to, may be what it waits for.
            if enough():
                return None
            if not self._drained or waiter.signal.given:
                seconds = 0.0  # there is more, or it was called before it had the turn
            elif self.remains:
                due = self.remains.due()
                if due is not None and (seconds is None or due < seconds):
                    seconds = due
            return self.turn.poll(waiter, self.layer, directions, seconds)

    def _tell(self) -> None:
        """Wake those for whom something is new."""
        state = self.state
        changed, everybody = state.changed, state.room_changed
        state.changed, state.room_changed = set(), False
        self.turn.tell(changed, everybody=everybody)
        if everybody:
            self._on_change(self)

    # ---- the end ----

    def close(self) -> None:
        """Say goodbye, as far as that can be done at once, and let go of the socket."""
        with self.monitor:
            if self.closed or self._leaving:
                return
            self._leaving = True
            if self.state.lost is None:
                self.state.outbox.append(wire.goaway(0, wire.NO_ERROR))
            self.attend()  # a socket that is closed with something unread in it is reset
            self.state.lose(Loss("was left", "ended"))
            self._tell()
            if not self.turn.held:
                self._let_go()

    def _let_go(self) -> None:
        if self.closed:
            return
        self.closed = True
        self.layer.close_now(cleanly=not self._rest)
        self.layer.drop()
        self._bell.close()

    def __del__(self) -> None:
        if not self.closed:  # all who had a seat were collected, and have said so
            self.layer.abandon()
            self._bell.close()
