"""The front where there is no envoy: `python -m benchmarks.h2_fallback UPSTREAM CHAIN.pem`."""

from __future__ import annotations

import socket
import ssl
import sys

from connect_tunnel.testing import LoopbackH2Proxy

from .place import HOST


class Front(LoopbackH2Proxy):
    """Passes every CONNECT on to another proxy."""

    def __init__(self, upstream: int, context: ssl.SSLContext) -> None:
        super().__init__(
            ssl_context=context, max_concurrent_streams=2000, initial_window_size=1 << 24
        )
        self._upstream = upstream

    def _dial(self, host: str, port: int) -> socket.socket | bytes:
        sock = socket.create_connection((HOST, self._upstream))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        return sock


def main(upstream: int, chain: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chain)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with Front(upstream, context) as front:
        sys.stdout.write(f"{front.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
