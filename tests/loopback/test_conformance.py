"""The promises of a stream (`connect_tunnel.testing.check_tunnel`), kept by every stream."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.to_thread import run_sync

from connect_tunnel import Proxy, TunnelBroken, open_tunnel, open_tunnel_async
from connect_tunnel.testing import (
    ASYNC_CHECKS,
    CHECKS,
    LoopbackH2Proxy,
    LoopbackProxy,
    TLSPeer,
    check_tunnel,
    check_tunnel_async,
)
from connect_tunnel.testing._check_sync import PATIENCE

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Generator

    from connect_tunnel import AsyncTunnel, Tunnel
    from connect_tunnel.testing import Peer

STREAMS = ("tcp", "tls", "tls to the proxy", "tls in tls", "http/2", "tls in http/2")
TO_THE_TARGET = ("tls", "tls in tls", "tls in http/2")

# What a bare socket can be held to: it has no errors of ours, and no rules for its users.
ON_SOCKETS = (
    "echo",
    "server_first",
    "half_close",
    "half_close_of_peer",
    "reset_of_peer",
    "close_is_an_end",
)


@dataclass(frozen=True, slots=True)
class Lab:
    """A proxy and a target on loopback, each with TLS or without."""

    server_context: ssl.SSLContext
    client_context: ssl.SSLContext

    @contextmanager
    def way(self, kind: str) -> Generator[tuple[Proxy, socket.socket]]:
        """The proxy to go through, and where the target listens."""
        context = self.server_context if kind in ("tls to the proxy", "tls in tls") else None
        multiplexed = kind.endswith("http/2")
        with (
            LoopbackH2Proxy() if multiplexed else LoopbackProxy(ssl_context=context) as proxy,
            closing(socket.create_server(("127.0.0.1", 0))) as listener,
        ):
            listener.settimeout(10)
            trusted = self.client_context if context else None
            # By prior knowledge: TLS to the proxy is the same as with HTTP/1.1.
            http1 = not multiplexed
            yield Proxy(proxy.url, ssl_context=trusted, http1=http1, http2=multiplexed), listener

    @contextmanager
    def tunnel(self, kind: str) -> Generator[tuple[Tunnel, Peer]]:
        with self.way(kind) as (via, listener), ThreadPoolExecutor(1) as pool:
            tunnel = open_tunnel(listener.getsockname(), via=via, timeout=10)
            accepted, _ = listener.accept()
            with accepted:
                if kind in TO_THE_TARGET:
                    accepting = pool.submit(TLSPeer, accepted, self.server_context)
                    tunnel = tunnel.start_tls(self.client_context, timeout=10)
                    peer: Peer = accepting.result(10)
                else:
                    peer = accepted
                with tunnel:
                    yield tunnel, peer

    @asynccontextmanager
    async def tunnel_async(self, kind: str) -> AsyncGenerator[tuple[AsyncTunnel, Peer]]:
        with self.way(kind) as (via, listener):
            tunnel = await open_tunnel_async(listener.getsockname(), via=via, timeout=10)
            accepted, _ = await run_sync(listener.accept)
            async with AsyncExitStack() as stack:
                stack.enter_context(accepted)
                peer: Peer = accepted
                if kind in TO_THE_TARGET:

                    async def accept() -> None:
                        nonlocal peer
                        peer = await run_sync(TLSPeer, accepted, self.server_context)

                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(accept)
                        tunnel = await tunnel.start_tls(self.client_context)
                await stack.enter_async_context(tunnel)
                yield tunnel, peer


@pytest.fixture(scope="module")
def lab(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> Lab:
    return Lab(server_context, client_context)


def promises(checks: tuple[str, ...], kind: str) -> list[str]:
    """TCP alone cannot say that something is missing."""
    return [check for check in checks if kind != "tcp" or check != "truncation"]


@pytest.mark.parametrize(
    ("kind", "check"), [(kind, check) for kind in STREAMS for check in promises(CHECKS, kind)]
)
def test_tunnel(kind: str, check: str, lab: Lab) -> None:
    check_tunnel(lambda: lab.tunnel(kind), [check])


class Unlimited:
    """A tunnel that is read without a limit of time, which on a plain hop is to wait in `recv`."""

    def __init__(self, tunnel: Tunnel) -> None:
        self.write, self.send_eof, self.close = tunnel.write, tunnel.send_eof, tunnel.close
        self._tunnel = tunnel

    def read(self, max_bytes: int = 65536, timeout: float | None = None) -> bytes:
        # A short limit is what a check is about; the long one is there for who breaks a promise.
        return self._tunnel.read(max_bytes, None if timeout == PATIENCE else timeout)


@pytest.mark.parametrize(
    ("kind", "check"), [(kind, check) for kind in STREAMS for check in promises(CHECKS, kind)]
)
def test_tunnel_without_a_limit_of_time(kind: str, check: str, lab: Lab) -> None:
    @contextmanager
    def make() -> Generator[tuple[Unlimited, Peer]]:
        with lab.tunnel(kind) as (tunnel, peer):
            yield Unlimited(tunnel), peer

    check_tunnel(make, [check])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("kind", "check"), [(kind, check) for kind in STREAMS for check in promises(ASYNC_CHECKS, kind)]
)
def test_async_tunnel(kind: str, check: str, backend: str, lab: Lab) -> None:
    anyio.run(check_tunnel_async, lambda: lab.tunnel_async(kind), [check], backend=backend)


# --- sockets ---


class OnSocket:
    """A blocking socket, with the verbs of a Tunnel."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sock.settimeout(10)

    def read(self, max_bytes: int = 65536, timeout: float | None = None) -> bytes:
        with _as_ours():
            return self._sock.recv(max_bytes)

    def write(self, data: bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        with _as_ours():
            self._sock.sendall(data)

    def send_eof(self) -> None:
        self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._sock.close()


@contextmanager
def _as_ours() -> Generator[None]:
    try:
        yield
    except OSError as exc:
        raise TunnelBroken from exc


@pytest.mark.parametrize("check", ON_SOCKETS)
@pytest.mark.parametrize("kind", STREAMS)
def test_socket(kind: str, check: str, lab: Lab) -> None:
    @contextmanager
    def make() -> Generator[tuple[OnSocket, Peer]]:
        with lab.tunnel(kind) as (tunnel, peer), tunnel.socket() as sock:
            yield OnSocket(sock), peer

    check_tunnel(make, [check])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("check", ON_SOCKETS)
@pytest.mark.parametrize("kind", STREAMS)
def test_bridged(kind: str, check: str, backend: str, lab: Lab) -> None:
    async def use_in_a_thread() -> None:
        async with lab.tunnel_async(kind) as (tunnel, peer), tunnel.bridged() as sock:
            with sock:
                stream = OnSocket(sock)
                await run_sync(check_tunnel, lambda: nullcontext((stream, peer)), [check])

    anyio.run(use_in_a_thread, backend=backend)


# --- the suite itself ---


class Deaf:
    """A stream that keeps no promise: whatever is asked of it, it does nothing."""

    def read(self, max_bytes: int = 65536, timeout: float | None = None) -> bytes:
        return b""

    def write(self, data: bytes | bytearray | memoryview, timeout: float | None = None) -> None:
        pass

    def send_eof(self) -> None:
        pass

    def close(self) -> None:
        pass


class DeafAsync(ByteStream):
    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise anyio.EndOfStream

    async def send(self, item: bytes) -> None:
        pass

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


@contextmanager
def ended_peer() -> Generator[socket.socket]:
    """A peer that has heard the end already, so that no check waits for it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.shutdown(socket.SHUT_WR)
        yield theirs


@pytest.mark.parametrize("check", CHECKS)
def test_broken_promises_are_found(check: str) -> None:
    @contextmanager
    def make() -> Generator[tuple[Deaf, Peer]]:
        with ended_peer() as peer:
            yield Deaf(), peer

    with pytest.raises(AssertionError, match=f"^{check}: "):
        check_tunnel(make, [check])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("check", ASYNC_CHECKS)
def test_broken_promises_are_found_in_loops(check: str, backend: str) -> None:
    @asynccontextmanager
    async def make() -> AsyncGenerator[tuple[DeafAsync, Peer]]:
        with ended_peer() as peer:
            yield DeafAsync(), peer

    with pytest.raises(AssertionError, match=f"^{check}: "):
        anyio.run(check_tunnel_async, make, [check], backend=backend)
