"""What any stream of this library must do, for event loops: the same promises, and anyio's.

As `_check_sync`, with tasks for threads and cancellation for timeouts. The target's end is
a blocking socket, used in worker threads.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from anyio.to_thread import run_sync

from connect_tunnel._errors import TunnelBroken, TunnelClosed, TunnelError

from ._check_sync import A_WHILE, MANY, PATIENCE, PROMPTLY, TOO_MANY, echo_back
from ._listener import reset
from ._peer import drain, receive_all, receive_exactly

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import ByteStream

    from ._peer import Peer

MakeAsync: TypeAlias = "Callable[[], AbstractAsyncContextManager[tuple[ByteStream, Peer]]]"


async def check_tunnel_async(make: MakeAsync, checks: Iterable[str] | None = None) -> None:
    """Check that a stream keeps the promises of an `AsyncTunnel`.

    Args:
        make: Gives an asynchronous context with an open stream and the target's end of it,
            whose reset and half-close reach the stream. Called for each check.
        checks: Which promises, of `ASYNC_CHECKS`. All by default; a stream over a plain
            socket cannot keep "truncation", since TCP has no way to say it.

    Raises:
        AssertionError: A promise is broken; the message begins with its name.
    """
    for name in ASYNC_CHECKS if checks is None else checks:
        async with make() as (stream, peer):
            peer.settimeout(PATIENCE)
            try:
                with anyio.fail_after(3 * PATIENCE):
                    await _CHECKS[name](stream, peer)
            except Exception as exc:
                raise AssertionError(f"{name}: {exc!r}") from exc


async def echo(stream: ByteStream, peer: Peer) -> None:
    """16 MiB there and back at the same time, unchanged."""
    sent = os.urandom(MANY)
    received = bytearray()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run_sync, echo_back, peer, MANY)
        tasks.start_soon(stream.send, sent)
        while len(received) < MANY:
            received += await stream.receive()
    assert received == sent, "what came back is not what was sent"


async def server_first(stream: ByteStream, peer: Peer) -> None:
    """The target may speak first, and receiving takes no more than it is asked for."""
    peer.sendall(b"220 ready\r\n")
    assert await _receive_exactly(stream, 3) == b"220"
    assert await _receive_exactly(stream, 8) == b" ready\r\n"
    await stream.send(b"HELO")
    assert await run_sync(receive_exactly, peer, 4) == b"HELO"


async def half_close(stream: ByteStream, peer: Peer) -> None:
    """After send_eof receiving goes on, and nothing of what was on the way is lost."""
    peer.sendall(b"x" * 50_000)
    await stream.send(b"last words")
    await stream.send_eof()
    assert await run_sync(receive_all, peer) == b"last words"
    peer.sendall(b"y" * 50_000)
    peer.shutdown(socket.SHUT_WR)
    assert await _receive_all(stream) == b"x" * 50_000 + b"y" * 50_000
    assert await _error_of(stream.send, b"more"), "sends after send_eof"


async def half_close_of_peer(stream: ByteStream, peer: Peer) -> None:
    """After the target's end sending goes on, and the end stays the end."""
    peer.sendall(b"last words")
    peer.shutdown(socket.SHUT_WR)
    assert await _receive_all(stream) == b"last words"
    assert await _receive_all(stream) == b""
    await stream.send(b"and mine")
    await stream.send_eof()
    assert await run_sync(receive_all, peer) == b"and mine"


async def reset_of_peer(stream: ByteStream, peer: Peer) -> None:
    """A reset is an error, and no end."""
    reset(peer)
    error = await _error_of(stream.receive)
    assert _is_broken(error), f"a reset is received as {error!r}"


async def cancelled_receive(stream: ByteStream, peer: Peer) -> None:
    """A receive that is cancelled loses nothing."""
    with anyio.move_on_after(A_WHILE) as scope:
        await stream.receive()
    assert scope.cancelled_caught, "nothing came, and something was received"
    peer.sendall(b"late")
    assert await _receive_exactly(stream, 4) == b"late"


async def interrupted_send(stream: ByteStream, peer: Peer) -> None:
    """A send cut short is the last one: there is never a gap in what the target gets."""
    await _cut_short(stream)
    error = await _error_of(stream.send, b"b")
    assert _is_broken(error), f"after a send cut short, sending says {error!r}"
    await stream.aclose()
    received, _ = await run_sync(drain, peer)
    assert len(received) < TOO_MANY, "the send was not cut short"
    assert not received.strip(b"a"), "something came after the gap"


async def truncation(stream: ByteStream, peer: Peer) -> None:
    """After a send cut short the target sees a break, and no end."""
    await _cut_short(stream)
    await stream.aclose()
    _, clean = await run_sync(drain, peer)
    assert not clean, "a send was cut short, and the target sees a clean end"


async def close_wakes_receiver(stream: ByteStream, peer: Peer) -> None:  # noqa: ARG001
    """Whoever waits in a receive when the stream is closed wakes up at once."""
    async with _errors_of(stream.receive) as errors:
        await anyio.sleep(A_WHILE)
        await _close_and_see(stream, errors)


async def close_wakes_sender(stream: ByteStream, peer: Peer) -> None:  # noqa: ARG001
    """Whoever waits in a send when the stream is closed wakes up at once."""
    async with _errors_of(stream.send, b"a" * TOO_MANY) as errors:
        await anyio.sleep(4 * A_WHILE)
        await _close_and_see(stream, errors)


async def one_receiver(stream: ByteStream, peer: Peer) -> None:
    """A second receiver is an error, and the first goes on."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_receive_exactly, stream, 1)
        await anyio.sleep(A_WHILE)
        error = await _error_of(stream.receive)
        assert isinstance(error, anyio.BusyResourceError), f"two receivers: {error!r}"
        peer.sendall(b"x")


async def one_sender(stream: ByteStream, peer: Peer) -> None:
    """A second sender is an error, and the first goes on."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stream.send, b"a" * TOO_MANY)
        await anyio.sleep(4 * A_WHILE)
        error = await _error_of(stream.send, b"b")
        assert isinstance(error, anyio.BusyResourceError), f"two senders: {error!r}"
        received = await run_sync(receive_exactly, peer, TOO_MANY)
        assert not received.strip(b"a"), "the second sender sent"


async def close_is_an_end(stream: ByteStream, peer: Peer) -> None:
    """What was sent arrives before the end; to close again does nothing."""
    await stream.send(b"bye")
    await stream.aclose()
    await stream.aclose()
    assert await run_sync(receive_all, peer) == b"bye"


async def close_when_cancelled(stream: ByteStream, peer: Peer) -> None:
    """Closing closes in a cancelled scope too."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await stream.aclose()
    await run_sync(drain, peer)
    error = await _error_of(stream.receive)
    assert _is_closed(error), f"used after close: {error!r}"


async def use_after_close(stream: ByteStream, peer: Peer) -> None:
    """A closed stream says that it is closed, also when bytes have arrived before."""
    peer.sendall(b"too late")
    await stream.aclose()
    for error in (
        await _error_of(stream.receive),
        await _error_of(stream.send, b"x"),
        await _error_of(stream.send_eof),
    ):
        assert _is_closed(error), f"used after close: {error!r}"


async def cancellation_points(stream: ByteStream, peer: Peer) -> None:
    """To receive and to send can be cancelled, also when neither has to wait."""
    peer.sendall(b"here")
    await anyio.sleep(A_WHILE)
    for act in (stream.receive, lambda: stream.send(b"x")):
        with anyio.CancelScope() as scope:
            scope.cancel()
            await act()
        assert scope.cancelled_caught, "went on in a cancelled scope"
    await stream.send(b"y")
    assert await run_sync(receive_exactly, peer, 1) == b"y", "sent in a cancelled scope"
    assert await _receive_exactly(stream, 4) == b"here"


async def checkpoints(stream: ByteStream, peer: Peer) -> None:
    """A stream that never has to wait lets others have their turn."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await checkpoint()

    peer.sendall(b"x" * 1000)
    await anyio.sleep(A_WHILE)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(count_turns)
        for _ in range(1000):
            await stream.receive(1)
        tasks.cancel_scope.cancel()
    assert turns > 10, f"others had {turns} turns while 1000 bytes were received one by one"


_CHECKS: Final[dict[str, Callable[[ByteStream, Peer], Awaitable[None]]]] = {
    check.__name__: check
    for check in (
        echo,
        server_first,
        half_close,
        half_close_of_peer,
        reset_of_peer,
        cancelled_receive,
        interrupted_send,
        truncation,
        close_wakes_receiver,
        close_wakes_sender,
        one_receiver,
        one_sender,
        close_is_an_end,
        close_when_cancelled,
        use_after_close,
        cancellation_points,
        checkpoints,
    )
}
ASYNC_CHECKS: Final = tuple(_CHECKS)


async def _cut_short(stream: ByteStream) -> None:
    with anyio.move_on_after(4 * A_WHILE) as scope:
        await stream.send(b"a" * TOO_MANY)
    assert scope.cancelled_caught, "nobody receives, and all was sent"


async def _close_and_see(stream: ByteStream, errors: list[Exception | None]) -> None:
    started = time.monotonic()
    await stream.aclose()
    while not errors:
        await anyio.sleep(0.001)
        assert time.monotonic() - started < PROMPTLY, "woke up too late"
    assert _is_closed(errors[0]), f"was closed meanwhile, and says {errors[0]!r}"


def _is_broken(error: Exception | None) -> bool:
    return isinstance(error, TunnelBroken) and isinstance(error, anyio.BrokenResourceError)


def _is_closed(error: Exception | None) -> bool:
    return isinstance(error, TunnelClosed) and isinstance(error, anyio.ClosedResourceError)


async def _error_of(act: Callable[..., Awaitable[object]], *args: object) -> Exception | None:
    try:
        await act(*args)
    except (TunnelError, anyio.BusyResourceError, anyio.EndOfStream) as exc:
        return exc
    return None


@asynccontextmanager
async def _errors_of(
    act: Callable[..., Awaitable[object]], *args: object
) -> AsyncGenerator[list[Exception | None]]:
    """Do something in another task; what it raised, once it has ended."""
    errors: list[Exception | None] = []

    async def run() -> None:
        errors.append(await _error_of(act, *args))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        yield errors


async def _receive_exactly(stream: ByteStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        data += await stream.receive(count - len(data))
    assert len(data) == count, "received more than it was asked for"
    return bytes(data)


async def _receive_all(stream: ByteStream) -> bytes:
    return b"".join([data async for data in stream])
