"""What a proxy answered, as a fact: fields read on demand, and the words of some of them."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime

import pytest

from connect_tunnel import Headers, ProxyResponse

WHOLE = ProxyResponse(
    503,
    "Busy",
    "1.0",
    b"Retry-After: 9\r\n",
    body=b"later",
    complete=False,
    trailers=Headers(((b"Proxy-Status", b"p; error=dns_error"),)),
)


def answer(fields: bytes, trailers: Headers | None = None) -> ProxyResponse:
    return ProxyResponse(503, "Busy", "1.1", fields, trailers=trailers)


@pytest.mark.parametrize(
    ("fields", "raw"),
    [
        pytest.param(b"", (), id="none"),
        pytest.param(b"A: b\r\n", ((b"A", b"b"),), id="one"),
        pytest.param(b"A: b\r\na:c\r\n", ((b"A", b"b"), (b"a", b"c")), id="several, in order"),
        pytest.param(b"A: \t b \t\r\n", ((b"A", b"b"),), id="blanks around a value are not of it"),
        pytest.param(b"A:\r\nB: \r\n", ((b"A", b""), (b"B", b"")), id="empty values"),
        pytest.param(b"A: b: c\r\n", ((b"A", b"b: c"),), id="a colon in a value"),
        pytest.param(b"A: b\nC: d\n", ((b"A", b"b"), (b"C", b"d")), id="H1-25 bare LF"),
        pytest.param(b"A: b\r\n c\r\n", ((b"A", b"b c"),), id="H1-28 obs-fold"),
        pytest.param(b"A:\r\n\t c\r\n", ((b"A", b"c"),), id="H1-28 folded before the value"),
        pytest.param(b"A: b\n c\r\n \t d\r\n", ((b"A", b"b c d"),), id="H1-28 folded twice"),
        pytest.param(b"A: b  \r\n  c\r\n", ((b"A", b"b   c"),), id="H1-28 one blank for a fold"),
        pytest.param(b"A: \xff\xfe\r\n", ((b"A", b"\xff\xfe"),), id="H1-31 octets stay octets"),
        pytest.param(b"A: b\x85c\r\n", ((b"A", b"b\x85c"),), id="H1-31 and never end a line"),
    ],
)
def test_its_fields(fields: bytes, raw: tuple[tuple[bytes, bytes], ...]) -> None:
    assert answer(fields).headers.raw == raw


def test_its_fields_are_read_once() -> None:
    response = answer(b"A: b\r\n")
    assert response.headers is response.headers


@pytest.mark.parametrize(
    ("value", "when"),
    [
        (b"0", 0),
        (b"120", 120),
        (b" 120 ", 120),
        (b"999999999", 999999999),
        (b"Fri, 20 Nov 2026 08:49:37 GMT", datetime(2026, 11, 20, 8, 49, 37, tzinfo=UTC)),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        (b"Sun Nov  6 08:49:37 1994", datetime(1994, 11, 6, 8, 49, 37, tzinfo=UTC)),
        (b"", None),
        (b"soon", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.5", None),
        (b"1, 2", None),
        (b"\xb2", None),
        (b"9" * 10, None),
        (b"9" * 5000, None),
        (b"Fri, 20 Nov 2026 25:00:00 GMT", None),
        (b"Fri, 32 Nov 2026 08:49:37 GMT", None),
        (b"Fri, 20 Nov 99999999999999 08:49:37 GMT", None),
        (b"Fri, 20 Nov 2026 08:49:37 +999999999999", None),
        (b"Fri, 20 Nov 2026 08:49:99999999999999999999 GMT", None),
    ],
    ids=lambda given: ascii(given)[:40] if isinstance(given, bytes) else "",
)
def test_when_to_ask_again(value: bytes, when: int | datetime | None) -> None:
    assert answer(b"Retry-After: " + value + b"\r\n").retry_after == when


def test_no_word_of_when_to_ask_again() -> None:
    assert answer(b"").retry_after is None


@pytest.mark.parametrize(
    ("fields", "trailers", "said"),
    [
        pytest.param(b"", (), None, id="nothing"),
        pytest.param(b"Proxy-Status: p; error=x\r\n", (), "p; error=x", id="in the fields"),
        pytest.param(b"", ((b"proxy-status", b"q"),), "q", id="in the trailers"),
        pytest.param(b"Proxy-Status: p\r\n", ((b"proxy-status", b"q"),), "p", id="in both"),
        pytest.param(b"Proxy-Status: p\r\nproxy-status: q\r\n", (), "p, q", id="of two proxies"),
    ],
)
def test_ps_what_proxies_on_the_way_said(
    fields: bytes, trailers: tuple[tuple[bytes, bytes], ...], said: str | None
) -> None:
    assert answer(fields, Headers(trailers)).proxy_status == said


def test_what_it_is_when_nothing_more_is_known() -> None:
    bare = ProxyResponse(200)
    assert (bare.status, bare.reason, bare.http_version) == (200, "", "1.1")
    assert (bare.body, bare.complete) == (b"", True)
    assert (bare.headers, bare.trailers) == (Headers(), Headers())


def test_the_same_with_its_body() -> None:
    head = ProxyResponse(WHOLE.status, WHOLE.reason, WHOLE.http_version, b"Retry-After: 9\r\n")
    assert head.with_body(b"later", complete=False, trailers=WHOLE.trailers) == WHOLE
    assert head.body == b""


DIFFERENT = [
    ProxyResponse(502, "Busy", "1.0", b"Retry-After: 9\r\n", body=b"later", complete=False),
    ProxyResponse(503, "Bust", "1.0", b"Retry-After: 9\r\n", body=b"later", complete=False),
    ProxyResponse(503, "Busy", "1.1", b"Retry-After: 9\r\n", body=b"later", complete=False),
    ProxyResponse(503, "Busy", "1.0", b"Retry-After: 8\r\n", body=b"later", complete=False),
    ProxyResponse(503, "Busy", "1.0", b"Retry-After: 9\r\n", body=b"later"),
    ProxyResponse(503, "Busy", "1.0", b"Retry-After: 9\r\n", complete=False),
    ProxyResponse(503, "Busy", "1.0", b"Retry-After: 9\r\n", body=b"later", complete=False),
]


@pytest.mark.parametrize("other", DIFFERENT)
def test_answers_that_differ(other: ProxyResponse) -> None:
    assert other != WHOLE


def test_it_is_a_value() -> None:
    assert answer(b"A: b\r\n") == answer(b"A:b\n")  # the blanks of a line say nothing
    assert hash(answer(b"A: b\r\n")) == hash(answer(b"A:b\n"))
    assert answer(b"") != 503
    for same in (pickle.loads(pickle.dumps(WHOLE)), copy.copy(WHOLE), copy.deepcopy(WHOLE)):
        assert same == WHOLE
        assert hash(same) == hash(WHOLE)
        assert same.retry_after == 9


@pytest.mark.parametrize("name", ["status", "reason", "body", "complete", "trailers", "headers"])
def test_it_cannot_be_changed(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(ProxyResponse(200), name, None)


@pytest.mark.parametrize(
    ("response", "shown"),
    [
        (ProxyResponse(200, "OK"), "<ProxyResponse 200 'OK'>"),
        (ProxyResponse(403, body=b"no"), "<ProxyResponse 403 '' body=2 bytes>"),
        (ProxyResponse(403, complete=False), "<ProxyResponse 403 '' body=0 bytes, incomplete>"),
        (WHOLE, "<ProxyResponse 503 'Busy' body=5 bytes, incomplete>"),
    ],
)
def test_its_repr(response: ProxyResponse, shown: str) -> None:
    assert repr(response) == shown
