"""The frames of HTTP/2 that CONNECT needs (RFC 9113, 4 and 6), as bytes.

Nine octets of header and a payload. What is read of the others is in `h2_connection.py`; here
is what is written, and the names of things.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"  # RFC 9113, 3.4

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

END_STREAM: Final = 0x1  # of DATA and HEADERS
ACK: Final = 0x1  # of SETTINGS and PING
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
WITH_PRIORITY: Final = 0x20

ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5
MAX_HEADER_LIST_SIZE: Final = 6

NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
FLOW_CONTROL_ERROR: Final = 0x3
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
CONNECT_ERROR: Final = 0xA
ENHANCE_YOUR_CALM: Final = 0xB
HTTP_1_1_REQUIRED: Final = 0xD

_NAMES: Final = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
    "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
    "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip

LEAST_FRAME: Final = 16384  # that everybody takes; and all that we take
MAX_WINDOW: Final = 2**31 - 1
DEFAULT_WINDOW: Final = 65535

HEADER: Final = Struct(">HBBBL")  # the length is of three octets
_LONG = Struct(">L")
_TWO_LONGS = Struct(">LL")
_SETTING = Struct(">HL")


def error_name(code: int) -> str:
    """What RFC 9113, 7 calls an error code."""
    return _NAMES[code] if code < len(_NAMES) else f"error {code:#x}"


def header(kind: int, flags: int, stream: int, length: int) -> bytes:
    """The header of a frame."""
    return HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream)


def settings(values: dict[int, int]) -> bytes:
    """A SETTINGS frame."""
    payload = b"".join(_SETTING.pack(*setting) for setting in values.items())
    return header(SETTINGS, 0, 0, len(payload)) + payload


def settings_of(payload: bytes) -> list[tuple[int, int]]:
    """The settings in a payload, whose length is a multiple of six."""
    return list(_SETTING.iter_unpack(payload))


SETTINGS_ACK: Final = header(SETTINGS, ACK, 0, 0)


def head(stream: int, block: bytes, size: int) -> bytes:
    """A header block: HEADERS, and CONTINUATION where it is longer than a frame may be."""
    if len(block) <= size:  # as nearly all are
        return header(HEADERS, END_HEADERS, stream, len(block)) + block
    parts = [block[start : start + size] for start in range(0, len(block), size)]
    frames: list[bytes] = []
    for number, part in enumerate(parts, 1):
        kind = HEADERS if number == 1 else CONTINUATION
        flags = END_HEADERS if number == len(parts) else 0
        frames += (header(kind, flags, stream, len(part)), part)
    return b"".join(frames)


def rst_stream(stream: int, code: int) -> bytes:
    return header(RST_STREAM, 0, stream, 4) + _LONG.pack(code)


def ping(opaque: bytes, *, ack: bool = False) -> bytes:
    return header(PING, ACK if ack else 0, 0, 8) + opaque


def goaway(last: int, code: int) -> bytes:
    return header(GOAWAY, 0, 0, 8) + _TWO_LONGS.pack(last, code)


def window_update(stream: int, increment: int) -> bytes:
    return header(WINDOW_UPDATE, 0, stream, 4) + _LONG.pack(increment)


def long_of(payload: bytes, at: int = 0) -> int:
    """Four octets as a number, less the bit that is reserved."""
    number: int = _LONG.unpack_from(payload, at)[0]
    return number & MAX_WINDOW


def code_of(payload: bytes, at: int = 0) -> int:
    """Four octets as an error code."""
    number: int = _LONG.unpack_from(payload, at)[0]
    return number
