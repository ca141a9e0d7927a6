"""What one opening does with connections that are shared: joining one, or making one for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from connect_tunnel._response import ProxyResponse

from .pool import Pool

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from connect_tunnel._route import Hop
    from connect_tunnel._steps import Answer, Join, Joined, ReadHead, Share

    from .seat import Seat
    from .sock import Layer
    from .turn import Bell
    from .waits import Operation


class Sharing:
    """An opening's part in the connections of a pool.

    Args:
        new_bell: For connections of its own.
        pool: Without one its connections end with its tunnel.
    """

    __slots__ = ("_crowd", "_hop", "_pool", "_promised", "_seat")

    def __init__(self, new_bell: Callable[[socket.socket], Bell], pool: Pool | None) -> None:
        self._pool: Final = pool or Pool(new_bell, lasting=False)
        self._hop: Hop | None = None
        self._seat: Seat | None = None
        self._promised: Hop | None = None  # to which others wait for our connection
        self._crowd = 0  # how many were served where we left for want of an answer

    @property
    def seat(self) -> Seat:
        """The place that we have."""
        assert self._seat is not None, "a program joins before it asks"
        return self._seat

    def join(self, step: Join, layer: Layer | None) -> Operation[tuple[Joined, Layer | None]]:
        """Take a seat, and say what to go on with."""
        self.break_promise()
        self._hop = step.hop
        leaving = self.seat if step.elsewhere else None
        crowd = 0 if leaving is None else leaving.connection.state.tunnels()
        found = yield from self._pool.join(step.hop, leaving)
        if found == "stay":
            return "stay", layer
        self._crowd = crowd
        if found == "dial":
            self._promised = step.hop
            return "dial", None
        self._seat = found
        return "joined", found

    def share(self, step: Share, layer: Layer) -> Layer:
        """Let others join what was dialled, or know that they cannot."""
        settings = step.hop.proxy.http2
        if not step.joinable or settings is None:
            self.break_promise()
            return layer
        self._promised = None
        self._seat = self._pool.share(step.hop, layer, settings.window)
        return self._seat

    def break_promise(self) -> None:
        """Let others make the connection that we were to make."""
        hop, self._promised = self._promised, None
        if hop is not None:
            self._pool.failed(hop)

    def answer(self, step: ReadHead) -> Operation[Answer]:
        """Wait for an answer."""
        answer = yield from self.seat.answered(step.seconds)
        crowd, self._crowd = self._crowd, 0
        if crowd and isinstance(answer, ProxyResponse):
            # At once, where others left us waiting: it was not the target that was slow.
            assert self._hop is not None
            self._pool.learn(self._hop, crowd)
        return answer
