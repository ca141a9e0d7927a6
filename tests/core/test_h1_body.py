"""The body of a refusal: how it is framed (RFC 9112, 6.3), read, bounded, and what comes after."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from connect_tunnel import ProxyHungUp, ProxyResponse, TunnelTimeout
from connect_tunnel._steps import Peek, Take
from connect_tunnel.protocols.h1 import parse_head
from connect_tunnel.protocols.h1_body import MAX_BODY, Body, framing_of, persists, read_body
from connect_tunnel.testing import every_split, replay

if TYPE_CHECKING:
    from connect_tunnel._steps import Program
    from connect_tunnel.protocols.h1_body import Framing

CL = b"Content-Length: "
TE = b"Transfer-Encoding: "


def refusal(*fields: bytes, version: bytes = b"1.1", status: int = 403) -> ProxyResponse:
    lines = [b"HTTP/%b %d No" % (version, status), *fields, b"", b""]
    return parse_head(b"\r\n".join(lines))


def read(response: ProxyResponse, *incoming: bytes | Exception) -> tuple[Body, bytes, bytes]:
    """The body, all that was read of it, and what was left behind it."""
    body = Body(response)
    done = replay(read_body(body), *incoming)
    assert {type(step) for step in done.steps} <= {Peek, Take}
    assert done.sent == b""
    return body, done.value, done.left


# ---- what delimits it, and whether the connection lasts ----

# Framing and persistence of every combination that RFC 9112 tells apart (6.1, 6.3, 9.3).
TABLE: dict[str, tuple[ProxyResponse, Framing, bool]] = {
    # By length.
    "length": (refusal(CL + b"11"), 11, True),
    "no bytes": (refusal(CL + b"0"), 0, True),
    "leading zeros": (refusal(CL + b"0011"), 11, True),
    "H1-35 same twice in one": (refusal(CL + b"5, 5"), 5, True),
    "H1-35 same twice in two": (refusal(CL + b"5", CL + b"5"), 5, True),
    "H1-35 eighteen digits": (refusal(CL + b"9" * 18), 10**18 - 1, True),
    "H1-35 nineteen digits": (refusal(CL + b"9" * 19), 10**18, True),
    "H1-35 forty digits": (refusal(CL + b"9" * 40), 10**18, True),
    "H1-35 forty zeros": (refusal(CL + b"0" * 40 + b"7"), 7, True),
    # By a length that is none: it cannot be known where the body ends.
    "H1-35 different in one": (refusal(CL + b"5, 6"), "faulty", False),
    "H1-35 different in two": (refusal(CL + b"5", CL + b"6"), "faulty", False),
    "H1-35 different spellings": (refusal(CL + b"5", CL + b"05"), "faulty", False),
    "H1-35 text": (refusal(CL + b"abc"), "faulty", False),
    "H1-35 negative": (refusal(CL + b"-1"), "faulty", False),
    "H1-35 plus": (refusal(CL + b"+1"), "faulty", False),
    "H1-35 fraction": (refusal(CL + b"1.0"), "faulty", False),
    "H1-35 hexadecimal": (refusal(CL + b"0x10"), "faulty", False),
    "H1-35 underscore": (refusal(CL + b"1_0"), "faulty", False),
    "H1-35 superscript": (refusal(CL + b"\xb2"), "faulty", False),
    "H1-35 blank within": (refusal(CL + b"1 1"), "faulty", False),
    "H1-35 empty": (refusal(CL), "faulty", False),
    "H1-35 half a list": (refusal(CL + b"5,"), "faulty", False),
    # By chunks.
    "H1-36 chunked": (refusal(TE + b"chunked"), "chunked", True),
    "H1-36 case": (refusal(TE + b"Chunked"), "chunked", True),
    "H1-36 chunked last": (refusal(TE + b"gzip, chunked"), "chunked", True),
    "H1-36 in two fields": (refusal(TE + b"gzip", TE + b"chunked"), "chunked", True),
    "H1-36 empty element": (refusal(TE + b"chunked,"), "chunked", True),  # RFC 9110, 5.6.1.2
    "H1-35 chunked and length": (refusal(TE + b"chunked", CL + b"5"), "chunked", False),
    # By the end of the connection.
    "H1-39 neither": (refusal(), "close", False),
    "H1-36 chunked not last": (refusal(TE + b"chunked, gzip"), "close", False),
    "H1-36 not chunked": (refusal(TE + b"gzip"), "close", False),
    "H1-36 not chunked, length": (refusal(TE + b"gzip", CL + b"5"), "close", False),
    "H1-36 identity": (refusal(TE + b"identity"), "close", False),
    "H1-36 no coding": (refusal(TE), "close", False),
    "H1-36 like chunked": (refusal(TE + b"xchunked"), "close", False),
    "H1-36 twice": (refusal(TE + b"chunked, chunked"), "close", False),  # RFC 9112, 6.1
    # HTTP/1.0 knows no chunks and keeps connections only where it says so.
    "H1-34 chunked in 1.0": (refusal(TE + b"chunked", version=b"1.0"), "faulty", False),
    "H1-34 chunked in 1.0, kept": (
        refusal(TE + b"chunked", b"Connection: keep-alive", version=b"1.0"), "faulty", False,
    ),
    "H1-34 length in 1.0": (refusal(CL + b"5", version=b"1.0"), 5, False),
    "H1-34 length in 1.0, kept": (
        refusal(CL + b"5", b"Connection: Keep-Alive", version=b"1.0"), 5, True,
    ),
    "H1-34 length in 1.0, kept, old name": (
        refusal(CL + b"5", b"Proxy-Connection: keep-alive", version=b"1.0"), 5, True,
    ),
    "H1-34 kept without length": (
        refusal(b"Connection: keep-alive", version=b"1.0"), "close", False,
    ),
    # And HTTP/1.1 closes them only where it says so.
    "H1-39 close": (refusal(CL + b"5", b"Connection: close"), 5, False),
    "H1-39 close, case": (refusal(CL + b"5", b"Connection: x, CLOSE"), 5, False),
    "H1-39 close, second field": (
        refusal(CL + b"5", b"Connection: x", b"Connection: close"), 5, False,
    ),
    "H1-39 close, old name": (refusal(CL + b"5", b"Proxy-Connection: close"), 5, False),
    "H1-39 close beats keep-alive": (
        refusal(CL + b"5", b"Connection: keep-alive, close", version=b"1.0"), 5, False,
    ),
    "H1-39 like close": (refusal(CL + b"5", b"Connection: closed"), 5, True),
    "H1-39 later version": (refusal(CL + b"5", version=b"1.2"), 5, True),
    # By definition.
    "304": (refusal(CL + b"5", status=304), 0, True),
}  # fmt: skip


@pytest.mark.parametrize(("response", "framing", "lasting"), TABLE.values(), ids=TABLE)
def test_framing_and_persistence(
    response: ProxyResponse, framing: Framing, *, lasting: bool
) -> None:
    assert framing_of(response) == framing
    assert persists(response) is lasting
    body = Body(response)
    assert body.persistent is lasting
    # Before anything is read only what has no body is done with.
    assert body.complete is (framing == 0)
    assert body.reusable is (framing == 0 and lasting)


def test_no_body_and_more_bytes() -> None:
    """H1-41: they are not another answer, and the connection is done with."""
    body = Body(refusal(CL + b"0"), followed=True)
    assert body.complete
    assert not body.reusable
    assert replay(read_body(body)).value == b""


# ---- bodies that end by themselves ----

CHUNKED = refusal(TE + b"chunked")
BOMB = gzip.compress(b"x" * 1000, mtime=0)

# The answer, its body on the wire, and in the end.
WHOLE: dict[str, tuple[ProxyResponse, bytes, bytes]] = {
    "H1-21 length": (refusal(CL + b"11"), b"Not for you", b"Not for you"),
    "H1-35 length twice": (refusal(CL + b"5, 5"), b"hello", b"hello"),
    "H1-36 chunk": (CHUNKED, b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "H1-36 chunks": (CHUNKED, b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", b"hello!"),
    "H1-36 no chunk": (CHUNKED, b"0\r\n\r\n", b""),
    "H1-36 hexadecimal": (CHUNKED, b"00aB\r\n" + b"x" * 171 + b"\r\n0\r\n\r\n", b"x" * 171),
    "H1-36 twenty digits": (CHUNKED, b"0" * 19 + b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    "H1-36 extensions": (CHUNKED, b'5;x=y;z="a"\r\nhello\r\n0;q\r\n\r\n', b"hello"),
    "H1-36 trailers": (CHUNKED, b"5\r\nhello\r\n0\r\nA: b\r\n\r\n", b"hello"),
    "T20 compressed": (
        refusal(CL + b"%d" % len(BOMB), b"Content-Encoding: gzip"), BOMB, BOMB,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("response", "wire", "content"), WHOLE.values(), ids=WHOLE)
def test_a_body_that_ends_by_itself(response: ProxyResponse, wire: bytes, content: bytes) -> None:
    """H1-21, H1-36: nothing is waited for when it is over, and the connection is kept (H1-39)."""
    for split in every_split(wire):
        body, found, left = read(response, *split)
        assert (found, left, body.complete, body.reusable) == (content, b"", True, True), split
        assert replay(body.next_part()).value == b""


@pytest.mark.parametrize(("response", "wire", "content"), WHOLE.values(), ids=WHOLE)
def test_a_body_and_more_bytes(response: ProxyResponse, wire: bytes, content: bytes) -> None:
    """H1-41: whoever saw them does not use the connection again."""
    more = b"HTTP/1.1 200 OK\r\n\r\n"
    for split in every_split(wire + more):
        body, found, left = read(response, *split)
        assert (found, body.complete) == (content, True), split
        assert more.endswith(left)
        assert body.reusable is (left == more), split


@pytest.mark.parametrize(("response", "wire", "content"), WHOLE.values(), ids=WHOLE)
def test_a_body_and_the_end(response: ProxyResponse, wire: bytes, content: bytes) -> None:
    body, found, _ = read(response, wire, b"")
    assert (found, body.complete) == (content, True)


@pytest.mark.parametrize(("response", "wire", "content"), WHOLE.values(), ids=WHOLE)
def test_a_body_that_is_cut_short(response: ProxyResponse, wire: bytes, content: bytes) -> None:
    """H1-37: by the end, a reset, broken TLS or the end of patience, and in any place."""
    for size in range(len(wire)):
        for end in (b"", ProxyHungUp("reset", reset=True), TunnelTimeout("too slow")):
            body, found, _ = read(response, *((wire[:size], end) if size else (end,)))
            assert content.startswith(found)
            assert not body.complete
            assert not body.reusable
            assert replay(body.next_part()).value == b""  # and stays over


def test_trailers_are_kept_apart() -> None:
    """H1-36."""
    wire = b"5\r\nhello\r\n0\r\nProxy-Status: p; error=x\r\nX:  y \r\n\r\n"
    for split in every_split(wire):
        body, found, _ = read(CHUNKED, *split)
        assert found == b"hello"
        assert body.trailers.raw == ((b"Proxy-Status", b"p; error=x"), (b"X", b"y"))


# ---- bodies that end with the connection ----


@pytest.mark.parametrize(
    ("response", "complete"),
    [
        (refusal(), True),
        (refusal(TE + b"gzip"), True),
        (refusal(TE + b"chunked, gzip"), True),
        (refusal(version=b"1.0"), True),
        (refusal(CL + b"5", CL + b"6"), False),
        (refusal(CL + b"abc"), False),
        (refusal(TE + b"chunked", version=b"1.0"), False),
        (refusal(CL + b"9" * 40), False),
    ],
    ids=["neither", "gzip", "chunked not last", "1.0", "two lengths", "no length",
         "chunked in 1.0", "forty digits"],
)  # fmt: skip
def test_a_body_that_ends_with_the_connection(response: ProxyResponse, *, complete: bool) -> None:
    """H1-35, H1-36: where the framing is broken, all there is, and not held for all of it."""
    for split in every_split(b"Not for you"):
        body, found, _ = read(response, *split, b"")
        assert (found, body.complete, body.reusable) == (b"Not for you", complete, False), split
    assert read(response, b"")[1] == b""


@pytest.mark.parametrize("response", [refusal(), refusal(TE + b"gzip")], ids=["neither", "gzip"])
def test_a_body_whose_connection_breaks(response: ProxyResponse) -> None:
    """H1-37: an end of TLS without close_notify is no end; ProxyHungUp is what a driver makes."""
    body, found, _ = read(response, b"Not for", ProxyHungUp("ended TLS without saying so"))
    assert (found, body.complete, body.reusable) == (b"Not for", False, False)


# ---- bodies that are broken ----


@pytest.mark.parametrize(
    ("wire", "content"),
    [
        (b"hello\r\n", b""),
        (b"-1\r\nhello\r\n", b""),
        (b"0x5\r\nhello\r\n", b""),
        (b"\r\nhello", b""),
        (b"5\r\nhelloXX0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n5 5\r\nworld\r\n0\r\n\r\n", b"hello"),
        (b"5\r\nhello\r\n0\r\nno trailer\r\n\r\n", b"hello"),
        (b"f" * 21 + b"\r\nhello", b""),
        (b"5\r\nhello\r\n" + b"1;" + b"x" * 100_000, b"hello"),
        (b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 20_000, b"hello"),
    ],
    ids=["text", "negative", "0x", "no size", "no CRLF", "blank in the size", "trailer",
         "21 digits", "endless extension", "endless trailers"],
)  # fmt: skip
def test_broken_chunks(wire: bytes, content: bytes) -> None:
    """H1-36: what had come is the body, and the refusal is still one."""
    for split in [(wire,), (wire[:11], wire[11:])]:
        body, found, _ = read(CHUNKED, *split, b"")
        assert (found, body.complete, body.reusable) == (content, False, False), split
        assert len(body.trailers) == 0


# ---- bodies that are too long or too slow ----


@pytest.mark.parametrize(("size", "whole"), [(65535, True), (65536, True), (65537, False)])
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_no_more_than_64_kib_is_read(size: int, framing: str, *, whole: bool) -> None:
    """H1-38: the rest is left where it is, and the connection with it."""
    response, wire = {
        "length": (refusal(CL + b"%d" % size), b"x" * size),
        "chunked": (CHUNKED, b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n"),
        "close": (refusal(), b"x" * size),
    }[framing]
    end = [b""] if framing == "close" else []
    body, found, _ = read(response, wire, *end)
    assert found == b"x" * min(size, MAX_BODY)
    assert body.complete is whole
    assert body.reusable is (whole and framing != "close")


def test_an_endless_body_is_not_read_to_its_end() -> None:
    """T19: however much more there is."""
    for response in (refusal(), refusal(CL + b"9" * 40)):
        body, found, left = read(response, b"x" * 10_000_000)
        assert (len(found), body.complete) == (MAX_BODY, False)
        assert len(left) > 9_900_000


def test_a_body_that_hangs() -> None:
    """H1-38: what had come when the part ran out of time, and no error."""
    body, found, _ = read(refusal(status=503), b"7 bytes", TunnelTimeout("too slow"))
    assert (found, body.complete) == (b"7 bytes", False)


def test_parts_come_as_they_come() -> None:
    """As a caller reads them who wants to show a page while it is being sent."""

    def parts() -> Program[list[bytes]]:
        body = Body(CHUNKED)
        found: list[bytes] = []
        while part := (yield from body.next_part()):
            found.append(part)
        assert body.complete
        return found

    done = replay(parts(), b"5\r\nhel", b"lo\r\n1\r\n", b"!\r\n0\r\n\r\n")
    assert done.value == [b"hel", b"lo", b"!"]
