"""Tunnels that are streams of shared HTTP/2 connections, through proxies that nobody here wrote."""

from __future__ import annotations

import hashlib
import struct
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import (
    AsyncDialer,
    Dialer,
    ProxyAuthenticationRequired,
    TunnelBroken,
    TunnelError,
    TunnelRefused,
    auth,
    open_tunnel,
)
from connect_tunnel.testing import Receive, Reset, ScriptedProxy

from .h2_proxies import AT_ONCE, MITMPROXY, way
from .ring import PASSWORD, USER, Port, Ring, Service
from .shells import Shell, echoed, local_port, receive_exactly
from .targets import BANNER, SSHD
from .test_ssh import Server, run_by_paramiko

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connect_tunnel import AsyncTunnel, Tunnel

    from .conftest import EnterH2
    from .shells import Backend, Opener, Stream

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("origins")]

# Those that open tunnels, each by its entrance in TLS.
TUNNELLERS = [Port.ENVOY_H2, Port.NGHTTPX, Port.APACHE_H2, Port.HAPROXY_H2]


def through(*ports: Port) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("port", ports, ids=[port.name.lower() for port in ports])


def echo(ring: Ring) -> str:
    return f"127.0.0.1:{ring.port(Port.ECHO)}"


# --- many on one connection ---

TUNNELS = 100
BLOCK = 1 << 16
BLOCKS = (4 << 20) // BLOCK
SECONDS = 100.0


def blocks(tunnel: int) -> Iterator[bytes]:
    """4 MiB of which every octet's neighbourhood says whose it is, and where in it."""
    for number in range(BLOCKS):
        yield struct.pack(">II", tunnel, number) * (BLOCK // 8)


def digest(tunnel: int) -> str:
    return hashlib.blake2b(b"".join(blocks(tunnel))).hexdigest()


@pytest.mark.timeout(150)
def test_a_hundred_tunnels_of_four_megabytes_in_threads(ring: Ring, enter_h2: EnterH2) -> None:
    with (
        Dialer(enter_h2(Port.ENVOY_H2), timeout=30) as dialer,
        ThreadPoolExecutor(2 * TUNNELS) as pool,
    ):
        tunnels = list(pool.map(dialer.open_tunnel, [echo(ring)] * TUNNELS))
        assert len({local_port(tunnel) for tunnel in tunnels}) == 1
        sending = [pool.submit(send_all, tunnel, n) for n, tunnel in enumerate(tunnels)]
        received = list(pool.map(receive_all, tunnels))
        for future in sending:
            future.result()
        assert received == [digest(number) for number in range(TUNNELS)]
        for tunnel in tunnels:
            tunnel.close()


def send_all(tunnel: Tunnel, number: int) -> None:
    for block in blocks(number):
        tunnel.write(block, timeout=SECONDS)


def receive_all(tunnel: Tunnel) -> str:
    found, left = hashlib.blake2b(), BLOCK * BLOCKS
    while left:
        data = tunnel.read(min(left, BLOCK), timeout=SECONDS)
        assert data, f"ended {left} octets early"
        found.update(data)
        left -= len(data)
    return found.hexdigest()


@pytest.mark.timeout(150)
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_hundred_tunnels_of_four_megabytes_in_tasks(
    ring: Ring, enter_h2: EnterH2, anyio_backend: Backend
) -> None:
    ports: set[int] = set()
    received: dict[int, str] = {}

    async def converse(dialer: AsyncDialer, number: int) -> None:
        async with (
            await dialer.open_tunnel(echo(ring)) as tunnel,
            anyio.create_task_group() as both,
        ):
            ports.add(local_port(tunnel))
            both.start_soon(send_all_async, tunnel, number)
            received[number] = await receive_all_async(tunnel)

    async with AsyncDialer(enter_h2(Port.ENVOY_H2), timeout=30) as dialer:
        with anyio.fail_after(SECONDS):
            async with anyio.create_task_group() as tasks:
                for number in range(TUNNELS):
                    tasks.start_soon(converse, dialer, number)
    assert len(ports) == 1
    assert received == {number: digest(number) for number in range(TUNNELS)}


async def send_all_async(tunnel: AsyncTunnel, number: int) -> None:
    for block in blocks(number):
        await tunnel.send(block)


async def receive_all_async(tunnel: AsyncTunnel) -> str:
    found, left = hashlib.blake2b(), BLOCK * BLOCKS
    while left:
        data = await tunnel.receive(min(left, BLOCK))
        found.update(data)
        left -= len(data)
    return found.hexdigest()


# --- what goes through one ---


@through(*TUNNELLERS)
async def test_echo(shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port) -> None:
    """Without a dialer it has a connection of its own."""
    via = enter_h2(port, http1=False)
    async with await shell.open(echo(ring), via) as stream:
        assert stream.response.status == 200
        assert await echoed(stream, b"hello") == b"hello"


@through(*TUNNELLERS)
async def test_one_after_the_other(shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port) -> None:
    """A server that speaks first, and a connection that outlives its tunnels.

    They are fewer than apache opens at once, which keeps the place of one that was reset.
    """
    ports: set[int] = set()
    async with shell.dialer(enter_h2(port, http1=False)) as dialer:
        for turn in range(5):
            async with await dialer.open(f"localhost:{ring.port(Port.BANNER)}") as stream:
                assert await receive_exactly(stream, len(BANNER)) == BANNER
                assert await echoed(stream, b"%d" % turn) == b"%d" % turn
                ports.add(stream.port)
    assert len(ports) == 1


async def test_in_clear_text(shell: Shell, ring: Ring, enter_h2: EnterH2) -> None:
    async with (
        shell.dialer(enter_h2(Port.ENVOY_H2C)) as dialer,
        await dialer.open(echo(ring)) as one,
        await dialer.open(echo(ring)) as other,
    ):
        assert one.port == other.port
        assert await echoed(one, b"hello") == b"hello"
        assert await echoed(other, b"world") == b"world"


@through(*TUNNELLERS)
async def test_tls_with_the_target(shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port) -> None:
    """TLS in a stream of TLS; each hop has an authority of its own."""
    stream = await shell.open(f"localhost:{ring.port(Port.TLS_ECHO)}", enter_h2(port, http1=False))
    async with await stream.start_tls(ring.target_authority.context) as tls:
        block = bytes(range(256)) * 256
        for _ in range(16):
            assert await echoed(tls, block) == block


@through(Port.ENVOY_H2, Port.APACHE_H2)
async def test_answer_after_half_close(
    shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port
) -> None:
    """Nghttpx keeps END_STREAM to itself; squid behind haproxy loses the answer."""
    target = f"127.0.0.1:{ring.port(Port.EOF)}"
    async with await shell.open(target, enter_h2(port, http1=False)) as stream:
        await stream.send(b"request")
        await stream.send_eof()
        assert await receive_exactly(stream, 100) == b"eof after 7 bytes\n"
        assert await receive_exactly(stream, 1) == b""


@through(Port.ENVOY_H2, Port.NGHTTPX, Port.HAPROXY_H2)
async def test_end_of_the_target(shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port) -> None:
    """Apache does not pass it on."""
    target = f"127.0.0.1:{ring.port(Port.SMTP)}"
    async with await shell.open(target, enter_h2(port, http1=False)) as stream:
        await stream.send(b"QUIT\r\n")
        said = await receive_exactly(stream, 1 << 20)
    assert said.startswith(b"220 ")
    assert said.endswith(b"221 Bye\r\n")


async def test_h2_14_reset_of_the_target(shell: Shell, enter_h2: EnterH2) -> None:
    """Of our proxies envoy alone tells it from an end, by CONNECT_ERROR."""
    via = enter_h2(Port.ENVOY_H2, http1=False)
    with ScriptedProxy(Receive(b"!"), Reset()) as target:
        async with await shell.open(f"127.0.0.1:{target.port}", via) as stream:
            await stream.send(b"!")
            with pytest.raises(TunnelBroken):
                await stream.receive()


@through(*TUNNELLERS)
def test_paramiko(
    ring: Ring, enter_h2: EnterH2, start: Callable[[Service], None], port: Port
) -> None:
    start(SSHD)
    server = Server.of(ring)
    tunnel = open_tunnel(server.target, via=enter_h2(port, http1=False))
    run_by_paramiko(server, tunnel.socket())


# --- no ---


@dataclass(frozen=True)
class No:
    """A refusal as ZOO.md tells it."""

    port: Port
    target: Port
    status: int
    header: tuple[str, str]
    body: bytes  # a part of it

    def __str__(self) -> str:
        return f"{self.port.name}-{self.target.name}".lower()


# fmt: off
SQUID_SAYS = [
    (Port.REFUSED, 503, ("x-squid-error", "ERR_CONNECT_FAIL 111"), b"<html"),
    (Port.FORBIDDEN, 403, ("x-squid-error", "ERR_ACCESS_DENIED 0"), b"<html"),
]
NO = [
    No(Port.ENVOY_H2, Port.REFUSED, 503, ("server", "envoy"), b"upstream connect error"),
    No(Port.ENVOY_H2, Port.FORBIDDEN, 403, ("server", "envoy"), b"RBAC: access denied"),
    No(Port.APACHE_H2, Port.REFUSED, 503, ("content-type", "text/html"), b"<html>"),
    No(Port.APACHE_H2, Port.FORBIDDEN, 403, ("content-type", "text/html"), b"<html>"),
    *(No(Port.NGHTTPX, *row) for row in SQUID_SAYS),
    *(No(Port.HAPROXY_H2, *row) for row in SQUID_SAYS),
]
# fmt: on


@pytest.mark.parametrize("no", NO, ids=str)
async def test_h2_08_refusal_is_told_whole(
    shell: Shell, ring: Ring, enter_h2: EnterH2, no: No
) -> None:
    """Behind its END_STREAM comes RST_STREAM, with NO_ERROR, CANCEL or CONNECT_ERROR."""
    target = f"127.0.0.1:{ring.port(no.target)}"
    async with (
        shell.dialer(enter_h2(no.port, http1=False)) as dialer,
        await dialer.open(echo(ring)) as running,
    ):
        for _ in range(2):
            with pytest.raises(TunnelRefused) as caught:
                await dialer.open(target)
            response = caught.value.response
            assert response.status == no.status
            assert no.header[1] in response.headers[no.header[0]]
            assert no.body in response.body
            assert response.complete
        assert await echoed(running, b"undisturbed") == b"undisturbed"
        async with await dialer.open(echo(ring)) as another:
            assert another.port == running.port


@pytest.mark.parametrize("no", NO, ids=str)
async def test_refusal_as_a_value(shell: Shell, ring: Ring, enter_h2: EnterH2, no: No) -> None:
    via = enter_h2(no.port, http1=False)
    response = await shell.ask(f"127.0.0.1:{ring.port(no.target)}", via)
    assert response.status == no.status
    assert no.body in response.body
    assert response.complete


@pytest.mark.parametrize("preemptive", [True, False])
async def test_credentials(shell: Shell, ring: Ring, enter_h2: EnterH2, preemptive: bool) -> None:
    login = auth.Password(USER, PASSWORD, preemptive=preemptive)
    async with (
        shell.dialer(enter_h2(Port.NGHTTPX_BASIC, auth=login, http1=False)) as dialer,
        await dialer.open(echo(ring)) as one,
        await dialer.open(echo(ring)) as other,
    ):
        assert await echoed(one, b"hello") == b"hello"
        assert one.port == other.port


@pytest.mark.parametrize("login", [None, (USER, "open sesame")], ids=["none", "wrong"])
async def test_credentials_are_wanted(
    shell: Shell, ring: Ring, enter_h2: EnterH2, login: tuple[str, str] | None
) -> None:
    via = enter_h2(Port.NGHTTPX_BASIC, auth=login, http1=False)
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(echo(ring), via)
    assert caught.value.response.status == 407
    assert "sesame" not in f"{caught.value} {caught.value!r} {vars(caught.value)}"


# --- more than a connection holds ---


@pytest.mark.parametrize(
    ("port", "count"),
    [(Port.APACHE_H2, 6), (Port.NGHTTPX, 8), (Port.HAPROXY_H2, 100)],
    ids=["apache", "nghttpx", "haproxy"],
)
async def test_h2_06_as_many_as_a_connection_holds(
    shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port, count: int
) -> None:
    assert AT_ONCE[port] == count
    async with shell.dialer(enter_h2(port, http1=False)) as dialer:
        assert len(await ports_of_many(dialer, ring, count)) == 1


@pytest.mark.parametrize(
    ("port", "count"),
    [(Port.APACHE_H2, 12), (Port.NGHTTPX, 12), (Port.HAPROXY_H2, 110)],
    ids=["apache", "nghttpx", "haproxy"],
)
async def test_h2_05_more_than_a_connection_holds(
    shell: Shell, ring: Ring, enter_h2: EnterH2, port: Port, count: int
) -> None:
    """A further connection is opened: where SETTINGS say so, and where silence does."""
    async with shell.dialer(enter_h2(port, http1=False)) as dialer:
        assert len(await ports_of_many(dialer, ring, count)) >= 2


async def ports_of_many(dialer: Opener, ring: Ring, count: int) -> set[int]:
    """Open them at once, and let each be used while all are open; our ends of their connections."""
    streams: list[Stream] = []

    async def open_one() -> None:
        streams.append(await dialer.open(echo(ring)))

    async def use(stream: Stream, number: int) -> None:
        said = b"number %d" % number
        assert await echoed(stream, said) == said

    async with anyio.create_task_group() as tasks:
        for _ in range(count):
            tasks.start_soon(open_one)
    async with anyio.create_task_group() as tasks:
        for number, stream in enumerate(streams):
            tasks.start_soon(use, stream, number)
    ports = {stream.port for stream in streams}
    for stream in streams:
        await stream.aclose()
    return ports


# --- proxies that cannot ---


async def test_h2_13_mitmproxy_agrees_and_cannot(
    shell: Shell, ring: Ring, enter_h2: EnterH2
) -> None:
    """It answers CONNECT with GOAWAY(PROTOCOL_ERROR), which is tried once, and remembered."""
    log = ring.folder / MITMPROXY.name / "out.log"
    async with shell.dialer(enter_h2(Port.MITMPROXY)) as dialer:
        before = count_of_connections(log.read_text())
        async with await dialer.open(echo(ring)) as stream:
            assert await echoed(stream, b"hello") == b"hello"
        tried = count_of_connections(log.read_text())
        assert tried >= before + 2
        async with await dialer.open(echo(ring)) as stream:
            assert await echoed(stream, b"hello") == b"hello"
        assert count_of_connections(log.read_text()) == tried + 1


def count_of_connections(log: str) -> int:
    return log.count("client connect")


async def test_mitmproxy_by_http2_only(shell: Shell, ring: Ring, enter_h2: EnterH2) -> None:
    with pytest.raises(TunnelError) as caught:
        await shell.open(echo(ring), enter_h2(Port.MITMPROXY, http1=False))
    assert not isinstance(caught.value, TunnelRefused)


@pytest.mark.parametrize("entrance", ["squid-tls", "envoy-tls", "apache-tls"], indirect=True)
@pytest.mark.usefixtures("entrance")
async def test_h2_03_proxy_that_chooses_nothing(
    shell: Shell, ring: Ring, request: pytest.FixtureRequest
) -> None:
    """Squid knows no ALPN, and the others are not told to."""
    port = request.getfixturevalue("entrance").port
    async with await shell.open(echo(ring), way(ring, port)) as stream:
        assert await echoed(stream, b"hello") == b"hello"
    with pytest.raises(TunnelError):
        await shell.open(echo(ring), way(ring, port, http1=False))
