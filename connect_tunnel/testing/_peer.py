"""The other end of a conversation: a blocking socket, or TLS over one.

`ssl.SSLSocket` will not do for a peer that relays. It is not safe for a reader and a writer
in two threads, and its way to half-close, `unwrap`, waits for the answer and throws away
what the other side was still sending.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Protocol, TypeAlias

Data: TypeAlias = bytes | bytearray | memoryview

_CHUNK = 65536


class Peer(Protocol):
    """The verbs of a blocking socket that peers use; `socket.socket` has them."""

    def recv(self, bufsize: int, /) -> bytes: ...
    def sendall(self, data: Data, /) -> None: ...
    def shutdown(self, how: int, /) -> None: ...
    def setsockopt(self, level: int, optname: int, value: int | bytes, /) -> None: ...
    def settimeout(self, value: float | None, /) -> None: ...
    def close(self) -> None: ...


class TLSPeer:
    """The server's side of TLS over a blocking socket, for one reader and one writer.

    `shutdown(SHUT_WR)` sends close_notify and leaves the reading side alone; `recv` raises
    ssl.SSLEOFError when the stream ends without one; `close` sends none.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._tls_lock, self._send_lock = threading.Lock(), threading.Lock()
        self._decrypted = bytearray()
        self._ended = False
        self._handshake()

    @property
    def alpn_protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def recv(self, bufsize: int, /) -> bytes:
        while True:
            with self._tls_lock:
                self._decrypt()
                if self._decrypted or self._ended:
                    data = bytes(self._decrypted[:bufsize])
                    del self._decrypted[:bufsize]
                    return data
            if self._outgoing.pending:  # what TLS itself has to say: tickets, key updates, alerts
                self._flush()  # and else a writer that waits may hold this one up
            self._feed()

    def sendall(self, data: Data, /) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _CHUNK):
            with self._tls_lock:
                self._tls.write(view[start : start + _CHUNK])
            self._flush()

    def shutdown(self, how: int, /) -> None:
        """Send close_notify (RFC 8446, 6.1), unless it is the reading side that shall end."""
        if how == socket.SHUT_RD:
            self._sock.shutdown(how)
        else:
            with self._tls_lock:
                self._decrypt()  # SSL_shutdown would discard what has come and is not read yet
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
            self._flush()

    def setsockopt(self, level: int, optname: int, value: int | bytes, /) -> None:
        self._sock.setsockopt(level, optname, value)

    def settimeout(self, value: float | None, /) -> None:
        self._sock.settimeout(value)

    def close(self) -> None:
        self._sock.close()

    def _handshake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # the alert, if there is anyone to read it
                    self._flush()
                raise
            else:
                return self._flush()

    def _decrypt(self) -> None:
        """Decrypt all that has come. The caller holds the lock."""
        while not self._ended:
            try:
                data = self._tls.read(_CHUNK)
            except ssl.SSLWantReadError:
                return
            except ssl.SSLZeroReturnError:
                data = b""
            self._decrypted += data
            self._ended = not data

    def _feed(self) -> None:
        data = self._sock.recv(_CHUNK)
        with self._tls_lock:
            if data:
                self._incoming.write(data)
            else:
                self._incoming.write_eof()

    def _flush(self) -> None:
        with self._send_lock:
            with self._tls_lock:
                data = self._outgoing.read()
            if data:
                self._sock.sendall(data)


def receive_exactly(peer: Peer, count: int) -> bytes:
    """Receive so many bytes."""
    received = bytearray()
    while len(received) < count:
        data = peer.recv(min(count - len(received), _CHUNK))
        assert data, f"ended after {len(received)} of {count} bytes"
        received += data
    return bytes(received)


def receive_all(peer: Peer) -> bytes:
    """Receive all there is until the end, which must be a clean one."""
    return b"".join(iter(lambda: peer.recv(_CHUNK), b""))


def drain(peer: Peer) -> tuple[bytes, bool]:
    """Receive all there is, and whether its end was a clean one."""
    received = bytearray()
    try:
        while data := peer.recv(_CHUNK):
            received += data
    except (ConnectionError, ssl.SSLError):
        return bytes(received), False
    return bytes(received), True
