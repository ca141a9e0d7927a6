"""Joining two streams: bytes and ends of stream are carried across."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sock import MAX_READ
from .waits import READ, WRITE, FirstOf

if TYPE_CHECKING:
    from .stream import Stream
    from .waits import Operation


class Pipe:
    """One direction: at most 64 KiB on the way, and then the end.

    Attributes:
        done: Whether the source has ended, and the sink has been told.
    """

    def __init__(self, source: Stream, sink: Stream) -> None:
        self.source = source
        self.sink = sink
        self.done = False
        self._held = memoryview(b"")
        self._ended = False
        self.blocked_on: tuple[Stream, int] = (source, READ)

    def advance(self) -> bool:
        """Move what can be moved now; False if nothing can."""
        if self._held or self._ended:
            return self._push()
        data = self.source.receive_now(MAX_READ)
        if data is None:
            self.blocked_on = (self.source, READ)
            return False
        self._held = memoryview(data)
        if not data:
            self._ended = True
            self.sink.end_now()
        self._push()
        return True

    def _push(self) -> bool:
        count = self.sink.send_now(self._held) if self._held else 0
        self._held = self._held[count:]
        if self._held or not self.sink.flush_now():
            self.blocked_on = (self.sink, WRITE)
            return count > 0
        self.done = self._ended
        return True


def join(*pipes: Pipe) -> Operation[None]:
    """Work the pipes until all of them are done. May be given up and taken up again.

    Raises:
        TunnelBroken: A stream broke; the caller passes that on to the other.
    """
    while working := [pipe for pipe in pipes if not pipe.done]:
        # Each gets a turn; only if none can move is there something to wait for.
        moved = [pipe.advance() for pipe in working]
        if not any(moved):
            blocked = [pipe.blocked_on for pipe in working]
            yield FirstOf([stream.layer.ready(direction) for stream, direction in blocked])
