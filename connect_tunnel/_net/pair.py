"""A pair of connected loopback sockets.

TCP rather than `socketpair`: what is handed out takes TCP options, and can be reset.
"""

from __future__ import annotations

import socket


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two ends of a connection that nobody else can have got hold of."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        near = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            near.connect(server.getsockname())
            while True:
                far, peer = server.accept()
                if peer == near.getsockname():
                    break
                far.close()  # somebody else on this machine was quicker
        except BaseException:
            near.close()
            raise
    for sock in (near, far):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
    return near, far
