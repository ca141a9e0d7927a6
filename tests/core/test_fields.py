"""Fields that a caller adds to CONNECT: what of them goes on the wire, and what is refused."""

from __future__ import annotations

import pickle
import re
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connect_tunnel import __version__
from connect_tunnel._fields import InvalidField, RequestFields
from connect_tunnel._secret import Secret

AGENT = f"User-Agent: connect_tunnel/{__version__}\r\n".encode()

SENT: list[tuple[str, Any, bytes]] = [  # id, what is said, what goes on the wire
    ("H1-07 nothing: our User-Agent alone", (), AGENT),
    ("H1-07 another User-Agent", {"user-agent": "x/1"}, b"User-Agent: x/1\r\n"),
    ("H1-07 no User-Agent", {"User-Agent": None}, b""),
    (
        "H1-07 the last of two User-Agents",
        [("User-Agent", "a"), ("user-agent", "b")],
        b"User-Agent: b\r\n",
    ),
    (
        "H1-08 Proxy-Connection is the caller's",
        {"Proxy-Connection": "x"},
        AGENT + b"Proxy-Connection: x\r\n",
    ),
    ("a mapping", {"X-Team": "web"}, AGENT + b"X-Team: web\r\n"),
    ("a mapping that is no dict", MappingProxyType({"X": "1"}), AGENT + b"X: 1\r\n"),
    ("pairs", [("X", "1"), ("Y", "2")], AGENT + b"X: 1\r\nY: 2\r\n"),
    ("an iterator of pairs", iter([("X", "1")]), AGENT + b"X: 1\r\n"),
    (
        "a name twice, in order",
        [("X", "1"), ("Y", "2"), ("x", "3")],
        AGENT + b"X: 1\r\nY: 2\r\nx: 3\r\n",
    ),
    ("an empty value", {"X": ""}, AGENT + b"X: \r\n"),
    ("no value: no field", {"X": None}, AGENT),
    ("a blank and a tab in a value", {"X": "a b\tc"}, AGENT + b"X: a b\tc\r\n"),
    ("octets", {"X": b"caf\xe9"}, AGENT + b"X: caf\xe9\r\n"),
    (
        "every character of a token",
        {"!#$%&'*+.^_`|~-09azAZ": "x"},
        AGENT + b"!#$%&'*+.^_`|~-09azAZ: x\r\n",
    ),
]

REFUSED: list[tuple[str, Any, str]] = [  # id, what is said, what is said back
    ("H1-05 CR LF in a value", {"X": "a\r\nY: s3cr3t"}, "the value of X is not a field value"),
    ("H1-05 LF in a value", {"X": "a\ns3cr3t"}, "the value of X is not a field value"),
    ("H1-05 a last LF", {"X": "s3cr3t\n"}, "the value of X is not a field value"),
    ("H1-05 CR in a value", {"X": "a\rs3cr3t"}, "the value of X is not a field value"),
    ("H1-05 NUL in a value", {"X": "a\0s3cr3t"}, "the value of X is not a field value"),
    ("H1-05 DEL in a value", {"X": "a\x7fs3cr3t"}, "the value of X is not a field value"),
    ("H1-05 the same in octets", {"X": b"a\r\ns3cr3t"}, "the value of X is not a field value"),
    ("H1-05 a blank at the start", {"X": " s3cr3t"}, "the value of X is not a field value"),
    ("H1-05 a blank at the end", {"X": "s3cr3t "}, "the value of X is not a field value"),
    ("H1-05 a blank alone", {"X": " "}, "the value of X is not a field value"),
    ("H1-05 a blank in a name", {"A s3cr3t": "x"}, "a header name is not a token"),
    ("H1-05 a colon in a name", {"A:s3cr3t": "x"}, "a header name is not a token"),
    ("H1-05 CR LF in a name", {"A\r\ns3cr3t": "x"}, "a header name is not a token"),
    ("H1-05 a last LF in a name", {"s3cr3t\n": "x"}, "a header name is not a token"),
    ("H1-05 an empty name", {"": "s3cr3t"}, "a header name is not a token"),
    ("H1-05 an empty name without a value", {"": None}, "a header name is not a token"),
    ("H1-05 a bad name without a value", {"A\n": None}, "a header name is not a token"),
    ("T12 a name that is not ASCII", {"X-\u010d\u010a": "s3cr3t"}, "a header name is not a token"),
    ("T12 a name with a Kelvin sign", {"\u212a": "s3cr3t"}, "a header name is not a token"),
    (
        "T12 a value that is not ASCII",
        {"X": "s3cr3t \u010d\u010a"},
        "X is not ASCII; give it as bytes",
    ),
    ("H1-06 Content-Length", {"Content-Length": "0"}, "Content-Length has no place in CONNECT"),
    (
        "H1-06 content-length, whatever the case",
        {"content-LENGTH": b"0"},
        "has no place in CONNECT",
    ),
    ("H1-06 Transfer-Encoding", {"Transfer-Encoding": "chunked"}, "has no place in CONNECT"),
    ("H1-06 Expect", {"Expect": "100-continue"}, "has no place in CONNECT"),
    ("H1-06 TE", {"TE": "trailers"}, "has no place in CONNECT"),
    ("H1-06 Trailer", {"Trailer": "X"}, "has no place in CONNECT"),
    ("H1-04 an empty Host", {"Host": ""}, "Host is empty"),
    ("H1-05 CR LF in Host", {"Host": "h\r\ns3cr3t"}, "the value of Host is not a field value"),
    ("H1-05 CR LF in User-Agent", {"User-Agent": "x\r\ns3cr3t"}, "the value of User-Agent is not"),
    (
        "H1-05 CR LF in credentials",
        {"Proxy-Authorization": "s3cr3t\r\n"},
        "Proxy-Authorization is not",
    ),
    ("a name that is no text", {b"X": "s3cr3t"}, "a header name is not a token"),
    ("a value that is no text", {"X": 5}, "the value of X is not a field value"),
    ("a list of values", {"X": ["s3cr3t"]}, "the value of X is not a field value"),
    ("no pairs at all", 5, "header"),
    ("octets for all of it", b"X: s3cr3t", "header"),
    ("text for all of it", "X: s3cr3t", "header"),
    ("text for a pair", ["ab"], "header"),
    ("one of a pair", [("s3cr3t",)], "header"),
    ("three of a pair", [("X", "1", "s3cr3t")], "header"),
    ("a number for a pair", [5], "header"),
]


def rows(table: list[Any]) -> list[Any]:
    return [pytest.param(*row[1:], id=row[0]) for row in table]


@pytest.mark.parametrize(("said", "wire"), rows(SENT))
def test_what_goes_on_the_wire(said: Any, wire: bytes) -> None:
    fields = RequestFields(said)
    assert fields.wire == wire
    assert (fields.host, fields.credentials, fields.closes) == (None, None, False)


@pytest.mark.parametrize(("said", "words"), rows(REFUSED))
def test_what_is_refused(said: Any, words: str) -> None:
    with pytest.raises(InvalidField) as caught:
        RequestFields(said)
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "host"),
    [
        pytest.param({}, None, id="H1-04 none: the authority"),
        pytest.param({"host": "other:1"}, b"other:1", id="H1-04 the caller's replaces it"),
        pytest.param({"Host": b"other"}, b"other", id="H1-04 in octets"),
        pytest.param([("Host", "a"), ("HOST", "b")], b"b", id="H1-04 the last, never two"),
        pytest.param({"Host": None}, None, id="H1-04 it cannot be left out"),
    ],
)
def test_host_is_apart(said: Any, host: bytes | None) -> None:
    fields = RequestFields(said)
    assert (fields.host, fields.wire) == (host, AGENT)


@pytest.mark.parametrize(
    ("said", "credentials"),
    [
        pytest.param({"Proxy-Authorization": "Basic eA=="}, b"Basic eA==", id="H1-11 text"),
        pytest.param({"proxy-authorization": b"X \xff"}, b"X \xff", id="H1-11 octets"),
        pytest.param({"Proxy-Authorization": None}, None, id="H1-11 None"),
        pytest.param(
            [("Proxy-Authorization", "a"), ("Proxy-Authorization", None)], None, id="H1-11 undone"
        ),
    ],
)
def test_credentials_are_apart_and_secret(said: Any, credentials: bytes | None) -> None:
    fields = RequestFields(said)
    assert fields.credentials == (None if credentials is None else Secret(credentials))
    assert fields.wire == AGENT
    if credentials is not None:
        assert repr(fields.credentials) == "***"
        with pytest.raises(TypeError, match="secret"):
            pickle.dumps(fields)


@pytest.mark.parametrize(
    ("said", "closes"),
    [
        pytest.param({"Connection": "close"}, True, id="H1-09 close"),
        pytest.param({"connection": b"x, CLOSE ,y"}, True, id="H1-09 among others"),
        pytest.param(
            [("Connection", "close"), ("Connection", "x")], True, id="H1-09 in one of two"
        ),
        pytest.param({"Connection": "keep-alive"}, False, id="H1-09 not that"),
        pytest.param({"Connection": "closed"}, False, id="H1-09 nor that"),
        pytest.param({"Connection": None}, False, id="H1-09 nothing"),
        pytest.param({"Proxy-Connection": "close"}, False, id="H1-09 a field of no standing"),
    ],
)
def test_whether_the_connection_is_used_again(said: Any, closes: bool) -> None:
    assert RequestFields(said).closes is closes


@pytest.mark.parametrize(
    ("pairs", "name"),
    [
        ((), None),
        ({"X-One": "connection", "Host": "h.test", "Proxy-Authorization": "x"}, None),
        ({"X": "1", "Connection": "close"}, "Connection"),
        ({"keep-alive": "5"}, "keep-alive"),
        ({"Proxy-Connection": ""}, "Proxy-Connection"),
        ({"UPGRADE": "h2c"}, "UPGRADE"),
    ],
    ids=["none", "others", "Connection", "Keep-Alive", "Proxy-Connection", "Upgrade"],
)
def test_h2_02_what_http_2_does_not_have(pairs: Any, name: str | None) -> None:
    complaint = RequestFields(pairs).complaint_in_http2()
    said = f"cannot be sent {name} in HTTP/2, where connections are shared"
    assert complaint == (None if name is None else said)


def test_it_is_a_value() -> None:
    same = RequestFields({"X": "1"})
    assert same == RequestFields([("X", b"1")])
    assert hash(same) == hash(RequestFields([("X", b"1")]))
    assert pickle.loads(pickle.dumps(same)) == same


@pytest.mark.parametrize(
    "other",
    [{}, {"X": "2"}, {"x": "1"}, {"X": "1", "Host": "h"}, {"X": "1", "Proxy-Authorization": "s"}],
)
def test_fields_that_differ(other: Any) -> None:
    assert RequestFields(other) != RequestFields({"X": "1"})


def test_fields_are_nothing_else() -> None:
    assert RequestFields() != AGENT


@pytest.mark.parametrize("name", ["closes", "credentials", "host", "wire"])
def test_t12_they_cannot_be_changed_once_they_are_checked(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(RequestFields(), name, b"X: y\r\nZ")


def test_au_24_a_repr_holds_no_value() -> None:
    fields = RequestFields({"X-Token": "s3cr3t", "Proxy-Authorization": "s3cr3t", "Host": "s3cr3t"})
    assert repr(fields) == "<RequestFields User-Agent, X-Token>"


# --- whatever is said ---

LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n")
CONTROLS = "".join(map(chr, [*range(9), *range(10, 0x20), 0x7F]))
properties = settings(deadline=None, database=None, derandomize=True, max_examples=200)
token = st.from_regex(r"X-[A-Za-z0-9]{1,9}", fullmatch=True)


def assert_harmless(name: Any, value: Any) -> None:
    """It is refused and not shown, or it is exactly one line."""
    try:
        wire = RequestFields({name: value, "User-Agent": None}).wire
    except InvalidField as error:
        shown = str(error)
        assert shown.isascii()
        assert shown.isprintable()
    else:
        assert not wire or LINE.fullmatch(wire)


@properties
@given(name=st.text(max_size=20), value=st.text(max_size=20) | st.binary(max_size=20))
def test_t11_whatever_is_said(name: str, value: str | bytes) -> None:
    assert_harmless(name, value)
    assert_harmless("X", value)
    assert_harmless(name, "x")


@properties
@given(token, st.text(max_size=9), st.sampled_from(CONTROLS), st.text(max_size=9))
def test_t11_a_value_with_a_control(name: str, before: str, bad: str, after: str) -> None:
    value = f"{before}{bad}{after}"
    for given_value in (value, value.encode("utf-8", "replace")):
        with pytest.raises(InvalidField) as caught:
            RequestFields({name: given_value})
        assert str(caught.value).startswith(f"the value of {name} is not ")


@properties
@given(token, st.sampled_from(CONTROLS + '\t :@/(),;<=>?[\\]{}"'), st.text(max_size=9))
def test_t11_a_name_with_what_no_name_has(before: str, bad: str, after: str) -> None:
    with pytest.raises(InvalidField, match="a header name is not a token"):
        RequestFields({f"{before}{bad}{after}": "x"})


@properties
@given(st.lists(st.integers(0, 255), min_size=1, max_size=9))
def test_t12_octets_are_never_cut_out_of_characters(octets: list[int]) -> None:
    # As latin-1 with its errors ignored, U+010D U+010A would be CR LF.
    text = "x" + "".join(chr(0x100 + octet) for octet in octets)
    with pytest.raises(InvalidField, match="not ASCII; give it as bytes"):
        RequestFields({"X": text})
    with pytest.raises(InvalidField, match="a header name is not a token"):
        RequestFields({text: "x"})
