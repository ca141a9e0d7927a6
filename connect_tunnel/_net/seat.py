"""A seat on a shared connection: one stream of it, as a layer like any other."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from connect_tunnel.protocols import h2_frames as wire
from connect_tunnel.protocols.h2_stream import GIVEN_UP

from .turn import Waiter
from .waits import READ, Nested

if TYPE_CHECKING:
    import socket

    from connect_tunnel._response import ProxyResponse
    from connect_tunnel.protocols.h2_stream import Fields, H2Stream, Loss

    from .shared import SharedConnection
    from .waits import Operation


class Seat:
    """A place on a connection, whose stream begins when something is asked for on it.

    Args:
        connection: Where a place was taken.

    Attributes:
        connection: The same.
        stream: What was asked for last, if anything was.
        joined: Whether the connection was there before.
    """

    __slots__ = ("_closing", "_left", "_parted", "_starved", "connection", "joined", "stream")

    def __init__(self, connection: SharedConnection, *, joined: bool) -> None:
        self.connection: Final = connection
        self.joined: Final = joined
        self.stream: H2Stream | None = None
        self._closing = False  # whether nobody is to wait for it any more
        self._left = False
        self._parted = False  # whether the stream was ended or reset
        self._starved = False  # whether it is a window that a write waits for

    @property
    def sock(self) -> socket.socket:
        """The kernel socket at the bottom, which is everybody's."""
        return self.connection.layer.sock

    @property
    def shared(self) -> bool:
        """Bytes of others come on it, and ours are not the only ones to go."""
        return True

    # ---- asking ----

    def ask(self, fields: Fields) -> None:
        """Begin a stream, in place of the one before."""
        self.stream = self.connection.open(fields, self.stream)

    def answered(self, seconds: float | None) -> Operation[ProxyResponse | Loss | None]:
        """Wait for an answer: what was said, how the stream was lost, or None in that time."""
        stream = self.stream
        assert stream is not None
        yield from self.connection.wait(
            lambda: stream.response is not None or stream.loss is not None, Waiter(stream), seconds
        )
        return stream.response or stream.loss

    # ---- the stream as a layer ----

    def ready(self, direction: int) -> Nested:
        """Wait for the stream, doing the work of the connection meanwhile."""
        enough = self._is_readable if direction == READ else self._is_writable
        return Nested(self.connection.wait(enough, Waiter(self.stream, direction)))

    def _is_readable(self) -> bool:
        return self._closing or self.stream is None or self.stream.readable

    def _is_writable(self) -> bool:
        stream, connection = self.stream, self.connection
        if self._closing or stream is None or stream.loss is not None:
            return True
        if self._starved and not connection.state.can_send(stream):
            return False
        return connection.flush()

    def receive_now(self, max_bytes: int) -> bytes | None:
        """Take some bytes: empty at the end of the stream, None if there are none yet."""
        stream, connection = self.stream, self.connection
        assert stream is not None
        with connection.monitor:
            if not stream.readable:
                connection.attend(self._is_readable)
            if data := connection.state.take(stream, max_bytes):
                if connection.state.outbox:
                    connection.flush()
                return data
            if stream.ended:
                return b""
            self._check(stream)
            return None

    def peek_now(self) -> bytes | None:
        """Look at the next bytes, which stay where they are."""
        stream, connection = self.stream, self.connection
        if stream is None:
            return None
        with connection.monitor:
            if not stream.readable:
                connection.attend(self._is_readable)
            if (data := stream.peek()) or stream.ended:
                return data
            self._check(stream)
            return None

    def holds_back(self) -> bool:
        """The kernel does not know which of its bytes are ours."""
        return True

    def take_now(self, count: int) -> None:
        """Take bytes that `peek_now` showed."""
        assert self.stream is not None
        with self.connection.monitor:
            self.connection.state.take(self.stream, count)

    def send_now(self, data: bytes | memoryview) -> int:
        """Frame some of the data, once what was framed before is gone."""
        stream, connection = self.stream, self.connection
        assert stream is not None
        with connection.monitor:
            self._check(stream)
            self._starved = False
            if not connection.flush():
                return 0
            count = connection.state.send(stream, data)
            self._starved = not count and len(data) > 0
            if count:
                connection.flush()
            self._check(stream)
            return count

    def flush_now(self) -> bool:
        """Say whether the kernel has all that was framed, of whomever."""
        assert self.stream is not None
        with self.connection.monitor:
            self._starved = False
            if self.connection.flush():
                return True
            self._check(self.stream)  # to wait would be in vain
            return False

    def _check(self, stream: H2Stream) -> None:
        if stream.loss is not None:
            raise ConnectionResetError(errno.ECONNRESET, f"the proxy {stream.loss.said}")

    def end_now(self) -> None:
        """Send END_STREAM, which is a FIN to the target (RFC 9113, 8.5)."""
        stream, connection = self.stream, self.connection
        assert stream is not None
        with connection.monitor:
            self._check(stream)
            connection.state.finish(stream)
            connection.flush()

    def close_now(self, *, cleanly: bool) -> None:
        """End the stream, or reset it if the target must not take this for an end."""
        stream, connection = self.stream, self.connection
        with connection.monitor:
            if self._parted or stream is None:
                return
            self._parted = self._closing = True
            if cleanly and stream.tunnels:
                connection.state.finish(stream)
                connection.remains.keep(stream)  # it ends by itself, if it does so soon
                connection.flush()
            else:
                self._give_up(stream, wire.CANCEL)

    def drop(self, *, reset: bool = False) -> None:
        """Give the seat back; the stream is reset unless it was closed."""
        connection, stream = self.connection, self.stream
        with connection.monitor:
            if self._left:
                return
            self._left = self._closing = True
            if stream is not None and not self._parted:
                # A relay that lost its other side says so, as it would by a TCP reset.
                self._give_up(stream, wire.CONNECT_ERROR if reset else wire.CANCEL)
        connection.leave(stream)

    def _give_up(self, stream: H2Stream, code: int) -> None:
        self.connection.state.reset(stream, code, GIVEN_UP)
        self.connection.flush()

    def abandon(self) -> None:
        """Leave it to whoever comes by: this is a finalizer."""
        if not self._left:
            self._left = True
            self.connection.remains.abandon(self.stream)

    def wake_now(self) -> bool:
        """Wake whoever waits for the stream."""
        with self.connection.monitor:
            self._closing = True
            self.connection.turn.wake(self.stream)
        return True
