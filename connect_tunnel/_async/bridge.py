"""A real socket where the tunnel is none: one end of a pair, and a task that serves it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from connect_tunnel._net.pair import abort, socket_pair
from connect_tunnel._net.relay import relay
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.stream import Stream
from connect_tunnel._net.waits import Deadline

from .wait import run

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

_LAST_SECONDS = 1.0


@asynccontextmanager
async def bridge(stream: Stream) -> AsyncGenerator[socket.socket]:
    """Join a stream to a new socket, for as long as the context lasts."""
    near, far = socket_pair()
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_serve, stream, Stream(SocketLayer(far), stream.target))
            yield near
            near.close()
            # What was written last still goes out, if the target takes it in time.
            tasks.cancel_scope.deadline = anyio.current_time() + _LAST_SECONDS
    finally:
        near.close()


async def _serve(stream: Stream, other: Stream) -> None:
    try:
        await run(relay(stream, other), Deadline())
    except OSError:
        # What broke on one side breaks on the other: a reset stays a reset.
        abort(stream)
        abort(other)
    finally:
        for each in (stream, other):
            each.shut()
            each.let_go()
