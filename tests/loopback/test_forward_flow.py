"""One direction between two sockets: how it ends, who broke it, and what it is carried by."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel._net import flow as module
from connect_tunnel._net.flow import Flow, between, unsent
from connect_tunnel._net.pair import socket_pair
from connect_tunnel._net.sock import MAX_READ
from connect_tunnel._net.waits import READ, WRITE

from .raw import receive_all, receive_exactly
from .shells import nothing_left, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

LINGER = b"\1\0\0\0\0\0\0\0"
MANY = 8 << 20


class Joined:
    """Two pairs of sockets, and the two flows between their near ends."""

    def __init__(self) -> None:
        (self.left, near), (far, self.right) = socket_pair(), socket_pair()
        self.out, self.back = between(near, far)
        for sock in (self.left, self.right):
            sock.setblocking(True)
            sock.settimeout(10)


@pytest.fixture
def joined() -> Generator[Joined]:
    with nothing_left():
        made = Joined()
        yield made
        for flow in (made.out, made.back):
            flow.close()
            flow.source.close()
        made.left.close()
        made.right.close()


def settle(flow: Flow) -> None:
    """Advance until nothing moves any more, here and in the kernel."""
    while flow.state == "open":
        if not flow.advance() and flow.state == "open" and not ready(flow):
            return


def ready(flow: Flow, seconds: float = 0.1) -> bool:
    poller = select.poll()
    sock, direction = flow.blocked_on
    poller.register(sock, {READ: select.POLLIN, WRITE: select.POLLOUT}[direction])
    return bool(poller.poll(seconds * 1000))


@contextmanager
def working(flow: Flow) -> Generator[None]:
    """The flow is advanced in a thread until it is over."""

    def work() -> None:
        while flow.state == "open":
            if not flow.advance() and flow.state == "open":
                ready(flow, 10)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    sock.close()


def test_bytes_and_their_end(joined: Joined) -> None:
    joined.left.sendall(b"hello")
    joined.left.shutdown(socket.SHUT_WR)
    settle(joined.out)
    assert joined.out.state == "ended"
    assert receive_all(joined.right) == b"hello"
    joined.right.sendall(b"still here")
    settle(joined.back)
    assert joined.back.state == "open"
    assert joined.left.recv(100) == b"still here"


def carry_many(joined: Joined) -> None:
    data = os.urandom(MANY)
    with working(joined.out):
        sending = threading.Thread(target=joined.left.sendall, args=(data,))
        sending.start()
        assert receive_exactly(joined.right, MANY) == data
        sending.join(10)
        joined.left.shutdown(socket.SHUT_WR)
        assert joined.right.recv(1) == b""
    assert joined.out.state == "ended"


@pytest.mark.skipif(not hasattr(os, "splice"), reason="this system has no splice")
def test_a_long_transfer_is_spliced(joined: Joined) -> None:
    carry_many(joined)
    way = joined.out._way
    assert isinstance(way, module._Splice)
    for descriptor in (way._out, way._into):
        os.fstat(descriptor)  # they are open
    joined.out.close()
    for descriptor in (way._out, way._into):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    joined.out._way = module._Copy()


def no_descriptors(*_: Any) -> Any:
    raise OSError(errno.EMFILE, "Too many open files")


def small_pipe(*_: Any) -> int:
    return 4096


def forbidden(*_: Any) -> Any:
    raise PermissionError(errno.EPERM, "Operation not permitted")


@pytest.mark.parametrize(
    ("what", "name", "instead"),
    [
        (os, "pipe2", no_descriptors),
        (fcntl, "fcntl", small_pipe),
        (fcntl, "fcntl", forbidden),
        (os, "splice", None),
    ],
)
def test_without_a_pipe_it_is_copied(
    joined: Joined, monkeypatch: pytest.MonkeyPatch, what: Any, name: str, instead: Any
) -> None:
    if instead is None:
        monkeypatch.delattr(what, name)
    else:
        monkeypatch.setattr(what, name, instead)
    carry_many(joined)
    assert isinstance(joined.out._way, module._Copy)


@pytest.mark.skipif(not hasattr(os, "splice"), reason="this system has no splice")
@pytest.mark.parametrize("fails_at", ["source", "sink"])
def test_what_cannot_be_spliced_is_copied(
    joined: Joined, monkeypatch: pytest.MonkeyPatch, fails_at: str
) -> None:
    """There are sandboxes whose sockets cannot be; nothing is lost by finding out."""
    splice = os.splice
    number = (joined.out.source if fails_at == "source" else joined.out.sink).fileno()

    def refuse(source: int, sink: int, count: int, *, flags: int) -> int:
        if number in (source, sink):
            raise OSError(errno.EINVAL, "Invalid argument")
        return splice(source, sink, count, flags=flags)

    monkeypatch.setattr(os, "splice", refuse)
    carry_many(joined)
    assert isinstance(joined.out._way, module._Copy)


def test_a_reset_of_the_source(joined: Joined) -> None:
    joined.left.sendall(b"last words")
    settle(joined.out)
    reset(joined.left)
    settle(joined.out)
    assert joined.out.state == "source broke"
    assert joined.right.recv(100) == b"last words"


def test_a_reset_that_sending_hears_of_is_no_end_of_what_is_received(joined: Joined) -> None:
    reset(joined.right)
    joined.left.sendall(b"x")
    settle(joined.out)
    assert joined.out.state == "sink broke"
    settle(joined.back)
    assert joined.back.state == "source broke"


def test_who_ended_and_then_went_away_had_ended(joined: Joined) -> None:
    """A server that says its last and leaves, while the client is still speaking."""
    joined.right.sendall(b"goodbye")
    joined.right.close()
    joined.left.sendall(b"x")
    settle(joined.out)  # which is answered by a reset
    joined.left.sendall(b"y")
    settle(joined.out)
    assert joined.out.state == "sink broke"
    settle(joined.back)
    assert joined.back.state == "ended"
    assert receive_all(joined.left) == b"goodbye"


def test_an_end_that_nobody_is_left_to_be_told_of(joined: Joined) -> None:
    reset(joined.right)
    joined.left.shutdown(socket.SHUT_WR)
    wait_until(lambda: is_gone(joined.out.sink))
    settle(joined.out)
    assert joined.out.state == "ended"
    settle(joined.back)
    assert joined.back.state == "source broke"


def is_gone(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return True
    return False


@pytest.mark.skipif(not hasattr(os, "splice"), reason="this system has no splice")
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_reset_while_splicing(joined: Joined, side: str) -> None:
    joined.out._full_reads = module._LONG
    joined.left.sendall(b"x")
    settle(joined.out)
    assert joined.right.recv(10) == b"x"
    if side == "left":
        reset(joined.left)
    else:
        reset(joined.right)
        joined.left.sendall(b"y")
    settle(joined.out)
    assert joined.out.state == ("source broke" if side == "left" else "sink broke")


def test_what_is_unsent(joined: Joined, monkeypatch: pytest.MonkeyPatch) -> None:
    near = joined.out.source
    assert unsent(near) == 0
    with suppress(BlockingIOError):
        while True:
            near.send(bytes(MAX_READ))
    assert unsent(near) > 0
    joined.left.recv(MAX_READ)
    reset(joined.left)
    wait_until(lambda: unsent(near) == 0)
    monkeypatch.setitem(__import__("sys").modules, "termios", None)  # as on Windows
    assert unsent(near) == 0
    with socket.socket() as closed:
        pass
    monkeypatch.undo()
    assert unsent(closed) == 0
