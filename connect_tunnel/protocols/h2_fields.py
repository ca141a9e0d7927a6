"""Writing a block of fields for HTTP/2 (RFC 7541): as literals, and without a table.

Reading one is hpack's. To write, a table would save a few octets a tunnel, and cost more CPU
than the rest of asking; what is worse, it would keep what one tunnel said where another one's
block refers to it (RFC 7541, 7.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .h2_stream import Fields

# That there is no table is said once, in front of the first block (RFC 7541, 6.3).
NO_TABLE: Final = b"\x20"

_NEVER_INDEXED = 0x10  # by nobody on the way, either (RFC 7541, 6.2.3)
_SECRET: Final = frozenset({b"proxy-authorization", b"authorization", b"cookie"})


def encode(fields: Fields) -> bytes:
    """A block of fields, in their order."""
    parts: list[bytes] = []
    for name, value in fields:
        size = len(value)
        length = _OCTETS[size] if size < 127 else _integer(size, 7)
        parts += (_NAMES.get(name) or _name(name), length, value)
    return b"".join(parts)


def _name(name: bytes, index: int = 0) -> bytes:
    """How a field begins: with the place of its name in every table, or with the name itself."""
    place = _integer(index, 4, _NEVER_INDEXED if name in _SECRET else 0)
    return place if index else b"".join((place, _integer(len(name), 7), name))


def _integer(value: int, bits: int, first: int = 0) -> bytes:
    """A number in so many bits, and in as many octets after them as it takes (RFC 7541, 5.1)."""
    limit = (1 << bits) - 1
    if value < limit:
        return _OCTETS[first | value]
    octets = bytearray((first | limit,))
    value -= limit
    while value >= 128:
        octets.append(value & 127 | 128)
        value >>= 7
    octets.append(value)
    return bytes(octets)


_OCTETS: Final = [bytes((value,)) for value in range(256)]

# Of the names that every table begins with, those that are sent with CONNECT.
_PLACES = {b":authority": 1, b":method": 2, b"proxy-authorization": 49, b"user-agent": 58}
_NAMES: Final = {name: _name(name, index) for name, index in _PLACES.items()}
