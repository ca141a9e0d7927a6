"""One stream: what may come on it, what is kept of that, and the window that it has."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_tunnel import Headers
from connect_tunnel.protocols.h2_stream import (
    _WORTH_SHARING,
    MAX_FIELDS,
    MAX_INTERIM,
    H2Stream,
    Loss,
    Malformed,
    parse_head,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

WINDOW = 65_535
OK = [(b":status", b"200")]
NO = [(b":status", b"403")]
EARLY = [(b":status", b"103")]


def new(*heads: Any) -> H2Stream:
    """A stream that has received these heads."""
    stream = H2Stream(1, send_window=10, window=WINDOW)
    for fields in heads:
        stream.receive_head(fields, last=False)
    return stream


def receive(stream: H2Stream, data: bytes) -> bool:
    fits = stream.begin_data(len(data), 0)
    stream.receive_data(memoryview(data))
    return fits


# ---- an answer ----


@pytest.mark.parametrize(
    ("fields", "status", "headers"),
    [
        (OK, 200, []),
        ([*OK, (b"content-length", b"5"), (b"content-length", b"abc")], 200,
         [("content-length", "5, abc")]),
        ([(b":status", b"407"), (b"proxy-authenticate", b'Basic realm="\xe9"')], 407,
         [("proxy-authenticate", 'Basic realm="\xe9"')]),
        ([(b":status", b"999"), (b"x", b""), (b"!#$%&'*+.^_`|~0-9a-z-", b"a \t b")], 999,
         [("x", ""), ("!#$%&'*+.^_`|~0-9a-z-", "a \t b")]),
    ],
    ids=["H2-07 a 2xx", "H2-09 its lengths", "H2-08 a refusal", "odd but sound"],
)  # fmt: skip
def test_an_answer(fields: Any, status: int, headers: list[tuple[str, str]]) -> None:
    response = parse_head(fields)
    assert (response.status, response.reason, response.http_version) == (status, "", "2")
    assert list(response.headers.items()) == headers


NAMELESS = "without a status"
MALFORMED: dict[str, tuple[list[tuple[bytes, bytes]], str]] = {
    "nothing": ([], NAMELESS),
    "no status": ([(b"server", b"x")], NAMELESS),
    "a status that is not first": ([(b"server", b"x"), *OK], NAMELESS),
    "two digits": ([(b":status", b"20")], NAMELESS),
    "four digits": ([(b":status", b"2000")], NAMELESS),
    "a zero": ([(b":status", b"099")], NAMELESS),
    "other digits": ([(b":status", b"2\xb2\xb2")], NAMELESS),
    "a line end": ([(b":status", b"200\n")], NAMELESS),
    "a status twice": ([*OK, *OK], "a field that is called ':status'"),
    "a pseudo-field of requests": ([*OK, (b":path", b"/")], "a field that is called ':path'"),
    "upper case": ([*OK, (b"Server", b"x")], "a field that is called 'Server'"),
    "no name": ([*OK, (b"", b"x")], "a field that is called ''"),
    "a blank in a name": ([*OK, (b"a b", b"x")], "a field that is called 'a b'"),
    "a line end in a name": ([*OK, (b"a\n", b"x")], r"a field that is called 'a\\n'"),
    "an octet in a name": ([*OK, (b"\xe9", b"x")], r"a field that is called '\\xe9'"),
    "a line end in a value": ([*OK, (b"a", b"x\r\nb: c")], "a field 'a' that is malformed"),
    "a line end behind it": ([*OK, (b"a", b"x\n")], "a field 'a' that is malformed"),
    "NUL": ([*OK, (b"a", b"x\0")], "a field 'a' that is malformed"),
    "a blank in front": ([*OK, (b"a", b" x")], "a field 'a' that is malformed"),
    "a tab behind": ([*OK, (b"a", b"x\t")], "a field 'a' that is malformed"),
    "nothing but a blank": ([*OK, (b"a", b" ")], "a field 'a' that is malformed"),
    "too many": ([*OK, *[(b"a", b"x")] * (MAX_FIELDS + 1)], "more than 256 fields"),
}
for _name in (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"):
    _said = f"a field '{_name.decode()}', which HTTP/2 does not have"
    MALFORMED[f"H2-10 {_name.decode()}"] = [*OK, (_name, b"x")], _said


@pytest.mark.parametrize(("fields", "said"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_answer(fields: list[tuple[bytes, bytes]], said: str) -> None:
    """H2-10: and nothing of it is taken over (RFC 9113, 8.1.1)."""
    stream = new(EARLY)
    with pytest.raises(Malformed, match=said):
        stream.receive_head(fields, last=False)
    assert stream.response is None
    assert not stream.tunnels


def test_as_many_fields_as_in_http_1() -> None:
    response = parse_head([*OK, *[(b"a", b"x")] * MAX_FIELDS])
    assert response.headers.get_list("a") == ["x"] * MAX_FIELDS


@pytest.mark.parametrize("count", [0, 1, MAX_INTERIM])
def test_interim_answers_are_passed_over(count: int) -> None:
    """H2-07."""
    stream = new(*[EARLY] * count)
    assert not stream.tunnels
    stream.receive_head([(b":status", b"204")], last=False)
    assert stream.response is not None
    assert stream.response.status == 204
    assert stream.tunnels


@pytest.mark.parametrize(
    ("heads", "last", "said"),
    [
        ([*[EARLY] * MAX_INTERIM, EARLY], False, "more than 8 interim responses and no answer"),
        ([[(b":status", b"101")]], False, "answered CONNECT with 101 and nothing else"),
        ([EARLY], True, "answered CONNECT with 103 and nothing else"),
        ([OK, OK], False, "fields in the middle of a stream"),
        ([OK, [(b"x", b"y")]], True, "fields in the middle of a stream"),
        ([NO, [(b"x", b"y")]], False, "fields in the middle of a stream"),
        ([NO, [(b"X", b"y")]], True, "a field that is called 'X'"),
        ([NO, [(b":status", b"200")]], True, "a field that is called ':status'"),
    ],
    ids=["T19 no end of them", "H1-19 101", "nothing but an interim answer", "H2-11 two answers",
         "H2-11 trailers of a tunnel", "a head in a body", "malformed trailers", "a late status"],
)  # fmt: skip
def test_heads_that_may_not_come(heads: list[Any], last: bool, said: str) -> None:
    stream = new(*heads[:-1])
    with pytest.raises(Malformed, match=said):
        stream.receive_head(heads[-1], last=last)
    assert stream.trailers == Headers()


def test_a_refusal_with_a_body_and_trailers() -> None:
    """H2-08."""
    stream = new(NO)
    assert receive(stream, b"no")
    stream.receive_head([(b"proxy-status", b"p; error=x")], last=True)
    assert (stream.ended, stream.tunnels, stream.readable) == (True, False, True)
    assert stream.take(9) == b"no"
    assert stream.trailers["proxy-status"] == "p; error=x"


@pytest.mark.parametrize("fields", [OK, NO], ids=["a tunnel", "a refusal"])
def test_an_answer_may_be_the_end(fields: Any) -> None:
    stream = H2Stream(1, send_window=0, window=WINDOW)
    stream.receive_head(fields, last=True)
    assert stream.ended
    assert stream.readable
    assert stream.take(9) == stream.peek() == b""
    for more in (lambda: stream.receive_head(fields, last=True), lambda: stream.begin_data(0, 0)):
        with pytest.raises(Malformed, match="went on after the end of a stream"):
            more()


def test_data_before_an_answer() -> None:
    for stream in (new(), new(EARLY)):
        with pytest.raises(Malformed, match="DATA before an answer"):
            stream.begin_data(0, 0)


# ---- the states ----


@pytest.mark.parametrize(
    ("change", "closed", "readable"),
    [
        ({}, False, False),
        ({"ended": True}, False, True),
        ({"finished": True}, False, False),
        ({"ended": True, "finished": True}, True, True),
        ({"loss": Loss("x", "reset", 8)}, True, True),
    ],
    ids=["open", "ended", "finished", "both", "lost"],
)
def test_the_states_of_a_stream(change: dict[str, Any], closed: bool, readable: bool) -> None:
    """H2-14, H2-15: one end is not the other, and an error is no end."""
    stream = new(OK)
    for name, value in change.items():
        setattr(stream, name, value)
    assert (stream.closed, stream.readable) == (closed, readable)
    assert stream.tunnels


# ---- the bytes ----


def test_what_arrives_is_taken() -> None:
    stream = new(OK)
    for part in (b"abc", b"de", b"f" * WINDOW):
        receive(stream, part)
    assert stream.readable
    assert (stream.peek(), stream.take(0), stream.take(1)) == (b"abc", b"", b"a")
    assert (stream.peek(), stream.take(4)) == (b"bc", b"bcde")
    assert stream.take(WINDOW - 1) == b"f" * (WINDOW - 1)
    assert (stream.readable, stream.take(9), stream.readable) == (True, b"f", False)


def test_what_arrived_before_a_loss_is_taken_still() -> None:
    """H2-14: and then it is no end."""
    stream = new(OK)
    receive(stream, b"abc")
    stream.loss = Loss("reset the stream", "reset", 10)
    assert stream.take(9) == b"abc"
    assert (stream.readable, stream.ended) == (True, False)


def test_what_nobody_will_take_is_not_kept() -> None:
    stream = new(OK)
    receive(stream, b"abc")
    stream.forget()
    receive(stream, b"def")
    assert (stream.readable, stream.take(9)) == (False, b"")


@pytest.mark.parametrize("length", [WINDOW, WINDOW + 1])
def test_the_window_of_a_stream(length: int) -> None:
    """H2-17: what the proxy may send, which padding takes a part of."""
    assert new(OK).begin_data(length, 0) is (length == WINDOW)


def test_credit_is_given_for_what_is_taken() -> None:
    """H2-17: in steps of a half, and for nothing that was not read."""
    stream = new(OK)
    receive(stream, bytes(WINDOW))
    assert stream.credit() == 0
    stream.take(WINDOW // 2 - 1)
    assert stream.credit() == 0
    stream.take(1)
    assert (stream.credit(), stream.credit()) == (WINDOW // 2, 0)
    assert stream.begin_data(WINDOW // 2, 0)
    assert not stream.begin_data(1, 0)


def test_padding_counts_as_taken() -> None:
    stream = new(OK)
    stream.begin_data(WINDOW, WINDOW)
    assert stream.credit() == WINDOW
    assert stream.begin_data(WINDOW, 0)


@pytest.mark.parametrize("change", [{"ended": True}, {"loss": Loss("x", "reset")}], ids=str)
def test_no_credit_where_nothing_more_comes(change: dict[str, Any]) -> None:
    """H2-16: nothing is sent on a stream that is closed."""
    stream = new(OK)
    receive(stream, bytes(WINDOW))
    stream.take(WINDOW)
    for name, value in change.items():
        setattr(stream, name, value)
    assert stream.credit() == 0


@given(
    st.lists(st.binary(min_size=1, max_size=3 * _WORTH_SHARING), max_size=8),
    st.lists(st.integers(0, 2 * _WORTH_SHARING), max_size=16),
)
def test_bytes_come_out_as_they_came_in(parts: list[bytes], sizes: list[int]) -> None:
    stream = new(OK)
    for part in parts:
        receive(stream, part)
    taken: list[bytes] = []
    for size in [*sizes, sum(map(len, parts))]:
        seen = stream.peek()
        taken.append(stream.take(size))
        assert len(taken[-1]) <= size
        assert seen[: len(taken[-1])] == taken[-1][: len(seen)]
    assert b"".join(taken) == b"".join(parts)
    assert not stream.readable


def kept(stream: H2Stream) -> int:
    """The memory behind what a stream holds."""
    behind: dict[int, int] = {}
    for chunk in stream._chunks:
        held = chunk.obj if isinstance(chunk, memoryview) else chunk
        behind[id(held)] = sys.getsizeof(held)
    return sum(behind.values())


def arrived(sizes: Iterable[int], among: int) -> H2Stream:
    """A stream with parts of these sizes, each out of so many octets that came with it."""
    stream = new(OK)
    for size in sizes:
        stream.begin_data(size, 0)
        stream.receive_data(memoryview(bytes(among))[:size])
    return stream


@pytest.mark.parametrize("size", [2, 100, _WORTH_SHARING - 1])
def test_small_parts_are_not_kept_with_all_that_came_with_them(size: int) -> None:
    """T19: or a proxy could have us hold many times the window."""
    count = WINDOW // size
    assert kept(arrived([size] * count, 65_536)) <= count * (size + 33)


def test_large_parts_are_not_copied() -> None:
    """And hold what came with them, which is less than as many reads."""
    count = WINDOW // _WORTH_SHARING
    stream = arrived([_WORTH_SHARING] * count, 65_536)
    assert all(isinstance(chunk, memoryview) for chunk in stream._chunks)
    assert kept(stream) <= count * (65_536 + 33)


def test_what_is_left_of_a_part_is_copied_when_it_is_small() -> None:
    stream = arrived([_WORTH_SHARING + 1, _WORTH_SHARING], 65_536)
    kinds: list[type[bytes | memoryview]] = []
    for _ in range(2):
        stream.take(1)
        kinds.append(type(stream._chunks[0]))
    assert kinds == [memoryview, bytes]
    assert stream.take(2 * _WORTH_SHARING) == bytes(2 * _WORTH_SHARING - 1)
