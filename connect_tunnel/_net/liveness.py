"""Whether a connection that nobody has looked after is still there."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from connect_tunnel.protocols.h2_stream import Loss

from .turn import Waiter

if TYPE_CHECKING:
    from .shared import SharedConnection
    from .waits import Operation

UNATTENDED = 5.0  # seconds after which a connection has to prove that it is alive
_PROOF = 5.0  # seconds that it has for that
_SILENT = Loss("does not answer a PING", "unprocessed")


def is_alive(connection: SharedConnection) -> Operation[bool]:
    """Whether it can be trusted with a new tunnel; asks the proxy only if that is in doubt."""
    state = connection.state
    with connection.monitor:
        if connection.turn.held or monotonic() - connection.attended < UNATTENDED:
            return True
        heard = state.pongs
        state.ping()
        connection.flush()
    yield from connection.wait(
        lambda: state.pongs > heard or state.lost is not None, Waiter(), seconds=_PROOF
    )
    with connection.monitor:
        if state.pongs == heard:
            # Its tunnels may still be good: who reads them will find out.
            state.going = state.going or _SILENT
            state.room_changed = True
            connection.attend()
    return state.pongs > heard
