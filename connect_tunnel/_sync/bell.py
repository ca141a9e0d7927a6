"""What wakes a thread that waits for a socket: a byte on another."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from connect_tunnel._net.waits import READ

if TYPE_CHECKING:
    from connect_tunnel._net.turn import Bell


class SocketBell:
    """A pair of sockets: who waits polls one of them, too.

    Args:
        sock: The socket that is waited for.
    """

    __slots__ = ("_near", "_rung", "interests")

    def __init__(self, sock: socket.socket) -> None:  # noqa: ARG002 - as every bell
        self._near, self._rung = socket.socketpair()
        for end in (self._near, self._rung):
            end.setblocking(False)
        self.interests: Final = [(self._rung, READ)]

    def ring(self) -> None:
        """Wake who waits; from any thread."""
        with suppress(OSError):  # closed, or rung often enough
            self._near.send(b"!")

    def quiet(self) -> None:
        """Forget that it was rung."""
        with suppress(OSError):
            self._rung.recv(4096)

    def close(self) -> None:
        self._near.close()
        self._rung.close()


if TYPE_CHECKING:
    _: type[Bell] = SocketBell
