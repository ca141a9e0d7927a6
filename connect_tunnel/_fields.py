"""Header fields that a caller adds to CONNECT, checked before they are sent.

They are the proxy's, and strictly apart from anything inside the tunnel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

from ._frozen import Frozen
from ._secret import Secret
from ._version import __version__

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ._target import Target

FieldValue: TypeAlias = "str | bytes | None"
FieldPairs: TypeAlias = "Mapping[str, FieldValue] | Iterable[tuple[str, FieldValue]]"
FieldsLike: TypeAlias = "FieldPairs | Callable[[Target], FieldPairs | Awaitable[FieldPairs]]"

USER_AGENT = f"connect_tunnel/{__version__}".encode()

_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE = re.compile(rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?")
# A CONNECT request has no content (RFC 9110, 9.3.6), so nothing may frame any or ask leave
# to send it; nghttpx would chunk the tunnel, privoxy lose its first bytes.
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"expect", b"trailer", b"te"})
_OF_CONNECTIONS = frozenset({b"connection", b"keep-alive", b"proxy-connection", b"upgrade"})


class InvalidField(ValueError):
    """A field cannot be sent. The message never holds its value."""


class RequestFields(Frozen):
    """The fields of a CONNECT request but for Host and credentials, ready to be sent.

    Attributes:
        host: What goes into Host instead of the authority, if the caller wants that.
        credentials: A Proxy-Authorization that the caller made; sent as it is.
        pairs: All other fields, their names in lower case.
        wire: The same as they go on the wire of HTTP/1.
        closes: Whether they say that the connection is not to be used again.
    """

    __slots__ = ("closes", "credentials", "host", "pairs", "wire")

    host: bytes | None
    credentials: Secret[bytes] | None
    pairs: tuple[tuple[bytes, bytes], ...]
    wire: bytes
    closes: bool

    def __init__(self, pairs: FieldPairs = ()) -> None:
        special: dict[bytes, bytes | None] = {b"host": None, b"user-agent": USER_AGENT}
        special[b"proxy-authorization"] = None
        others: list[tuple[bytes, bytes]] = []
        lines: list[bytes] = []
        closes = False
        for name, value in _pairs(pairs):
            key, shown, octets = _read(name, value)
            if key in special:
                special[key] = octets
            elif octets is not None:
                others.append((key, octets))
                lines.append(b"%b: %b\r\n" % (shown, octets))
                options = {option.strip().lower() for option in octets.split(b",")}
                closes |= key == b"connection" and b"close" in options
        agent = special[b"user-agent"]
        if agent is not None:
            others.insert(0, (b"user-agent", agent))
            lines.insert(0, b"User-Agent: %b\r\n" % agent)
        credentials = special[b"proxy-authorization"]
        self._set(
            host=special[b"host"],
            credentials=None if credentials is None else Secret(credentials),
            pairs=tuple(others),
            wire=b"".join(lines),
            closes=closes,
        )

    def complaint_in_http2(self) -> str | None:
        """Why they cannot be sent in HTTP/2, if they cannot (RFC 9113, 8.2.2)."""
        for line in self.wire.splitlines():
            name = line.partition(b":")[0]
            if name.lower() in _OF_CONNECTIONS:
                return f"cannot be sent {name.decode()} in HTTP/2, where connections are shared"
        return None

    def _facts(self) -> tuple[object, ...]:
        return self.host, self.credentials, self.wire

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RequestFields) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _shown(self) -> str:
        # Names only: a value may be a token of the caller's.
        names = [line.partition(b":")[0].decode() for line in self.wire.splitlines()]
        return f"<RequestFields {', '.join(names)}>"


def _pairs(pairs: object) -> Iterable[tuple[object, object]]:
    if isinstance(pairs, Mapping):
        return cast("Mapping[object, object]", pairs).items()
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise InvalidField("headers are a mapping, pairs, or a callable that gives one of these")
    found: list[tuple[object, object]] = []
    for pair in cast("Iterable[object]", pairs):
        members = list(cast("Iterable[object]", pair)) if isinstance(pair, tuple | list) else []
        if len(members) != 2:
            raise InvalidField("headers are pairs of a name and a value")
        found.append((members[0], members[1]))
    return found


def _read(name: object, value: object) -> tuple[bytes, bytes, bytes | None]:
    if not isinstance(name, str) or not name.isascii() or not _TOKEN.fullmatch(name.encode()):
        raise InvalidField("a header name is not a token (RFC 9110, 5.1)")
    shown = name.encode()
    if (key := shown.lower()) in _FRAMING:
        raise InvalidField(f"{name} has no place in CONNECT, which has no content")
    if value is None:
        return key, shown, None
    if isinstance(value, str) and not value.isascii():
        # Which octets? Latin-1 and UTF-8 disagree, so the caller has to say.
        raise InvalidField(f"the value of {name} is not ASCII; give it as bytes")
    octets = field_value(value)
    if octets is None:
        raise InvalidField(f"the value of {name} is not a field value (RFC 9110, 5.5)")
    if key == b"host" and not octets:
        raise InvalidField("Host is empty")
    return key, shown, octets


def field_value(value: object) -> bytes | None:
    """The octets of a field's value; None if it cannot be one (RFC 9110, 5.5)."""
    if isinstance(value, str) and value.isascii():
        value = value.encode()
    return value if isinstance(value, bytes) and _VALUE.fullmatch(value) else None
