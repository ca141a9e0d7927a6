"""What is known of an open connection besides its bytes."""

from __future__ import annotations

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
            try:
                return stream.layer.peek_now() is not None
            except OSError:
                return True  # reading would say what is wrong
        case _:
            return None
