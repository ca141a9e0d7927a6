"""A real socket where the tunnel is none: one end of a pair, and a task that serves it."""

from __future__ import annotations

import contextlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from connect_tunnel._net.pair import abort, socket_pair
from connect_tunnel._net.relay import Pipe, join
from connect_tunnel._net.sock import SocketLayer
from connect_tunnel._net.stream import Stream
from connect_tunnel._net.waits import Deadline, Expired

from .wait import run

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncGenerator

_LAST_SECONDS = 1.0


@asynccontextmanager
async def bridge(stream: Stream) -> AsyncGenerator[socket.socket]:
    """Join a stream to a new socket, for as long as the context lasts."""
    try:
        near, far = socket_pair()
    except BaseException:
        stream.close_now()  # nobody else has it any more
        raise
    other = Stream(SocketLayer(far), stream.target)
    out, back = Pipe(other, stream), Pipe(stream, other)
    raised: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_serve, out, back)
            try:
                yield near
            except Exception as error:  # noqa: BLE001 - raised below, and not in a group
                raised = error
            near.close()
            tasks.cancel_scope.cancel()
        if raised is not None:
            raise raised
        if not stream.closed:
            # What was written last still goes out, if the target takes it in time.
            with contextlib.suppress(OSError, Expired):
                await run(join(out), Deadline(_LAST_SECONDS))
    finally:
        near.close()
        for each in (stream, other):
            each.close_now()


async def _serve(out: Pipe, back: Pipe) -> None:
    try:
        await run(join(out, back), Deadline())
    except OSError:
        # What broke on one side breaks on the other: a reset stays a reset.
        abort(out.source)
        abort(out.sink)
