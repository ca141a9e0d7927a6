"""How to share connections to a proxy that speaks HTTP/2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._frozen import Frozen

if TYPE_CHECKING:
    import ssl  # noqa: TID251 - the type of a context

_LEAST_WINDOW: Final = 65535  # what every stream begins with (RFC 9113, 6.9.2)
_LARGEST_WINDOW: Final = 2**31 - 1


class HTTP2(Frozen):
    """What `Proxy(http2=...)` may say besides True.

    Args:
        window: How many bytes one tunnel may have on the way and unread: what a tunnel that
            nobody reads can hold of memory, and what a fast reader gets in one round trip.
        max_connections: How many connections there may be to the proxy, from one dialer. A
            second one is opened when the proxy takes no more tunnels on the first, or leaves
            them unanswered; where no more may be opened, who wants a tunnel waits. None for
            as many as it takes.
        fallback_context: For TLS in place of the proxy's ssl_context, once HTTP/2 has turned
            out to be of no use: some proxies agree to it and cannot CONNECT in it. What a context
            offers cannot be taken back, so without this one there is no way to fall back from
            an ssl_context of yours. It offers no "h2".

    Raises:
        ValueError: There is no such window, or number.
    """

    __slots__ = __match_args__ = ("window", "max_connections", "fallback_context")

    window: int
    max_connections: int | None
    fallback_context: ssl.SSLContext | None

    def __init__(
        self,
        *,
        window: int = 2**20,
        max_connections: int | None = None,
        fallback_context: ssl.SSLContext | None = None,
    ) -> None:
        if not _is_number(window) or not _LEAST_WINDOW <= window <= _LARGEST_WINDOW:
            raise ValueError(f"window is a number from {_LEAST_WINDOW} to {_LARGEST_WINDOW}")
        if max_connections is not None and not (_is_number(max_connections) and max_connections):
            raise ValueError("max_connections is a number from 1, or None")
        self._set(window=window, max_connections=max_connections, fallback_context=fallback_context)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HTTP2) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _facts(self) -> tuple[object, ...]:
        return self.window, self.max_connections, self.fallback_context

    def _shown(self) -> str:
        return f"HTTP2(window={self.window}, max_connections={self.max_connections})"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
