"""Two kernel sockets joined until both have ended, and parted so that nothing is lost.

An end is passed on as an end, and leaves the other direction open. A break is passed on as a
reset, since an end would be a lie, but not before the other side has what was written to it.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from connect_tunnel._net.flow import GLANCE, LINGER, between, unsent
from connect_tunnel._net.sock import MAX_READ
from connect_tunnel._net.waits import READ, WRITE, Ready

from .wait import until_ready

if TYPE_CHECKING:
    from connect_tunnel._net.flow import Flow


# What moves on without ever waiting gives nobody else a turn; after so many moves it does.
_LONGEST_STREAK: Final = 16
_NO_LINGER: Final = struct.pack("ii", 1, 0)


async def relay(one: socket.socket, other: socket.socket) -> bool:
    """Carry bytes both ways until both have ended; then both sockets are closed.

    If it is cancelled, it resets both at once.

    Returns:
        Whether it ended in order, rather than by a break of one of the two.
    """
    out, back = between(one, other)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_carry, out, tasks.cancel_scope)
            await _carry(back, tasks.cancel_scope)
        if broken := "source broke" in (out.state, back.state):
            await settle(one, other)
        else:
            for flow in (out, back):
                if flow.state == "sink broke":  # the source may be speaking still
                    await linger(flow.source)
    except BaseException:
        reset(one)
        reset(other)
        raise
    finally:
        out.close()
        back.close()
    for sock in (one, other):
        (reset if broken else socket.socket.close)(sock)
    return not broken


async def _carry(flow: Flow, both: anyio.CancelScope) -> None:
    streak = 0
    while flow.state == "open":
        if flow.advance():
            streak += 1
            if streak % _LONGEST_STREAK == 0:
                await checkpoint()
        elif flow.state == "open":
            streak = 0
            await until_ready(Ready(*flow.blocked_on))
    if flow.state == "source broke":
        both.cancel()


async def settle(*socks: socket.socket) -> None:
    """Wait until the peers have what was written to them, or are gone: a reset destroys it."""
    with anyio.move_on_after(LINGER):
        while any(map(unsent, socks)):  # noqa: ASYNC110 - the kernel has no event for it
            await anyio.sleep(GLANCE)


async def farewell(sock: socket.socket, last: bytes) -> None:
    """Say something, end and close, whatever is still being received."""
    rest = memoryview(last)
    with sock, anyio.move_on_after(LINGER), contextlib.suppress(OSError):
        while rest:
            rest = await send_some(sock, rest)
        sock.shutdown(socket.SHUT_WR)
        await linger(sock)


async def send_some(sock: socket.socket, data: memoryview) -> memoryview:
    """Send what can be sent, waiting until something can.

    Returns:
        The rest.
    """
    while True:
        try:
            return data[sock.send(data) :]
        except BlockingIOError:
            await until_ready(Ready(sock, WRITE))


async def linger(sock: socket.socket) -> None:
    """Take what the peer is still sending, until it ends or has had its time.

    To close before that would reset the connection, and a reset destroys what the peer has
    not received or read yet (RFC 9112, 9.6).
    """
    with anyio.move_on_after(LINGER), contextlib.suppress(OSError):
        while True:
            try:
                if not sock.recv(MAX_READ):
                    return
                await checkpoint()
            except BlockingIOError:
                await until_ready(Ready(sock, READ))


def reset(sock: socket.socket) -> None:
    """Close with a reset, so that the peer does not take it for an end. Unix sockets have none."""
    with sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
