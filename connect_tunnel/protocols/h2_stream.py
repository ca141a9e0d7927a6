"""One stream of an HTTP/2 connection: a tunnel, or a refusal on its way.

It holds what has arrived and was not taken yet, and both windows (RFC 9113, 5.2). It knows
nothing of other streams; the connection feeds it, and asks it what to say.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

from connect_tunnel._headers import Headers
from connect_tunnel._response import ProxyResponse

from . import h2_frames as wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    Fields: TypeAlias = Iterable[tuple[bytes, bytes]]

MAX_FIELDS = 256  # as in HTTP/1
MAX_INTERIM = 8  # likewise

# Below this a part is copied: it would keep all that arrived with it from being freed, and a
# proxy that sends single octets among much else would have us hold far more than its window.
_WORTH_SHARING = 4096

_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+")  # lower case only (RFC 9113, 8.2.1)
_VALUE = re.compile(rb"(?:[^\0\r\n\t ](?:[^\0\r\n]*[^\0\r\n\t ])?)?")
_STATUS = re.compile(rb"[1-9][0-9]{2}")
_OF_CONNECTIONS: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)

_NONE: Final = Headers()
_AFTER_THE_END = "went on after the end of a stream"

Cause: TypeAlias = Literal["reset", "malformed", "unprocessed", "version", "ended"]


class Loss(NamedTuple):
    """How a stream came to a bad end.

    Attributes:
        said: In words, to follow the name of a tunnel or a proxy.
        cause: "reset" by the proxy; "malformed", what came was not allowed to; "unprocessed",
            nothing was done about it (RFC 9113, 8.7); "version", it is to be asked in HTTP/1.1;
            "ended", the connection did.
        code: The error code, if the proxy gave one.
    """

    said: str
    cause: Cause
    code: int | None = None


GIVEN_UP: Final = Loss("gave up the stream", "reset", wire.CANCEL)


class Malformed(Exception):
    """A message breaks RFC 9113, 8: the error of one stream, and of no other."""


class H2Stream:
    """A stream, as far as its own frames tell.

    Attributes:
        id: Its identifier.
        response: The answer, once it is there.
        trailers: The fields after the body of a refusal.
        send_window: How much may be sent; negative if the proxy took back more than was left.
        ended: Whether the proxy has ended its side.
        finished: Whether we have ended ours.
        loss: How it came to a bad end, if it did. What had arrived before can be taken still.
    """

    __slots__ = (
        "_buffered", "_chunks", "_credit", "_deaf", "_interim", "_taken", "_window", "ended",
        "finished", "id", "loss", "response", "send_window", "trailers",
    )  # fmt: skip

    def __init__(self, number: int, *, send_window: int, window: int) -> None:
        self.id: Final = number
        self.response: ProxyResponse | None = None
        self.trailers: Headers = _NONE
        self.send_window: int = send_window
        self.ended: bool = False
        self.finished: bool = False
        self.loss: Loss | None = None
        self._chunks: Final[deque[bytes | memoryview]] = deque()
        self._buffered = 0
        self._interim = 0
        self._deaf = False
        self._window: Final = window
        self._credit = window  # how much the proxy may send
        self._taken = 0  # and how much of that is to be given back

    @property
    def tunnels(self) -> bool:
        """Whether it is an open tunnel, and no refusal."""
        return self.response is not None and 200 <= self.response.status < 300

    @property
    def closed(self) -> bool:
        """Whether nothing more can happen on it."""
        return self.loss is not None or (self.ended and self.finished)

    @property
    def readable(self) -> bool:
        """Whether a read would have something to say."""
        return self._buffered > 0 or self.ended or self.loss is not None

    # ---- what arrives ----

    def receive_head(self, fields: Fields, *, last: bool) -> None:
        """Digest a block of fields.

        Raises:
            Malformed: It is not what may come here.
        """
        if self.ended:
            raise Malformed(_AFTER_THE_END)
        if self.response is None:
            response = parse_head(fields)
            if response.status >= 200:
                self.response = response
            else:
                self._receive_interim(response, last=last)
        elif self.tunnels or not last:
            # RFC 9113, 8.5 knows none on a tunnel, and 8.1 no others than at the end.
            raise Malformed("sent fields in the middle of a stream")
        else:
            self.trailers = Headers(tuple(_checked(fields)))
        self.ended = last

    def _receive_interim(self, response: ProxyResponse, *, last: bool) -> None:
        self._interim += 1
        if response.status == 101 or last:
            raise Malformed(f"answered CONNECT with {response.status} and nothing else")
        if self._interim > MAX_INTERIM:
            raise Malformed(f"sent more than {MAX_INTERIM} interim responses and no answer")

    def begin_data(self, length: int, padding: int) -> bool:
        """Expect so much, of which so much is padding; False if it exceeds the window.

        Raises:
            Malformed: It comes before the answer, or after the end.
        """
        if self.ended:
            raise Malformed(_AFTER_THE_END)
        if self.response is None:
            raise Malformed("sent DATA before an answer")
        self._credit -= length
        self._taken += padding  # which nobody else will take
        return self._credit >= 0

    def receive_data(self, part: memoryview) -> None:
        """Keep some of it, unless it is late or nobody will take it."""
        if self._deaf or self.loss is not None:
            return
        self._chunks.append(part if len(part) >= _WORTH_SHARING else bytes(part))
        self._buffered += len(part)

    # ---- what is taken ----

    def peek(self) -> bytes:
        """What has arrived first."""
        return bytes(self._chunks[0]) if self._chunks else b""

    def take(self, max_bytes: int) -> bytes:
        """Take up to so many bytes."""
        chunks, room = self._chunks, max_bytes
        parts: list[bytes | memoryview] = []
        while chunks and room:
            chunk = chunks.popleft()
            if len(chunk) > room:
                rest = memoryview(chunk)[room:]
                chunks.appendleft(rest if len(rest) >= _WORTH_SHARING else bytes(rest))
                chunk = chunk[:room]
            parts.append(chunk)
            room -= len(chunk)
        data = bytes(parts[0]) if len(parts) == 1 else b"".join(parts)
        self._buffered -= len(data)
        self._taken += len(data)
        return data

    def forget(self) -> None:
        """Drop what nobody will take, now and later."""
        self._deaf = True
        self._chunks.clear()
        self._buffered = 0

    def credit(self) -> int:
        """How much to allow the proxy now; in few and large steps."""
        if self.ended or self.loss is not None or self._taken < self._window // 2:
            return 0
        given, self._taken = self._taken, 0
        self._credit += given
        return given


def parse_head(fields: Fields) -> ProxyResponse:
    """The answer that a block of fields is.

    Raises:
        Malformed: It is none (RFC 9113, 8.1.1).
    """
    pairs = iter(fields)
    name, status = next(pairs, (b"", b""))
    if name != b":status" or not _STATUS.fullmatch(status):
        raise Malformed("answered without a status")
    lines = [b"%b: %b\r\n" % pair for pair in _checked(pairs)]
    return ProxyResponse(int(status), "", "2", b"".join(lines))


def _checked(fields: Fields) -> list[tuple[bytes, bytes]]:
    checked: list[tuple[bytes, bytes]] = []
    for name, value in fields:
        if not _NAME.fullmatch(name):
            raise Malformed(f"sent a field that is called {name.decode('latin-1')!a}")
        if name in _OF_CONNECTIONS:
            raise Malformed(f"sent a field '{name.decode()}', which HTTP/2 does not have")
        if not _VALUE.fullmatch(value):
            raise Malformed(f"sent a field '{name.decode()}' that is malformed")
        checked.append((name, value))
    if len(checked) > MAX_FIELDS:
        raise Malformed(f"sent more than {MAX_FIELDS} fields")
    return checked
