"""Frames on the wire: what is written, and what is read of them under every split."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import pytest
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from connect_tunnel.protocols import h2_frames as wire
from connect_tunnel.protocols.h2_reader import MAX_BLOCK, Fault, FrameReader
from connect_tunnel.testing import every_split
from tests.core.frames import (
    CODES,
    END,
    END_HEADERS,
    PADDED,
    PRIORITY,
    answer,
    block,
    data,
    frame,
    head,
    long,
    ping,
    settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connect_tunnel.protocols.h2_reader import Keep
    from connect_tunnel.protocols.h2_stream import Fields

Told: TypeAlias = "list[object]"


class Seen:
    """A sink that writes down what it is told."""

    def __init__(self) -> None:
        self.told: Told = []

    def begin_data(self, number: int, length: int, padding: int) -> Keep | None:
        self.told.append(("DATA", number, length, padding))
        return self.keep

    def keep(self, part: memoryview) -> None:
        assert part
        if isinstance(self.told[-1], bytes):
            self.told[-1] += bytes(part)
        else:
            self.told.append(bytes(part))

    def end_stream(self, number: int) -> None:
        self.told.append(("end", number))

    def take_head(self, number: int, fields: Fields, *, last: bool) -> None:
        self.told.append(("head", number, [(name, value) for name, value in fields], last))

    def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        self.told.append((kind, flags, number, payload))


def feed(seen: Seen, parts: Iterable[bytes]) -> None:
    reader = FrameReader(seen)
    for part in parts:
        reader.receive(part)


def read(parts: Iterable[bytes]) -> Told:
    seen = Seen()
    feed(seen, parts)
    return seen.told


# ---- what is read ----

OK = [(b":status", b"200")]
OK_BLOCK = block(*OK)
LONG = bytes(range(256)) * 64
READ: dict[str, tuple[bytes, Told]] = {
    "data": (data(1, b"abc"), [("DATA", 1, 3, 0), b"abc"]),
    "the last data": (data(1, b"abc", end=True), [("DATA", 1, 3, 0), b"abc", ("end", 1)]),
    "no data": (data(1), [("DATA", 1, 0, 0)]),
    "an end": (data(1, end=True), [("DATA", 1, 0, 0), ("end", 1)]),
    "padded data": (data(1, b"abc", padding=5), [("DATA", 1, 9, 6), b"abc"]),
    "padded with nothing": (data(1, b"a", padding=0), [("DATA", 1, 2, 1), b"a"]),
    "padding alone": (data(1, padding=3), [("DATA", 1, 4, 4)]),
    "nothing but its length": (data(1, padding=0), [("DATA", 1, 1, 1)]),
    "the longest frame": (data(1, LONG), [("DATA", 1, 16384, 0), LONG]),
    "the reserved bit": (data(2**31 + 1), [("DATA", 1, 0, 0)]),
    "two frames": (
        data(1, b"abc") + data(3, b"d", end=True),
        [("DATA", 1, 3, 0), b"abc", ("DATA", 3, 1, 0), b"d", ("end", 3)],
    ),
    "a head": (head(1, *OK), [("head", 1, OK, False)]),
    "a head and an end": (head(1, *OK, end=True), [("head", 1, OK, True)]),
    "a padded head": (
        frame("HEADERS", END_HEADERS | PADDED, 1, b"\x03" + OK_BLOCK + bytes(3)),
        [("head", 1, OK, False)],
    ),
    "a head of some priority": (
        frame("HEADERS", END_HEADERS | PRIORITY, 1, bytes(5) + OK_BLOCK),
        [("head", 1, OK, False)],
    ),
    "both": (
        frame("HEADERS", END_HEADERS | PADDED | PRIORITY, 1, b"\x01" + bytes(5) + OK_BLOCK + b"\0"),
        [("head", 1, OK, False)],
    ),
    "a head in pieces": (
        frame("HEADERS", END, 1, OK_BLOCK[:3]) + frame("CONTINUATION", 0, 1, b"")
        + frame("CONTINUATION", END_HEADERS, 1, OK_BLOCK[3:]) + answer(3),
        [("head", 1, OK, True), ("head", 3, OK, False)],
    ),
    "an empty head": (frame("HEADERS", END_HEADERS, 1), [("head", 1, [], False)]),
    "others": (
        ping() + settings((3, 1)) + frame(0xFA, 0xFF, 2**31 + 7, b"?") + frame("PRIORITY", 0, 1),
        [(6, 0, 0, b"12345678"), (4, 0, 0, b"\0\x03\0\0\0\x01"), (0xFA, 0xFF, 7, b"?"),
         (2, 0, 1, b"")],
    ),
    "what is not whole": (data(1, b"abc")[:-1], [("DATA", 1, 3, 0), b"ab"]),
    "padding that is not whole": (data(1, b"a", padding=2)[:-1], [("DATA", 1, 4, 3), b"a"]),
    "a frame that is not whole": (ping()[:-1], []),
    "nothing": (b"", []),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "told"), READ.values(), ids=READ)
def test_what_is_read(sent: bytes, told: Told) -> None:
    """H2-18: nothing waits for what is not needed to go on, and nothing is lost."""
    for split in every_split(sent):
        assert read(split) == told, split


SOME = data(1, b"abc", padding=1)
FAULTS: dict[str, tuple[bytes, str, str]] = {
    "a long frame": (frame(0xFA, 0, 0, bytes(16385))[:9], "FRAME_SIZE_ERROR", "16385 bytes"),
    "HTTP/1.1": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "FRAME_SIZE_ERROR", "4740180 bytes"),
    "padding beyond the end": (
        frame("DATA", PADDED, 1, b"\x03ab"), "PROTOCOL_ERROR", "more padding than",
    ),
    "no room for the padding's length": (
        frame("DATA", PADDED, 1) + b"\0", "PROTOCOL_ERROR", "more padding than",
    ),
    "a head's padding beyond the end": (
        frame("HEADERS", END_HEADERS | PADDED, 1, b"\x03ab"), "PROTOCOL_ERROR", "too short",
    ),
    "no room for a head's padding": (
        frame("HEADERS", END_HEADERS | PADDED, 1), "PROTOCOL_ERROR", "too short",
    ),
    "no room for its priority": (
        frame("HEADERS", END_HEADERS | PRIORITY, 1, b"1234"), "PROTOCOL_ERROR", "too short",
    ),
    "another stream in a head": (
        frame("HEADERS", 0, 1) + frame("CONTINUATION", 0, 3), "PROTOCOL_ERROR", "did not finish",
    ),
    "data in a head": (frame("HEADERS", 0, 1) + data(1), "PROTOCOL_ERROR", "did not finish"),
    "a ping in a head": (frame("HEADERS", 0, 1) + ping(), "PROTOCOL_ERROR", "did not finish"),
    "a head in a head": (frame("HEADERS", 0, 1) + answer(1), "PROTOCOL_ERROR", "did not finish"),
    "more of no head": (
        frame("CONTINUATION", END_HEADERS, 1, OK_BLOCK), "PROTOCOL_ERROR", "never began",
    ),
    "more of a head that is over": (
        answer(1) + frame("CONTINUATION", END_HEADERS, 1), "PROTOCOL_ERROR", "never began",
    ),
    "an index of nothing": (
        frame("HEADERS", END_HEADERS, 1, b"\xff\x80"), "COMPRESSION_ERROR", "decompressed",
    ),
    "half a field": (
        frame("HEADERS", END_HEADERS, 1, OK_BLOCK[:-1]), "COMPRESSION_ERROR", "decompressed",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sent", "code", "said"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_be_relied_on(sent: bytes, code: str, said: str) -> None:
    """RFC 9113, 5.4.1: and what came before was told."""
    for split in every_split(SOME + sent):
        seen = Seen()
        with pytest.raises(Fault, match=said) as caught:
            feed(seen, split)
        assert (caught.value.code, caught.value.said) == (CODES[code], str(caught.value))
        assert seen.told[:2] == [("DATA", 1, 5, 2), b"abc"]


def test_a_head_has_a_size() -> None:
    """T19, CVE-2024-27316: neither one of many octets nor one of many frames without any."""
    size = 16384
    most = frame("HEADERS", 0, 1, bytes(size)) + frame("CONTINUATION", 0, 1, bytes(size)) * 3
    assert 4 * size == MAX_BLOCK
    assert read([most]) == []
    with pytest.raises(Fault, match="more than 64 KiB of head") as caught:
        read([most, frame("CONTINUATION", 0, 1, b"\0")])
    assert caught.value.code == CODES["CALM"]
    endless = frame("HEADERS", 0, 1) + frame("CONTINUATION", 0, 1) * 63
    assert read([endless]) == []
    with pytest.raises(Fault, match="more than 64 KiB of head"):
        read([endless, frame("CONTINUATION", 0, 1)])


def test_a_head_has_a_size_when_it_is_decompressed() -> None:
    """T19: of 4 KiB in the table each octet makes them once more."""
    bomb = b"\x40" + block((b"a", b"b" * 4000))[1:] + b"\xbe" * 20
    with pytest.raises(Fault, match="OversizedHeaderListError"):
        read([frame("HEADERS", END_HEADERS, 1, bomb)])


def test_all_heads_share_a_table() -> None:
    """H2-16: so that of a stream which nobody listens to is read as well (RFC 9113, 4.3)."""
    encoder = Encoder()
    fields = [(b":status", b"407"), (b"proxy-authenticate", b"Basic")]
    blocks = [encoder.encode(fields) for _ in range(2)]
    assert len(blocks[1]) < len(blocks[0])
    sent = b"".join(frame("HEADERS", END_HEADERS, 1, part) for part in blocks)
    for split in every_split(sent):
        assert read(split) == [("head", 1, fields, False)] * 2


def test_data_is_not_copied() -> None:
    """Save the tail of what arrives, which is shorter than a header."""
    parts: list[memoryview] = []

    class Keeps(Seen):
        def keep(self, part: memoryview) -> None:
            parts.append(part)

    arrived = data(1, LONG) + data(1, LONG)
    FrameReader(Keeps()).receive(arrived)
    assert [part.obj for part in parts] == [arrived, arrived]
    assert all(part.obj is arrived for part in parts)


def test_data_that_nobody_keeps() -> None:
    class Forgets(Seen):
        def begin_data(self, number: int, length: int, padding: int) -> Keep | None:
            keep = super().begin_data(number, length, padding)
            return keep if number == 3 else None

    for split in every_split(data(1, b"abc", end=True) + data(3, b"d")):
        seen = Forgets()
        feed(seen, split)
        assert seen.told == [("DATA", 1, 3, 0), ("end", 1), ("DATA", 3, 1, 0), b"d"]


def test_what_a_sink_raises_ends_the_reading() -> None:
    class Refuses(Seen):
        def take_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
            raise Fault(1, "no")

    seen = Refuses()
    with pytest.raises(Fault, match="no"):
        FrameReader(seen).receive(data(1) + ping() + data(1))
    assert seen.told == [("DATA", 1, 0, 0)]


SOUND = [sent for name, (sent, _) in READ.items() if "not whole" not in name]


@given(st.lists(st.sampled_from(SOUND), max_size=6), st.lists(st.integers(1, 300)))
def test_fragments_are_no_matter(sent: list[bytes], sizes: list[int]) -> None:
    whole = b"".join(sent)
    parts: list[bytes] = []
    rest = whole
    for size in sizes:
        parts.append(rest[:size])
        rest = rest[size:]
    assert read([*parts, rest]) == read([whole])


@given(st.lists(st.binary(max_size=40) | st.sampled_from([*SOUND, SOME[:-2]]), max_size=8))
def test_whatever_comes_is_read_or_a_fault(parts: list[bytes]) -> None:
    """And byte by byte it is the same fault."""

    def outcome(pieces: Iterable[bytes]) -> tuple[Told, str]:
        seen = Seen()
        try:
            feed(seen, pieces)
        except Fault as fault:
            return seen.told, fault.said
        return seen.told, ""

    whole = b"".join(parts)[:2000]
    assert outcome([whole]) == outcome(whole[at : at + 1] for at in range(len(whole)))


# ---- what is written ----


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        (wire.settings({2: 0, 4: 70_000}), settings((2, 0), (4, 70_000))),
        (wire.settings({}), settings()),
        (wire.SETTINGS_ACK, settings(ack=True)),
        (wire.head(1, b"abcdef", 6), frame("HEADERS", END_HEADERS, 1, b"abcdef")),
        (
            wire.head(3, b"abcdefg", 3),
            frame("HEADERS", 0, 3, b"abc")
            + frame("CONTINUATION", 0, 3, b"def")
            + frame("CONTINUATION", END_HEADERS, 3, b"g"),
        ),
        (wire.header(0, END, 2**31 - 1, 70_000), b"\x01\x11\x70\0\x01\x7f\xff\xff\xff"),
        (wire.rst_stream(5, 8), frame("RST_STREAM", 0, 5, b"\0\0\0\x08")),
        (wire.ping(b"12345678"), ping()),
        (wire.ping(b"12345678", ack=True), ping(ack=True)),
        (wire.goaway(7, 1), frame("GOAWAY", 0, 0, b"\0\0\0\x07\0\0\0\x01")),
        (wire.window_update(9, 2**31 - 1), frame("WINDOW_UPDATE", 0, 9, b"\x7f\xff\xff\xff")),
    ],
    ids=["settings", "no settings", "ACK", "a head", "a head in pieces", "a header", "a reset",
         "a ping", "a pong", "a goaway", "a window"],
)  # fmt: skip
def test_what_is_written(written: bytes, sent: bytes) -> None:
    assert written == sent


def test_settings_are_read_back() -> None:
    assert wire.settings_of(settings((3, 100), (0xFF, 2**32 - 1))[9:]) == [
        (3, 100),
        (255, 2**32 - 1),
    ]


def test_numbers_in_a_payload() -> None:
    """The first bit of a number is reserved; that of a code is not."""
    payload = long(2**31 + 5) + long(2**32 - 1)
    assert (wire.long_of(payload), wire.long_of(payload, 4)) == (5, 2**31 - 1)
    assert (wire.code_of(payload), wire.code_of(payload, 4)) == (2**31 + 5, 2**32 - 1)


@pytest.mark.parametrize(
    ("code", "name"),
    [(0, "NO_ERROR"), (7, "REFUSED_STREAM"), (13, "HTTP_1_1_REQUIRED"), (14, "error 0xe"),
     (2**32 - 1, "error 0xffffffff")],
)  # fmt: skip
def test_the_names_of_codes(code: int, name: str) -> None:
    assert wire.error_name(code) == name
