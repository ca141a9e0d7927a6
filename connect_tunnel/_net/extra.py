"""What is known of an open connection besides its bytes."""

from __future__ import annotations

from socket import MSG_PEEK
from typing import TYPE_CHECKING, Any

from .tls import TLSLayer

if TYPE_CHECKING:
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
        if isinstance(layer, TLSLayer) and not layer.holds_back():
            # Asked before each request on an idle connection, so the kernel is asked first: to
            # find that there is nothing to decrypt costs five times as much.
            stream.sock.recv(1, MSG_PEEK)
        return layer.peek_now() is not None
    except BlockingIOError:
        return False
    except OSError:
        return True  # reading would say what is wrong
