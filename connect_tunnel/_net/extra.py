"""What is known of an open connection besides its bytes."""

from __future__ import annotations

import select
import sys
from typing import TYPE_CHECKING, Any

from .tls import TLSLayer

if TYPE_CHECKING:
    import socket

    from .stream import Stream


def extra_info(stream: Stream, name: str) -> Any:  # noqa: ANN401 - each name has its own type
    """One fact by its name, in the manner of asyncio and httpcore; None if there is none.

    Args:
        stream: An open tunnel's.
        name: "ssl_object" of the outermost TLS, "socket" if no other tunnel uses it, "client_addr",
            "server_addr" (the address that was dialled, a proxy's), or "is_readable".
    """
    match name:
        case "ssl_object":
            return stream.layer.object if isinstance(stream.layer, TLSLayer) else None
        case "socket":
            return None if stream.layer.shared else stream.sock
        case "client_addr" | "server_addr":
            try:
                client = name == "client_addr"
                return stream.sock.getsockname() if client else stream.sock.getpeername()
            except OSError:
                return None
        case "is_readable":
            return _is_readable(stream)
        case _:
            return None


def _is_readable(stream: Stream) -> bool:
    layer = stream.layer
    try:
        # Asked before each request on an idle connection, so the kernel is asked first: to find
        # that there is nothing to decrypt costs five times as much.
        if not layer.holds_back() and not _arrived(stream.sock):
            return False
        return layer.peek_now() is not None
    except (OSError, ValueError):
        return True  # reading would say what is wrong


if sys.platform == "win32":  # no poll; and no limit on descriptor numbers for select

    def _arrived(sock: socket.socket) -> bool:
        return bool(select.select([sock], [], [], 0)[0])

else:

    def _arrived(sock: socket.socket) -> bool:
        """Whether the kernel has something of a socket, or of its end; without an exception."""
        poller = select.poll()
        poller.register(sock, select.POLLIN)
        return bool(poller.poll(0))
