"""Our head parser against h11's, where both should agree and where we know that they do not.

h11 reads each head as a client that has sent CONNECT. Whatever it says otherwise than we do must
be one of `DIFFERENCES`, each of which is a decision of ours with its reason in a standard.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connect_tunnel import ProxyMisbehaved
from connect_tunnel.protocols.h1 import parse_head

if TYPE_CHECKING:
    from collections.abc import Callable

Fields: TypeAlias = "list[tuple[bytes, bytes]]"
Read: TypeAlias = "tuple[int, bytes, bytes, Fields] | None"  # None: no head of HTTP/1

# ---- the two readers ----

FRAMING = {b"content-length", b"transfer-encoding"}  # which h11 rewrites as it checks them


def by_us(head: bytes) -> Read:
    try:
        response = parse_head(head)
    except ProxyMisbehaved:
        return None
    version, reason = response.http_version.encode(), response.reason.encode("latin-1")
    return response.status, version, reason, unframed(response.headers.raw)


def by_h11(head: bytes) -> Read:
    codec = h11.Connection(h11.CLIENT)
    fields = [("Host", "server.example.com:443")]
    codec.send(h11.Request(method="CONNECT", target="server.example.com:443", headers=fields))
    codec.send(h11.EndOfMessage())
    codec.receive_data(head)
    try:
        event = codec.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Response | h11.InformationalResponse)
    return event.status_code, event.http_version, event.reason, unframed(event.headers.raw_items())


def unframed(fields: list[tuple[bytes, bytes]] | tuple[tuple[bytes, bytes], ...]) -> Fields:
    return [(name, value) for name, value in fields if name.lower() not in FRAMING]


# ---- what they may differ in ----

# What it is, by what standard, who takes such a head, and how to tell that it is one.
DIFFERENCES: dict[str, tuple[str, str, Callable[[bytes], object]]] = {
    "h11 takes other versions than 1.x": (
        "RFC 9112, 2.3: a version is what its sender conforms to, and that is not ours",
        "h11",
        re.compile(rb"HTTP/[02-9]\.[0-9] ").match,
    ),
    "h11 takes controls in a reason phrase": (
        "RFC 9112, 4: it is made of HTAB, SP, VCHAR and obs-text",
        "h11",
        re.compile(rb"[^\n]*[\x01-\x08\x0e-\x1f\x7f]").match,
    ),
    "h11 looks at the framing of heads that have none": (
        "RFC 9110, 9.3.6: in a 2xx it is ignored; RFC 9112, 6.3: of a refusal it costs the body",
        "us",
        re.compile(rb"(?i)[\s\S]*\n(?:content-length|transfer-encoding):").match,
    ),
    "h11 rejects 101 before its fields are known": (
        "RFC 9110, 15.2.2: so do we, as an answer that means something else (H1-19)",
        "us",
        re.compile(rb"HTTP/1\.[0-9] 101\b").match,
    ),
    "h11 rejects VT and FF in a value": (
        "RFC 9110, 5.5: other controls than CR, LF and NUL may be retained",
        "us",
        re.compile(rb"[\s\S]*[\x0b\x0c]").match,
    ),
    "h11 counts no fields": (
        "RFC 9110, 5.4: a recipient sets its own limits",
        "h11",
        lambda head: head.count(b"\n") > 256,
    ),
}  # fmt: skip


def check(head: bytes) -> str | None:
    """Compare the readings of a head. Gives the difference that explains them, if they differ."""
    ours, theirs = by_us(head), by_h11(head)
    if ours == theirs:
        return None
    taker = "h11" if ours is None else "us" if theirs is None else "both, and read it differently"
    for name, (_, who, applies) in DIFFERENCES.items():
        if taker == who and applies(head):
            return name
    raise AssertionError(f"{head!r}: {ours} by us, {theirs} by h11")


# ---- tables ----

AGREED = {
    "plain": b"HTTP/1.1 200 OK\r\n\r\n",
    "1.0": b"HTTP/1.0 200 Connection established\r\n\r\n",
    "no reason": b"HTTP/1.1 200\r\n\r\n",
    "empty reason": b"HTTP/1.1 200 \r\n\r\n",
    "octets in the reason": b"HTTP/1.1 200 caf\xe9\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\nA: b\n\n",
    "mixed ends": b"HTTP/1.1 200 OK\r\nA: b\n\r\n",
    "fields": b"HTTP/1.1 407 No\r\nA: b\r\nA:c\r\nD:\r\nE: \t f g \t\r\n\r\n",
    "octets in a value": b"HTTP/1.1 200 OK\r\nA: \x80\xff\r\n\r\n",
    "controls in a value": b"HTTP/1.1 200 OK\r\nA: \x01b\x1f\x7f\r\n\r\n",
    "fold": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\td\r\nE: f\r\n\r\n",
    "fold of nothing": b"HTTP/1.1 200 OK\r\nA:\r\n \r\n  b \r\n\r\n",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    "unknown status": b"HTTP/1.1 999 x\r\n\r\n",
    "sound length": b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\n",
    "sound chunks": b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n",
    # And what both reject.
    "status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status below 100": b"HTTP/1.1 099 OK\r\n\r\n",
    "case of the version": b"http/1.1 200 OK\r\n\r\n",
    "long version": b"HTTP/1.10 200 OK\r\n\r\n",
    "two blanks": b"HTTP/1.1  200 OK\r\n\r\n",
    "tab": b"HTTP/1.1\t200 OK\r\n\r\n",
    "blank first": b" HTTP/1.1 200 OK\r\n\r\n",
    "blank before the colon": b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
    "no name": b"HTTP/1.1 200 OK\r\n: b\r\n\r\n",
    "fold first": b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nA: b\0\r\n\r\n",
    "bare CR": b"HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n",
    "two CR": b"HTTP/1.1 200 OK\r\nA: b\r\r\n\r\n",
    "CR in the reason": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "octets in a name": b"HTTP/1.1 200 OK\r\nA\xe9: b\r\n\r\n",
}


@pytest.mark.parametrize("head", AGREED.values(), ids=AGREED)
def test_heads_that_both_read_alike(head: bytes) -> None:
    assert check(head) is None


OTHER_VERSION, CONTROLS, LOOKS, SWITCHES, VERTICAL, COUNTS = DIFFERENCES

DIFFERING = [
    (b"HTTP/2.0 200 OK\r\n\r\n", OTHER_VERSION),
    (b"HTTP/0.9 200 OK\r\n\r\n", OTHER_VERSION),
    (b"HTTP/1.1 200 O\x01K\r\n\r\n", CONTROLS),
    (b"HTTP/1.1 200 OK\x7f\r\n\r\n", CONTROLS),
    (b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n", LOOKS),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", LOOKS),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", LOOKS),
    (b"HTTP/1.1 403 No\r\nContent-Length: \r\n\r\n", LOOKS),
    (b"HTTP/1.1 403 No\r\nTransfer-Encoding: gzip\r\n\r\n", LOOKS),
    (b"HTTP/1.1 403 No\r\nContent-Length: " + b"9" * 40 + b"\r\n\r\n", LOOKS),
    (b"HTTP/1.1 100 x\r\nContent-Length: x\r\n\r\n", LOOKS),
    (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", SWITCHES),
    (b"HTTP/1.1 200 OK\r\nA: b\x0bc\r\n\r\n", VERTICAL),
    (b"HTTP/1.1 200 OK\r\nA: \x0c\r\n\r\n", VERTICAL),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 257 + b"\r\n", COUNTS),
]


@pytest.mark.parametrize(("head", "difference"), DIFFERING, ids=[name for _, name in DIFFERING])
def test_heads_that_one_of_them_takes(head: bytes, difference: str) -> None:
    assert check(head) == difference


def test_every_difference_is_one() -> None:
    assert {name for _, name in DIFFERING} == set(DIFFERENCES)
    assert all(reason.startswith("RFC 9") for reason, _, _ in DIFFERENCES.values())


# ---- heads that nobody thought of ----

# Mostly sound, so that a fault is seldom hidden behind another one.
ends = st.sampled_from([b"\r\n"] * 9 + [b"\n"])
versions = st.sampled_from([b"HTTP/1.1"] * 20 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1", b"http/1.1"])
statuses = st.one_of(
    st.integers(100, 999).map(lambda status: b"%d" % status),
    st.sampled_from([b"200", b"407", b"100", b"101", b"204", b"099", b"20", b"2000"]),
)
texts = st.text('ab:,;= \t"1\x0b\x7f\xa0\xff', max_size=8).map(lambda text: text.encode("latin-1"))
reasons = st.one_of(st.just(b""), texts.map(lambda text: b" " + text.replace(b"\x7f", b"")))
names = st.sampled_from([b"A", b"via", b"X-Y", b"!~1", b"Content-Length", b"transfer-encoding"])
values = st.one_of(texts, st.sampled_from([b"5", b"5, 5", b"chunked", b"a\r\n b", b"a \n\t"]))
blanks = st.sampled_from([b"", b" ", b"\t "])
faults = st.sampled_from(
    [b"\r", b"\0", b"\n", b" ", b":", b"\x01", b"\x0b", b"\r\n ", b"\xe9", b"0"]
)


@st.composite
def head_like(draw: st.DrawFn) -> bytes:
    """A head with a fault or none, that ends with its first empty line."""
    lines = [draw(versions) + b" " + draw(statuses) + draw(reasons)]
    for name, blank, value in draw(st.lists(st.tuples(names, blanks, values), max_size=4)):
        lines.append(name + b":" + blank + value)
    data = b"".join(line + draw(ends) for line in lines)
    if draw(st.booleans()):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(faults) + data[place + draw(st.integers(0, 2)) :]
    return cut(data)


def cut(data: bytes) -> bytes:
    """The data up to its first empty line, which is added if there is none."""
    complete = data + b"\r\n\r\n"
    found = re.search(rb"\n\r?\n", complete)
    assert found is not None
    return complete[: found.end()]


@settings(deadline=None)
@given(head_like())
@example(b"HTTP/1.1 200 OK\r\nA: b\r\n\x0b\r\n\r\n")
def test_heads_of_all_sorts(head: bytes) -> None:
    check(head)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_no_head_at_all(data: bytes) -> None:
    check(cut(b"HTTP/1.1 200 OK\r\n" + data))
    check(cut(data))
