"""A proxy that works: plain or TLS, with Basic credentials, for demonstrations and tests."""

from __future__ import annotations

import base64
import hmac
import re
import socket
from typing import TYPE_CHECKING, Final

from ._peer import TLSPeer
from ._relay import join
from ._server import LoopbackServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from ._peer import Peer

AUTHORITY: Final = rb"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+):([0-9]{1,5})"
_REQUEST: Final = re.compile(rb"CONNECT %s HTTP/1\.[01]\r\n" % AUTHORITY)
_CREDENTIALS: Final = re.compile(rb"\r\nproxy-authorization:[ \t]*(.*?)[ \t]*\r\n", re.IGNORECASE)
_LARGEST_HEAD: Final = 65536
_DIAL_TIMEOUT: Final = 10.0


class LoopbackProxy(LoopbackServer):
    """An HTTP CONNECT proxy on 127.0.0.1, which dials whatever it is asked for.

    It keeps half-closed tunnels open, passes a reset on as a reset, and leaves neither a
    thread nor a descriptor behind when its `with` block ends. It trusts who can reach it:
    not for use on any other interface.

    Args:
        auth: User and password that clients must send by Basic (RFC 7617). A 407 keeps the
            connection open for another try.
        ssl_context: Clients come by TLS. The certificate must be good for 127.0.0.1.
        refuse: Called with each authority, as requested; the bytes it returns are sent as
            they are, and the connection is closed. None lets the request pass.

    Attributes:
        requests: The authority and the whole head of every request, in order.
    """

    def __init__(
        self,
        *,
        auth: tuple[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        refuse: Callable[[str], bytes | None] | None = None,
    ) -> None:
        super().__init__(ssl_context)
        self._credentials = None if auth is None else _basic(*auth)
        self._refuse = refuse
        self.requests: Final[list[tuple[str, bytes]]] = []

    def _serve(self) -> None:
        while sock := self._listener.accept():
            self._listener.spawn(self._meet, sock)

    def _meet(self, sock: socket.socket) -> None:
        self._listener.run(self._talk, sock)
        self._listener.release(sock)

    def _talk(self, sock: socket.socket) -> None:
        client = sock if self._ssl_context is None else TLSPeer(sock, self._ssl_context)
        self._converse(client, bytearray())

    def _converse(self, client: Peer, received: bytearray) -> None:
        while self._answer(client, received):
            pass

    def _answer(self, client: Peer, received: bytearray) -> bool:
        """Answer a request. Whether there may be another one on this connection."""
        head = _read_head(client, received)
        if head is None:
            return False
        request = _REQUEST.match(head)
        if request is None:
            client.sendall(CONNECT_ONLY)
            return _part(client)
        host, port = (part.decode("ascii") for part in request.groups())
        self.requests.append((f"{host}:{port}", head))
        if not self._knows(head):
            client.sendall(WHO_ARE_YOU)
            return True
        refusal = self._refuse(f"{host}:{port}") if self._refuse is not None else None
        if refusal is not None:
            client.sendall(refusal)
            return _part(client)
        return self._tunnel(client, host, int(port), early=received)

    def _knows(self, head: bytes) -> bool:
        if self._credentials is None:
            return True
        sent = _CREDENTIALS.search(head)
        return sent is not None and hmac.compare_digest(sent[1], self._credentials)

    def _tunnel(self, client: Peer, host: str, port: int, *, early: bytearray) -> bool:
        target = self._dial(host, port)
        if isinstance(target, bytes):
            client.sendall(target)
            return _part(client)
        self._listener.adopt(target)
        try:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            join(client, target, early)
        finally:
            self._listener.release(target)
        return False

    def _dial(self, host: str, port: int) -> socket.socket | bytes:
        """A connection to a target, or the words that say why there is none."""
        try:
            target = socket.create_connection((host.strip("[]"), port), _DIAL_TIMEOUT)
        except (OSError, OverflowError, UnicodeError) as exc:  # of the port, of an odd name
            status = "504 Gateway Timeout" if isinstance(exc, TimeoutError) else "502 Bad Gateway"
            return _reply(status, f"{host}:{port}: {exc}")
        target.settimeout(None)
        target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return target


def _basic(user: str, password: str) -> bytes:
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


def _read_head(client: Peer, received: bytearray) -> bytes | None:
    """Take a head off what was received, waiting for the rest of it; None if none comes."""
    while (end := received.find(b"\r\n\r\n")) < 0:
        data = client.recv(_LARGEST_HEAD)
        received += data
        if not data or len(received) > _LARGEST_HEAD:
            return None
    head = bytes(received[: end + 4])
    del received[: end + 4]
    return head


def _reply(status: str, body: str, *fields: str) -> bytes:
    content = f"{body}\n".encode()
    length = f"Content-Length: {len(content)}"
    head = [f"HTTP/1.1 {status}", *fields, "Content-Type: text/plain; charset=utf-8", length]
    return "\r\n".join([*head, "", ""]).encode() + content


def _part(client: Peer) -> bool:
    """End in order, so that what was said is not cut off: no more requests."""
    client.shutdown(socket.SHUT_WR)
    return False


CONNECT_ONLY: Final = _reply("400 Bad Request", "This proxy knows CONNECT only.")
WHO_ARE_YOU: Final = _reply(
    "407 Proxy Authentication Required",
    "Who are you?",
    'Proxy-Authenticate: Basic realm="loopback", charset="UTF-8"',
)
