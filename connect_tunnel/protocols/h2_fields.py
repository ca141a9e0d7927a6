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
# Of the names that every table begins with, those that are sent with CONNECT.
_NAMES: Final = {b":authority": 1, b":method": 2, b"proxy-authorization": 49, b"user-agent": 58}


def encode(fields: Fields) -> bytes:
    """A block of fields, in their order."""
    parts: list[bytes] = []
    for name, value in fields:
        kind = _NEVER_INDEXED if name in _SECRET else 0
        index = _NAMES.get(name)
        if index is None:
            parts += (_integer(0, 4, kind), _integer(len(name), 7), name)
        else:
            parts.append(_integer(index, 4, kind))
        parts += (_integer(len(value), 7), value)
    return b"".join(parts)


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
