"""Opening tunnels in the three shells as if they were one, and what to open them against."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import pytest

import connect_tunnel._async.wait
import connect_tunnel._sync.wait
from connect_tunnel import TunnelError, open_tunnel, open_tunnel_async

from .raw import descriptors

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from connect_tunnel import AsyncTunnel
    from connect_tunnel._net.waits import Deadline, Operation

T = TypeVar("T")

BACKENDS: Final = ("asyncio", "trio")
SHELLS: Final = ("sync", *BACKENDS)
TARGET: Final = "a.test:1"


def perform(shell: str, operation: Operation[T], deadline: Deadline) -> T:
    """Perform an operation in a shell."""
    if shell == "sync":
        return connect_tunnel._sync.wait.run(operation, deadline)
    return anyio.run(connect_tunnel._async.wait.run, operation, deadline, backend=shell)


def converse(shell: str, target: str | tuple[str, int] = TARGET, **options: Any) -> bytes:
    """Open a tunnel, say "ping", and give what is received until the end, or after it."""
    if shell == "sync":
        with open_tunnel(target, **options) as tunnel:
            tunnel.write(b"ping", timeout=5)
            tunnel.send_eof()
            return b"".join(iter(partial(tunnel.read, timeout=5), b""))

    async def use() -> bytes:
        with anyio.fail_after(10):
            async with await open_tunnel_async(target, **options) as tunnel:
                await tunnel.send(b"ping")
                await tunnel.send_eof()
                return await receive_all(tunnel)

    return anyio.run(use, backend=shell)


def failure(shell: str, target: str | tuple[str, int] = TARGET, **options: Any) -> TunnelError:
    """What opening a tunnel fails with."""

    async def use() -> None:
        async with await open_tunnel_async(target, **options):
            pass

    try:
        if shell == "sync":
            open_tunnel(target, **options).close()
        else:
            anyio.run(use, backend=shell)
    except TunnelError as error:
        return error
    pytest.fail("the tunnel was opened")


async def receive_all(tunnel: AsyncTunnel) -> bytes:
    return b"".join([data async for data in tunnel])


@contextmanager
def blackhole(family: socket.AddressFamily = socket.AF_INET) -> Generator[tuple[str, int]]:
    """An address that answers no SYN: that of a listener whose backlog is full."""
    host = "127.0.0.1" if family == socket.AF_INET else "::1"
    with socket.socket(family) as listener:
        listener.bind((host, 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()[:2]
        fillers = [_begin_to_connect(family, address)]
        while _is_writable(fillers[-1]):
            fillers.append(_begin_to_connect(family, address))
        try:
            yield address
        finally:
            for sock in fillers:
                sock.close()


def _begin_to_connect(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family)
    sock.setblocking(False)
    sock.connect_ex(address)
    return sock


def _is_writable(sock: socket.socket) -> bool:
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    return bool(poller.poll(25))


@contextmanager
def refusing() -> Generator[tuple[str, int]]:
    """An address that answers a SYN with a reset: bound, and nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()


@contextmanager
def took(at_least: float, at_most: float) -> Generator[None]:
    """What is done in this context takes so many seconds."""
    began = time.monotonic()
    yield
    seconds = time.monotonic() - began
    assert at_least <= seconds <= at_most, f"took {seconds:.2f} s"


def at_best(act: Callable[[], None], seconds: float) -> None:
    """It takes less than this, if need be at the third try: a machine may be busy."""
    tries: list[float] = []
    while not tries or (tries[-1] >= seconds and len(tries) < 3):
        began = time.monotonic()
        act()
        tries.append(time.monotonic() - began)
    assert tries[-1] < seconds, f"took {tries} s"


@contextmanager
def nothing_left(seconds: float = 2.0) -> Generator[None]:
    """What is done in this context leaves no descriptor and no thread behind, after this long.

    Servers belong into it, rather than round it: they open descriptors when they like. Fewer than
    before is as good, since what an earlier test left behind may end meanwhile.
    """
    before = descriptors(), threads()

    def left() -> tuple[int, set[threading.Thread]]:
        return max(descriptors() - before[0], 0), threads() - before[1]

    yield
    with suppress(TimeoutError):
        wait_until(lambda: left() == (0, set()), seconds)
    assert left() == (0, set())


def threads() -> set[threading.Thread]:
    """Those there are, without those that trio keeps for the next who needs one."""
    return {each for each in threading.enumerate() if not each.name.startswith("Trio thread")}


def wait_until(condition: Any, seconds: float = 2.0) -> None:
    """Wait for something that is about to happen."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.005)
