"""What any stream of this library must do, for threads.

Each check is one promise, and has a name. It gets a fresh stream and the socket of the
target at its other end, and raises AssertionError, or what the stream raised against its
promise. No check waits longer than `PATIENCE` for anything.
"""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, TypeVar

from connect_tunnel._errors import TunnelBroken, TunnelClosed, TunnelError, TunnelTimeout

from ._listener import reset
from ._peer import drain, receive_all, receive_exactly

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from concurrent.futures import Future
    from contextlib import AbstractContextManager

    from ._peer import Data, Peer

T = TypeVar("T")

PATIENCE: Final = 10.0  # for what comes at once, on a machine that is busy
PROMPTLY: Final = 1.0  # to wake up because of a close
A_WHILE: Final = 0.05  # for a thread or a task to get to where it waits
MANY: Final = 16 << 20
TOO_MANY: Final = 64 << 20  # more than all the buffers between here and the target hold


class BlockingStream(Protocol):
    """The verbs of `Tunnel` that are checked."""

    def read(self, max_bytes: int = ..., timeout: float | None = None) -> bytes: ...
    def write(self, data: Data, timeout: float | None = None) -> None: ...
    def send_eof(self) -> None: ...
    def close(self) -> None: ...


Make: TypeAlias = "Callable[[], AbstractContextManager[tuple[BlockingStream, Peer]]]"


def check_tunnel(make: Make, checks: Iterable[str] | None = None) -> None:
    """Check that a stream keeps the promises of a `Tunnel`.

    Args:
        make: Gives a context with an open stream and the target's end of it, whose reset
            and half-close reach the stream. Called for each check.
        checks: Which promises, of `CHECKS`. All by default; a stream over a plain socket
            cannot keep "truncation", since TCP has no way to say it.

    Raises:
        AssertionError: A promise is broken; the message begins with its name.
    """
    for name in CHECKS if checks is None else checks:
        with make() as (stream, peer):
            peer.settimeout(PATIENCE)
            try:
                _CHECKS[name](stream, peer)
            except Exception as exc:
                raise AssertionError(f"{name}: {exc!r}") from exc


def echo(stream: BlockingStream, peer: Peer) -> None:
    """16 MiB there and back at the same time, unchanged."""
    sent = os.urandom(MANY)
    with _meanwhile(echo_back, peer, MANY), _meanwhile(stream.write, sent, PATIENCE):
        received = bytearray()
        while len(received) < MANY:
            data = stream.read(timeout=PATIENCE)
            assert data, f"ended after {len(received)} bytes"
            received += data
    assert received == sent, "what came back is not what was sent"


def server_first(stream: BlockingStream, peer: Peer) -> None:
    """The target may speak first, and reading takes no more than it is asked for."""
    peer.sendall(b"220 ready\r\n")
    assert _read_exactly(stream, 3) == b"220"
    assert _read_exactly(stream, 8) == b" ready\r\n"
    stream.write(bytearray(b"HE"))
    stream.write(memoryview(b"LO"))
    assert receive_exactly(peer, 4) == b"HELO"


def half_close(stream: BlockingStream, peer: Peer) -> None:
    """After send_eof reading goes on, and nothing of what was on the way is lost."""
    peer.sendall(b"x" * 50_000)
    stream.write(b"last words")
    stream.send_eof()
    assert receive_all(peer) == b"last words"
    peer.sendall(b"y" * 50_000)
    peer.shutdown(socket.SHUT_WR)
    assert _read_all(stream) == b"x" * 50_000 + b"y" * 50_000
    assert _error_of(stream.write, b"more"), "writes after send_eof"


def half_close_of_peer(stream: BlockingStream, peer: Peer) -> None:
    """After the target's end writing goes on, and the end stays the end."""
    peer.sendall(b"last words")
    peer.shutdown(socket.SHUT_WR)
    assert _read_all(stream) == b"last words"
    assert stream.read(timeout=PATIENCE) == b""
    stream.write(b"and mine", timeout=PATIENCE)
    stream.send_eof()
    assert receive_all(peer) == b"and mine"


def reset_of_peer(stream: BlockingStream, peer: Peer) -> None:
    """A reset is an error, and no end."""
    reset(peer)
    error = _error_of(stream.read, timeout=PATIENCE)
    assert isinstance(error, TunnelBroken), f"a reset reads as {error!r}"


def read_timeout(stream: BlockingStream, peer: Peer) -> None:
    """A read that times out loses nothing, and says so in time."""
    started = time.monotonic()
    error = _error_of(stream.read, timeout=A_WHILE)
    assert isinstance(error, TunnelTimeout), f"nothing came, and reading says {error!r}"
    assert time.monotonic() - started < A_WHILE + PROMPTLY, "timed out too late"
    peer.sendall(b"late")
    assert _read_exactly(stream, 4) == b"late"


def interrupted_write(stream: BlockingStream, peer: Peer) -> None:
    """A write cut short is the last one: there is never a gap in what the target gets."""
    error = _error_of(stream.write, b"a" * TOO_MANY, timeout=4 * A_WHILE)
    assert isinstance(error, TunnelTimeout), f"nobody reads, and writing says {error!r}"
    error = _error_of(stream.write, b"b", timeout=PATIENCE)
    assert isinstance(error, TunnelBroken), f"after a write cut short, writing says {error!r}"
    stream.close()
    received, _ = drain(peer)
    assert len(received) < TOO_MANY, "the write was not cut short"
    assert not received.strip(b"a"), "something came after the gap"


def truncation(stream: BlockingStream, peer: Peer) -> None:
    """After a write cut short the target sees a break, and no end."""
    error = _error_of(stream.write, b"a" * TOO_MANY, timeout=4 * A_WHILE)
    assert isinstance(error, TunnelTimeout), f"nobody reads, and writing says {error!r}"
    stream.close()
    _, clean = drain(peer)
    assert not clean, "a write was cut short, and the target sees a clean end"


def close_wakes_reader(stream: BlockingStream, peer: Peer) -> None:  # noqa: ARG001
    """Whoever waits in a read when the stream is closed wakes up at once."""
    with _meanwhile(_error_of, stream.read, timeout=PATIENCE) as reading:
        _close_and_see(stream, reading)


def close_wakes_writer(stream: BlockingStream, peer: Peer) -> None:  # noqa: ARG001
    """Whoever waits in a write when the stream is closed wakes up at once."""
    data = b"a" * TOO_MANY
    with _meanwhile(_error_of, stream.write, data, timeout=PATIENCE) as writing:
        time.sleep(A_WHILE)  # more than it takes to fill the buffers
        _close_and_see(stream, writing)


def one_reader(stream: BlockingStream, peer: Peer) -> None:
    """A second reader is an error, and the first goes on."""
    with _meanwhile(stream.read, timeout=PATIENCE) as reading:
        time.sleep(A_WHILE)
        error = _error_of(stream.read, timeout=PATIENCE)
        peer.sendall(b"x")
        assert type(error) is RuntimeError, f"two readers: {error!r}"
        assert reading.result(PATIENCE) == b"x"


def one_writer(stream: BlockingStream, peer: Peer) -> None:
    """A second writer is an error, and the first goes on."""
    with _meanwhile(stream.write, b"a" * TOO_MANY, PATIENCE) as writing:
        time.sleep(4 * A_WHILE)
        error = _error_of(stream.write, b"b", timeout=PATIENCE)
        received = receive_exactly(peer, TOO_MANY)
        assert type(error) is RuntimeError, f"two writers: {error!r}"
        assert not received.strip(b"a"), "the second writer wrote"
        writing.result(PATIENCE)


def close_is_an_end(stream: BlockingStream, peer: Peer) -> None:
    """What was written arrives before the end; to close again does nothing."""
    stream.write(b"bye")
    stream.close()
    stream.close()
    assert receive_all(peer) == b"bye"


def use_after_close(stream: BlockingStream, peer: Peer) -> None:
    """A closed stream says that it is closed, also when bytes have arrived before."""
    peer.sendall(b"too late")
    stream.close()
    for error in (
        _error_of(stream.read),
        _error_of(stream.write, b"x"),
        _error_of(stream.send_eof),
    ):
        assert isinstance(error, TunnelClosed), f"used after close: {error!r}"


_CHECKS: Final[dict[str, Callable[[BlockingStream, Peer], None]]] = {
    check.__name__: check
    for check in (
        echo,
        server_first,
        half_close,
        half_close_of_peer,
        reset_of_peer,
        read_timeout,
        interrupted_write,
        truncation,
        close_wakes_reader,
        close_wakes_writer,
        one_reader,
        one_writer,
        close_is_an_end,
        use_after_close,
    )
}
CHECKS: Final = tuple(_CHECKS)


def _close_and_see(stream: BlockingStream, waiting: Future[Exception | None]) -> None:
    time.sleep(A_WHILE)
    started = time.monotonic()
    stream.close()
    error = waiting.result(PATIENCE)
    assert time.monotonic() - started < PROMPTLY, "woke up too late"
    assert isinstance(error, TunnelClosed), f"was closed meanwhile, and says {error!r}"


@contextmanager
def _meanwhile(act: Callable[..., T], *args: object, **kwargs: object) -> Generator[Future[T]]:
    """Do something in another thread, and wait for it at the end."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(act, *args, **kwargs)
        yield future
        future.result(PATIENCE)


def _error_of(act: Callable[..., object], *args: object, **kwargs: object) -> Exception | None:
    try:
        act(*args, **kwargs)
    except (TunnelError, RuntimeError) as exc:
        return exc
    return None


def _read_exactly(stream: BlockingStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        more = stream.read(count - len(data), timeout=PATIENCE)
        assert more, f"ended after {bytes(data)!r}"
        data += more
    assert len(data) == count, "read more than it was asked for"
    return bytes(data)


def _read_all(stream: BlockingStream) -> bytes:
    return b"".join(iter(lambda: stream.read(timeout=PATIENCE), b""))


def echo_back(peer: Peer, count: int) -> None:
    """Send back so many bytes."""
    while count:
        data = peer.recv(65536)
        assert data, f"the stream ended {count} bytes too early"
        peer.sendall(data)
        count -= len(data)
