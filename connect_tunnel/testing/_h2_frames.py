"""HTTP/2 frames as octets (RFC 9113, 4.1 and 6), for peers that tests talk to.

Written apart from the client's own, so that a mistake in one is no mistake in both.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITIZED: Final = 0x20

MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CONNECT_ERROR: Final = 0xA

MAX_FRAME_SIZE: Final = 16384  # of either side, which neither of ours changes
DEFAULT_WINDOW: Final = 65535
LARGEST_WINDOW: Final = 2**31 - 1

_HEADER_SIZE: Final = 9


class Frame(NamedTuple):
    """A frame as it was received; `payload` with its padding."""

    type: int
    flags: int
    stream: int
    payload: bytes

    def has(self, flag: int) -> bool:
        return bool(self.flags & flag)

    def content(self) -> bytes:
        """The payload of DATA or HEADERS without padding and priority.

        Raises:
            ValueError: There is more padding than payload.
        """
        start, end = 0, len(self.payload)
        if self.has(PADDED) and end:
            start, end = 1, end - self.payload[0]
        if self.type == HEADERS and self.has(PRIORITIZED):
            start += 5
        if start > end:
            raise ValueError("more padding than payload")
        return self.payload[start:end]

    def number(self) -> int:
        """What RST_STREAM and WINDOW_UPDATE hold, without the reserved bit."""
        return int.from_bytes(self.payload, "big") & 0xFFFFFFFF

    def settings(self) -> dict[int, int]:
        return dict(struct.iter_unpack(">HI", self.payload))


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    head = struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 255, kind, flags, stream)
    return head + payload


def settings(values: Mapping[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *item) for item in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def rst_stream(stream: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def goaway(last_stream: int, code: int) -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream, code))


class FrameReader:
    """Takes frames off what a peer's `recv` gives.

    Args:
        receive: Gives some bytes, and none at the end.
        received: What was received before, and is no one else's.
    """

    def __init__(self, receive: Callable[[int], bytes], received: bytearray) -> None:
        self._receive = receive
        self._received = received

    def read(self) -> Frame | None:
        """The next frame; None at the end, also in the middle of a frame.

        Raises:
            ValueError: It is larger than we allow (RFC 9113, 4.2).
        """
        if not self._fill(_HEADER_SIZE):
            return None
        high, low, kind, flags, stream = struct.unpack_from(">HBBBL", self._received)
        size = high << 8 | low
        if size > MAX_FRAME_SIZE:
            raise ValueError(f"a frame of {size} bytes")
        if not self._fill(_HEADER_SIZE + size):
            return None
        payload = bytes(self._received[_HEADER_SIZE : _HEADER_SIZE + size])
        del self._received[: _HEADER_SIZE + size]
        return Frame(kind, flags, stream & LARGEST_WINDOW, payload)

    def _fill(self, size: int) -> bool:
        while len(self._received) < size:
            data = self._receive(65536)
            if not data:
                return False
            self._received += data
        return True
