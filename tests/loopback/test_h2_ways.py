"""What opens, carries and describes a tunnel over HTTP/2, as over HTTP/1."""

from __future__ import annotations

import os
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import pytest
from anyio.abc import SocketAttribute
from anyio.streams.tls import TLSAttribute

from connect_tunnel import (
    AsyncTunnel,
    Proxy,
    Tunnel,
    TunnelRefused,
)
from connect_tunnel.auth import Basic
from connect_tunnel.testing import Echo, LoopbackH2Proxy, LoopbackProxy, ScriptedProxy
from connect_tunnel.testing import _h2_frames as h2

from .h2_party import End, Party, clear, meanwhile, play, until
from .h2_raw import OPEN, RawH2Proxy, Wire

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from .conftest import Contexts

pytestmark = pytest.mark.timeout(60)

NO = b"HTTP/1.1 403 No\r\nX-Why: because\r\nContent-Length: 7\r\n\r\nno, no."


@pytest.fixture
def target() -> Generator[ScriptedProxy]:
    with ScriptedProxy(Echo()) as server:
        yield server


def test_credentials_are_asked_for_on_the_same_connection(
    shell: str, target: ScriptedProxy
) -> None:
    async def story(party: Party) -> None:
        for _ in range(2):
            end = await party.open((target.host, target.port))
            await end.echo()
            await end.close()
        assert proxy.connections == 1

    with LoopbackH2Proxy(auth=("user", "word")) as proxy:
        via = clear(proxy, auth=Basic("user", "word"))
        play(shell, story, via)


def test_refusals_say_why_and_keep_the_connection(shell: str, target: ScriptedProxy) -> None:
    async def story(party: Party) -> None:
        good = await party.open((target.host, target.port))
        for _ in range(3):
            error = await party.failure("forbidden.test:1")
            assert isinstance(error, TunnelRefused)
            assert error.response.status == 403
            assert error.response.headers["x-why"] == "because"
            assert error.response.body == b"no, no."
            refusal = await party.request("forbidden.test:1")
            if shell == "sync":
                assert (await party.in_thread(refusal.read)).body == b"no, no."
                await party.in_thread(refusal.close)
            else:
                assert (await refusal.read()).body == b"no, no."
                await refusal.aclose()
        await good.echo()
        await good.close()
        assert proxy.connections == 1
        (connection,) = party.connections
        assert connection.seats == 0

    with LoopbackH2Proxy(refuse=lambda asked: NO if "forbidden" in asked else None) as proxy:
        play(shell, story, clear(proxy))


@pytest.mark.parametrize("order", ["h1, h2", "h2, h1"])
@pytest.mark.parametrize("inside", [False, True], ids=["plain", "tls inside"])
def test_chains(  # noqa: PLR0913, PLR0917 - two things to be told, and who can be trusted
    shell: str,
    order: str,
    inside: bool,
    both_h2: Contexts,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    data = os.urandom(300_000)

    async def story(party: Party) -> None:
        ends: list[End] = []
        for _ in range(3):
            end = await party.open((target.host, target.port))
            ends.append(await end.start_tls(client_context) if inside else end)
        await party.together(*(partial(end.echo, data) for end in ends))
        for end in ends:
            await end.close()
        assert shared.connections == 1

    with (
        LoopbackProxy() as plain,
        LoopbackH2Proxy(ssl_context=both_h2.server) as shared,
        ScriptedProxy(Echo(), ssl_context=server_context if inside else None) as target,
    ):
        hop = Proxy(shared.url, http2=True, ssl_context=both_h2.client)
        play(shell, story, [plain.url, hop] if order == "h1, h2" else [hop, plain.url])


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_shared_connection_on_a_shared_connection(
    shell: str, tls: bool, target: ScriptedProxy, both_h2: Contexts
) -> None:
    """Of the socket below others take what is theirs: it is not ready when a stream is."""
    data = os.urandom(300_000)

    async def story(party: Party) -> None:
        ends = [await party.open((target.host, target.port)) for _ in range(3)]
        await party.together(*(partial(end.echo, data) for end in ends))
        async with meanwhile(ends[0].read) as of_reader:
            await anyio.sleep(0.1)
            await ends[2].echo(data)  # by whom the outer connection is read, too
            assert not of_reader
            await ends[0].write(b"woken")
            await until(lambda: of_reader)
        assert of_reader == [b"woken"]
        for end in ends:
            await end.close()
        assert (outer.connections, inner.connections) == (1, 2)

    context = both_h2.server if tls else None
    with (
        LoopbackH2Proxy() as outer,
        LoopbackH2Proxy(ssl_context=context, max_concurrent_streams=2) as inner,
    ):
        trusted = both_h2.client if tls else None
        hops: list[Proxy | str] = [
            clear(outer),
            Proxy(inner.url, http1=False, http2=True, ssl_context=trusted),
        ]
        play(shell, story, hops)


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_a_socket_of_its_own(
    shell: str,
    tls: bool,
    target: ScriptedProxy,
    both_h2: Contexts,
) -> None:
    """`socket()` and `bridged()`: one end of a bridge, whose other end is a stream."""
    data = os.urandom(1_000_000)

    async def story(party: Party) -> None:
        where = (target.host, target.port)
        other = await party.open(where)
        bridged = await party.open(where)
        async with meanwhile(partial(other.exactly, 4)) as of_other:
            if isinstance(bridged.raw, Tunnel):
                sock = bridged.raw.socket()
                with closing(sock):
                    sock.settimeout(10)
                    received = bytearray()

                    def receive() -> None:
                        while len(received) < len(data):
                            received.extend(sock.recv(65536))

                    await party.together(
                        partial(party.in_thread, receive),
                        partial(party.in_thread, sock.sendall, data),
                    )
                assert received == data
            else:
                with pytest.raises(TypeError, match="no socket of its own"):
                    bridged.raw.socket()
                async with bridged.raw.bridged() as sock:
                    stream = await anyio.abc.SocketStream.from_socket(sock)
                    got = bytearray()
                    async with stream, anyio.create_task_group() as tasks:
                        tasks.start_soon(stream.send, data)
                        while len(got) < len(data):
                            got += await stream.receive()
                    assert got == data
            await other.write(b"ping")
        assert of_other == [b"ping"]
        await other.echo(data)
        await other.close()
        (connection,) = party.connections
        await until(lambda: not connection.seats)

    options = {"http1": True, "ssl_context": both_h2.client} if tls else {}
    with LoopbackH2Proxy(ssl_context=both_h2.server if tls else None) as proxy:
        play(shell, story, clear(proxy, **options))


def test_a_bridge_goes_on_in_any_role(shell: str, target: ScriptedProxy) -> None:
    """A bridge that has the turn hands it on, and one that is parked is woken."""

    async def story(party: Party) -> None:
        where = (target.host, target.port)
        first, bridged, last = [await party.open(where) for _ in range(3)]
        if isinstance(bridged.raw, AsyncTunnel):
            await bridged.close()  # of tasks this is the test before
        else:
            sock = bridged.raw.socket()
            sock.settimeout(5)
            for reader in (first, last):
                async with meanwhile(reader.read) as outcome:
                    sock.sendall(b"x")
                    assert await party.in_thread(sock.recv, 1) == b"x"
                    await reader.write(b"done")
                assert outcome == [b"done"]
            sock.close()
        await first.close()
        await last.close()

    with LoopbackH2Proxy() as proxy:
        play(shell, story, clear(proxy))


def test_a_tunnel_describes_itself_and_hides_what_is_shared(
    shell: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def story(party: Party) -> None:
        first = await party.open((target.host, target.port))
        second = await party.open((target.host, target.port))
        inside = await second.start_tls(client_context)
        for end in (first, inside):
            tunnel = end.raw
            assert tunnel.get_extra_info("socket") is None
            assert tunnel.get_extra_info("server_addr") == (proxy.host, proxy.port)
            assert tunnel.get_extra_info("client_addr")[0] == "127.0.0.1"
            assert tunnel.get_extra_info("is_readable") is False
            assert "http://" in repr(tunnel)
            assert tunnel.response.http_version == "2"
        assert inside.raw.get_extra_info("ssl_object") is not None
        for end in (first, inside):
            if isinstance(end.raw, AsyncTunnel):
                attributes = end.raw.extra_attributes
                assert SocketAttribute.raw_socket not in attributes
                assert end.raw.extra(SocketAttribute.remote_port) == proxy.port
                assert (TLSAttribute.tls_version in attributes) == (end is inside)
        await inside.write(b"x")
        await until(lambda: inside.raw.get_extra_info("is_readable"))
        assert await inside.read() == b"x"
        await first.close()
        await inside.close()

    with (
        ScriptedProxy(Echo(), ssl_context=server_context) as target,
        LoopbackH2Proxy() as proxy,
    ):
        play(shell, story, clear(proxy))


def test_a_half_closed_tunnel_is_read_to_its_end(shell: str) -> None:
    def answer(wire: Wire) -> None:
        stream = wire.accept()
        while not wire.until(h2.DATA, stream).has(h2.END_STREAM):
            pass
        wire.send(h2.frame(h2.DATA, h2.END_STREAM, stream, bytes(wire.content[stream])))

    data = os.urandom(15_000)

    async def story(party: Party) -> None:
        end = await party.open()
        await end.write(data)
        await end.send_eof()
        assert await end.all() == data
        await end.close()
        (connection,) = party.connections
        assert not connection.state.streams

    with RawH2Proxy(answer, settings=OPEN) as proxy:
        play(shell, story, clear(proxy))
