"""A proxy whose side of HTTP/2 is written out frame by frame, for what no proxy does when asked."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

import hpack

from connect_tunnel.testing import TLSPeer
from connect_tunnel.testing import _h2_frames as h2
from connect_tunnel.testing._listener import reset
from connect_tunnel.testing._server import LoopbackServer

if TYPE_CHECKING:
    import ssl
    import threading
    from collections.abc import Callable, Mapping

    from connect_tunnel.testing import Peer
    from connect_tunnel.testing._h2_frames import Frame

CANCEL: Final = 0x8
CONNECT_ERROR: Final = 0xA
HTTP_1_1_REQUIRED: Final = 0xD

OPEN: Final = {h2.INITIAL_WINDOW_SIZE: h2.LARGEST_WINDOW}


class Gone(Exception):
    """The client has left, or we have."""


class Wire:
    """One connection, seen from the proxy; used by one thread.

    Attributes:
        requests: The authority of each stream.
        frames: All that was read.
        content: What came on each stream.
    """

    def __init__(
        self, sock: socket.socket, settings: Mapping[int, int], stopping: threading.Event
    ) -> None:
        self.sock = sock
        self.peer: Peer = sock
        self.stopping = stopping
        self._received = bytearray()
        self._reader = h2.FrameReader(self._receive, self._received)
        self._encoder, self._decoder = hpack.Encoder(), hpack.Decoder()
        self.requests: dict[int, str] = {}
        self._answered: set[int] = set()
        self.frames: list[Frame] = []
        self.content: dict[int, bytearray] = {}
        self._settings = settings

    def _receive(self, size: int) -> bytes:
        return self.peer.recv(size)

    def begin(self) -> None:
        while len(self._received) < len(h2.PREFACE):
            data = self.peer.recv(65536)
            if not data:
                raise Gone
            self._received += data
        assert self._received.startswith(h2.PREFACE), bytes(self._received)
        del self._received[: len(h2.PREFACE)]
        self.send(h2.settings(self._settings))

    def send(self, *frames: bytes) -> None:
        """All of it in one segment, if it is short."""
        self.peer.sendall(b"".join(frames))

    def next(self) -> Frame:
        frame = self._reader.read()
        if frame is None:
            raise Gone
        self.frames.append(frame)
        if frame.type == h2.HEADERS:
            fields = dict(self._decoder.decode(frame.content(), raw=True))
            self.requests[frame.stream] = fields[b":authority"].decode()
        elif frame.type == h2.DATA:
            self.content.setdefault(frame.stream, bytearray()).extend(frame.content())
        elif frame.type == h2.SETTINGS and not frame.has(h2.ACK):
            self.send(h2.frame(h2.SETTINGS, h2.ACK, 0))
        return frame

    def until(self, kind: int, stream: int | None = None) -> Frame:
        """The next frame of a kind."""
        while True:
            frame = self.next()
            if frame.type == kind and stream in (None, frame.stream):
                return frame

    def request(self) -> int:
        return self.until(h2.HEADERS).stream

    def head(
        self, stream: int, status: int = 200, *fields: tuple[str, str], end: bool = False
    ) -> bytes:
        block = self._encoder.encode([(":status", str(status)), *fields])
        return h2.frame(h2.HEADERS, h2.END_HEADERS | end * h2.END_STREAM, stream, block)

    def accept(self) -> int:
        """Wait for a request, and grant it."""
        stream = self.request()
        self.send(self.head(stream))
        return stream

    def take(self, stream: int, size: int) -> bytes:
        """So many bytes of a stream."""
        while len(self.content.get(stream, b"")) < size:
            self.until(h2.DATA, stream)
        data = bytes(self.content[stream][:size])
        del self.content[stream][:size]
        return data

    def serve(self) -> None:
        """Grant whatever is asked for and send back whatever comes, until the client leaves."""
        while True:
            frame = self.next()
            if frame.type == h2.HEADERS:
                self.send(self.head(frame.stream))
            elif frame.type == h2.DATA:
                size, last = len(frame.payload), frame.flags & h2.END_STREAM
                credit = [h2.window_update(n, size) for n in (0, frame.stream) if size]
                self.send(*credit, h2.frame(h2.DATA, last, frame.stream, frame.content()))
            elif frame.type == h2.PING and not frame.has(h2.ACK):
                self.send(h2.frame(h2.PING, h2.ACK, 0, frame.payload))

    def reset(self) -> None:
        reset(self.peer)
        raise Gone

    def end(self) -> None:
        """An end of TCP, in the middle of whatever it is."""
        self.sock.shutdown(socket.SHUT_WR)


class RawH2Proxy(LoopbackServer):
    """Plays the first script with its first connection, and so on; the last with all others.

    Args:
        scripts: What to do with a connection. Afterwards it is read until the client leaves.
        settings: Of every connection.
        ssl_context: For TLS.
        hold: Connections are accepted, and TLS begins when this is set.

    Attributes:
        wires: The connections so far.
    """

    def __init__(
        self,
        *scripts: Callable[[Wire], None],
        settings: Mapping[int, int] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        hold: threading.Event | None = None,
    ) -> None:
        super().__init__(ssl_context)
        self._hold = hold
        self._scripts = scripts
        self._settings = settings or {}
        self.wires: Final[list[Wire]] = []

    def _serve(self) -> None:
        while sock := self._listener.accept():
            script = self._scripts[min(len(self.wires), len(self._scripts) - 1)]
            self.wires.append(Wire(sock, self._settings, self._listener.stopping))
            self._listener.spawn(self._meet, self.wires[-1], script)

    def _meet(self, wire: Wire, script: Callable[[Wire], None]) -> None:
        self._listener.run(self._talk, wire, script)
        self._listener.release(wire.sock)

    def _talk(self, wire: Wire, script: Callable[[Wire], None]) -> None:
        if self._hold is not None:
            self._hold.wait(10)
        if self._ssl_context is not None:
            wire.peer = tls = TLSPeer(wire.sock, self._ssl_context)
            if tls.alpn_protocol != "h2":
                return script(wire)
        with contextlib.suppress(Gone):
            wire.begin()
            script(wire)
            while True:
                wire.next()
