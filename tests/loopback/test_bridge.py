"""Bridges: a real socket for a tunnel that has none of its own (T23's "owns its socket")."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.to_thread import run_sync

from connect_tunnel import AsyncTunnel, Proxy, Tunnel, TunnelClosed, open_tunnel, open_tunnel_async
from connect_tunnel._net.pair import socket_pair
from connect_tunnel.testing import (
    Close,
    Echo,
    Flood,
    HalfClose,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK, receive_all, receive_exactly
from .shells import BACKENDS, nothing_left, took, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Generator

    from connect_tunnel.testing import Step

MANY = 4 << 20
LAST = bytes(range(256)) * 1200  # more than a kernel takes for who does not read


@pytest.fixture
def contexts(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return server_context, client_context


@contextmanager
def bridged(contexts: Any, *script: Step) -> Generator[socket.socket]:
    """The socket of a tunnel through a TLS proxy, in which the target does these steps."""
    server, client = contexts
    with (
        nothing_left(),
        ScriptedProxy(Receive(), Send(OK + b"hi"), *script, ssl_context=server) as proxy,
    ):
        tunnel = open_tunnel("a.test:1", via=Proxy(proxy.url, ssl_context=client), timeout=5)
        with tunnel.socket() as sock:
            with pytest.raises(TunnelClosed):
                tunnel.read()
            tunnel.close()
            sock.settimeout(5)
            assert receive_exactly(sock, 2) == b"hi"
            yield sock
        assert proxy.wait_closed()


def echo(sock: socket.socket) -> None:
    writing = threading.Thread(target=sock.sendall, args=[b"x" * MANY])
    writing.start()
    assert receive_exactly(sock, MANY) == b"x" * MANY
    writing.join(5)


def half_close(sock: socket.socket) -> None:
    sock.sendall(b"last words")
    sock.shutdown(socket.SHUT_WR)
    assert receive_all(sock) == b"last words"


def reset(sock: socket.socket) -> None:
    with pytest.raises(ConnectionResetError):
        receive_all(sock)


def end(sock: socket.socket) -> None:
    assert receive_all(sock) == b"bye"
    sock.sendall(b"and mine")  # the other direction is open


def leave(sock: socket.socket) -> None:
    assert sock.recv(100)


def leave_with_a_reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def read_late(sock: socket.socket) -> None:
    """What was written before a break arrives before the break."""
    time.sleep(0.3)  # until it has broken
    assert receive_exactly(sock, len(LAST)) == LAST
    with pytest.raises(ConnectionResetError):
        sock.recv(1)


CONVERSATIONS: dict[str, tuple[list[Step], Callable[[socket.socket], None]]] = {
    "echo": ([Echo()], echo),
    "half-close": ([Echo(), HalfClose()], half_close),
    "a reset stays a reset": ([Wait(0.05), Reset()], reset),
    "a truncation is a reset": ([Send(b"part"), Wait(0.05), Close()], reset),
    "an end is an end": ([Send(b"bye"), HalfClose()], end),
    "broken behind the last words": ([Send(LAST), Close()], read_late),
    "left in the middle": ([Flood(b"x" * 65536)], leave),
    "left with a reset": ([Echo()], leave_with_a_reset),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_socket_of_a_tunnel(name: str, contexts: Any) -> None:
    script, talk = CONVERSATIONS[name]
    with bridged(contexts, *script) as sock:
        talk(sock)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_the_socket_of_an_async_tunnel(name: str, backend: str, contexts: Any) -> None:
    script, talk = CONVERSATIONS[name]

    def talk_and_close(sock: socket.socket) -> None:
        with sock:
            sock.settimeout(5)
            assert receive_exactly(sock, 2) == b"hi"
            talk(sock)

    async def use() -> None:
        async with bridged_async(contexts, *script) as (_, sock):
            assert not sock.getblocking()
            await run_sync(talk_and_close, sock)

    anyio.run(use, backend=backend)


@asynccontextmanager
async def bridged_async(
    contexts: Any, *script: Step
) -> AsyncGenerator[tuple[AsyncTunnel, socket.socket]]:
    server, client = contexts
    script = Receive(), Send(OK + b"hi"), *script
    with ScriptedProxy(*script, ssl_context=server) as proxy:
        via = Proxy(proxy.url, ssl_context=client)
        tunnel = await open_tunnel_async("a.test:1", via=via, timeout=5)
        async with tunnel.bridged() as sock:
            with pytest.raises(TunnelClosed):
                await tunnel.receive()
            yield tunnel, sock
        assert sock.fileno() == -1
        assert proxy.wait_closed()


@pytest.mark.parametrize("backend", BACKENDS)
def test_bridging_a_plain_tunnel_bridges_nothing(backend: str) -> None:
    async def use() -> None:
        tunnel = await open_tunnel_async("a.test:1", via=proxy.url, timeout=5)
        async with tunnel.bridged() as sock:
            with sock:
                assert sock.getpeername() == (proxy.host, proxy.port)

    with nothing_left(), ScriptedProxy(Receive(), Send(OK)) as proxy:
        anyio.run(use, backend=backend)


def fill(sock: socket.socket) -> None:
    """Send until nothing more can be sent."""
    try:
        while sock.send(b"x" * 65536):
            time.sleep(0.0005)
    except BlockingIOError:
        pass


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bridge_ends_with_its_context(
    backend: str, contexts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was written last goes out, and a target that takes nothing holds nobody up."""

    async def use() -> None:
        async with bridged_async(contexts, Receive(b"last words")) as (_, sock):
            sock.sendall(b"last words")
        with took(0.15, 3):
            async with bridged_async(contexts, Wait(0.4)) as (_, sock):
                await run_sync(fill, sock)

    monkeypatch.setattr("connect_tunnel._async.bridge._LAST_SECONDS", 0.2)
    with nothing_left():
        anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bridge_can_be_cancelled(backend: str, contexts: Any) -> None:
    async def use() -> None:
        with anyio.move_on_after(0.1) as scope:
            async with bridged_async(contexts, Wait(1)):
                await anyio.sleep(5)
        assert scope.cancelled_caught

    with nothing_left(), took(0.05, 2):
        anyio.run(use, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_is_raised_inside_comes_out(backend: str, contexts: Any) -> None:
    async def use() -> None:
        async with bridged_async(contexts, Echo()):
            raise LookupError("mine")

    with nothing_left(), pytest.raises((LookupError, BaseExceptionGroup)) as caught:
        anyio.run(use, backend=backend)
    assert caught.type is LookupError, "a context manager that wraps what is raised in a group"


def test_a_bridge_takes_tcp_options(contexts: Any) -> None:
    with bridged(contexts, Echo()) as sock:
        assert sock.family == socket.AF_INET
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def test_a_bridge_is_one_daemon_thread(contexts: Any) -> None:
    with bridged(contexts, Echo()):
        [thread] = [each for each in threading.enumerate() if "bridge" in each.name]
        assert thread.daemon
    wait_until(lambda: not thread.is_alive())


# --- the pair ---


def test_a_stranger_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody on this machine connects first: found by the address, and sent away."""
    strangers: list[socket.socket] = []
    create_server = socket.create_server

    def create(address: Any, **options: Any) -> socket.socket:
        server = create_server(address, **options)
        strangers.append(socket.create_connection(server.getsockname(), timeout=5))
        return server

    monkeypatch.setattr(socket, "create_server", create)
    with nothing_left():
        near, far = socket_pair()
        with near, far:
            assert far.getpeername() == near.getsockname()
            assert near.getpeername() == far.getsockname()
            [stranger] = strangers
            with stranger:
                assert stranger.recv(1) == b""


def test_a_pair_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def accept(_: socket.socket) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", accept)
    with nothing_left(), pytest.raises(OSError, match="Too many open files"):
        socket_pair()


def test_a_bridge_that_cannot_be_built_leaves_the_tunnel(
    contexts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No thread, or no descriptor: an error, and the tunnel is still whoever's it was."""
    server, client = contexts

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with (
        nothing_left(),
        ScriptedProxy(Receive(), Send(OK), Echo(), ssl_context=server) as proxy,
        open_tunnel("a.test:1", via=Proxy(proxy.url, ssl_context=client), timeout=5) as tunnel,
    ):
        assert isinstance(tunnel, Tunnel)
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(RuntimeError, match="new thread"):
                tunnel.socket()
        tunnel.write(b"x")
        assert tunnel.read(timeout=5) == b"x"
