"""An HTTP/2 connection to a proxy, as a client of CONNECT needs it, without I/O.

Bytes go in (`receive`) and come out (`outbox`); streams are opened, fed and read. Nothing here
waits, locks or counts time, so whoever has the socket decides about that. RFC 9113 tells two
kinds of errors apart, and so does this: what is wrong with one stream costs that stream, and
only what makes the connection itself unreliable costs all of them.

`h2` takes a graceful GOAWAY for the end of every running tunnel, minds the content-length of a
2xx, and costs twice the CPU a byte. It is the oracle in our tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import h2_frames as wire
from .h1 import escape
from .h2_fields import NO_TABLE, encode
from .h2_limits import Limits
from .h2_reader import MAX_BLOCK, Fault, FrameReader
from .h2_stream import H2Stream, Loss, Malformed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .h2_reader import Keep
    from .h2_stream import Cause, Fields

# The window of the whole connection is given back as bytes arrive, so that a tunnel nobody
# reads cannot stall the others; each has a window of its own for that.
_CONNECTION_WINDOW = 2**24
_MOST_SENT = 65536  # of one tunnel at a time: others have their turn after it
_MOST_OWED = 2**18  # acknowledgements that the proxy does not take off us
_NO_SLOT = Loss("takes no more tunnels at the moment", "unprocessed")


class H2Connection:
    """The connection and its streams.

    Args:
        window: How many bytes each stream may have on the way and unread.

    Attributes:
        outbox: What is to be sent, in order; whoever sends it takes it out.
        changed: Streams of which something is new. Whoever looks takes them out.
        streams: The streams that are not closed, by id.
        room_changed: Whether the windows or the number of streams have changed for all.
        going: Why no stream can be opened any more, or None.
        lost: Why nothing can be done any more, or None.
        answered: Whether a CONNECT was ever answered here.
        pongs: How many PINGs of ours were answered.
        owed: How much of the outbox the proxy has asked for; whoever sends all of it sets 0.
    """

    def __init__(self, *, window: int) -> None:
        self.outbox: list[bytes] = [
            wire.PREFACE,
            wire.settings(
                {
                    wire.ENABLE_PUSH: 0,
                    wire.INITIAL_WINDOW_SIZE: window,
                    wire.MAX_HEADER_LIST_SIZE: MAX_BLOCK,
                }
            ),
            wire.window_update(0, _CONNECTION_WINDOW - wire.DEFAULT_WINDOW),
        ]
        self.changed: set[H2Stream] = set()
        self.streams: dict[int, H2Stream] = {}
        self.room_changed: bool = False
        self.going: Loss | None = None
        self.lost: Loss | None = None
        self.answered: bool = False
        self.pongs: int = 0
        self._window: Final = window
        self._reader: Final = FrameReader(self)
        self._next_id = 1
        self.owed: int = 0
        self._send_window = wire.DEFAULT_WINDOW
        self._limits: Final = Limits()
        self._credit = _CONNECTION_WINDOW
        self._received = 0  # and not given back to the proxy yet

    # ---- what a client does ----

    @property
    def slots(self) -> int:
        """How many more streams may be opened now (RFC 9113, 5.1.2)."""
        if self.going is not None or self._next_id > wire.MAX_WINDOW:
            return 0
        # Until its settings have come nobody knows how many the proxy takes.
        limit = self._limits.max_streams if self.settled else 1
        return limit - len(self.streams)

    @property
    def settled(self) -> bool:
        """Whether the proxy's settings have come."""
        return self._limits.known

    @property
    def exhausted(self) -> bool:
        """Whether it can never open another stream."""
        return self.going is not None or self._next_id > wire.MAX_WINDOW

    def tunnels(self) -> int:
        """How many of the streams are open tunnels."""
        return sum(stream.tunnels for stream in self.streams.values())

    def open(self, fields: Fields) -> H2Stream:
        """Ask for something on a new stream, which is lost at once if there is no slot for it."""
        stream = H2Stream(self._next_id, send_window=self._limits.window, window=self._window)
        if self.slots <= 0:
            stream.loss = self.going or _NO_SLOT
            return stream
        self._next_id += 2
        self.streams[stream.id] = stream
        block = encode(fields) if stream.id > 1 else NO_TABLE + encode(fields)
        self.outbox.append(wire.head(stream.id, block, self._limits.max_frame))
        return stream

    def send(self, stream: H2Stream, data: bytes | memoryview) -> int:
        """Send as much as the windows allow, and say how much that is."""
        room = min(self._send_window, stream.send_window, len(data), _MOST_SENT)
        if room <= 0:
            return 0
        size, number = self._limits.max_frame, stream.id
        view = memoryview(data)
        for start in range(0, room, size):
            part = view[start : min(start + size, room)]
            self.outbox += (wire.header(wire.DATA, 0, number, len(part)), bytes(part))
        self._send_window -= room
        stream.send_window -= room
        return room

    def can_send(self, stream: H2Stream) -> bool:
        """Whether the windows allow anything."""
        return self._send_window > 0 and stream.send_window > 0

    def finish(self, stream: H2Stream) -> None:
        """End our side (RFC 9113, 8.5); no window is needed for that (6.9.1)."""
        if not stream.finished and stream.loss is None:
            self.outbox.append(wire.header(wire.DATA, wire.END_STREAM, stream.id, 0))
            stream.finished = True
            self._settle(stream)

    def reset(self, stream: H2Stream, code: int, loss: Loss) -> None:
        """Give a stream up (RFC 9113, 6.4)."""
        if not stream.closed:
            self.outbox.append(wire.rst_stream(stream.id, code))
            self._end(stream, loss)

    def take(self, stream: H2Stream, max_bytes: int) -> bytes:
        """Take up to so many of the bytes that have arrived on a stream."""
        data = stream.take(max_bytes)
        self._give_credit(stream)
        return data

    def ping(self) -> None:
        """Ask for a sign of life."""
        self.outbox.append(wire.ping(b"connect?"))

    def lose(self, loss: Loss) -> None:
        """Give everything up: the connection has ended, or cannot be relied on."""
        if self.lost is None:
            self.going = self.going or loss
            self.lost = loss
            for stream in list(self.streams.values()):
                self._end(stream, loss)
            self.room_changed = True

    # ---- what arrives ----

    def receive(self, data: bytes) -> None:
        """Digest what has arrived; it may be any part of any number of frames."""
        if self.lost is not None:
            return
        try:
            self._reader.receive(data)
        except Fault as fault:
            self.outbox.append(wire.goaway(0, fault.code))
            self.lose(Loss(fault.said, "malformed", fault.code))

    def begin_data(self, number: int, length: int, padding: int) -> Keep | None:
        stream = self.streams.get(number) or self._known(number, "DATA")
        self._credit -= length
        if self._credit < 0:
            raise Fault(wire.FLOW_CONTROL_ERROR, "sent more than the connection's window allows")
        self._received += length
        if self._received >= _CONNECTION_WINDOW // 4:
            self.outbox.append(wire.window_update(0, self._received))
            self._credit += self._received
            self._received = 0
        if stream is None:
            return None
        self.changed.add(stream)
        try:
            if not stream.begin_data(length, padding):
                self._break(stream, wire.FLOW_CONTROL_ERROR, "sent more than a window allows")
        except Malformed as error:
            self._break(stream, wire.PROTOCOL_ERROR, str(error))
        else:
            if padding:
                self._give_credit(stream)
        return stream.receive_data

    def end_stream(self, number: int) -> None:
        stream = self.streams.get(number)
        if stream is not None:
            stream.ended = True
            self._settle(stream)

    def take_head(self, number: int, fields: Fields, *, last: bool) -> None:
        stream = self._known(number, "HEADERS")
        if stream is None:
            return
        self.changed.add(stream)
        try:
            stream.receive_head(fields, last=last)
        except Malformed as error:
            self._break(stream, wire.PROTOCOL_ERROR, str(error))
            return
        self.answered = self.answered or stream.response is not None
        self._settle(stream)

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == wire.PUSH_PROMISE:
            raise Fault(wire.PROTOCOL_ERROR, "pushed, which it was told not to")
        if number and kind in (wire.SETTINGS, wire.PING, wire.GOAWAY):
            raise Fault(wire.PROTOCOL_ERROR, "sent on a stream what is of the connection")
        digest = _DIGESTS.get(kind)  # of frames that nobody knows nobody complains (RFC 9113, 5.5)
        if digest is not None:
            digest(self, flags, number, payload)

    def _on_rst_stream(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(wire.FRAME_SIZE_ERROR, "sent a malformed RST_STREAM")
        stream = self._known(number, "RST_STREAM")
        if stream is not None:
            code = wire.code_of(payload)
            cause = "reset" if stream.response else self._cause(code, "reset")
            self._end(stream, Loss(f"reset the stream ({wire.error_name(code)})", cause, code))

    def _on_settings(self, flags: int, _: int, payload: bytes) -> None:
        if len(payload) % 6 or (flags & wire.ACK and payload):
            raise Fault(wire.FRAME_SIZE_ERROR, "sent malformed SETTINGS")
        if flags & wire.ACK:
            return
        wider = self._limits.learn(payload)
        for stream in self.streams.values():
            stream.send_window += wider  # below zero, it may be (RFC 9113, 6.9.2)
            if stream.send_window > wire.MAX_WINDOW:
                raise Fault(wire.FLOW_CONTROL_ERROR, "widened a window too much")
        self.room_changed = True
        self._owe(wire.SETTINGS_ACK)

    def _on_ping(self, flags: int, _: int, payload: bytes) -> None:
        if len(payload) != 8:
            raise Fault(wire.FRAME_SIZE_ERROR, "sent a malformed PING")
        if flags & wire.ACK:
            self.pongs += 1
            self.room_changed = True
        else:
            self._owe(wire.ping(payload, ack=True))

    def _on_goaway(self, _: int, __: int, payload: bytes) -> None:
        if len(payload) < 8:
            raise Fault(wire.FRAME_SIZE_ERROR, "sent a malformed GOAWAY")
        last, code = wire.long_of(payload), wire.code_of(payload, 4)
        why = f": {escape(payload[8:])}" if len(payload) > 8 else ""
        said = f"takes no more tunnels on this connection (GOAWAY, {wire.error_name(code)}{why})"
        self.going = Loss(said, self._cause(code, "unprocessed"), code)
        self.room_changed = True
        # Those up to the last one run to their end (RFC 9113, 6.8), if they can.
        for stream in list(self.streams.values()):
            if stream.id > last or (self.going.cause == "version" and stream.response is None):
                self._end(stream, self.going)

    def _on_window_update(self, _: int, number: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise Fault(wire.FRAME_SIZE_ERROR, "sent a malformed WINDOW_UPDATE")
        increment = wire.long_of(payload)
        code = wire.FLOW_CONTROL_ERROR if increment else wire.PROTOCOL_ERROR
        said = "sent a WINDOW_UPDATE that makes no sense"
        if not number:
            self._send_window += increment
            self.room_changed = True
            if not increment or self._send_window > wire.MAX_WINDOW:
                raise Fault(code, said)
            return
        stream = self._known(number, "WINDOW_UPDATE")
        if stream is not None:
            stream.send_window += increment
            self.changed.add(stream)
            if not increment or stream.send_window > wire.MAX_WINDOW:
                self._break(stream, code, said)

    # ---- what follows from it ----

    def _cause(self, code: int, otherwise: Cause) -> Cause:
        """What an error code says of a request that was not answered."""
        if code == wire.REFUSED_STREAM:
            return "unprocessed"
        # mitmproxy and trafficserver agree to HTTP/2, and call CONNECT in it an error.
        unable = code == wire.PROTOCOL_ERROR and not self.answered
        return "version" if unable or code == wire.HTTP_1_1_REQUIRED else otherwise

    def _known(self, number: int, what: str) -> H2Stream | None:
        """The stream of a frame; None if it is closed, and what comes is late."""
        if not number % 2 or number >= self._next_id:
            raise Fault(wire.PROTOCOL_ERROR, f"sent {what} on stream {number}, which nobody opened")
        return self.streams.get(number)

    def _owe(self, frame: bytes) -> None:
        """Send what the proxy can ask for as often as it likes."""
        self.owed += len(frame)
        if self.owed > _MOST_OWED:
            raise Fault(wire.ENHANCE_YOUR_CALM, "asks faster than it listens")
        self.outbox.append(frame)

    def _give_credit(self, stream: H2Stream) -> None:
        if given := stream.credit():
            self.outbox.append(wire.window_update(stream.id, given))

    def _break(self, stream: H2Stream, code: int, said: str) -> None:
        """A stream error (RFC 9113, 5.4.2): it costs this stream, and no other."""
        self.reset(stream, code, Loss(said, "malformed"))

    def _end(self, stream: H2Stream, loss: Loss) -> None:
        stream.loss = loss
        self._settle(stream)

    def _settle(self, stream: H2Stream) -> None:
        if stream.closed and self.streams.pop(stream.id, None) is not None:
            self.changed.add(stream)
            self.room_changed = True


_DIGESTS: Final[dict[int, Callable[[H2Connection, int, int, bytes], None]]] = {
    wire.RST_STREAM: H2Connection._on_rst_stream,
    wire.SETTINGS: H2Connection._on_settings,
    wire.PING: H2Connection._on_ping,
    wire.GOAWAY: H2Connection._on_goaway,
    wire.WINDOW_UPDATE: H2Connection._on_window_update,
}
