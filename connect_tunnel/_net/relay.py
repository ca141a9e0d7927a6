"""Joining two streams, both ways, until both have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .sock import MAX_READ
from .waits import READ, WRITE, AnyReady

if TYPE_CHECKING:
    import socket

    from .stream import Stream
    from .waits import Operation


def relay(one: Stream, other: Stream) -> Operation[None]:
    """Carry bytes and ends of stream across, in both directions at once.

    Raises:
        TunnelBroken: Either side broke; the caller passes that on to the other.
    """
    pipes = (_Pipe(one, other), _Pipe(other, one))
    while not all(pipe.done for pipe in pipes):
        # Both get a turn; only if neither can move is there something to wait for.
        moved = [pipe.advance() for pipe in pipes]
        if not any(moved):
            interests = [pipe.blocked_on for pipe in pipes if not pipe.done]
            yield AnyReady(interests)


class _Pipe:
    """One direction: at most 64 KiB on the way, and then the end."""

    def __init__(self, source: Stream, sink: Stream) -> None:
        self.source = source
        self.sink = sink
        self.held = memoryview(b"")
        self.ended = False
        self.done = False
        self.blocked_on: tuple[socket.socket, int] = (source.sock, READ)

    def advance(self) -> bool:
        """Move what can be moved now; False if nothing can."""
        if self.done:
            return False
        if self.held or self.ended:
            return self._push()
        data = self.source.receive_now(MAX_READ)
        if data is None:
            self.blocked_on = (self.source.sock, READ)
            return False
        self.held = memoryview(data)
        self.ended = not data
        if self.ended:
            self.sink.end_now()
        self._push()
        return True

    def _push(self) -> bool:
        count = self.sink.send_now(self.held) if self.held else 0
        self.held = self.held[count:]
        if self.held or not self.sink.flush_now():
            self.blocked_on = (self.sink.sock, WRITE)
            return bool(count)
        self.done = self.ended
        return True
