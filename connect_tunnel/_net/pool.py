"""The shared connections of one dialer: for each hop those that can be joined.

A hop belongs to one way of one dialer, so that nobody joins a connection that was made with
other credentials, another context or by another road.
"""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING, Final, Literal
from weakref import ref

from . import liveness
from .seat import Seat
from .turn import Waiter
from .waits import Signalled

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from connect_tunnel._route import Hop

    from .shared import SharedConnection
    from .sock import Layer
    from .turn import Bell
    from .waits import Operation


class _Place:
    """What there is for one hop.

    Attributes:
        connections: Those that are open.
        dialling: Whether somebody is making another.
        at_once: How many tunnels the proxy opens on one connection, if that was learnt.
        version: Changes with whatever somebody may be waiting for.
        waiting: Who waits for such a change, and on which connection, if on one.
    """

    __slots__ = ("at_once", "connections", "dialling", "max_connections", "version", "waiting")

    def __init__(self, max_connections: int | None) -> None:
        self.max_connections: Final = max_connections
        self.connections: Final[list[SharedConnection]] = []
        self.dialling = False
        self.at_once: int | None = None
        self.version = 0
        self.waiting: Final[dict[Waiter, SharedConnection | None]] = {}

    @property
    def usable(self) -> list[SharedConnection]:
        return [connection for connection in self.connections if connection.usable]

    @property
    def pending(self) -> bool:
        """Whether a connection is coming of which nobody knows how many it takes."""
        return self.dialling or not all(one.state.settled for one in self.usable)

    @property
    def extensible(self) -> bool:
        """Whether there may be another connection."""
        return self.max_connections is None or len(self.usable) < self.max_connections


class Pool:
    """Finds a seat, or lets somebody make one. Safe between threads and after a fork.

    Args:
        new_bell: Makes the bell of a connection over a socket.
        lasting: Whether a connection outlives its last tunnel.
    """

    __slots__ = ("__weakref__", "_lasting", "_lock", "_new_bell", "_places", "_process")

    def __init__(self, new_bell: Callable[[socket.socket], Bell], *, lasting: bool = True) -> None:
        self._new_bell: Final = new_bell
        self._lasting = lasting
        self._lock = Lock()
        self._process = os.getpid()
        self._places: dict[Hop, _Place] = {}

    @property
    def holds(self) -> bool:
        """Whether there are connections to be closed."""
        return any(place.connections for place in self._places.values())

    def join(self, hop: Hop, seat: Seat | None = None) -> Operation[Seat | Literal["dial", "stay"]]:
        """Take a seat on a connection to a hop.

        Args:
            hop: The hop.
            seat: One that leaves us without an answer, and is given back if there are others.

        Returns:
            A seat; or "dial": to make a connection and share it, or say that it `failed`; or
            "stay", on the seat that was given.
        """
        place = self._place(hop)
        if seat is not None and not self._make_way(place, seat):
            return "stay"
        while hop.multiplexes:
            version = place.version
            for connection in tuple(place.connections):
                idle = connection.refresh()
                if idle >= liveness.UNATTENDED and connection.free_seats() > 0:
                    yield from liveness.prove(connection)
                if connection.take_seat():
                    return Seat(connection, joined=True)
            with self._lock:
                if place.version == version and not place.pending and place.extensible:
                    place.dialling = True
                    return "dial"
            yield from self._change(place, version)
        return "dial"  # as has turned out: nobody needs to wait for anybody

    def _make_way(self, place: _Place, seat: Seat) -> bool:
        """Give up a seat where others are served and this one is not, if there is another way."""
        crowded = seat.connection
        tunnels = crowded.state.tunnels()
        others = any(one is not crowded and one.free_seats() > 0 for one in place.usable)
        if not tunnels or not (others or place.dialling or place.extensible):
            return False
        crowded.limit = tunnels
        seat.drop()
        return True

    def _change(self, place: _Place, version: int) -> Operation[None]:
        """Wait until something has changed."""
        waiter = Waiter()
        attended = next(iter(place.usable), None)
        place.waiting[waiter] = attended
        try:
            if attended is not None:
                # Nobody else may be looking, and it is there that the change comes from.
                yield from attended.wait(
                    lambda: place.version != version or not attended.usable, waiter
                )
            else:
                while place.version == version:
                    yield Signalled(waiter.signal)
        finally:
            place.waiting.pop(waiter, None)

    def share(self, hop: Hop, layer: Layer, window: int) -> Seat:
        """Make a connection of what was dialled, and take the first seat."""
        from .shared import SharedConnection  # noqa: PLC0415 - loads an extra

        place, pool = self._place(hop), ref(self)

        def on_change(connection: SharedConnection) -> None:
            held = pool()
            if held is not None:
                held.see_to(hop, connection)
            elif not connection.seats:
                connection.close()

        connection = SharedConnection(
            layer, window=window, bell=self._new_bell(layer.sock), on_change=on_change
        )
        connection.limit = place.at_once
        with self._lock:
            place.connections.append(connection)
            place.dialling = False
        self._changed(place)
        return Seat(connection, joined=False)

    def failed(self, hop: Hop) -> None:
        """There is no connection to be shared, and somebody else may try."""
        place = self._place(hop)
        with self._lock:
            place.dialling = False
        self._changed(place)

    def learn(self, hop: Hop, tunnels: int) -> None:
        """Trust new connections with no more than so many tunnels."""
        self._place(hop).at_once = tunnels

    def see_to(self, hop: Hop, connection: SharedConnection) -> None:
        """See what follows from a change of a connection."""
        place = self._place(hop)
        if not connection.seats and not self._keeps(place, connection):
            connection.close()
        if not connection.usable:
            with self._lock:
                if connection in place.connections:
                    place.connections.remove(connection)  # its tunnels keep it
        self._changed(place)

    def _keeps(self, place: _Place, connection: SharedConnection) -> bool:
        """Whether a connection that nobody uses is worth having."""
        others = (one for one in place.usable if one is not connection)
        spare = any(one.free_seats() > 0 for one in others)
        return self._lasting and connection.usable and not spare

    def _changed(self, place: _Place) -> None:
        """Tell who waits; takes no monitor, as it may be called under one."""
        with self._lock:
            place.version += 1
            waiting = list(place.waiting.items())
        for waiter, attended in waiting:
            if attended is None:
                waiter.signal.give()
            else:
                attended.turn.call(waiter)

    def close(self) -> None:
        """Close what nobody uses; the rest closes with its last tunnel."""
        self._lasting = False
        if self._process != os.getpid():
            return  # what there is is the parent's
        with self._lock:
            # The places remain: there may be somebody who waits in one.
            places = list(self._places.values())
            left = [connection for place in places for connection in place.connections]
            for place in places:
                place.connections.clear()  # its tunnels keep it
        for connection in left:
            if not connection.seats:
                connection.close()

    def _place(self, hop: Hop) -> _Place:
        if self._process != os.getpid():
            # A child has its own: the parent's are the parent's, and so is the lock, which
            # another of its threads may have held when the process was forked.
            self._lock, self._places, self._process = Lock(), {}, os.getpid()
        place = self._places.get(hop)
        if place is None:
            settings = hop.proxy.http2
            limit = None if settings is None else settings.max_connections
            place = self._places.setdefault(hop, _Place(limit))
        return place
