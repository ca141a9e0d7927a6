"""The body of a refusal: an ordinary HTTP/1 response with ordinary framing.

We choose the framing by RFC 9112, 6.3, and h11 reads the body under it. h11 never sees the
proxy's own head: it insists on things that must not cost us the status of the refusal.
Framing that is broken or never ends leaves the refusal what it is, with `complete` False.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

from connect_tunnel._errors import ProxyHungUp, TunnelTimeout
from connect_tunnel._headers import Headers
from connect_tunnel._steps import Peek, Take

if TYPE_CHECKING:
    import h11

    from connect_tunnel._response import ProxyResponse
    from connect_tunnel._steps import Program

MAX_BODY = 65536  # of an error page; what is longer is cut
MAX_BODY_SECONDS = 2.0  # a page that is slow to come must not hold back the refusal

_DIGITS = re.compile(rb"[0-9]+")
_ENDLESS = 10**18  # more than anybody will read; h11 takes twenty digits

Framing: TypeAlias = "int | Literal['chunked', 'close', 'faulty']"


class Body:
    """The body of a refusal, read part by part.

    Attributes:
        complete: Whether all of it was read, and its framing was sound.
        persistent: Whether the head promises a connection that can be used again.
        reusable: Whether it can, now that all was read (RFC 9112, 9.3).
        trailers: The fields after it.
    """

    __slots__ = ("_codec", "_ended", "_framing", "complete", "persistent", "reusable", "trailers")

    def __init__(
        self, response: ProxyResponse, *, followed: bool = False, framing: Framing | None = None
    ) -> None:
        self._framing: Framing = framing_of(response) if framing is None else framing
        self._ended: bool = self._framing == 0
        self.complete: bool = self._ended
        self._codec = None if self._ended else _codec(self._framing)
        self.persistent: bool = persists(response)
        self.reusable: bool = self._ended and self.persistent and not followed
        self.trailers: Headers = Headers()

    def next_part(self) -> Program[bytes]:
        """Read some of it: empty at the end, wherever that is."""
        while not self._ended:
            try:
                part = yield from self._advance()
            except (ProxyHungUp, TunnelTimeout):
                self._ended = True
                break
            if part:
                return part
        return b""

    def _advance(self) -> Program[bytes]:
        import h11  # noqa: PLC0415 - 20 ms, for refusals only

        assert self._codec is not None
        try:
            event = self._codec.next_event()
            if event is h11.NEED_DATA:
                seen = yield from Peek()
                # Nothing that follows a refusal is the target's: it may all be taken.
                yield from Take(len(seen))
                self._codec.receive_data(seen)
                return b""
        except h11.RemoteProtocolError:
            self._ended = True
            return b""
        if isinstance(event, h11.Data):
            return bytes(event.data)
        assert isinstance(event, h11.EndOfMessage)
        self._ended = True
        self.complete = self._framing != "faulty"
        self.trailers = Headers(tuple(event.headers.raw_items()))
        # What follows a refusal that is over is not another answer (RFC 9112, 6.3), and
        # would be taken for one if the connection were used again.
        surplus, closed = self._codec.trailing_data
        self.reusable = self.persistent and not surplus and not closed
        return b""


def read_body(body: Body) -> Program[bytes]:
    """Read the body whole, or the first 64 KiB of it."""
    parts = bytearray()
    while len(parts) <= MAX_BODY and (part := (yield from body.next_part())):
        parts += part
    if len(parts) > MAX_BODY:
        body.complete = body.reusable = False
    return bytes(parts[:MAX_BODY])


def framing_of(response: ProxyResponse) -> Framing:
    """How the body of a refusal is delimited (RFC 9112, 6.3)."""
    if response.status == 304:
        return 0
    codings = [coding for coding in _tokens(response, "transfer-encoding") if coding]
    if codings:
        if response.http_version == "1.0" or codings.count("chunked") != 1:
            # An HTTP/1.0 sender does not know what it says (RFC 9112, 6.1).
            return "faulty" if response.http_version == "1.0" else "close"
        return "chunked" if codings[-1] == "chunked" else "close"
    lengths = set(_tokens(response, "content-length"))
    if not lengths:
        return "close"
    if len(lengths) > 1 or not _DIGITS.fullmatch((only := lengths.pop()).encode("latin-1")):
        return "faulty"
    return _ENDLESS if len(only.lstrip("0")) > 18 else int(only)


def persists(response: ProxyResponse) -> bool:
    """Whether the proxy means to keep the connection (RFC 9112, 9.3)."""
    options = {*_tokens(response, "connection"), *_tokens(response, "proxy-connection")}
    if "close" in options or framing_of(response) in ("close", "faulty"):
        return False
    if _tokens(response, "transfer-encoding") and _tokens(response, "content-length"):
        return False  # an attempt at smuggling, or as good as one (RFC 9112, 6.1)
    return response.http_version != "1.0" or "keep-alive" in options


def _tokens(response: ProxyResponse, name: str) -> list[str]:
    values = response.headers.get_list(name)
    return [token.strip(" \t").lower() for value in values for token in value.split(",")]


def _codec(framing: Framing) -> h11.Connection:
    """An h11 connection that stands where the body begins."""
    import h11  # noqa: PLC0415 - 20 ms, for refusals only

    field = {"chunked": b"Transfer-Encoding: chunked\r\n", "close": b"", "faulty": b""}.get(
        str(framing), b"Content-Length: %b\r\n" % str(framing).encode()
    )
    codec = h11.Connection(h11.CLIENT)
    codec.send(h11.Request(method="GET", target="/", headers=[("Host", "-")]))
    codec.send(h11.EndOfMessage())
    codec.receive_data(b"HTTP/1.1 403 \r\n%b\r\n" % field)
    codec.next_event()
    return codec
