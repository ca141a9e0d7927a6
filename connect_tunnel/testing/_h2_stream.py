"""A tunnel that is a stream of an HTTP/2 connection (RFC 9113, 8.5), and its target.

One thread has the target's socket to itself and never blocks on it: it waits for the socket
and for a bell, which the connection rings. So whatever the client does, the target hears of it
at once, and in order.
"""

from __future__ import annotations

import selectors
import socket
from typing import TYPE_CHECKING, Final

from . import _h2_frames as h2
from ._listener import reset

if TYPE_CHECKING:
    from ._h2_connection import H2Connection

_CHUNK: Final = 65536
_STREAM_CLOSED: Final = 0x5
# Of HTTP/1, and malformed here (RFC 9113, 8.2.2).
CONNECTION_FIELDS: Final = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)


class H2Stream:
    """A stream, for the thread that serves it and, under `changed`, for its connection.

    Attributes:
        number: Its identifier.
        send_window: How much data the client wants to have.
        client_ended: Whether the client has sent all that it will send.
    """

    def __init__(
        self, connection: H2Connection, number: int, send_window: int, receive_window: int
    ) -> None:
        self._connection: Final = connection
        self._changed: Final = connection.changed
        self.number: Final = number
        self.send_window = send_window
        self.client_ended = False
        self._window = self._receive_window = receive_window
        self._incoming = bytearray()
        self._owed = 0
        self._told = False  # the target has been told of the client's end
        self._ended = False  # the client has been told of the target's
        self._parted = False  # the client has left, having said all that it had to say
        self._starved = False
        self._bell: socket.socket | None = None
        self._rings = False  # until what it rings for is looked at

    # --- for the connection ---

    def receive(self, data: bytes, size: int, *, is_last: bool) -> None:
        """Take in data, which with its padding takes `size` octets off the window."""
        self._receive_window -= size
        self._owed += size - len(data)
        if self.client_ended:
            self.fail(_STREAM_CLOSED)
        elif self._receive_window < 0:
            self.fail(h2.FLOW_CONTROL_ERROR)
        else:
            self._incoming += data
            self.client_ended = is_last
            self._ring()

    def abort(self) -> None:
        """The client has reset it, or is gone: nobody is told but the target."""
        self._connection.streams.pop(self.number, None)
        self._ring()
        self._changed.notify_all()

    def part(self) -> None:
        """The client is gone: what it had ended before still goes to the target."""
        self._parted = self.client_ended
        self.abort()

    def fail(self, code: int) -> None:
        """Reset it."""
        with self._changed:
            if self._is_open:
                self._connection.put(h2.rst_stream(self.number, code))
                self.abort()

    def wake_if_starved(self) -> None:
        if self._starved:
            self._ring()

    def _ring(self) -> None:
        self._starved = False
        if self._bell is not None and not self._rings:
            self._rings = True
            self._bell.send(b"\0")

    @property
    def _is_open(self) -> bool:
        return self._connection.streams.get(self.number) is self

    @property
    def _room(self) -> int:
        return min(self.send_window, self._connection.room, _CHUNK)

    # --- for the thread that serves it ---

    def refuse(self, words: bytes) -> None:
        """Answer with a response, given in the form of HTTP/1.1, and end the stream."""
        head, _, body = words.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        fields = [(b":status", status.split()[1])]
        for line in lines:
            name, _, value = line.partition(b":")
            if name.lower() not in CONNECTION_FIELDS:
                fields.append((name.lower(), value.strip()))
        with self._changed:
            if self._is_open:
                self._connection.put_headers(self.number, fields)
            while body and self._is_open:
                self._changed.wait_for(lambda: not self._is_open or self._room > 0)
                sent, body = body[: self._room], body[self._room :]
                self._put_data(sent)
            if self._is_open:
                self._put_end()
            if self.client_ended:
                self.abort()
            else:
                self.fail(h2.NO_ERROR)  # the rest is of no interest (RFC 9113, 8.1)

    def relay(self, target: socket.socket) -> None:
        """Say 200, and carry bytes both ways until both have ended; close nothing."""
        near, far = socket.socketpair()
        with near, far:
            target.setblocking(False)
            with self._changed:
                self._bell = far
                if self._is_open:
                    self._connection.put_headers(self.number, [(b":status", b"200")])
            try:
                while self._turn(target, near):
                    pass
            except OSError:
                self.fail(h2.CONNECT_ERROR)
            with self._changed:
                self._bell = None
                if not (self._told and (self._ended or self._parted)):
                    reset(target)
                self.abort()

    def _turn(self, target: socket.socket, bell: socket.socket) -> bool:
        with self._changed:
            self._rings = False
            serving = self._is_open or (self._parted and not self._told)
            if serving and self.client_ended and not (self._incoming or self._told):
                target.shutdown(socket.SHUT_WR)
                self._told = True
                self._leave_if_over()
            if not (self._is_open or (self._parted and not self._told)):
                return False
            events = selectors.EVENT_WRITE if self._incoming else 0
            if not (self._ended or self._parted):
                self._starved = self._room <= 0
                events |= 0 if self._starved else selectors.EVENT_READ
        ready = _wait(target, events, bell)
        if ready & selectors.EVENT_WRITE:
            self._carry_up(target)
        if ready & selectors.EVENT_READ:
            self._carry_down(target)
        return True

    def _carry_up(self, target: socket.socket) -> None:
        with self._changed:
            count = target.send(self._incoming[:_CHUNK])
            del self._incoming[:count]
            self._owed += count
            if self._owed > self._window // 2 and not self.client_ended and self._is_open:
                self._connection.put(h2.window_update(self.number, self._owed))
                self._receive_window += self._owed
                self._owed = 0

    def _carry_down(self, target: socket.socket) -> None:
        with self._changed:
            room = self._room
            if room <= 0 or not self._is_open:
                return  # other streams were quicker
            data = target.recv(room)
            if data:
                self._put_data(data)
                return
            if not self._told:
                target.getpeername()  # the kernel tells of a reset once: this fails after one
            self._put_end()

    def _put_data(self, data: bytes) -> None:
        self.send_window -= len(data)
        self._connection.send_window -= len(data)
        for start in range(0, len(data), h2.MAX_FRAME_SIZE):
            part = data[start : start + h2.MAX_FRAME_SIZE]
            self._connection.put(h2.frame(h2.DATA, 0, self.number, part))

    def _put_end(self) -> None:
        self._ended = True
        self._connection.put(h2.frame(h2.DATA, h2.END_STREAM, self.number))
        self._leave_if_over()

    def _leave_if_over(self) -> None:
        """Whoever sees the end of a stream may open another in its place."""
        if self._told and self._ended:
            self._connection.streams.pop(self.number, None)


def _wait(target: socket.socket, events: int, bell: socket.socket) -> int:
    """Wait for the target or the bell, and silence that; what the target is ready for."""
    with selectors.DefaultSelector() as selector:
        selector.register(bell, selectors.EVENT_READ)
        if events:
            selector.register(target, events)
        ready = {key.fileobj: found for key, found in selector.select()}
    if bell in ready:
        bell.recv(_CHUNK)
    return ready.get(target, 0)
