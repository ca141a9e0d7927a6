"""What wakes a thread that waits for a socket: a byte on another."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from connect_tunnel._net.waits import READ

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel._net.turn import Bell


class SocketBell:
    """A pair of sockets: who waits polls one of them, too.

    Args:
        sock: The socket that is waited for.
    """

    __slots__ = ("_far", "_near", "_rung", "interests")

    def __init__(self, sock: socket.socket) -> None:  # noqa: ARG002 - as every bell
        self._near, self._far = socket.socketpair()
        for end in (self._near, self._far):
            end.setblocking(False)
        self._rung = False
        self.interests: Final = [(self._far, READ)]

    def ring(self) -> None:
        """Wake who waits; from any thread."""
        self._rung = True  # before it can be heard
        with suppress(OSError):  # closed, or rung often enough
            self._near.send(b"!")

    def quiet(self) -> None:
        """Forget that it was rung."""
        if self._rung:
            self._rung = False
            try:
                self._far.recv(4096)
            except OSError:  # closed, or just being rung
                self._rung = True

    def soon(self, act: Callable[[], object]) -> bool:  # noqa: ARG002 - as every bell
        """Threads run when they run."""
        return False

    def close(self) -> None:
        self._near.close()
        self._far.close()


if TYPE_CHECKING:
    _: type[Bell] = SocketBell
