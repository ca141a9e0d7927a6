"""A real socket where the tunnel is none: one end of a pair, and a thread that serves it."""

from __future__ import annotations

from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

from connect_tunnel._net.flow import GLANCE, LINGER, unsent
from connect_tunnel._net.pair import socket_pair
from connect_tunnel._net.relay import Pipe, join
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.stream import Stream
from connect_tunnel._net.waits import Deadline

from .wait import run

if TYPE_CHECKING:
    import socket


def bridge(stream: Stream) -> socket.socket:
    """Join a stream to a new socket, which is returned; the thread ends when both have ended."""
    near, far = socket_pair()
    other = Stream(SocketLayer(far), stream.target)
    server = Thread(target=_serve, args=(stream, other), name="connect_tunnel-bridge", daemon=True)
    try:
        server.start()
    except BaseException:
        near.close()
        far.close()
        raise
    return near


def _serve(stream: Stream, other: Stream) -> None:
    try:
        run(join(Pipe(other, stream), Pipe(stream, other)), Deadline())
    except OSError:
        # What broke on one side breaks on the other: a reset stays a reset. It comes behind
        # what was written before.
        ends = monotonic() + LINGER
        while monotonic() < ends and any(map(unsent, (stream.sock, other.sock))):
            sleep(GLANCE)
        stream.drop(reset=True)
        other.drop(reset=True)
    finally:
        for each in (stream, other):
            each.close_now()
