"""Frames of HTTP/2 as a proxy writes and reads them, by another hand than the code under test.

Fields are written as literals that go into no table (RFC 7541, 6.2.2), so that a block means
the same wherever it stands.
"""

from __future__ import annotations

from typing import NamedTuple

from hpack import Decoder

CODES = {"PROTOCOL_ERROR": 1, "FLOW_CONTROL_ERROR": 3, "FRAME_SIZE_ERROR": 6, "REFUSED": 7,
         "CANCEL": 8, "COMPRESSION_ERROR": 9, "CONNECT_ERROR": 10, "CALM": 11,
         "HTTP_1_1_REQUIRED": 13}  # fmt: skip
KINDS = ["DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS", "PUSH_PROMISE", "PING", "GOAWAY",
         "WINDOW_UPDATE", "CONTINUATION"]  # fmt: skip
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

END, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20


class Frame(NamedTuple):
    """A frame, taken apart."""

    kind: str
    flags: int
    stream: int
    payload: bytes


def frame(kind: int | str, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    number = KINDS.index(kind) if isinstance(kind, str) else kind
    return b"%b%c%c%b%b" % (
        len(payload).to_bytes(3, "big"), number, flags, stream.to_bytes(4, "big"), payload,
    )  # fmt: skip


def frames_of(wire: bytes) -> list[Frame]:
    """The frames in these bytes, all of which are whole; the preface is passed over."""
    found: list[Frame] = []
    wire = wire.removeprefix(PREFACE)
    while wire:
        end = 9 + int.from_bytes(wire[:3], "big")
        assert len(wire) >= end
        number = int.from_bytes(wire[5:9], "big")
        found.append(Frame(KINDS[wire[3]], wire[4], number, wire[9:end]))
        wire = wire[end:]
    return found


def shown(wire: bytes, decoder: Decoder | None = None) -> list[str]:
    """The same in words: those of a test that reads as a table."""
    told: list[str] = []
    for kind, flags, stream, payload in frames_of(wire):
        match kind:
            case "DATA":
                what = payload.decode() if len(payload) < 20 else f"({len(payload)})"
                said = f"{stream}: data {what}" if payload or not flags else f"{stream}:"
                told.append(said + " end" * flags)
            case "HEADERS":
                fields = list((decoder or Decoder()).decode(payload, raw=True))
                told.append(f"{stream}: ask for {fields[1][1].decode()}")
            case "RST_STREAM":
                told.append(f"{stream}: reset {name_of(payload)}")
            case "WINDOW_UPDATE":
                told.append(f"{stream}: window {int.from_bytes(payload, 'big')}")
            case "GOAWAY":
                told.append(f"go away {name_of(payload[4:])}")
            case "PING" | "SETTINGS":
                told.append(f"{kind} ACK" if flags & ACK else kind)
            case _:
                raise AssertionError(f"nobody sends {kind}")
    return told


def name_of(code: bytes) -> str:
    number = int.from_bytes(code, "big")
    return next((name for name, known in CODES.items() if known == number), f"{number}")


def long(number: int) -> bytes:
    return number.to_bytes(4, "big")


def string(octets: bytes) -> bytes:
    """RFC 7541, 5.2, without Huffman's code."""
    if (length := len(octets)) < 127:
        return b"%c%b" % (length, octets)
    prefix, length = b"\x7f", length - 127
    while length >= 128:
        prefix += b"%c" % (length % 128 + 128)
        length //= 128
    return b"%b%c%b" % (prefix, length, octets)


def block(*fields: tuple[bytes, bytes]) -> bytes:
    return b"".join(b"\x00" + string(name) + string(value) for name, value in fields)


def data(stream: int, payload: bytes = b"", *, end: bool = False, padding: int = -1) -> bytes:
    """DATA; with a padding of -1 it has none, and of 0 just the octet that says so."""
    flags = END * end
    if padding >= 0:
        flags, payload = flags | PADDED, b"%c%b%b" % (padding, payload, bytes(padding))
    return frame("DATA", flags, stream, payload)


def head(stream: int, *fields: tuple[bytes, bytes], end: bool = False) -> bytes:
    return frame("HEADERS", END_HEADERS | END * end, stream, block(*fields))


def answer(
    stream: int, status: int = 200, *fields: tuple[bytes, bytes], end: bool = False
) -> bytes:
    return head(stream, (b":status", b"%d" % status), *fields, end=end)


def settings(*pairs: tuple[int, int], ack: bool = False) -> bytes:
    payload = b"".join(key.to_bytes(2, "big") + long(value) for key, value in pairs)
    return frame("SETTINGS", ACK * ack, 0, payload)


def reset(stream: int, code: str | int = "CANCEL") -> bytes:
    return frame("RST_STREAM", 0, stream, long(CODES[code] if isinstance(code, str) else code))


def go_away(last: int, code: str | int = 0, why: bytes = b"") -> bytes:
    number = CODES[code] if isinstance(code, str) else code
    return frame("GOAWAY", 0, 0, long(last) + long(number) + why)


def update(stream: int, increment: int) -> bytes:
    return frame("WINDOW_UPDATE", 0, stream, long(increment))


def ping(opaque: bytes = b"12345678", *, ack: bool = False) -> bytes:
    return frame("PING", ACK * ack, 0, opaque)
