"""What every client is told, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    import ssl

HOST = "127.0.0.1"  # a number, so that nobody's resolver is measured
PORT = 443  # of the targets; the proxy is the target, and ignores it
DOMAIN = ".bench.test"


class Place(NamedTuple):
    """The proxy, and the TLS to speak on the way.

    Attributes:
        port: The proxy's.
        hop: For TLS with the proxy, or None.
        inner: For TLS with the target, or None.
    """

    port: int
    hop: ssl.SSLContext | None
    inner: ssl.SSLContext | None

    def target(self, kind: str) -> str:
        return f"{'tls-' if self.inner else ''}{kind}{DOMAIN}"


# What opening gives: how to send, how to receive, how to close.
Link: TypeAlias = tuple[Callable[[bytes], object], Callable[[int], bytes], Callable[[], object]]
AsyncLink: TypeAlias = tuple[
    Callable[[bytes], Awaitable[object]],
    Callable[[int], Awaitable[bytes]],
    Callable[[], Awaitable[object]],
]
# How to fetch a page, by its URL.
Get: TypeAlias = Callable[[str], object]
AsyncGet: TypeAlias = Callable[[str], Awaitable[object]]
Open: TypeAlias = Callable[[str], Link]
AsyncOpen: TypeAlias = Callable[[str], Awaitable[AsyncLink]]
