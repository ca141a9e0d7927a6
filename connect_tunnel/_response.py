"""What a proxy answered, as a fact."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ._headers import Headers

if TYPE_CHECKING:
    from datetime import datetime

_FOLD = re.compile(rb"\r?\n[ \t]+")
_SECONDS = re.compile(r"[0-9]{1,9}")


class ProxyResponse:
    """The answer of a proxy to CONNECT, or as much of it as came.

    It is the proxy's word, and never the target's (RFC 9110, 9.3.6). The body is as it
    came: chunked coding is undone, content codings such as gzip are not.

    Attributes:
        status: The status code.
        reason: The reason phrase, possibly empty.
        http_version: "1.1", "1.0" or "2".
        body: The first 64 KiB of the body at most. Empty on a 2xx, which has none.
        complete: Whether that is all of the body.
        trailers: The fields that came after the body.
    """

    __slots__ = (
        "_fields", "_headers", "body", "complete", "http_version", "reason", "status", "trailers"
    )  # fmt: skip

    def __init__(
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
        self.status: Final = status
        self.reason: Final = reason
        self.http_version: Final = http_version
        self.body: Final = body
        self.complete: Final = complete
        self.trailers: Final = trailers if trailers is not None else _NO_HEADERS
        self._fields: Final = fields
        self._headers: Headers | None = None

    @property
    def headers(self) -> Headers:
        """The header fields."""
        # Split on demand: of an answer that opens a tunnel most callers never ask.
        if self._headers is None:
            self._headers = Headers(tuple(_split(self._fields)))
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
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - rarely needed

        try:
            return parsedate_to_datetime(value)
        except ValueError:
            return None

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
        facts = (self.status, self.reason, self.http_version, self._fields)
        return _rebuild, (*facts, self.body, self.complete, self.trailers)

    def __repr__(self) -> str:
        size = "" if not self.body and self.complete else f" body={len(self.body)} bytes"
        cut = "" if self.complete else ", incomplete"
        return f"<ProxyResponse {self.status} {self.reason!r}{size}{cut}>"


_NO_HEADERS = Headers()


def _split(fields: bytes) -> list[tuple[bytes, bytes]]:
    """The fields of a head that was found well-formed."""
    found: list[tuple[bytes, bytes]] = []
    for line in _FOLD.sub(b" ", fields).splitlines():
        name, _, value = line.partition(b":")
        found.append((name, value.strip(b" \t")))
    return found


def _rebuild(  # noqa: PLR0913 - what a response consists of
    status: int, reason: str, version: str, fields: bytes, body: bytes, complete: bool, t: Headers
) -> ProxyResponse:
    return ProxyResponse(status, reason, version, fields, body=body, complete=complete, trailers=t)
