"""Reading the frames of an HTTP/2 connection from bytes that come in any pieces.

DATA is passed on as it comes, without waiting for the end of a frame and without a copy; every
other frame is passed on whole; and a head is put together from its frames and decompressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from hpack import Decoder
from hpack.exceptions import HPACKError

from . import h2_frames as wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from .h2_stream import Fields

    Keep: TypeAlias = Callable[[memoryview], None]

MAX_BLOCK = 65536  # of a head, on the wire and decoded: as in HTTP/1
_MAX_PARTS = 64  # CONTINUATION frames of one head; endless ones are an attack (CVE-2024-27316)
_HEADER = wire.HEADER.size


class Fault(Exception):
    """The connection can no longer be relied on (RFC 9113, 5.4.1)."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(said)
        self.code: Final = code
        self.said: Final = said


class Sink(Protocol):
    """Who is told what was read."""

    def begin_data(self, number: int, length: int, padding: int) -> Keep | None:
        """A DATA frame begins: so many octets, of which so many are padding. Who keeps them?"""
        ...

    def end_stream(self, number: int) -> None:
        """A DATA frame that was the last one is over."""
        ...

    def take_head(self, number: int, fields: Fields, *, last: bool) -> None:
        """A head is complete."""
        ...

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Another frame."""
        ...


class FrameReader:
    """Reads frames, and tells a sink.

    Args:
        sink: Is told of each as soon as it can be. What it raises ends the reading.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink: Final = sink
        self._decoder: Final = Decoder(max_header_list_size=MAX_BLOCK)
        # What has come of a frame, and how much there must be to go on.
        self._partial = bytearray()
        self._needed = _HEADER
        # Of a DATA frame.
        self._data_left = self._padding_left = 0
        self._data_of = 0
        self._data_ends = False
        self._keep: Keep | None = None
        # Of a head.
        self._block = bytearray()
        self._block_parts = 0
        self._block_of = 0
        self._block_ends = False

    def receive(self, data: bytes) -> None:
        """Read what has arrived.

        Raises:
            Fault: It makes no sense.
        """
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return
            data = bytes(self._partial)
            self._partial.clear()
        self._partial += self._read(memoryview(data))

    def _read(self, data: memoryview) -> memoryview:
        at, end = 0, len(data)
        while True:
            if self._data_left or self._padding_left:
                at = self._read_data(data, at)
            self._needed = _HEADER
            if end - at < _HEADER:
                break
            high, low, kind, flags, number = wire.HEADER.unpack_from(data, at)
            length = high << 8 | low
            number &= wire.MAX_WINDOW
            if length > wire.LEAST_FRAME:
                raise Fault(wire.FRAME_SIZE_ERROR, f"sent a frame of {length} bytes")
            if self._block_of and (kind != wire.CONTINUATION or number != self._block_of):
                raise Fault(wire.PROTOCOL_ERROR, "did not finish a head before it went on")
            # Of DATA the header is enough, and the length of its padding.
            self._needed += length if kind != wire.DATA else flags & wire.PADDED > 0
            if end - at < self._needed:
                break
            payload = data[at + _HEADER : at + self._needed]
            at += self._needed
            if kind == wire.DATA:
                self._begin_data(flags, number, length, payload)
            elif kind == wire.HEADERS:
                self._begin_block(flags, number, bytes(payload))
            elif kind == wire.CONTINUATION:
                self._continue_block(flags, bytes(payload))
            else:
                self._sink.take_frame(kind, flags, number, bytes(payload))
        return data[at:]

    def _begin_data(self, flags: int, number: int, length: int, padding: memoryview) -> None:
        # The padding's length is padding, too.
        padded = 1 + padding[0] if padding else 0
        if padded > length or (flags & wire.PADDED and not length):
            raise Fault(wire.PROTOCOL_ERROR, "sent more padding than there is room for")
        self._padding_left = padded - len(padding)
        self._data_left = length - padded
        self._data_of, self._data_ends = number, flags & wire.END_STREAM > 0
        self._keep = self._sink.begin_data(number, length, padded)
        if self._data_ends and not self._data_left and not self._padding_left:
            self._sink.end_stream(number)

    def _read_data(self, data: memoryview, at: int) -> int:
        """Pass on what there is of a DATA frame, and say where the rest begins."""
        part = data[at : at + self._data_left]
        size = len(part)
        if size:
            if self._keep is not None:
                self._keep(part)
            self._data_left -= size
            at += size
        if self._padding_left and not self._data_left:
            skipped = min(self._padding_left, len(data) - at)
            self._padding_left -= skipped
            at += skipped
        if self._data_ends and not self._data_left and not self._padding_left:
            self._sink.end_stream(self._data_of)
        return at

    def _begin_block(self, flags: int, number: int, payload: bytes) -> None:
        start, end = 0, len(payload)
        if flags & wire.PADDED:
            start, end = 1, end - payload[0] if payload else 0
        if flags & wire.WITH_PRIORITY:
            start += 5
        if start > end:
            raise Fault(wire.PROTOCOL_ERROR, "sent a HEADERS frame that is too short")
        self._block_of = number
        self._block_ends = flags & wire.END_STREAM > 0
        self._block_parts = 0
        self._continue_block(flags, payload[start:end])

    def _continue_block(self, flags: int, part: bytes) -> None:
        if not self._block_of:
            raise Fault(wire.PROTOCOL_ERROR, "continued a head that it never began")
        self._block += part
        self._block_parts += 1
        if len(self._block) > MAX_BLOCK or self._block_parts > _MAX_PARTS:
            raise Fault(wire.ENHANCE_YOUR_CALM, f"sent more than {MAX_BLOCK // 1024} KiB of head")
        if flags & wire.END_HEADERS:
            block, number = bytes(self._block), self._block_of
            self._block.clear()
            self._block_of = 0
            try:
                # Of every stream: all of them share one table (RFC 9113, 4.3).
                fields = self._decoder.decode(block, raw=True)
            except HPACKError as error:
                said = f"sent a head that cannot be decompressed ({type(error).__name__})"
                raise Fault(wire.COMPRESSION_ERROR, said) from error
            self._sink.take_head(number, fields, last=self._block_ends)
