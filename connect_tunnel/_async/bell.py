"""What wakes a task that waits for a socket: its event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    import socket

    from connect_tunnel._net.turn import Bell


class LoopBell:
    """Wakes whoever waits for a socket, as closing it would.

    Args:
        sock: The socket that is waited for.
    """

    __slots__ = ("_sock", "interests")

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self.interests: Final[list[tuple[socket.socket, int]]] = []

    def ring(self) -> None:
        """Wake who waits."""
        anyio.notify_closing(self._sock)

    def quiet(self) -> None:
        """Nothing is left of it."""

    def close(self) -> None:
        """Nothing is held."""


if TYPE_CHECKING:
    _: type[Bell] = LoopBell
