"""Whether a connection that nobody has looked after is still there, and how it was lost."""

from __future__ import annotations

import errno
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


def prove(connection: SharedConnection) -> Operation[None]:
    """Let it show that it can be trusted with a new tunnel; one that does not takes no more."""
    state = connection.state
    with connection.monitor:
        if connection.turn.held or monotonic() - connection.attended < UNATTENDED:
            return
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


def how_lost(error: OSError | None) -> Loss:
    """What an error of its socket means for a connection; None if it was left half done."""
    if error is None:
        said = "was left in the middle of something"
    elif error.errno == errno.ECONNRESET:
        said = "reset the connection"
    else:
        said = f"broke the connection: {getattr(error, 'reason', None) or error.strerror or error}"
    return Loss(said, "ended")
