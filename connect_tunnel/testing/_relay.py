"""Two connections joined, so that what comes on one goes out on the other."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

from ._listener import reset

if TYPE_CHECKING:
    from ._peer import Data, Peer

_CHUNK = 65536


def join(left: Peer, right: Peer, early: Data = b"") -> None:
    """Carry bytes both ways until both have ended; `early` are some that `left` has sent.

    An end travels on as an end, and leaves the other way open. A break (a reset, TLS cut
    short) ends both ways and travels on as a reset.
    """
    relay = _Relay(left, right)
    back = threading.Thread(target=relay.carry, args=(right, left), daemon=True)
    back.start()
    relay.carry(left, right, early)
    back.join()
    if relay.broken:
        reset(left)
        reset(right)


class _Relay:
    def __init__(self, left: Peer, right: Peer) -> None:
        self._peers = left, right
        self._told: list[Peer] = []  # those to whom an end was passed on
        self.broken = False

    def carry(self, source: Peer, sink: Peer, early: Data = b"") -> None:
        try:
            if early:
                sink.sendall(early)
            while (data := source.recv(_CHUNK)) and not self.broken:
                sink.sendall(data)
            if not self.broken:
                self._check_end(source)
                self._told.append(sink)
                sink.shutdown(socket.SHUT_WR)
        except OSError:
            self.broken = True
            # Wake the other way, if it is receiving. To close here would do neither: a system
            # call that waits keeps the socket open. And to shut down for writing would send
            # a FIN before the reset.
            for peer in self._peers:
                with contextlib.suppress(OSError):
                    peer.shutdown(socket.SHUT_RD)

    def _check_end(self, source: Peer) -> None:
        """See that it was an end.

        The kernel tells of a reset once: whoever sends may have heard of it, and then it
        reads as an end. But a socket that was reset has no peer any more.

        Raises:
            OSError: It was a reset.
        """
        if isinstance(source, socket.socket):
            try:
                source.getpeername()
            except OSError:
                if source not in self._told:  # one that has ended both ways has none either
                    raise
