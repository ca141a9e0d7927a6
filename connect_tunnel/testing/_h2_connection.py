"""The server's side of an HTTP/2 connection: frames taken in, frames sent, windows kept.

One thread reads and one writes, so that a client that does not read is still heard: what is
read is never answered by a write that could wait. Everything else happens under `changed`.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, TypeAlias

from . import _h2_frames as h2
from ._h2_stream import H2Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ._h2_frames import Frame
    from ._peer import Peer

Fields: TypeAlias = list[tuple[bytes, bytes]]

_HEADER_TABLE_SIZE: Final = 1
_COMPRESSION_ERROR: Final = 0x9
_ENOUGH: Final = 1 << 18  # octets that wait to be written, before streams send no more


class Fault(Exception):
    """A mistake of the client's that ends its connection (RFC 9113, 5.4.1)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code: Final = code


class H2Connection:
    """A client's connection, from its preface on.

    Args:
        client: What it came by.
        received: What was read from it already.
        max_concurrent_streams: How many tunnels it may have at a time; more are refused.
        initial_window_size: Of each stream, in octets. That of the connection is as large, though
            not less than 65,535, and credited as soon as data arrive: a target that takes none
            holds up its own stream.
        meet: Called with each new stream and the fields of its request. Must not block.

    Attributes:
        changed: The monitor of all that is here and in the streams.
        streams: Those that are open.
    """

    def __init__(
        self,
        client: Peer,
        received: bytearray,
        *,
        max_concurrent_streams: int,
        initial_window_size: int,
        meet: Callable[[H2Stream, Fields], None],
    ) -> None:
        import hpack  # noqa: PLC0415 - an extra, `http2`

        self._decoder, self._encoder = hpack.Decoder(), hpack.Encoder()
        self._hpack_error = hpack.HPACKError
        self._client, self._received = client, received
        self._reader = h2.FrameReader(client.recv, received)
        self._most_streams, self.window = max_concurrent_streams, initial_window_size
        self._meet = meet
        self.changed: Final = threading.Condition(threading.RLock())
        self.streams: Final[dict[int, H2Stream]] = {}
        self._last_stream = 0
        self.send_window = self._clients_window = h2.DEFAULT_WINDOW
        self._owed = 0
        self._backlog = bytearray()
        self._over = False
        self._written = threading.Event()

    def run(self, spawn: Callable[[Callable[[], None]], None]) -> None:
        """Serve the client until it leaves, or makes a mistake.

        Args:
            spawn: Runs something in another thread.
        """
        spawn(self._write)
        try:
            self._read()
        except Fault as fault:
            self.put(h2.goaway(self._last_stream, fault.code))
        except self._hpack_error:
            self.put(h2.goaway(self._last_stream, _COMPRESSION_ERROR))
        finally:
            with self.changed:
                for stream in list(self.streams.values()):
                    stream.part()
                self._over = True
                self.changed.notify_all()
            self._written.wait()

    # --- what is sent ---

    @property
    def room(self) -> int:
        """How many octets of data may be sent now, for all that the connection has to say."""
        return max(0, min(self.send_window, _ENOUGH - len(self._backlog)))

    def put(self, frame: bytes) -> None:
        """Send a frame, without waiting for it to leave."""
        with self.changed:
            self._backlog += frame
            self.changed.notify_all()

    def put_headers(self, stream: int, fields: Iterable[tuple[bytes, bytes]]) -> None:
        with self.changed:  # in the order in which they change the table
            block = self._encoder.encode(fields)
            self.put(h2.frame(h2.HEADERS, h2.END_HEADERS, stream, block))

    def _write(self) -> None:
        try:
            while data := self._take_backlog():
                self._client.sendall(data)
        finally:
            self._written.set()

    def _take_backlog(self) -> bytearray:
        with self.changed:
            self.changed.wait_for(lambda: self._backlog or self._over)
            data, self._backlog = self._backlog, bytearray()
            self._wake_streams()
        return data

    def _wake_streams(self) -> None:
        """There may be room again."""
        for stream in self.streams.values():
            stream.wake_if_starved()
        self.changed.notify_all()

    # --- what is received ---

    def _read(self) -> None:
        limits = {
            h2.MAX_CONCURRENT_STREAMS: self._most_streams,
            h2.INITIAL_WINDOW_SIZE: self.window,
        }
        self.put(h2.settings(limits))
        if self.window > h2.DEFAULT_WINDOW:
            self.put(h2.window_update(0, self.window - h2.DEFAULT_WINDOW))
        if not self._has_preface():
            raise Fault(h2.PROTOCOL_ERROR)
        frame = self._next()
        if frame is not None and frame.type != h2.SETTINGS:
            raise Fault(h2.PROTOCOL_ERROR)
        while frame is not None:
            self._take(frame)
            frame = self._next()

    def _has_preface(self) -> bool:
        size = len(h2.PREFACE)
        while len(self._received) < size and (data := self._client.recv(65536)):
            self._received += data
        preface = bytes(self._received[:size])
        del self._received[:size]
        return preface == h2.PREFACE

    def _next(self) -> Frame | None:
        try:
            return self._reader.read()
        except ValueError:
            raise Fault(h2.FRAME_SIZE_ERROR) from None

    def _take(self, frame: Frame) -> None:
        self._check_size(frame)
        match frame.type:
            case h2.DATA:
                self._take_data(frame)
            case h2.HEADERS:
                self._take_headers(frame)
            case h2.RST_STREAM:
                self._take_reset(frame)
            case h2.SETTINGS:
                self._take_settings(frame)
            case h2.PING if not frame.has(h2.ACK):
                self.put(h2.frame(h2.PING, h2.ACK, 0, frame.payload))
            case h2.WINDOW_UPDATE:
                self._take_window_update(frame)
            case h2.PUSH_PROMISE | h2.CONTINUATION:
                raise Fault(h2.PROTOCOL_ERROR)
            case _:
                pass  # what we need not act on, and what we need not know (RFC 9113, 4.1)

    def _check_size(self, frame: Frame) -> None:
        size = len(frame.payload)
        right = {
            h2.RST_STREAM: size == 4,
            h2.SETTINGS: size % 6 == 0,
            h2.PING: size == 8,
            h2.WINDOW_UPDATE: size == 4,
        }
        if not right.get(frame.type, True):
            raise Fault(h2.FRAME_SIZE_ERROR)

    def _stream_of(self, frame: Frame) -> H2Stream | None:
        """Its stream, if that is open; frames may be late for one that we have ended."""
        if not 0 < frame.stream <= self._last_stream or frame.stream % 2 == 0:
            raise Fault(h2.PROTOCOL_ERROR)
        return self.streams.get(frame.stream)

    def _take_data(self, frame: Frame) -> None:
        size, content = len(frame.payload), self._content(frame)
        self._owed += size
        if self._owed > max(self.window, h2.DEFAULT_WINDOW) // 2:
            self.put(h2.window_update(0, self._owed))
            self._owed = 0
        with self.changed:
            if stream := self._stream_of(frame):
                stream.receive(content, size, is_last=frame.has(h2.END_STREAM))

    def _take_headers(self, frame: Frame) -> None:
        block, ends = self._content(frame), frame.has(h2.END_HEADERS)
        while not ends:
            more = self._next()
            if more is None:
                return
            if (more.type, more.stream) != (h2.CONTINUATION, frame.stream):
                raise Fault(h2.PROTOCOL_ERROR)
            block, ends = block + more.payload, more.has(h2.END_HEADERS)
        fields = [(bytes(name), bytes(value)) for name, value in self._decode(block)]
        with self.changed:
            if frame.stream % 2 and frame.stream > self._last_stream:
                self._open(frame, fields)
            elif stream := self._stream_of(frame):
                stream.fail(h2.PROTOCOL_ERROR)  # on a tunnel there are no trailers (8.5)

    def _decode(self, block: bytes) -> Iterable[tuple[bytes, bytes]]:
        return self._decoder.decode(block, raw=True)

    def _open(self, frame: Frame, fields: Fields) -> None:
        self._last_stream = frame.stream
        if len(self.streams) >= self._most_streams:
            self.put(h2.rst_stream(frame.stream, h2.REFUSED_STREAM))
            return
        stream = H2Stream(self, frame.stream, self._clients_window, self.window)
        self.streams[frame.stream] = stream
        stream.client_ended = frame.has(h2.END_STREAM)
        self._meet(stream, fields)

    def _content(self, frame: Frame) -> bytes:
        try:
            return frame.content()
        except ValueError:
            raise Fault(h2.PROTOCOL_ERROR) from None

    def _take_reset(self, frame: Frame) -> None:
        with self.changed:
            if stream := self._stream_of(frame):
                stream.abort()

    def _take_settings(self, frame: Frame) -> None:
        if frame.has(h2.ACK):
            return
        values = frame.settings()
        with self.changed:
            window = values.get(h2.INITIAL_WINDOW_SIZE, self._clients_window)
            if window > h2.LARGEST_WINDOW:
                raise Fault(h2.FLOW_CONTROL_ERROR)
            for stream in self.streams.values():
                stream.send_window += window - self._clients_window  # below 0 too (6.9.2)
            self._clients_window = window
            if _HEADER_TABLE_SIZE in values:
                self._encoder.header_table_size = min(values[_HEADER_TABLE_SIZE], 4096)
            self.put(h2.frame(h2.SETTINGS, h2.ACK, 0))
            self._wake_streams()

    def _take_window_update(self, frame: Frame) -> None:
        increment = frame.number() & h2.LARGEST_WINDOW
        with self.changed:
            if not frame.stream:
                self.send_window += increment
                if not increment or self.send_window > h2.LARGEST_WINDOW:
                    raise Fault(h2.FLOW_CONTROL_ERROR if increment else h2.PROTOCOL_ERROR)
            elif stream := self._stream_of(frame):
                stream.send_window += increment
                if not increment or stream.send_window > h2.LARGEST_WINDOW:
                    stream.fail(h2.FLOW_CONTROL_ERROR if increment else h2.PROTOCOL_ERROR)
            self._wake_streams()
