"""socket: `create_connection` through a tunnel, for whatever takes a socket or makes one.

It is called as `socket.create_connection` is, with `via` besides, and gives a real socket: the
one that was dialled or, where the hop is TLS or is shared, one end of a bridge. So it is what
`sock=` of paramiko and pg8000 wants, and what a client of redis or MQTT can make its connections
with. `examples/` has each of them.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

from connect_tunnel import Dialer
from connect_tunnel._timeout import seconds

if TYPE_CHECKING:
    from connect_tunnel._target import TargetLike
    from connect_tunnel._via import Via

__all__ = ["create_connection"]

# What the standard library's signatures say, and pass on, where no timeout is given.
NONE_GIVEN: Final[Any] = getattr(socket, "_GLOBAL_DEFAULT_TIMEOUT")  # noqa: B009 - no stub has it
_OPENING: Final = 30.0  # seconds: without a timeout an opening does not wait for ever


def create_connection(
    address: tuple[str, int],
    timeout: float | None = NONE_GIVEN,
    source_address: tuple[str, int] | None = None,
    *,
    via: Via | Dialer,
) -> socket.socket:
    """Open a tunnel as a socket, as `socket.create_connection` opens a connection.

    Args:
        address: The target's host and port; the host is looked up by the proxy.
        timeout: Seconds for all of the opening, and afterwards the socket's own timeout. None
            for no limit. By default the socket has `socket.getdefaulttimeout()`, and so has the
            opening, or 30 seconds if there is none.
        source_address: Host and port to dial from.
        via: The way there, or a Dialer, which has its own timeout for the opening.

    Returns:
        A blocking socket with that timeout, from which nothing of the target's was read.

    Raises:
        ValueError: The timeout is no positive number (a non-blocking socket cannot be opened
            this way), or the `source_address` is another than a dialer's. Also an InvalidTarget
            or an InvalidProxy.
        TunnelError: The tunnel could not be opened, as of `connect_tunnel.open_tunnel`.
    """
    try:
        dialer = dialer_of(via, timeout, source_address)
    finally:
        del via  # a traceback would print it, and it may hold a password
    return connect(dialer, address, timeout)


def dialer_of(
    via: Via | Dialer,
    timeout: float | None = NONE_GIVEN,
    source_address: tuple[str, int] | None = None,
) -> Dialer:
    """A dialer for a way, with the timeout as `create_connection` takes it."""
    try:
        if not isinstance(via, Dialer):
            limit = socket.getdefaulttimeout() or _OPENING if timeout is NONE_GIVEN else timeout
            return Dialer(via, timeout=limit, local_address=source_address)
        if source_address is not None:
            raise ValueError("a dialer has its own local address")
        return via
    finally:
        del via  # as above


def connect(dialer: Dialer, address: TargetLike, timeout: float | None) -> socket.socket:
    """Open a tunnel as a socket, which gets the timeout as `create_connection` takes it."""
    own = socket.getdefaulttimeout() if timeout is NONE_GIVEN else seconds(timeout)
    sock = dialer.open_tunnel(address).socket()
    sock.settimeout(own)
    return sock
