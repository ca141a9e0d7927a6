"""A proxy that does what a script says, and remembers what it was sent."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import TYPE_CHECKING, Final, ParamSpec, assert_never

from ._listener import reset
from ._peer import TLSPeer
from ._script import (
    Close,
    Echo,
    Flood,
    HalfClose,
    NextConnection,
    NextRequest,
    Receive,
    Reply,
    Reset,
    Send,
    Step,
    Wait,
)
from ._server import LoopbackServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from ._listener import Listener
    from ._peer import Peer

P = ParamSpec("P")

_HEAD_END: Final = b"\r\n\r\n"
_CHUNK: Final = 65536


class ScriptError(AssertionError):
    """The client left in the middle of what the script was receiving."""


class ScriptedProxy(LoopbackServer):
    """A loopback server that plays a list of steps with every connection it accepts.

    Every connection has a thread of its own, unless the script itself goes on to further
    connections (`NextConnection`, `NextRequest`): then there is one play at a time. After
    the last step a connection is read until the client closes it.

    A client may leave whenever it likes, in the middle of the proxy's answer too: the script
    goes on with the next connection, if it has one, and how the client left is kept in
    `hangups`. To leave in the middle of what the script is receiving is an error, which is
    raised where the `with` block ends.

    Args:
        *script: What to do with each connection.
        ssl_context: Clients come by TLS. The certificate must be good for 127.0.0.1.

    Attributes:
        heads: Every head that was received, in order.
    """

    def __init__(self, *script: Step, ssl_context: ssl.SSLContext | None = None) -> None:
        super().__init__(ssl_context)
        self._script = script
        self._one_at_a_time = any(isinstance(s, NextConnection | NextRequest) for s in script)
        self._connections: list[_Connection] = []
        self.heads: Final[list[bytes]] = []

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return len(self._connections)

    @property
    def received(self) -> list[bytes]:
        """All that was received, heads included: one item for each connection, in order."""
        return [bytes(connection.received) for connection in self._connections]

    @property
    def hangups(self) -> list[OSError]:
        """How clients left before the script was over: resets, failed handshakes."""
        return list(self._listener.hangups)

    def _serve(self) -> None:
        while sock := self._listener.accept():
            play = _Play(self, self._listener, sock)
            if self._one_at_a_time:
                play.run(self._script)
            else:
                self._listener.spawn(play.run, self._script)


class _Play:
    """A script being played, and the connection that it has come to."""

    def __init__(self, proxy: ScriptedProxy, listener: Listener, sock: socket.socket) -> None:
        self._proxy = proxy
        self._listener = listener
        self._connection = _Connection(sock)
        self._head = b""
        proxy._connections.append(self._connection)

    def run(self, script: tuple[Step, ...]) -> None:
        there = self._attempt(self._connection.open, self._proxy._ssl_context)
        for step in script:
            # A client that left in the middle of one answer may come back for the next.
            if there or isinstance(step, NextConnection | NextRequest):
                there = self._attempt(self._perform, step)
        self._see_out()

    def _attempt(self, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> bool:
        """Do something with the client; if it left meanwhile, so do we. Whether it did not."""
        done = self._listener.run(act, *args, **kwargs)
        if not done:
            self._listener.release(self._connection.sock)
        return done

    def _perform(self, step: Step) -> None:
        match step:
            case Receive(until):
                self._receive(until)
            case NextRequest():
                if not self._speaks_again():
                    self._next_connection()
                self._receive(_HEAD_END)
            case NextConnection():
                self._next_connection()
            case Wait(seconds):
                self._listener.stopping.wait(seconds)
            case Close():
                self._listener.release(self._connection.sock)
            case Reset():
                reset(self._connection.peer)
                self._listener.release(self._connection.sock)
            case _:
                self._speak(step, self._connection.peer)

    def _speak(self, step: Send | Reply | Flood | Echo | HalfClose, peer: Peer) -> None:
        match step:
            case Send(data, size, delay):
                size = size or max(len(data), 1)
                for start in range(0, len(data), size):
                    peer.sendall(data[start : start + size])
                    self._pause(delay)
            case Reply(answer):
                peer.sendall(answer(self._head))
            case Flood(data, delay, seconds):
                end = time.monotonic() + seconds
                while time.monotonic() < end:
                    peer.sendall(data)
                    self._pause(delay)
            case Echo():
                for data in self._connection.receive_all():
                    peer.sendall(data)
            case HalfClose():
                peer.shutdown(socket.SHUT_WR)
            case _:
                assert_never(step)

    def _pause(self, seconds: float) -> None:
        if seconds:
            self._listener.stopping.wait(seconds)

    def _receive(self, until: bytes) -> None:
        received = self._connection.receive(until)
        if until == _HEAD_END:
            self._head = received
            self._proxy.heads.append(received)

    def _speaks_again(self) -> bool:
        """Whether the client's next words come on this connection, rather than on a new one."""
        connection = self._connection
        if connection.untaken or connection.closed:
            return not connection.closed
        sock = self._listener.accept(unless_readable=connection.sock)
        if sock is not None:
            self._go_on_with(sock)
            return True
        try:
            return connection.read()
        except OSError:
            return False  # reset: whatever comes next comes on a new one

    def _next_connection(self) -> None:
        sock = self._listener.accept()
        if sock is None:
            raise ConnectionAbortedError("the client made no further connection")
        self._go_on_with(sock)

    def _go_on_with(self, sock: socket.socket) -> None:
        self._see_out()
        self._connection = _Connection(sock)
        self._proxy._connections.append(self._connection)
        self._connection.open(self._proxy._ssl_context)

    def _see_out(self) -> None:
        """Let the client be the one that ends a connection which the script is done with."""
        connection = self._connection
        if connection.closed:
            return

        def read_to_the_end() -> None:
            with contextlib.suppress(OSError):
                for _ in connection.receive_all():
                    pass
            self._listener.release(connection.sock)

        self._listener.spawn(read_to_the_end)


class _Connection:
    """All that a client sent on one connection, and what of it no step has taken yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.peer: Peer = sock
        self.received = bytearray()
        self.untaken = bytearray()

    @property
    def closed(self) -> bool:
        return self.sock.fileno() == -1

    def open(self, ssl_context: ssl.SSLContext | None) -> None:
        if ssl_context is not None:
            self.peer = TLSPeer(self.sock, ssl_context)

    def read(self) -> bool:
        """Wait for bytes; False at the end."""
        data = self.peer.recv(_CHUNK)
        self.received += data
        self.untaken += data
        return bool(data)

    def receive(self, until: bytes) -> bytes:
        looked_at = 0
        while (found := self.untaken.find(until, looked_at)) < 0:
            looked_at = max(0, len(self.untaken) - len(until) + 1)
            if self.read():
                continue
            if not self.untaken:
                raise ConnectionAbortedError(f"the client left before it sent {until!r}")
            raise ScriptError(f"the client left before {until!r}, after {bytes(self.untaken)!r}")
        taken = bytes(self.untaken[: found + len(until)])
        del self.untaken[: found + len(until)]
        return taken

    def receive_all(self) -> Iterator[bytes]:
        while self.untaken or self.read():
            data = bytes(self.untaken)
            self.untaken.clear()
            yield data
