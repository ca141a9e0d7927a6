"""What is left of tunnels on a shared connection, for whoever passes to see to."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Final

from connect_tunnel.protocols import h2_frames as wire
from connect_tunnel.protocols.h2_stream import GIVEN_UP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connect_tunnel.protocols.h2_stream import H2Stream

    from .shared import SharedConnection

# A closed tunnel's stream is not reset at once: that would let the proxy drop what was written
# last. It is after so many seconds, if it has not ended by itself.
LINGER = 2.0


def clean_up(connection: SharedConnection) -> None:
    """See to the streams that nobody has any more. For who has the monitor."""
    state, remains = connection.state, connection.remains
    for stream in remains.abandoned():
        connection.seats -= 1
        state.room_changed = True
        if stream is None:
            connection.reserved -= 1
        else:
            state.reset(stream, wire.CANCEL, GIVEN_UP)
    for stream in remains.overdue():
        state.reset(stream, wire.CANCEL, GIVEN_UP)


class Remains:
    """Streams that nobody has any more."""

    __slots__ = ("_abandoned", "_lingering")

    def __init__(self) -> None:
        self._abandoned: Final[deque[H2Stream | None]] = deque()
        self._lingering: Final[dict[H2Stream, float]] = {}

    def __bool__(self) -> bool:
        return bool(self._abandoned or self._lingering)

    def abandon(self, stream: H2Stream | None) -> None:
        """Leave a stream, or a seat without one, behind; for finalizers, so without a lock."""
        self._abandoned.append(stream)

    def abandoned(self) -> Iterator[H2Stream | None]:
        """What finalizers left behind, once."""
        while self._abandoned:
            yield self._abandoned.popleft()

    def keep(self, stream: H2Stream) -> None:
        """Let a stream end by itself, and take no notice of what comes for it."""
        stream.forget()
        if not stream.closed:
            self._lingering[stream] = monotonic() + LINGER

    def due(self) -> float | None:
        """In how many seconds the next of them should have ended."""
        ends = next(iter(self._lingering.values()), None)  # the oldest
        return None if ends is None else max(0.0, ends - monotonic())

    def overdue(self) -> list[H2Stream]:
        """Those that should have ended, once."""
        over: list[H2Stream] = []
        while self._lingering:
            stream, ends = next(iter(self._lingering.items()))  # the oldest
            if not stream.closed and monotonic() < ends:
                break
            del self._lingering[stream]
            if not stream.closed:
                over.append(stream)
        return over
