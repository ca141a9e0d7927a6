"""Whose turn it is to do the work of a connection that several share.

All of it happens under the monitor of the connection, but for `call`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from .waits import READ, WRITE, AnyReady, FirstOf, Ready, Signal, Signalled

if TYPE_CHECKING:
    import socket
    from collections.abc import Collection

    from connect_tunnel.protocols.h2_stream import H2Stream

    from .sock import Layer


class Bell(Protocol):
    """What gets the attention of whoever holds the turn and waits for the socket."""

    @property
    def interests(self) -> list[tuple[socket.socket, int]]:
        """What to wait for besides the connection's own socket."""
        ...

    def ring(self) -> None:
        """Wake who waits."""
        ...

    def quiet(self) -> None:
        """Forget that it was rung."""
        ...

    def close(self) -> None:
        """Let go of what it needs."""
        ...


class Waiter:
    """Somebody who waits for something of a connection.

    Attributes:
        stream: Of which stream; None if it is of the connection.
        direction: Whether it wants to read or to write.
        signal: What wakes it; a new one each time before it looks whether there is enough.
        leads: Whether it holds the turn.
    """

    __slots__ = ("direction", "leads", "signal", "stream")

    def __init__(self, stream: H2Stream | None = None, direction: int = READ) -> None:
        self.stream: Final = stream
        self.direction: Final = direction
        self.signal: Signal = Signal()
        self.leads: bool = False


class Turn:
    """The turn, who holds it, and who is parked meanwhile.

    Args:
        bell: Reaches the one who holds it.
    """

    __slots__ = ("_bell", "_holder", "_parked", "_polled")

    def __init__(self, bell: Bell) -> None:
        self._bell: Final = bell
        self._holder: Waiter | None = None
        self._parked: Final[dict[Waiter, None]] = {}
        self._polled: Collection[int] = ()  # for what the holder waits, while it does

    @property
    def held(self) -> bool:
        """Whether somebody is looking after the connection."""
        return self._holder is not None

    def look(self, waiter: Waiter) -> None:
        """Be about to look whether there is enough; what comes from now on is not missed."""
        waiter.signal = Signal()
        if waiter.leads:
            self._polled = ()
            self._bell.quiet()

    def claim(self, waiter: Waiter) -> bool:
        """Have the turn if nobody else has, or be parked."""
        if self._holder is None:
            self._holder = waiter
            waiter.leads = True
            self._parked.pop(waiter, None)
        elif not waiter.leads:
            self._parked[waiter] = None
        return waiter.leads

    def poll(
        self, waiter: Waiter, layer: Layer, directions: list[int], seconds: float | None
    ) -> Ready | AnyReady | FirstOf:
        """What the holder is to wait for: the layer, the bell, and so many seconds at most."""
        self._polled = directions
        bells = self._bell.interests
        if layer.shared:
            # Its socket has others who read it, and is not ready when the layer is.
            waits = [*map(layer.ready, directions), *(Ready(*bell) for bell in bells)]
            return FirstOf([*waits, Signalled(waiter.signal)], seconds)
        interests = [*((layer.sock, direction) for direction in directions), *bells]
        if len(interests) == 1 and seconds is None:
            return Ready(*interests[0])
        return AnyReady(interests, seconds, waiter.signal)

    def leave(self, waiter: Waiter) -> bool:
        """Be done; a turn that nobody holds goes to somebody who is parked. False if nobody is."""
        self._parked.pop(waiter, None)
        if waiter.leads:
            waiter.leads = False
            self._holder, self._polled = None, ()
        if self._holder is not None:
            return True
        # Also where it was not held: an heir that has enough leaves without having taken it.
        for heir in self._parked:
            heir.signal.give()
            return True
        return False

    def ask_to_write(self) -> None:
        """Have the holder wait for the socket to take more, too."""
        if self._polled and WRITE not in self._polled and self._holder is not None:
            self.call(self._holder)

    def tell(self, changed: Collection[H2Stream], *, everybody: bool) -> None:
        """Wake those whose stream has changed, or who depend on what is everybody's."""
        waiters = list(self._parked)
        if self._polled and self._holder is not None:
            waiters.append(self._holder)
        for waiter in waiters:
            general = waiter.stream is None or waiter.direction == WRITE
            if (everybody and general) or waiter.stream in changed:
                self.call(waiter)

    def wake(self, stream: H2Stream | None) -> None:
        """Wake whoever waits for a stream, whether or not it has changed."""
        for waiter in (*self._parked, self._holder):
            if waiter is not None and waiter.stream is stream:
                self.call(waiter)

    def call(self, waiter: Waiter) -> None:
        """Wake one; from anywhere."""
        waiter.signal.give()
        if waiter.leads:
            self._bell.ring()
