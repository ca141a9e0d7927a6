"""`Dialer` and `AsyncDialer`: a way there, kept."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.abc import ByteStreamConnectable
from anyio.streams.tls import TLSAttribute, TLSConnectable, TLSStream

from connect_tunnel import (
    AsyncDialer,
    AsyncTunnel,
    Dialer,
    InvalidProxy,
    InvalidTarget,
    Proxy,
    Timeout,
    Tunnel,
    TunnelClosed,
    TunnelTimeout,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel.testing import (
    Echo,
    HalfClose,
    LoopbackProxy,
    Receive,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import BACKENDS, SHELLS, nothing_left, took

if TYPE_CHECKING:
    import ssl


def test_a_dialer_opens_tunnels_until_it_is_closed() -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo()) as proxy:
        with Dialer(proxy.url, timeout=5) as dialer:
            tunnel = dialer.open_tunnel("a.test:1")
            other = dialer.request_tunnel(("b.test", 2))
            assert isinstance(other, Tunnel)
            other.close()
            assert repr(dialer) == f"<Dialer via {proxy.url}>"
        for act in (dialer.open_tunnel, dialer.request_tunnel):
            with pytest.raises(TunnelClosed, match="the dialer is closed"):
                act("a.test:1")
        with tunnel:  # those that are open live on
            tunnel.write(b"x")
            assert tunnel.read(timeout=5) == b"x"
        dialer.close()
        assert [head.split()[1] for head in proxy.heads] == [b"a.test:1", b"b.test:2"]


@pytest.mark.parametrize("shell", SHELLS)
def test_one_opening_may_have_a_time_of_its_own(shell: str) -> None:
    async def use() -> None:
        async with AsyncDialer(proxy.url, timeout=30) as dialer:
            await dialer.open_tunnel("a.test:1", timeout=0.1)

    def use_it() -> None:
        with Dialer(proxy.url, timeout=30) as dialer:
            dialer.open_tunnel("a.test:1", timeout=0.1)

    with (
        ScriptedProxy(Receive(), Wait(30)) as proxy,
        took(0, 5),
        pytest.raises(TunnelTimeout, match=r"within 0\.1 s"),
    ):
        use_it() if shell == "sync" else anyio.run(use, backend=shell)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_async_dialer_opens_tunnels_until_it_is_closed(backend: str) -> None:
    async def use() -> None:
        async with AsyncDialer([proxy.url], timeout=5) as dialer:
            tunnel = await dialer.open_tunnel("a.test:1")
            other = await dialer.request_tunnel(("b.test", 2))
            assert isinstance(other, AsyncTunnel)
            await other.aclose()
            assert repr(dialer) == f"<AsyncDialer via {proxy.url}>"
        for act in (dialer.open_tunnel, dialer.request_tunnel, connect):
            with pytest.raises(TunnelClosed, match="the dialer is closed"):
                await act(dialer if act is connect else "a.test:1")  # type: ignore[arg-type]
        async with tunnel:
            await tunnel.send(b"x")
            assert await tunnel.receive() == b"x"

    async def connect(dialer: AsyncDialer) -> AsyncTunnel:
        return await dialer.to("a.test:1").connect()

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo()) as proxy:
        anyio.run(use, backend=backend)


@pytest.mark.parametrize("kind", [Dialer, AsyncDialer])
@pytest.mark.parametrize("via", [[], None, ("p.test", 3128), "p.test:3128", 5])
def test_a_way_that_is_none(kind: type[Dialer | AsyncDialer], via: Any) -> None:
    with pytest.raises(InvalidProxy):
        kind(via)


@pytest.mark.parametrize("kind", [Dialer, AsyncDialer])
@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True])
def test_a_timeout_that_is_none(kind: type[Dialer | AsyncDialer], timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout"):
        kind("http://p.test", timeout=timeout)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_be_is_known_before_any_io(backend: str) -> None:
    """The way, the target and the time are read first: no connection is made."""

    async def use() -> None:
        with pytest.raises(InvalidProxy):
            await open_tunnel_async("a.test:1", via=[])
        with pytest.raises(InvalidTarget):
            await open_tunnel_async("a.test", via=proxy.url)
        with pytest.raises(ValueError, match="timeout"):
            await open_tunnel_async("a.test:1", via=proxy.url, timeout=0)
        async with AsyncDialer(proxy.url) as dialer:
            for act in (dialer.open_tunnel, dialer.request_tunnel):
                with pytest.raises(InvalidTarget):
                    await act("a.test")
            with pytest.raises(InvalidTarget):
                dialer.to("a.test")

    with ScriptedProxy() as proxy:
        anyio.run(use, backend=backend)
        with pytest.raises(InvalidProxy):
            open_tunnel("a.test:1", via=[])
        with pytest.raises(InvalidTarget):
            open_tunnel("a.test", via=proxy.url)
        with pytest.raises(ValueError, match="timeout"):
            open_tunnel("a.test:1", via=proxy.url, timeout=0)
        with Dialer(proxy.url) as dialer:
            for act in (dialer.open_tunnel, dialer.request_tunnel):
                with pytest.raises(InvalidTarget):
                    act("a.test")
        assert proxy.connections == 0


# --- shared ---


def test_a_dialer_is_safe_between_threads() -> None:
    """T23: fifty tunnels at once, each with an echo of its own."""

    def talk(number: int) -> bytes:
        tag = b"%d;" % number * 1000
        with dialer.open_tunnel(("127.0.0.1", target.port)) as tunnel:
            tunnel.write(tag, timeout=10)
            received = b""
            while len(received) < len(tag):
                received += tunnel.read(timeout=10)
            return received.replace(b"%d;" % number, b"")

    with (
        nothing_left(),
        ScriptedProxy(Echo()) as target,
        LoopbackProxy() as proxy,
        Dialer(proxy.url, timeout=10) as dialer,
        ThreadPoolExecutor(50) as pool,
    ):
        assert set(pool.map(talk, range(50))) == {b""}


def test_a_dialer_is_safe_after_a_fork() -> None:
    with (
        ScriptedProxy(Receive(), Send(OK), Echo()) as proxy,
        Dialer(proxy.url, timeout=5) as dialer,
    ):
        dialer.open_tunnel("parent.test:1").close()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with dialer.open_tunnel("child.test:1") as tunnel:
                    tunnel.write(b"x", timeout=5)
                    code = 0 if tunnel.read(timeout=5) == b"x" else 2
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert len(proxy.heads) == 2


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_tunnels_of_one_async_dialer(backend: str) -> None:
    """T23 in a loop."""

    async def talk(dialer: AsyncDialer, number: int) -> None:
        tag = b"%d;" % number * 1000
        async with await dialer.open_tunnel(("127.0.0.1", target.port)) as tunnel:
            received = b""
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(tunnel.send, tag)
                while len(received) < len(tag):
                    received += await tunnel.receive()
            assert received == tag

    async def use() -> None:
        async with (
            AsyncDialer(proxy.url, timeout=10) as dialer,
            anyio.create_task_group() as tasks,
        ):
            for number in range(50):
                tasks.start_soon(talk, dialer, number)

    with nothing_left(), ScriptedProxy(Echo()) as target, LoopbackProxy() as proxy:
        anyio.run(use, backend=backend)


def test_a_dialer_s_time_is_that_of_each_opening() -> None:
    with (
        ScriptedProxy(Receive(), Wait(5)) as proxy,
        Dialer(proxy.url, timeout=Timeout(5, answer=0.1)) as dialer,
    ):
        for _ in range(2):
            with took(0.05, 1), pytest.raises(TunnelTimeout):
                dialer.open_tunnel("a.test:1")


# --- as an anyio connectable ---


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_target_is_a_connectable(
    backend: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Also below anyio's own TLS."""

    async def use() -> None:
        async with AsyncDialer(Proxy(proxy.url), timeout=5) as dialer:
            connectable = dialer.to((target.host, target.port))
            assert isinstance(connectable, ByteStreamConnectable)
            secure = TLSConnectable(connectable, hostname="127.0.0.1", ssl_context=client_context)
            stream = await secure.connect()
            assert isinstance(stream, TLSStream)
            async with stream:
                assert stream.extra(TLSAttribute.tls_version) == "TLSv1.3"
                await stream.send(b"x")
                assert await stream.receive() == b"x"

    with (
        nothing_left(),
        LoopbackProxy() as proxy,
        ScriptedProxy(Echo(), HalfClose(), ssl_context=server_context) as target,
    ):
        anyio.run(use, backend=backend)
