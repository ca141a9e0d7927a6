"""What a proxy answered, as a fact."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ._frozen import Frozen
from ._headers import Headers

if TYPE_CHECKING:
    from datetime import datetime

_FOLD = re.compile(rb"\r?\n[ \t]+")
_SECONDS = re.compile(r"[0-9]{1,9}")


class ProxyResponse(Frozen):
    """The answer of a proxy to CONNECT, or as much of it as came.

    It is the proxy's word, and never the target's (RFC 9110, 9.3.6). The body is as it
    came: chunked coding is undone, content codings such as gzip are not.

    Attributes:
        status: The status code; of a SOCKS proxy its reply code, and 407 where it wants other
            credentials, for which it has none.
        reason: The reason phrase, possibly empty.
        http_version: "1.1", "1.0" or "2"; "SOCKS5" or "SOCKS4" of such a proxy.
        body: The first 64 KiB of the body at most. Empty on a 2xx, which has none.
        complete: Whether that is all of the body.
        trailers: The fields that came after the body.
    """

    __slots__ = (
        "_fields", "_headers", "body", "complete", "http_version", "reason", "status", "trailers"
    )  # fmt: skip

    status: int
    reason: str
    http_version: str
    body: bytes
    complete: bool
    trailers: Headers
    _fields: bytes
    _headers: Headers | None

    def __init__(  # noqa: PLR0913 - what a response consists of
        self,
        status: int,
        reason: str = "",
        http_version: str = "1.1",
        fields: bytes = b"",
        *,
        body: bytes = b"",
        complete: bool = True,
        trailers: Headers | None = None,
    ) -> None:
        # One by one: this is on the way of every opening.
        put = object.__setattr__
        put(self, "status", status)
        put(self, "reason", reason)
        put(self, "http_version", http_version)
        put(self, "body", body)
        put(self, "complete", complete)
        put(self, "trailers", _NO_HEADERS if trailers is None else trailers)
        put(self, "_fields", fields)
        put(self, "_headers", None)

    @property
    def headers(self) -> Headers:
        """The header fields."""
        # Split on demand: of an answer that opens a tunnel most callers never ask.
        if self._headers is None:
            self._set(_headers=Headers(tuple(_split(self._fields))))
        assert self._headers is not None
        return self._headers

    @property
    def proxy_status(self) -> str | None:
        """What proxies on the way said of it (RFC 9209), from the fields or the trailers."""
        return self.headers.get("proxy-status") or self.trailers.get("proxy-status")

    @property
    def retry_after(self) -> int | datetime | None:
        """When to ask again: in how many seconds, or at what time (RFC 9110, 10.2.3)."""
        value = self.headers.get("retry-after", "")
        if _SECONDS.fullmatch(value):
            return int(value)
        from datetime import UTC  # noqa: PLC0415 - rarely needed
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - likewise

        try:
            date = parsedate_to_datetime(value)
        except (ValueError, OverflowError):
            return None
        # HTTP knows no other zone, though two of its three forms do not name it.
        return date.replace(tzinfo=UTC) if date.tzinfo is None else date

    def with_body(self, body: bytes, *, complete: bool, trailers: Headers) -> ProxyResponse:
        """The same answer, with its body."""
        return ProxyResponse(
            self.status, self.reason, self.http_version, self._fields,
            body=body, complete=complete, trailers=trailers,
        )  # fmt: skip

    def _facts(self) -> tuple[object, ...]:
        return (
            self.status, self.reason, self.http_version, self.headers,
            self.body, self.complete, self.trailers,
        )  # fmt: skip

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ProxyResponse) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def __reduce__(self) -> tuple[object, ...]:
        # By way of the headers, which know what must not end up in a file.
        fields = b"".join(b"%b: %b\r\n" % pair for pair in self.headers.harmless())
        return _rebuild, (
            (self.status, self.reason, self.http_version, fields),
            {"body": self.body, "complete": self.complete, "trailers": self.trailers},
        )

    def _shown(self) -> str:
        size = "" if not self.body and self.complete else f" body={len(self.body)} bytes"
        cut = "" if self.complete else ", incomplete"
        return f"<ProxyResponse {self.status} {self.reason!r}{size}{cut}>"


_NO_HEADERS = Headers()


def _rebuild(facts: tuple[Any, ...], rest: dict[str, Any]) -> ProxyResponse:
    return ProxyResponse(*facts, **rest)


def _split(fields: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a head that was found well-formed."""
    found: list[tuple[bytes, bytes]] = []
    for line in _FOLD.sub(b" ", fields).splitlines():
        name, _, value = line.partition(b":")
        found.append((name, value.strip(b" \t")))
    return found
