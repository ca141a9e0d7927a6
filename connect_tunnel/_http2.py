"""How to share connections to a proxy that speaks HTTP/2."""

from __future__ import annotations

from typing import Final

from ._frozen import Frozen

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

    Raises:
        ValueError: There is no such window, or number.
    """

    __slots__ = __match_args__ = ("window", "max_connections")

    window: int
    max_connections: int | None

    def __init__(self, *, window: int = 2**20, max_connections: int | None = None) -> None:
        if not _is_number(window) or not _LEAST_WINDOW <= window <= _LARGEST_WINDOW:
            raise ValueError(f"window is a number from {_LEAST_WINDOW} to {_LARGEST_WINDOW}")
        if max_connections is not None and not (_is_number(max_connections) and max_connections):
            raise ValueError("max_connections is a number from 1, or None")
        self._set(window=window, max_connections=max_connections)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HTTP2) and self._facts() == other._facts()

    def __hash__(self) -> int:
        return hash(self._facts())

    def _facts(self) -> tuple[object, ...]:
        return self.window, self.max_connections

    def _shown(self) -> str:
        return f"HTTP2(window={self.window}, max_connections={self.max_connections})"


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
