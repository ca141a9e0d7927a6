"""Whose turn it is to do the work of a connection that several share.

All of it happens under the monitor of the connection, but for `call`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from .waits import READ, WRITE, AnyReady, FirstOf, Ready, Signal, Signalled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

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

    def soon(self, act: Callable[[], object]) -> bool:
        """Do something when those who are about to run have run; False where nobody can tell."""
        ...

    def close(self) -> None:
        """Let go of what it needs."""
        ...


class Waiter:
    """Somebody who waits for something of a connection.

    Attributes:
        stream: Of which stream; None if it is of the connection.
        signal: What wakes it; a new one each time before it looks whether there is enough.
        leads: Whether it holds the turn.
        general: Whether it depends on what is everybody's, windows or slots.
    """

    __slots__ = ("general", "leads", "signal", "stream")

    def __init__(self, stream: H2Stream | None = None, direction: int = READ) -> None:
        self.stream: Final = stream
        self.general: Final = stream is None or direction == WRITE
        self.signal: Signal = Signal()
        self.leads: bool = False


class _Parked:
    """Those who are parked, who came first in front, and what each of them waits for.

    There may be thousands, one for each idle tunnel, and what arrives concerns one or two.
    """

    __slots__ = ("_all", "_general", "_of")

    def __init__(self) -> None:
        self._all: Final[dict[Waiter, None]] = {}
        self._of: Final[dict[H2Stream | None, list[Waiter]]] = {}
        self._general: Final[dict[Waiter, None]] = {}  # who depends on what is everybody's

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._all

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(self._all)

    def add(self, waiter: Waiter) -> None:
        self._all[waiter] = None
        self._of.setdefault(waiter.stream, []).append(waiter)
        if waiter.general:
            self._general[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        del self._all[waiter]
        self._general.pop(waiter, None)
        others = self._of[waiter.stream]
        others.remove(waiter)
        if not others:
            del self._of[waiter.stream]

    def of(self, stream: H2Stream | None) -> Sequence[Waiter]:
        """Who waits for something of a stream."""
        return self._of.get(stream, ())

    def general(self) -> Iterable[Waiter]:
        """Who depends on what is everybody's."""
        return self._general


class Turn:
    """The turn, who holds it, and who is parked meanwhile.

    Args:
        bell: Reaches the one who holds it.
    """

    __slots__ = ("_bell", "_holder", "_parked", "_polled")

    def __init__(self, bell: Bell) -> None:
        self._bell: Final = bell
        self._holder: Waiter | None = None
        self._parked: Final = _Parked()
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
            if waiter in self._parked:
                self._parked.remove(waiter)
        elif not waiter.leads and waiter not in self._parked:
            self._parked.add(waiter)
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
        if waiter in self._parked:
            self._parked.remove(waiter)
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
        concerned: list[Waiter] = []
        if self._parked:
            concerned += (waiter for stream in changed for waiter in self._parked.of(stream))
        if everybody:
            concerned += self._parked.general()
        holder = self._holder if self._polled else None
        if holder and (holder.stream in changed or (everybody and holder.general)):
            concerned.append(holder)
        for waiter in concerned:
            self.call(waiter)

    def wake(self, stream: H2Stream | None) -> None:
        """Wake whoever waits for a stream, whether or not it has changed."""
        for waiter in (*self._parked.of(stream), self._holder):
            if waiter is not None and waiter.stream is stream:
                self.call(waiter)

    def call(self, waiter: Waiter) -> None:
        """Wake one; from anywhere."""
        waiter.signal.give()
        if waiter.leads:
            self._bell.ring()
