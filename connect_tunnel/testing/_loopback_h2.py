"""A proxy that works, and speaks HTTP/2 with clients that do."""

from __future__ import annotations

import re
import socket
from importlib import import_module
from typing import TYPE_CHECKING, Final

from . import _h2_frames as h2
from ._h2_connection import H2Connection
from ._h2_stream import CONNECTION_FIELDS
from ._loopback import AUTHORITY, CONNECT_ONLY, WHO_ARE_YOU, LoopbackProxy
from ._peer import TLSPeer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from ._h2_connection import Fields
    from ._h2_stream import H2Stream
    from ._peer import Peer

_AUTHORITY: Final = re.compile(AUTHORITY)


class LoopbackH2Proxy(LoopbackProxy):
    """A `LoopbackProxy` that speaks HTTP/2 as well, where every stream is a tunnel of its own.

    By TLS it does so with clients that choose "h2" from what `ssl_context` offers by ALPN, and
    in clear text with those that begin with HTTP/2's preface (RFC 9113, 3.3). With all others
    it speaks HTTP/1.1. It needs the extra `http2`.

    The end of one side is END_STREAM; a target's reset is RST_STREAM with CONNECT_ERROR, and a
    client's RST_STREAM resets the target. A target that takes no data holds up its own tunnel
    only. A client that breaks the rules of RFC 9113 gets RST_STREAM or GOAWAY, and whoever goes
    beyond `max_concurrent_streams` REFUSED_STREAM.

    Args:
        auth: As of a `LoopbackProxy`.
        ssl_context: Likewise, and with `set_alpn_protocols(["h2", "http/1.1"])`.
        refuse: Likewise, bytes in the form of HTTP/1.1 included: of a refusal over HTTP/2 they
            become the status, the fields and the body. The connection stays open.
        max_concurrent_streams: How many tunnels may be open at a time on each connection.
        initial_window_size: How many octets of a tunnel the client may send before the target
            takes them.

    Raises:
        ImportError: hpack is not installed.

    Attributes:
        requests: The authority and the head of every request, in order. Over HTTP/2 the head is
            a line "name: value" for each field.
        protocols: What was spoken on each connection, in order: "h2" or "http/1.1".
    """

    def __init__(
        self,
        *,
        auth: tuple[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        refuse: Callable[[str], bytes | None] | None = None,
        max_concurrent_streams: int = 100,
        initial_window_size: int = h2.DEFAULT_WINDOW,
    ) -> None:
        try:
            import_module("hpack")
        except ImportError as error:
            raise ImportError("it needs hpack: pip install 'connect-tunnel[http2]'") from error
        super().__init__(auth=auth, ssl_context=ssl_context, refuse=refuse)
        self._max_concurrent_streams = max_concurrent_streams
        self._initial_window_size = initial_window_size
        self.protocols: Final[list[str]] = []

    @property
    def connections(self) -> int:
        """How many connections there were, without those that failed in TLS."""
        return len(self.protocols)

    def _converse(self, client: Peer, received: bytearray) -> None:
        if isinstance(client, TLSPeer):
            speaks_h2 = client.alpn_protocol == "h2"
        else:
            speaks_h2 = _begins_with_preface(client, received)
        self.protocols.append("h2" if speaks_h2 else "http/1.1")
        if not speaks_h2:
            return super()._converse(client, received)
        connection = H2Connection(
            client,
            received,
            max_concurrent_streams=self._max_concurrent_streams,
            initial_window_size=self._initial_window_size,
            meet=self._meet_stream,
        )
        connection.run(self._listener.spawn)
        client.shutdown(socket.SHUT_WR)  # after a GOAWAY, that is

    def _meet_stream(self, stream: H2Stream, fields: Fields) -> None:
        self._listener.spawn(self._serve_stream, stream, fields)

    def _serve_stream(self, stream: H2Stream, fields: Fields) -> None:
        if not _is_well_formed(fields):
            return stream.fail(h2.PROTOCOL_ERROR)
        values = dict(fields)
        asked = _AUTHORITY.fullmatch(values.get(b":authority", b""))
        if values[b":method"] != b"CONNECT" or asked is None:
            return stream.refuse(CONNECT_ONLY)
        host, port = (part.decode("ascii") for part in asked.groups())
        head = b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n"
        self.requests.append((f"{host}:{port}", head))
        words = self._objection(f"{host}:{port}", head)
        target = self._dial(host, int(port)) if words is None else words
        if isinstance(target, bytes):
            return stream.refuse(target)
        self._listener.adopt(target)
        try:
            stream.relay(target)
        finally:
            self._listener.release(target)

    def _objection(self, authority: str, head: bytes) -> bytes | None:
        if not self._knows(head):
            return WHO_ARE_YOU
        return self._refuse(authority) if self._refuse is not None else None


def _begins_with_preface(client: Peer, received: bytearray) -> bool:
    while len(received) < len(h2.PREFACE) and h2.PREFACE.startswith(received):
        data = client.recv(65536)
        if not data:
            return False
        received += data
    return received.startswith(h2.PREFACE)


def _is_well_formed(fields: Fields) -> bool:
    """Whether it is a request as RFC 9113, 8.2, 8.3 and 8.5 have it."""
    names = [name for name, _ in fields]
    pseudo = [name for name in names if name.startswith(b":")]
    wanted, given = {b":method", b":authority"}, set(pseudo)
    if (b":method", b"CONNECT") not in fields:
        wanted |= {b":scheme", b":path"}
        given.add(b":authority")  # which others need not have
    return (
        given == wanted
        and names[: len(pseudo)] == pseudo
        and len(pseudo) == len(set(pseudo))
        and not any(name != name.lower() or name in CONNECTION_FIELDS for name in names)
        and not any(value != value.strip() or set(value) & set(b"\r\n\0") for _, value in fields)
    )
