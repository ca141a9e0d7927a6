"""asyncio through tunnels: streams and transports, TLS with the target, and what can go wrong."""

from __future__ import annotations

import asyncio
import socket
import socketserver
import ssl
import threading
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

import connect_tunnel.adapters.asyncio
from connect_tunnel import (
    AsyncDialer,
    InvalidProxy,
    InvalidTarget,
    TargetTLSError,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.adapters.asyncio import create_connection, open_connection
from connect_tunnel.testing import (
    Close,
    Echo,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    TLSPeer,
    Wait,
)

from .asyncio_loops import LOOPS, Recorder, run, way
from .raw import OK
from .shells import nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Generator

HOPS: Final = ("plain", "TLS")
MEGABYTE: Final = bytes(range(256)) * 4096
PASSWORD: Final = "s3cret-p4ss"


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=HOPS)
def hop(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> ssl.SSLContext | None:
    """The context of the proxy, if it has TLS."""
    return server_context if request.param == "TLS" else None


@contextmanager
def target(context: ssl.SSLContext | None = None) -> Generator[int]:
    """The port of a server that echoes until the end; a plain one then says how much it was."""

    class Serve(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            peer = TLSPeer(self.request, context) if context else self.request
            count = 0
            try:
                while data := peer.recv(65536):
                    peer.sendall(data)
                    count += len(data)
                if context is None:  # asyncio's TLS minds what comes after its own end
                    peer.sendall(b"%d bytes" % count)
                peer.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # the client left

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Serve) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


# --- what it is for ---


def test_streams(loop: str, hop: ssl.SSLContext | None, client_context: ssl.SSLContext) -> None:
    async def main() -> None:
        reader, writer = await open_connection(
            "localhost", port, via=way(proxy, client_context), limit=1 << 21, timeout=5
        )
        writer.write(MEGABYTE)
        writer.write_eof()
        assert await reader.read() == MEGABYTE + b"1048576 bytes"
        writer.close()
        await writer.wait_closed()

    with nothing_left(), target() as port, LoopbackProxy(ssl_context=hop) as proxy:
        run(loop, main())


@pytest.mark.parametrize("how", ["context", "True"])
def test_streams_with_tls(  # noqa: PLR0913, PLR0917 - a fixture each
    loop: str,
    hop: ssl.SSLContext | None,
    how: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connect_tunnel.adapters.asyncio, "default_context", lambda: client_context)

    async def main() -> None:
        reader, writer = await open_connection(
            "localhost",
            port,
            via=way(proxy, client_context),
            ssl=True if how == "True" else client_context,
            timeout=5,
        )
        task = asyncio.create_task(reader.readexactly(len(MEGABYTE)))
        writer.write(MEGABYTE)
        await writer.drain()
        assert await task == MEGABYTE
        assert not writer.can_write_eof()
        with pytest.raises(NotImplementedError):
            writer.write_eof()
        writer.close()
        await writer.wait_closed()

    with nothing_left(), target(server_context) as port, LoopbackProxy(ssl_context=hop) as proxy:
        run(loop, main())


@pytest.mark.parametrize("tls", [False, True])
def test_what_is_known_of_a_connection(
    loop: str,
    hop: ssl.SSLContext | None,
    tls: bool,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """Of TLS with the target alone; the other end is the proxy."""
    names = "peername sockname ssl_object sslcontext peercert cipher compression nonsense"

    async def main() -> None:
        transport, protocol = await create_connection(
            Recorder,
            "localhost",
            port,
            via=way(proxy, client_context),
            ssl=client_context if tls else None,
            timeout=5,
        )
        known = {name: transport.get_extra_info(name) for name in names.split()}
        assert known.pop("peername") == (proxy.host, proxy.port)
        sock = transport.get_extra_info("socket")
        assert known.pop("sockname") == sock.getsockname()
        if tls:
            assert known["sslcontext"] is client_context
            assert known["ssl_object"].selected_alpn_protocol() is None
            assert known["peercert"]["subjectAltName"]
            assert len(known["cipher"]) == 3
        else:
            assert set(known.values()) == {None}
        transport.close()
        await protocol.until_called("lost")

    with (
        nothing_left(),
        target(server_context if tls else None) as port,
        LoopbackProxy(ssl_context=hop) as proxy,
    ):
        run(loop, main())


def test_tls_that_begins_later(
    loop: str,
    hop: ssl.SSLContext | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """By `loop.start_tls`, as STARTTLS has it; uvloop's takes no transport but its own."""

    async def main() -> None:
        reader, writer = await open_connection(
            "localhost", port, via=way(proxy, client_context), timeout=5
        )
        if hop and loop == "uvloop":
            with pytest.raises(TypeError, match="not supported by start_tls"):
                await writer.start_tls(client_context, server_hostname="localhost")
        else:
            await writer.start_tls(client_context, server_hostname="localhost")
            writer.write(MEGABYTE)
            assert await reader.readexactly(len(MEGABYTE)) == MEGABYTE
        writer.close()
        await writer.wait_closed()

    with nothing_left(), target(server_context) as port, LoopbackProxy(ssl_context=hop) as proxy:
        run(loop, main())


def test_tls_that_begins_later_and_fails(
    hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    async def main() -> None:
        _, writer = await open_connection("a.test", 1, via=way(proxy, client_context), timeout=5)
        with pytest.raises(ssl.SSLError):
            await writer.start_tls(client_context, server_hostname="localhost")
        writer.close()
        with pytest.raises(ssl.SSLError):
            await writer.wait_closed()

    script = Receive(), Send(OK), Wait(0.02), Send(b"I speak no TLS at all")
    with nothing_left(), ScriptedProxy(*script, ssl_context=hop) as proxy:
        run("asyncio", main())


def test_a_dialer_is_a_way(loop: str) -> None:
    async def main() -> None:
        async with AsyncDialer(proxy.url) as dialer:
            for _ in range(2):
                reader, writer = await open_connection("localhost", port, via=dialer)
                writer.write(b"hello")
                assert await reader.readexactly(5) == b"hello"
                writer.close()
                await writer.wait_closed()

    with target() as port, LoopbackProxy() as proxy:
        run(loop, main())


def test_it_is_dialled_from_where_it_should_be(loop: str) -> None:
    async def main() -> None:
        _, writer = await open_connection(
            "localhost", port, via=proxy.url, local_addr=("127.0.0.2", 0)
        )
        assert writer.get_extra_info("sockname")[0] == "127.0.0.2"
        writer.close()
        await writer.wait_closed()

    with target() as port, LoopbackProxy() as proxy:
        run(loop, main())


def test_silence_is_no_end(
    hop: ssl.SSLContext | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """The timeout is of the opening, and of nothing that comes after it."""

    async def main() -> None:
        pairs = [
            await open_connection(
                "localhost", port, via=way(proxy, client_context), ssl=context, timeout=2
            )
            for port, context in ((plain, None), (tls, client_context))
        ]
        await asyncio.sleep(2.5)
        for reader, writer in pairs:
            writer.write(b"still there?")
            assert await reader.readexactly(12) == b"still there?"
            writer.close()
            await writer.wait_closed()

    with (
        target() as plain,
        target(server_context) as tls,
        LoopbackProxy(ssl_context=hop) as proxy,
    ):
        run("asyncio", main())


def test_t23_fifty_at_once_and_none_crossed(
    loop: str, hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    async def talk(number: int) -> None:
        reader, writer = await open_connection("localhost", port, via=via, timeout=8)
        tag = b"<%d>" % number * 1000
        writer.write(tag)
        assert await reader.readexactly(len(tag)) == tag
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        await asyncio.gather(*map(talk, range(50)))

    with nothing_left(), target() as port, LoopbackProxy(ssl_context=hop) as proxy:
        via = way(proxy, client_context)
        run(loop, main())


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"host": "a b"}, InvalidTarget, "not a host name"),
        ({"port": 0}, InvalidTarget, "port 0"),
        ({"server_hostname": "x"}, ValueError, "server_hostname is only meaningful with ssl"),
        ({"ssl_handshake_timeout": 1}, ValueError, "only meaningful with ssl"),
        ({"ssl_shutdown_timeout": 1, "ssl": False}, ValueError, "only meaningful with ssl"),
        ({"ssl": True, "server_hostname": ""}, InvalidTarget, "host is empty"),
        ({"ssl": True, "ssl_handshake_timeout": 0}, ValueError, "positive number"),
        ({"ssl": "yes"}, TypeError, "not str"),
        ({"timeout": 0}, ValueError, "positive number"),
        ({"via": "proxy.test"}, InvalidProxy, "scheme"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    with ScriptedProxy() as proxy:
        given: dict[str, Any] = {"host": "a.test", "port": 1, "via": proxy.url, **options}
        with pytest.raises(kind, match=said):
            run("asyncio", create_connection(Recorder, **given))
        assert proxy.connections == 0


def test_a_dialer_has_its_own_local_address() -> None:
    async def main() -> None:
        dialer = AsyncDialer("http://proxy.test")
        with pytest.raises(ValueError, match="its own local address"):
            await open_connection("a.test", 1, via=dialer, local_addr=("127.0.0.1", 0))

    run("asyncio", main())


def test_t1_t3_connect_alone_has_credentials_and_nothing_of_the_tunnel_s(
    loop: str, hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    """T1, T3: what is sent is the head, and then what was written."""
    request = b"GET / HTTP/1.1\r\nAuthorization: Bearer t0ken\r\nCookie: a=b\r\n\r\n"

    async def main() -> None:
        via = way(proxy, client_context, auth=("alice", PASSWORD), headers={"X-Team": "web"})
        reader, writer = await open_connection("a.test", 1, via=via, timeout=5)
        writer.write(request)
        assert await reader.readexactly(len(request)) == request
        writer.close()
        await writer.wait_closed()

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo(), ssl_context=hop) as proxy:
        run(loop, main())
        assert proxy.wait_closed()
        [head] = proxy.heads
        assert proxy.received == [head + request]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:] if line]
    assert names == [b"Host", b"User-Agent", b"X-Team", b"Proxy-Authorization"]


@pytest.mark.parametrize("status", [b"403 Forbidden", b"302 Found"])
def test_t4_t5_a_refusal_is_an_error_and_data(
    loop: str, hop: ssl.SSLContext | None, status: bytes, client_context: ssl.SSLContext
) -> None:
    """T4, T5: nothing is written after the CONNECT, and nothing comes of the fields."""
    fields = b"Location: http://evil.test/\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nno!"

    async def main() -> None:
        def factory() -> Recorder:
            raise AssertionError("made a protocol")

        with pytest.raises(TunnelRefused) as caught:
            await create_connection(factory, "a.test", 1, via=way(proxy, client_context))
        assert caught.value.response.body == b"no!"
        assert caught.value.response.headers["location"] == "http://evil.test/"

    answer = b"HTTP/1.1 " + status + b"\r\n" + fields
    with nothing_left(), ScriptedProxy(Receive(), Send(answer), ssl_context=hop) as proxy:
        run(loop, main())
        assert proxy.wait_closed()
        assert proxy.received == proxy.heads
        assert proxy.connections == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [(None, "not-this.test has a certificate"), ("wrong.test", "wrong.test has a certificate")],
)
def test_t6_the_name_of_the_target_is_verified(  # noqa: PLR0913, PLR0917 - a fixture each
    loop: str,
    hop: ssl.SSLContext | None,
    name: str | None,
    said: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    """Against the target's certificate, which bears the proxy's name and not its own."""

    async def main() -> None:
        with pytest.raises(TargetTLSError, match=said) as caught:
            await open_connection(
                "not-this.test",
                443,
                via=way(proxy, client_context),
                ssl=client_context,
                server_hostname=name,
                timeout=5,
            )
        assert caught.value.phase == "target_tls"
        assert caught.value.target == "not-this.test:443"
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)

    with (
        nothing_left(),
        target(server_context) as port,
        relayed(port, hop) as proxy,
    ):
        run(loop, main())


@contextmanager
def relayed(port: int, hop: ssl.SSLContext | None) -> Generator[LoopbackProxy]:
    """A proxy whose every tunnel leads to the port."""
    with LoopbackProxy(ssl_context=hop) as proxy:
        dial = socket.create_connection

        def redirected(address: Any, *rest: Any, **options: Any) -> Any:
            return dial(("127.0.0.1", port), *rest, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("connect_tunnel.testing._loopback.socket.create_connection", redirected)
            yield proxy


@pytest.mark.parametrize("steps", [[Close()], [Reset()], [Send(b"220 no TLS here\r\n")]])
def test_a_handshake_that_fails(
    loop: str, hop: ssl.SSLContext | None, steps: list[Any], client_context: ssl.SSLContext
) -> None:
    async def main() -> None:
        with pytest.raises(TargetTLSError, match=r"the tunnel to a\.test:1 is open, but") as caught:
            await open_connection(
                "a.test", 1, via=way(proxy, client_context), ssl=client_context, timeout=5
            )
        assert "None" not in str(caught.value)

    script = Receive(), Send(OK), Wait(0.02), *steps
    with nothing_left(), ScriptedProxy(*script, ssl_context=hop) as proxy:
        run(loop, main())


@pytest.mark.parametrize("options", [{"timeout": 0.2}, {"ssl_handshake_timeout": 0.2}])
def test_a_handshake_that_takes_too_long(
    loop: str,
    hop: ssl.SSLContext | None,
    options: dict[str, Any],
    client_context: ssl.SSLContext,
) -> None:
    async def main() -> None:
        with pytest.raises(TunnelTimeout, match="the TLS handshake did not finish") as caught:
            await open_connection(
                "a.test", 1, via=way(proxy, client_context), ssl=client_context, **options
            )
        assert caught.value.phase == "target_tls"

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), ssl_context=hop) as proxy, took(0.1, 3):
        run(loop, main())


def test_no_limit_is_none(
    loop: str,
    hop: ssl.SSLContext | None,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    async def main() -> None:
        _, writer = await open_connection(
            "localhost", port, via=way(proxy, client_context), ssl=client_context, timeout=None
        )
        writer.close()
        await writer.wait_closed()

    with nothing_left(), target(server_context) as port, LoopbackProxy(ssl_context=hop) as proxy:
        run(loop, main())


def test_a_protocol_that_cannot_be_made(
    loop: str, hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    def factory() -> Recorder:
        raise RuntimeError("none today")

    async def main() -> None:
        with pytest.raises(RuntimeError, match="none today"):
            await create_connection(factory, "a.test", 1, via=way(proxy, client_context))

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), ssl_context=hop) as proxy:
        run(loop, main())


def test_no_traceback_shows_a_password() -> None:
    """Not by its locals either, as some tools print them."""

    def shown(error: BaseException) -> str:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )

    def places(via: str) -> Generator[Any]:
        yield open_connection("a.test", 1, via=via, timeout=5)
        yield create_connection(Recorder, "a.test", 1, via=via, timeout=5)

    def attempt(opening: Any) -> BaseException:
        try:
            run("asyncio", opening)
        except TunnelError as error:
            return error
        pytest.fail("it was opened")

    no = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    with ScriptedProxy(Receive(), Send(no)) as proxy:
        for scheme in ("http", "gopher"):
            urls = f"{scheme}://alice:{PASSWORD}@{proxy.host}:{proxy.port}"
            for opening in places(urls):
                error = attempt(opening)
                text = shown(error)
                # Beyond our own frames somebody has to know it: the test does.
                ours = text[text.index("connect_tunnel/adapters") :]
                assert PASSWORD not in ours
