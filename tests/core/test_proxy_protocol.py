"""The PROXY protocol: the header for a connection, octet by octet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel.protocols.proxy_protocol import header

if TYPE_CHECKING:
    from connect_tunnel._steps import Address

    Ends = tuple[Address, Address]

V4 = ("192.0.2.9", 50000), ("192.0.2.1", 3128)
V6 = ("2001:db8::9", 65535), ("2001:db8::1", 1)
ZONED = ("fe80::9%eth0", 50000), ("fe80::1%2", 3128)
MAPPED = ("::ffff:192.0.2.9", 50000), ("::ffff:192.0.2.1", 3128)

SIGNATURE = bytes.fromhex("0d0a0d0a000d0a515549540a")
IPV6_9 = bytes.fromhex("20010db8000000000000000000000009")
IPV6_1 = bytes.fromhex("20010db8000000000000000000000001")
LOCAL_9 = bytes.fromhex("fe800000000000000000000000000009")
LOCAL_1 = bytes.fromhex("fe800000000000000000000000000001")
MAPPED_9 = bytes.fromhex("00000000000000000000ffffc0000209")
MAPPED_1 = bytes.fromhex("00000000000000000000ffffc0000201")
PORTS = b"\xc3\x50\x0c\x38"

HEADERS: dict[str, tuple[Any, Ends | None, bytes]] = {
    "1, IPv4": (1, V4, b"PROXY TCP4 192.0.2.9 192.0.2.1 50000 3128\r\n"),
    "1, IPv6": (1, V6, b"PROXY TCP6 2001:db8::9 2001:db8::1 65535 1\r\n"),
    "1, NM-06 a zone": (1, ZONED, b"PROXY TCP6 fe80::9 fe80::1 50000 3128\r\n"),
    "1, a Unix socket": (1, None, b"PROXY UNKNOWN\r\n"),
    "2, IPv4": (
        2, V4,
        SIGNATURE + b"\x21\x11\x00\x0c" + b"\xc0\x00\x02\x09\xc0\x00\x02\x01" + PORTS,
    ),
    "2, IPv6": (
        2, V6, SIGNATURE + b"\x21\x21\x00\x24" + IPV6_9 + IPV6_1 + b"\xff\xff\x00\x01",
    ),
    "2, NM-06 a zone": (2, ZONED, SIGNATURE + b"\x21\x21\x00\x24" + LOCAL_9 + LOCAL_1 + PORTS),
    "2, IPv4 as IPv6": (2, MAPPED, SIGNATURE + b"\x21\x21\x00\x24" + MAPPED_9 + MAPPED_1 + PORTS),
    "2, a Unix socket": (2, None, SIGNATURE + b"\x20\x00\x00\x00"),
}  # fmt: skip


@pytest.mark.parametrize(("version", "ends", "said"), HEADERS.values(), ids=HEADERS)
def test_a_header(version: Any, ends: Ends | None, said: bytes) -> None:
    assert header(version, ends) == said


def test_the_longest_line_of_version_1() -> None:
    """As the specification has it: 107 octets with the CR LF."""
    longest = ":".join(["ffff"] * 8)
    assert len(header(1, ((longest, 65535), (longest, 65535)))) <= 107
