"""The least that tunnels over HTTP/2 can cost in Python: frames by hand, on one blocking socket.

As with the other floors: no deadline, no checks, no errors; and one tunnel is used at a time.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING

from .place import HOST, PORT

if TYPE_CHECKING:
    import ssl

    from .place import Link, Open, Place

CHUNK = 1 << 16
FRAME = 1 << 14
WINDOW = 1 << 24  # of ours, which a credit restores when half of it is used
LARGEST = (1 << 31) - 1
HEAD = struct.Struct(">IBI")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, stream) + payload


def frames(place: Place) -> Open:
    """One connection for all tunnels that are open at a time."""
    shared: list[Connection] = []

    def open_one(target: str) -> Link:
        shared.append(shared[0] if shared else Connection(place))
        connection = shared[0]
        stream = connection.open(target)

        def close() -> None:
            shared.pop()
            if not shared:
                connection.sock.close()

        def send(data: bytes) -> None:
            connection.send(stream, data)

        def receive(_: int) -> bytes:
            return connection.receive(stream)

        return send, receive, close

    return open_one


class Connection:
    """Frames in and out (RFC 9113, 4.1)."""

    def __init__(self, place: Place) -> None:
        assert place.hop is not None
        place.hop.set_alpn_protocols(["h2"])
        sock = socket.create_connection((HOST, place.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock: ssl.SSLSocket = place.hop.wrap_socket(sock, server_hostname=HOST)
        settings = frame(4, 0, 0, struct.pack(">HI", 4, WINDOW))
        enough = frame(8, 0, 0, struct.pack(">I", LARGEST - 65535))
        self.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + enough)
        self.buffer = b""
        self.opened = 0
        self.open_streams: set[int] = set()
        self.windows = {0: 65535}
        self.initial = 65535
        self.data: dict[int, list[bytes]] = {}
        self.used: dict[int, int] = {}

    def open(self, target: str) -> int:
        stream = 2 * self.opened + 1
        self.opened += 1
        self.windows[stream], self.used[stream], self.data[stream] = self.initial, 0, []
        authority = f"{target}:{PORT}".encode("ascii")
        block = b"\x02\x07CONNECT\x01" + bytes([len(authority)]) + authority
        self.sock.sendall(frame(1, 4, stream, block))
        while stream not in self.open_streams:
            self.take()
        return stream

    def send(self, stream: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            size = min(len(view), self.windows[0], self.windows[stream])
            if size <= 0:
                self.take()
                continue
            parts = [view[i : min(i + FRAME, size)] for i in range(0, size, FRAME)]
            heads = [HEAD.pack(len(part) << 8, 0, stream) for part in parts]
            self.sock.sendall(b"".join(x for pair in zip(heads, parts, strict=True) for x in pair))
            self.windows[0] -= size
            self.windows[stream] -= size
            view = view[size:]

    def receive(self, stream: int) -> bytes:
        data = self.data[stream]
        while not data:
            self.take()
        self.used[stream] += sum(map(len, data))
        if self.used[stream] > WINDOW // 2:
            credit = struct.pack(">I", self.used[stream])
            self.sock.sendall(frame(8, 0, stream, credit) + frame(8, 0, 0, credit))
            self.used[stream] = 0
        received = b"".join(data)
        data.clear()
        return received

    def take(self) -> None:
        """Receive what there is, and act on it."""
        buffer, start = self.buffer + self.sock.recv(CHUNK), 0
        while len(buffer) - start >= 9:
            word, flags, stream = HEAD.unpack_from(buffer, start)
            end = start + 9 + (word >> 8)
            if end > len(buffer):
                break
            self.act(word & 255, flags, stream, buffer[start + 9 : end])
            start = end
        self.buffer = buffer[start:]

    def act(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        match kind:
            case 0:
                self.data[stream].append(payload)
            case 1:
                if b"\x88" not in payload[:4]:  # ":status: 200", which a table's size may precede
                    raise OSError(payload)
                self.open_streams.add(stream)
            case 4 if not flags & 1:
                for key, value in struct.iter_unpack(">HI", payload):
                    if key == 4:
                        for each in self.windows:
                            self.windows[each] += (value - self.initial) if each else 0
                        self.initial = value
                self.sock.sendall(frame(4, 1, 0, b""))
            case 6 if not flags & 1:
                self.sock.sendall(frame(6, 1, 0, payload))
            case 8:
                self.windows[stream] += int.from_bytes(payload, "big")
            case 3 | 7:
                raise OSError(payload)
            case _:
                pass
