"""`AsyncTunnel`: what it tells of itself, and its verbs where they have something special to say.

The promises that every stream keeps are in test_conformance.py.
"""

from __future__ import annotations

import gc
import socket
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute

from connect_tunnel import (
    AsyncTunnel,
    Proxy,
    Target,
    TunnelBroken,
    TunnelClosed,
    open_tunnel_async,
)
from connect_tunnel.testing import (
    Echo,
    Flood,
    HalfClose,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import nothing_left, receive_all, took

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from connect_tunnel.testing import Step

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def tunnel_to(*script: Step, ok: bytes = OK) -> AsyncGenerator[AsyncTunnel]:
    """A tunnel in which the target does these steps."""
    with ScriptedProxy(Receive(), Send(ok), *script) as proxy:
        async with await open_tunnel_async("a.test:1", via=proxy.url, timeout=5) as tunnel:
            with anyio.fail_after(10):
                yield tunnel


# --- what it tells ---


async def test_what_opened_it() -> None:
    with LoopbackProxy() as first, ScriptedProxy(Receive(), Send(OK)) as last:
        via = [first.url, last.url]
        async with await open_tunnel_async("A.test:1", via=via, timeout=5) as tunnel:
            assert tunnel.target == Target("a.test", 1)
            assert tunnel.response.status == 200
            assert tunnel.route.proxies == (first.url, last.url)
            assert len(tunnel.route.responses) == 2
            assert repr(tunnel) == f"<AsyncTunnel to a.test:1 through {last.url}>"
        assert repr(tunnel) == f"<AsyncTunnel to a.test:1 through {last.url} closed>"


async def test_extra_info_and_attributes() -> None:
    async with tunnel_to(Wait(5)) as tunnel:
        sock = tunnel.get_extra_info("socket")
        assert isinstance(sock, socket.socket)
        assert tunnel.get_extra_info("server_addr") == sock.getpeername()
        assert tunnel.get_extra_info("client_addr") == sock.getsockname()
        assert tunnel.get_extra_info("ssl_object") is None
        assert tunnel.get_extra_info("is_readable") is False
        assert tunnel.get_extra_info("nonsense") is None
        assert tunnel.extra(SocketAttribute.family) == socket.AF_INET
        assert tunnel.extra(SocketAttribute.raw_socket) is sock
        assert tunnel.extra(SocketAttribute.local_address) == sock.getsockname()
        assert tunnel.extra(SocketAttribute.remote_address) == sock.getpeername()
        assert tunnel.extra(SocketAttribute.local_port) == sock.getsockname()[1]
        assert tunnel.extra(SocketAttribute.remote_port) == sock.getpeername()[1]
        assert tunnel.extra(TLSAttribute.tls_version, None) is None


async def test_attributes_of_tls(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with ScriptedProxy(Receive(), Send(OK), ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context)
        async with await open_tunnel_async("a.test:1", via=via, timeout=5) as tunnel:
            tls = tunnel.extra(TLSAttribute.ssl_object)
            assert tls is tunnel.get_extra_info("ssl_object")
            assert isinstance(tls, ssl.SSLObject)
            assert tunnel.extra(TLSAttribute.tls_version) == tls.version()
            assert tunnel.extra(TLSAttribute.cipher) == tls.cipher()
            assert tunnel.extra(TLSAttribute.alpn_protocol) is None
            assert tunnel.extra(TLSAttribute.peer_certificate) == tls.getpeercert()
            der = tunnel.extra(TLSAttribute.peer_certificate_binary)
            assert der == tls.getpeercert(binary_form=True)
            assert tunnel.extra(TLSAttribute.server_side) is False
            assert tunnel.extra(TLSAttribute.standard_compatible) is True
            assert tunnel.extra(TLSAttribute.shared_ciphers) == tls.shared_ciphers()
            # Every attribute that anyio knows has a value, whatever it is.
            for name in vars(TLSAttribute):
                if not name.startswith("_"):
                    tunnel.extra(getattr(TLSAttribute, name))


# --- receiving and sending ---


@pytest.mark.parametrize("count", [0, -1])
async def test_receiving_nothing_is_no_receiving(count: int) -> None:
    async with tunnel_to() as tunnel:
        with pytest.raises(ValueError, match="at least 1"):
            await tunnel.receive(count)


async def test_a_receive_is_of_64_kib_at_most() -> None:
    async with tunnel_to(Flood(b"x" * 65536)) as tunnel:
        for _ in range(64):
            assert 1 <= len(await tunnel.receive(1 << 20)) <= 65536


async def test_early_bytes_come_first_and_whole() -> None:
    async with tunnel_to(Send(b" and late"), HalfClose(), ok=OK + b"early") as tunnel:
        assert await tunnel.receive(1) == b"e"
        assert await tunnel.receive(4) == b"arly"
        assert await receive_all(tunnel) == b" and late"
        with pytest.raises(anyio.EndOfStream):
            await tunnel.receive()


@pytest.mark.parametrize("data", [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), b""])
async def test_whatever_holds_bytes_can_be_sent(data: Any) -> None:
    async with tunnel_to(Receive(b"."), Send(b"ok"), HalfClose()) as tunnel:
        await tunnel.send(data)
        await tunnel.send(b".")
        assert await receive_all(tunnel) == b"ok"


async def test_a_reset_is_anyio_s_too() -> None:
    async with tunnel_to(Reset()) as tunnel:
        with pytest.raises(anyio.BrokenResourceError) as caught:
            await tunnel.receive()
        assert isinstance(caught.value, TunnelBroken)
        assert isinstance(caught.value, ConnectionError)
        assert isinstance(caught.value.__cause__, ConnectionResetError)


async def test_start_tls_ends_in_time(client_context: ssl.SSLContext) -> None:
    async with tunnel_to(Wait(5)) as tunnel:
        with took(0.1, 1), pytest.raises(TimeoutError):
            await tunnel.start_tls(client_context, timeout=0.2)


# --- who may do what when ---


async def bridge(tunnel: AsyncTunnel) -> None:
    async with tunnel.bridged():
        raise AssertionError("was bridged")


VERBS: list[Callable[[AsyncTunnel], Awaitable[object]]] = [
    lambda tunnel: tunnel.receive(),
    lambda tunnel: tunnel.send(b"x"),
    lambda tunnel: tunnel.send_eof(),
    lambda tunnel: tunnel.start_tls(),
    bridge,
]


@pytest.mark.parametrize("verb", VERBS)
async def test_after_close_everything_is_closed(
    verb: Callable[[AsyncTunnel], Awaitable[object]],
) -> None:
    async with tunnel_to(Send(b"x")) as tunnel:
        await tunnel.aclose()
        with pytest.raises(anyio.ClosedResourceError) as caught:
            await verb(tunnel)
        assert isinstance(caught.value, TunnelClosed)
        with pytest.raises(TunnelClosed):
            tunnel.socket()


@pytest.mark.parametrize("verb", VERBS[1:])
async def test_after_the_end_nothing_can_be_sent(
    verb: Callable[[AsyncTunnel], Awaitable[object]],
) -> None:
    async with tunnel_to(Wait(1)) as tunnel:
        await tunnel.send_eof()
        with pytest.raises(anyio.BrokenResourceError, match="its sending side was ended"):
            await verb(tunnel)
        with pytest.raises(TunnelBroken):
            tunnel.socket()


@pytest.mark.parametrize("verb", [VERBS[0], *VERBS[3:]])
async def test_while_a_task_receives(
    verb: Callable[[AsyncTunnel], Awaitable[object]],
) -> None:
    async with (
        tunnel_to(Receive(b"."), Send(b"x"), Wait(5)) as tunnel,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(tunnel.receive)
        await anyio.sleep(0.05)
        with pytest.raises(anyio.BusyResourceError):
            await verb(tunnel)
        with pytest.raises(anyio.BusyResourceError):
            tunnel.socket()
        await tunnel.send(b".")


async def test_while_a_task_sends() -> None:
    async with tunnel_to(Wait(5)) as tunnel, anyio.create_task_group() as tasks:
        tasks.start_soon(tunnel.send, b"x" * (64 << 20))
        await anyio.sleep(0.05)
        for verb in VERBS[1:]:
            with pytest.raises(anyio.BusyResourceError):
                await verb(tunnel)
        tasks.cancel_scope.cancel()


# --- socket() and bridged() ---


async def test_the_socket_is_the_one_that_was_dialled(anyio_backend_name: str) -> None:
    async with tunnel_to(Echo(), ok=OK + b"220 ready\r\n") as tunnel:
        with tunnel.socket() as sock:
            assert type(sock) is socket.socket
            assert not sock.getblocking()
            with pytest.raises(TunnelClosed):
                await tunnel.receive()
            await tunnel.aclose()
            stream = await anyio.connect_tcp(*sock.getpeername())  # it has not gone anywhere
            await stream.aclose()
            assert sock.recv(100) == b"220 ready\r\n"


async def test_a_tunnel_on_tls_has_no_socket(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """And the error names what to use; the tunnel is as it was."""
    with ScriptedProxy(Receive(), Send(OK), Echo(), ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context)
        async with await open_tunnel_async("a.test:1", via=via, timeout=5) as tunnel:
            with pytest.raises(TypeError, match=r"async with tunnel\.bridged\(\) as sock"):
                tunnel.socket()
            await tunnel.send(b"x")
            assert await tunnel.receive() == b"x"


# --- tunnels that nobody closed ---


async def test_a_tunnel_that_was_not_closed() -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK)) as proxy:
        held = [await open_tunnel_async("a.test:1", via=proxy.url, timeout=5)]
        with pytest.warns(ResourceWarning, match=r"unclosed <AsyncTunnel to a\.test:1 through h"):
            held.clear()
        assert proxy.wait_closed()


async def test_a_temporary_is_no_leak(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with LoopbackProxy() as proxy, ScriptedProxy(Echo(), ssl_context=server_context) as target:
        goal = target.host, target.port
        tunnel = await (await open_tunnel_async(goal, via=proxy.url)).start_tls(client_context)
        async with tunnel:
            gc.collect()
            await tunnel.send(b"x")
            assert await tunnel.receive() == b"x"
        with (await open_tunnel_async(goal, via=proxy.url)).socket() as sock:
            gc.collect()
            assert sock.fileno() != -1
