"""Header fields as they came: by any case, several of one name, and byte-exact."""

from __future__ import annotations

import copy
import pickle

import pytest

from connect_tunnel import Headers

RAW = (
    (b"Via", b"1.1 a"),
    (b"Proxy-Authenticate", b"Negotiate"),
    (b"via", b"1.0 b"),
    (b"X-Octets", b"\xff\xfe"),
    (b"Set-Cookie", b"id=s3cr3t"),
)
HEADERS = Headers(RAW)


@pytest.mark.parametrize(
    ("name", "value", "values"),
    [
        pytest.param("via", "1.1 a, 1.0 b", ["1.1 a", "1.0 b"], id="repeated: joined, in order"),
        pytest.param("VIA", "1.1 a, 1.0 b", ["1.1 a", "1.0 b"], id="by any case"),
        pytest.param("Proxy-authenticate", "Negotiate", ["Negotiate"], id="one"),
        pytest.param("x-octets", "\xff\xfe", ["\xff\xfe"], id="H1-31 octets as Latin-1"),
        pytest.param("server", None, [], id="none"),
        pytest.param("X-\u0124", None, [], id="no name that could be there"),
    ],
)
def test_looking_a_field_up(name: str, value: str | None, values: list[str]) -> None:
    assert HEADERS.get_list(name) == values
    assert HEADERS.get(name) == value
    assert (name in HEADERS) is (value is not None)
    if value is None:
        with pytest.raises(KeyError, match=name):
            HEADERS[name]
    else:
        assert HEADERS[name] == value
        assert HEADERS[name].encode("latin-1") == ", ".join(values).encode("latin-1")


def test_it_is_a_mapping_of_each_name_once() -> None:
    assert list(HEADERS) == ["via", "proxy-authenticate", "x-octets", "set-cookie"]
    assert dict(HEADERS)["via"] == "1.1 a, 1.0 b"
    assert len(HEADERS) == len(list(HEADERS)) == 4
    assert len(Headers()) == 0


def test_raw_is_what_came() -> None:
    assert HEADERS.raw is RAW
    assert Headers().raw == ()


def test_it_is_a_value() -> None:
    assert Headers(RAW) == HEADERS
    assert hash(Headers(RAW)) == hash(HEADERS)
    assert Headers(RAW[:1]) != HEADERS
    assert dict(HEADERS) != HEADERS
    for same in (copy.copy(HEADERS), copy.deepcopy(HEADERS)):
        assert same == HEADERS


def test_au_24_a_pickle_of_it_has_stars_for_secrets() -> None:
    raw = (
        (b"Via", b"1.1 a"),
        (b"proxy-authenticate", b'Digest nonce="s3cr3t"'),
        (b"Proxy-Authentication-Info", b'nextnonce="s3cr3t"'),
        (b"WWW-Authenticate", b"Negotiate s3cr3t"),
        (b"AUTHENTICATION-INFO", b'rspauth="s3cr3t"'),
        (b"Set-Cookie", b"id=s3cr3t"),
        (b"X-Octets", b"\xff\xfe"),
    )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        pickled = pickle.dumps(Headers(raw), protocol)
        assert b"s3cr3t" not in pickled
        kept = pickle.loads(pickled)
        assert [name for name, _ in kept.raw] == [name for name, _ in raw]
        assert [value for _, value in kept.raw] == [b"1.1 a", *[b"***"] * 5, b"\xff\xfe"]


def test_it_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        setattr(Headers(RAW), "raw", ())  # noqa: B010 - no checker lets it be said otherwise


def test_au_24_its_repr_holds_no_value() -> None:
    assert repr(HEADERS) == "<Headers via, proxy-authenticate, x-octets, set-cookie>"
