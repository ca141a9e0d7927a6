"""What wakes a task that waits for a socket: its event loop."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable

    from connect_tunnel._net.turn import Bell


class LoopBell:
    """Wakes whoever waits for a socket, as closing it would.

    Args:
        sock: The socket that is waited for.
    """

    __slots__ = ("_loop", "_sock", "interests")

    def __init__(self, sock: socket.socket) -> None:
        self._sock: Final = sock
        self._loop: Final = _asyncio_loop()
        self.interests: Final[list[tuple[socket.socket, int]]] = []

    def ring(self) -> None:
        """Wake who waits."""
        try:
            anyio.notify_closing(self._sock)
        except RuntimeError:  # in a callback of asyncio's, which is no task for anyio
            import asyncio  # noqa: PLC0415 - which is there, then

            task = asyncio.get_running_loop().create_task(self._ring_in_a_task())
            _ringing.add(task)  # a loop does not keep its tasks
            task.add_done_callback(_ringing.discard)

    async def _ring_in_a_task(self) -> None:
        anyio.notify_closing(self._sock)

    def quiet(self) -> None:
        """Nothing is left of it."""

    def soon(self, act: Callable[[], object]) -> bool:
        """Tasks that are ready run in this turn of the loop, and `act` in the next."""
        if self._loop is not None:
            self._loop.call_soon(act)
        return self._loop is not None

    def close(self) -> None:
        """Nothing is held."""


def _asyncio_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs here; None if it is trio's, which has no cheap way of doing this."""
    with suppress(KeyError, RuntimeError):
        loop: asyncio.AbstractEventLoop = sys.modules["asyncio"].get_running_loop()
        return loop
    return None


_ringing: set[asyncio.Task[None]] = set()

if TYPE_CHECKING:
    _: type[Bell] = LoopBell
