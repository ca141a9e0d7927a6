"""Blocks of fields for HTTP/2, as hpack reads them."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connect_tunnel.protocols.h2_fields import NO_TABLE, encode

PAIR = st.tuples(st.binary(min_size=1, max_size=300), st.binary(max_size=300))


def decode(block: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in hpack.Decoder().decode(block, raw=True)]


@given(st.lists(PAIR, max_size=5))
def test_whatever_is_said_is_read_again(fields: list[tuple[bytes, bytes]]) -> None:
    assert decode(encode(fields)) == fields
    assert decode(NO_TABLE + encode(fields)) == fields


@pytest.mark.parametrize("size", [0, 1, 126, 127, 128, 254, 255, 16_510, 16_511, 40_000])
def test_lengths_of_every_kind(size: int) -> None:
    """RFC 7541, 5.1: in seven bits, or in as many octets as it takes."""
    assert decode(encode([(b"x-long", bytes(size))])) == [(b"x-long", bytes(size))]


@pytest.mark.parametrize(
    ("field", "block"),
    [
        ((b":method", b"CONNECT"), b"\x02\x07CONNECT"),
        ((b":authority", b"a.test:443"), b"\x01\x0aa.test:443"),
        ((b"user-agent", b"x"), b"\x0f\x2b\x01x"),
        ((b"x-team", b"web"), b"\x00\x06x-team\x03web"),
        # H2-19: never indexed, by nobody on the way (RFC 7541, 6.2.3).
        ((b"proxy-authorization", b"Basic dTpw"), b"\x1f\x22\x0aBasic dTpw"),
        ((b"cookie", b"c"), b"\x10\x06cookie\x01c"),
    ],
    ids=["method", "authority", "agent", "another", "credentials", "cookie"],
)
def test_octet_by_octet(field: tuple[bytes, bytes], block: bytes) -> None:
    assert encode([field]) == block


def test_nothing_is_kept_for_the_next_block() -> None:
    decoder = hpack.Decoder()
    for block in (NO_TABLE + encode([(b"x-secret", b"1")]), encode([(b"x-secret", b"2")])):
        decoder.decode(block, raw=True)
    assert decoder.header_table_size == 0
