"""aiohttp through tunnels, on asyncio and uvloop: what it does by itself, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import uvloop
from aiohttp import ClientSession, ClientTimeout

from connect_tunnel import (
    AsyncTunnel,
    InvalidProxy,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelRefused,
    TunnelTimeout,
    open_tunnel_async,
)
from connect_tunnel.adapters._aiohttp_transport import TunnelHandler, connect
from connect_tunnel.adapters.aiohttp import TunnelConnector, proxy_response
from connect_tunnel.routing import Direct
from connect_tunnel.testing import (
    Close,
    Echo,
    LoopbackProxy,
    NextRequest,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .fronts import behind_unix_socket
from .shells import nothing_left, refusing, took
from .web_origin import BLOCK, WebOrigin, digest_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    import trustme

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

OK = b"HTTP/1.1 200 OK\r\n\r\n"
REFUSAL = (
    b"HTTP/1.1 403 Forbidden\r\nSet-Cookie: who=proxy\r\nContent-Type: text/html\r\n"
    b"Content-Length: 15\r\n\r\n<p>Ask Bob.</p>"
)
TARGET = "https://a.test/"


@pytest.fixture(scope="module", autouse=True)
def before_the_first() -> None:
    """Let uvloop open what it keeps for the rest of the process."""
    uvloop.new_event_loop().close()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Run a coroutine to its end, which leaves no task behind."""
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def checked() -> Any:
            async with asyncio.timeout(30):
                result = await coroutine
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == 1
            return result

        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(checked())

    return run


async def get(session: ClientSession, url: str, **options: Any) -> str:
    async with session.get(url, **options) as response:
        assert response.status == 200
        answer = proxy_response(response)
        text = await response.text()
        assert proxy_response(response) is answer
        return text


# --- what works as it does without a proxy ---


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_get(  # noqa: PLR0913, PLR0917 - a fixture each
    run: Run,
    through: Proxy,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    client_context: ssl.SSLContext,
    scheme: str,
) -> None:
    async def use() -> None:
        async with ClientSession(connector=TunnelConnector(through, ssl=client_context)) as session:
            async with session.get(origin.at("/echo/hello", scheme)) as response:
                assert (response.status, await response.text()) == (200, "hello")
                answer = proxy_response(response)
                assert answer is not None
                assert (answer.status, answer.reason) == (200, "Connection established")
            for tag in range(4):
                assert await get(session, origin.at(f"/echo/{tag}", scheme)) == str(tag)

    run(use())
    assert guarded.wait_closed(10)
    # A connection is used again.
    assert len(guarded.requests) == len(set(origin.peers)) == 1


@pytest.mark.parametrize("scheme", ["wss", "ws"])
def test_websocket(
    run: Run,
    through: Proxy,
    origin: WebOrigin,
    client_context: ssl.SSLContext,
    scheme: str,
) -> None:
    async def use() -> None:
        async with (
            ClientSession(connector=TunnelConnector(through, ssl=client_context)) as session,
            session.ws_connect(origin.at("/ws", scheme), max_msg_size=0) as websocket,
        ):
            assert proxy_response(websocket) is not None
            await websocket.send_str("hello")
            assert await websocket.receive_str() == "hello"
            for size in (1, 1000, 1_000_000):
                await websocket.send_bytes(bytes(size))
                assert await websocket.receive_bytes() == bytes(size)

    run(use())


def test_streams(
    run: Run, through: Proxy, origin: WebOrigin, client_context: ssl.SSLContext
) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield BLOCK

    async def use() -> None:
        size = 3_000_000
        async with ClientSession(connector=TunnelConnector(through, ssl=client_context)) as session:
            digest = hashlib.sha256()
            async with session.get(origin.at(f"/bytes/{size}")) as response:
                async for data in response.content.iter_any():
                    digest.update(data)
            assert digest.hexdigest() == digest_of(size)
            async with session.post(origin.at("/digest"), data=blocks()) as response:
                assert await response.text() == digest_of(40 * len(BLOCK))

    run(use())


@pytest.mark.usefixtures("nothing_is_left")
def test_a_large_answer_that_is_not_read_is_not_waited_for(
    nothing_is_left: None, run: Run, through: Proxy, guarded: LoopbackProxy, origin: WebOrigin
) -> None:
    async def use() -> None:
        async with ClientSession(connector=TunnelConnector(through, ssl=False)) as session:
            async with session.get(origin.at("/bytes/100000000")) as response:
                assert len(await response.content.readexactly(10)) == 10
            assert await get(session, origin.at("/echo/x")) == "x"

    with took(0, 20):
        run(use())
        assert guarded.wait_closed(10)


def test_t23_fifty_at_once_none_crossed(
    run: Run,
    through: Proxy,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    client_context: ssl.SSLContext,
) -> None:
    async def echoed(session: ClientSession, tag: int) -> None:
        assert await get(session, origin.at(f"/echo/{tag}")) == str(tag)

    async def use() -> None:
        connector = TunnelConnector(through, ssl=client_context, limit=50)
        async with ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
            for tag in range(200):
                tasks.create_task(echoed(session, tag))

    run(use())
    assert len(guarded.requests) == len(set(origin.peers)) <= 50


@pytest.mark.parametrize("limits", [{"limit": 3}, {"limit_per_host": 3}])
def test_limits(run: Run, through: Proxy, origin: WebOrigin, limits: Any) -> None:
    async def use() -> None:
        connector = TunnelConnector(through, ssl=False, **limits)
        async with ClientSession(connector=connector) as session, asyncio.TaskGroup() as tasks:
            for tag in range(20):
                tasks.create_task(get(session, origin.at(f"/echo/{tag}")))

    run(use())
    assert len(set(origin.peers)) <= 3


@pytest.mark.parametrize("options", [{"force_close": True}, {"keepalive_timeout": 0.001}])
def test_no_keep_alive(
    run: Run, through: Proxy, guarded: LoopbackProxy, origin: WebOrigin, options: Any
) -> None:
    async def use() -> None:
        connector = TunnelConnector(through, ssl=False, **options)
        async with ClientSession(connector=connector) as session:
            for _ in range(3):
                assert await get(session, origin.at("/echo/x")) == "x"
                await asyncio.sleep(0.02)

    run(use())
    assert len(guarded.requests) == 3


def test_traces(run: Run, through: Proxy, origin: WebOrigin) -> None:
    async def use() -> list[str]:
        seen: list[str] = []

        def note(name: str) -> Any:
            async def called(*_: Any) -> None:
                seen.append(name)

            return called

        config = aiohttp.TraceConfig()
        for name in ("connection_create_start", "connection_create_end", "connection_reuseconn"):
            getattr(config, f"on_{name}").append(note(name))
        connector = TunnelConnector(through, ssl=False)
        async with ClientSession(connector=connector, trace_configs=[config]) as session:
            for _ in range(2):
                await get(session, origin.at("/echo/x"))
        return seen

    assert run(use()) == [
        "connection_create_start", "connection_create_end", "connection_reuseconn"
    ]  # fmt: skip


def test_t1_t3_each_hears_what_is_for_it(
    run: Run,
    through: Proxy,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    client_context: ssl.SSLContext,
) -> None:
    """Over two redirects to other hosts and schemes."""
    last = origin.at("/echo/there", "http", "127.0.0.1")
    middle = origin.at(f"/to?url={last}", "https", "127.0.0.1")
    url = origin.at(f"/to?url={middle}", "http")

    async def use() -> None:
        async with ClientSession(connector=TunnelConnector(through, ssl=client_context)) as session:
            fields = {"Authorization": "Bearer t0k3n", "Cookie": "who=me"}
            assert await get(session, url, headers=fields) == "there"

    run(use())
    assert len(origin.requests) == len(guarded.requests) == 3
    assert "t0k3n" in str(origin.requests[0])
    assert "proxy-authorization" not in str(origin.requests).lower()
    for _, head in guarded.requests:
        told = head.decode().lower()
        assert told.count("proxy-authorization") == 1
        assert "t0k3n" not in told
        assert "cookie" not in told


# --- TLS with the origin ---


@pytest.mark.usefixtures("nothing_is_left")
def test_t6_the_name_is_the_origins(
    run: Run,
    through: Proxy,
    guarded: LoopbackProxy,
    ca: trustme.CA,
    client_context: ssl.SSLContext,
) -> None:
    """And never the proxy's: its name, 127.0.0.1, does not count."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1", "elsewhere.test")
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]

    async def use() -> None:
        async with ClientSession(connector=TunnelConnector(through, ssl=client_context)) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError, match="localhost"):
                await get(session, origin.at())
            assert origin.requests == []
            named = {"server_hostname": "elsewhere.test"}
            assert await get(session, origin.at("/echo/x"), **named) == "x"

    with WebOrigin(context) as origin:
        run(use())
        assert guarded.wait_closed(10)


def test_context_of_a_request(
    run: Run, through: Proxy, origin: WebOrigin, client_context: ssl.SSLContext
) -> None:
    async def use() -> None:
        async with ClientSession(connector=TunnelConnector(through)) as session:
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await get(session, origin.at("/echo/x"))
            assert await get(session, origin.at("/echo/x"), ssl=client_context) == "x"
            assert await get(session, origin.at("/echo/x"), ssl=False) == "x"

    run(use())


@pytest.mark.usefixtures("nothing_is_left")
@pytest.mark.parametrize("of", ["connector", "request"])
def test_fingerprint(
    run: Run,
    through: Proxy,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    of: str,
) -> None:
    pem = ssl.get_server_certificate(("127.0.0.1", origin.https))
    found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()

    async def use(digest: bytes) -> str:
        pinned = aiohttp.Fingerprint(digest)
        given: Any = {"ssl": pinned}
        if of == "request":
            async with ClientSession(connector=TunnelConnector(through)) as session:
                return await get(session, origin.at("/echo/x"), **given)
        async with ClientSession(connector=TunnelConnector(through, **given)) as session:
            return await get(session, origin.at("/echo/x"))

    assert run(use(found)) == "x"
    with pytest.raises(aiohttp.ServerFingerprintMismatch) as caught:
        run(use(bytes(32)))
    assert guarded.wait_closed(10)
    assert (caught.value.host, caught.value.got) == ("localhost", found)


def test_an_origin_that_speaks_no_tls(run: Run) -> None:
    async def use(url: str) -> None:
        async with ClientSession(connector=TunnelConnector(url)) as session:
            with pytest.raises(aiohttp.ClientConnectorSSLError):
                await get(session, TARGET)

    with ScriptedProxy(Receive(), Send(OK + b"220 ready\r\n"), Wait(1)) as proxy:
        run(use(proxy.url))


def test_an_origin_that_breaks_tls_off(run: Run) -> None:
    async def use(url: str) -> None:
        async with ClientSession(connector=TunnelConnector(url)) as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await get(session, TARGET)

    with ScriptedProxy(Receive(), Send(OK), Receive(b"\x01"), Reset()) as proxy:
        run(use(proxy.url))


# --- refusals ---


async def wrong(via: Any, url: str = TARGET, tunnel_timeout: float = 20, **given: Any) -> Any:
    connector = TunnelConnector(via, tunnel_timeout=tunnel_timeout)
    async with ClientSession(connector=connector) as session:
        error: Exception | None = None
        try:
            await get(session, url, **given)
        except Exception as caught:  # noqa: BLE001 - whichever it is
            error = caught
        assert error is not None
        assert not connector._acquired
        assert len(session.cookie_jar) == 0
    return error


def test_t4_a_refusal_is_not_the_origins_answer(run: Run) -> None:
    with ScriptedProxy(Receive(), Send(REFUSAL)) as proxy:
        error = run(wrong(proxy.url))
        assert proxy.wait_closed(10)
        assert proxy.received == proxy.heads
        assert proxy.connections == 1
    assert isinstance(error, aiohttp.ClientHttpProxyError)
    assert error.status == 403
    assert error.headers is not None
    assert error.headers["content-type"] == "text/html"
    assert f"proxy {proxy.url} refused the tunnel to a.test:443 (403 Forbidden)" in str(error)
    assert isinstance(error.__cause__, TunnelRefused)
    answer = proxy_response(error)
    assert answer is not None
    assert answer is error.__cause__.response
    assert answer.body == b"<p>Ask Bob.</p>"


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_t5_a_refusal_that_points_elsewhere_is_not_followed(
    run: Run, scheme: str, origin: WebOrigin
) -> None:
    moved = (
        f"HTTP/1.1 302 Found\r\nLocation: {origin.at('/echo/x', 'http')}\r\n"
        "Set-Cookie: who=proxy\r\nRefresh: 0\r\nContent-Length: 0\r\n\r\n"
    )
    with ScriptedProxy(Receive(), Send(moved.encode())) as proxy:
        error = run(wrong(proxy.url, f"{scheme}://a.test/"))
    assert isinstance(error, aiohttp.ClientHttpProxyError)
    assert error.status == 302
    assert origin.requests == []


def test_t13_refusals_leave_nothing_behind(run: Run) -> None:
    async def use(url: str) -> None:
        async with ClientSession(connector=TunnelConnector(url, limit=2)) as session:
            for _ in range(150):
                with pytest.raises(aiohttp.ClientHttpProxyError):
                    await get(session, TARGET)

    with nothing_left(), LoopbackProxy(refuse=lambda _: REFUSAL) as proxy:
        run(use(proxy.url))
        assert proxy.wait_closed(10)


# --- what else goes wrong ---


def test_a_proxy_that_is_not_there(run: Run) -> None:
    with refusing() as (host, port):
        error = run(wrong(f"http://{host}:{port}"))
    assert type(error) is aiohttp.ClientProxyConnectionError
    assert isinstance(error.__cause__, ProxyUnreachable)
    assert f"proxy http://{host}:{port}" in str(error)
    assert proxy_response(error) is None


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.usefixtures("unknown")
def test_a_name_that_has_no_address(run: Run) -> None:
    error = run(wrong("http://proxy.test:1"))
    assert type(error) is aiohttp.ClientProxyConnectionError
    assert "proxy.test" in str(error)
    error = run(wrong(Direct()))
    assert type(error) is aiohttp.ClientConnectorDNSError
    assert "a.test" in str(error)


def test_a_direct_target(run: Run, origin: WebOrigin) -> None:
    async def use() -> None:
        async with (
            ClientSession(connector=TunnelConnector(Direct(), ssl=False)) as session,
            session.get(origin.at("/echo/x")) as response,
        ):
            assert await response.text() == "x"
            assert proxy_response(response) is None

    run(use())
    with refusing() as (host, port):
        error = run(wrong(Direct(), f"http://{host}:{port}/"))
    assert type(error) is aiohttp.ClientConnectorError


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_a_proxy_behind_a_unix_socket(run: Run, origin: WebOrigin, scheme: str) -> None:
    async def use(path: str) -> None:
        async with ClientSession(connector=TunnelConnector(f"unix://{path}", ssl=False)) as session:
            assert await get(session, origin.at("/echo/x", scheme)) == "x"

    with LoopbackProxy() as proxy, behind_unix_socket(proxy.port) as path:
        run(use(path))


def test_a_proxy_that_hangs_up(run: Run) -> None:
    with ScriptedProxy(Receive(), Close()) as proxy:
        error = run(wrong(proxy.url))
    assert isinstance(error, aiohttp.ClientProxyConnectionError)
    assert isinstance(error.__cause__, ProxyHungUp)


def test_a_proxy_that_is_not_trusted(run: Run, server_context: ssl.SSLContext) -> None:
    with ScriptedProxy(ssl_context=server_context) as proxy:
        error = run(wrong(proxy.url))
        assert proxy.heads == []
    assert isinstance(error, aiohttp.ClientProxyConnectionError)
    assert isinstance(error.__cause__, ProxyTLSError)


@pytest.mark.parametrize(
    ("url", "name"), [("https://[fe80::1%25eth0]/", None), (TARGET, ".a.test"), (TARGET, "a b")]
)
def test_what_cannot_be_named(run: Run, url: str, name: str | None) -> None:
    with ScriptedProxy() as proxy:
        error = run(wrong(proxy.url, url, server_hostname=name))
        assert proxy.connections == 0
    assert isinstance(error, aiohttp.InvalidUrlClientError)
    assert isinstance(error.__cause__, InvalidTarget)


def test_a_way_that_cannot_be(run: Run) -> None:
    async def use() -> None:
        with pytest.raises(InvalidProxy):
            TunnelConnector("proxy.corp:3128")

    run(use())


def test_no_other_proxy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with ScriptedProxy() as proxy:
        error = run(wrong(proxy.url, proxy="http://other:1"))
        assert isinstance(error, ValueError)

        async def use() -> None:
            monkeypatch.setenv("https_proxy", "http://alice:0p3n-sesame@other:1")
            connector = TunnelConnector(proxy.url)
            async with ClientSession(connector=connector, trust_env=True) as session:
                with pytest.raises(ValueError, match="trust_env"):
                    await get(session, TARGET)

        run(use())
        assert proxy.connections == 0


def test_after_the_connector_was_closed(run: Run, origin: WebOrigin) -> None:
    async def use() -> None:
        connector = TunnelConnector(Direct())
        async with ClientSession(connector=connector) as session:
            await connector._dialer.aclose()  # as when it is closed in the middle of a request
            with pytest.raises(aiohttp.ClientConnectionError, match="closed"):
                await get(session, origin.at("/echo/x", "http"))

    run(use())


# --- time, and cancellation ---


def test_a_silent_proxy(run: Run) -> None:
    timeout = ClientTimeout(sock_connect=0.3)
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = run(wrong(proxy.url, timeout=timeout))
    assert isinstance(error, aiohttp.ConnectionTimeoutError)
    assert isinstance(error.__cause__, TunnelTimeout)
    assert error.__cause__.phase == "connect"


def test_a_silent_proxy_and_no_timeout_of_the_request(run: Run) -> None:
    timeout = ClientTimeout(total=None, sock_connect=None)
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = run(wrong(proxy.url, tunnel_timeout=0.3, timeout=timeout))
    assert isinstance(error, aiohttp.ConnectionTimeoutError)


@pytest.mark.parametrize("name", ["total", "connect"])
def test_a_silent_proxy_and_other_timeouts(run: Run, name: str) -> None:
    with ScriptedProxy(Receive(), Wait(30)) as proxy, took(0.2, 5):
        error = run(wrong(proxy.url, timeout=ClientTimeout(**{name: 0.3})))
    assert isinstance(error, TimeoutError)


@pytest.mark.parametrize("tls", [False, True])
def test_a_silent_origin_in_tls(
    run: Run, server_context: ssl.SSLContext, client_context: ssl.SSLContext, tls: bool
) -> None:
    served, trusted = (server_context, client_context) if tls else (None, None)
    timeout = ClientTimeout(sock_connect=0.4)
    with (
        nothing_left(),
        ScriptedProxy(Receive(), Send(OK), Wait(1), ssl_context=served) as proxy,
        took(0.2, 5),
    ):
        error = run(wrong(Proxy(proxy.url, ssl_context=trusted), timeout=timeout))
    assert isinstance(error, aiohttp.ConnectionTimeoutError)
    assert isinstance(error.__cause__, TunnelTimeout)
    assert error.__cause__.phase == "target_tls"


def test_what_the_network_calls_a_timeout(
    run: Run, monkeypatch: pytest.MonkeyPatch, origin: WebOrigin
) -> None:
    async def connect(tunnel: AsyncTunnel, *_: Any, **__: Any) -> Any:
        await tunnel.aclose()
        raise TimeoutError(110, "Connection timed out")

    monkeypatch.setattr("connect_tunnel.adapters.aiohttp.connect", connect)
    error = run(wrong(Direct(), origin.at("/", "http")))
    assert type(error) is aiohttp.ClientConnectorError


@pytest.mark.usefixtures("nothing_is_left")
def test_t13_a_request_that_is_cancelled_gives_its_place_back(
    run: Run,
    through: Proxy,
    guarded: LoopbackProxy,
    origin: WebOrigin,
    client_context: ssl.SSLContext,
) -> None:
    """At whatever moment of its opening."""

    async def use() -> None:
        connector = TunnelConnector(through, ssl=client_context, limit=1)
        async with ClientSession(connector=connector) as session:
            for turn in range(60):
                task = asyncio.create_task(get(session, origin.at("/slow")))
                await asyncio.sleep(0.0003 * turn)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await get(session, origin.at("/echo/x")) == "x"

    run(use())
    assert guarded.wait_closed(10)


@pytest.mark.parametrize("turns", range(1, 6))
@pytest.mark.parametrize("tls", [False, True])
def test_t13_a_transport_that_is_cancelled_as_it_begins(
    run: Run, client_context: ssl.SSLContext, tls: bool, turns: int
) -> None:
    """Within its first turns of the loop, when asyncio has nothing yet to close it by."""

    async def use(via: str) -> None:
        tunnel = await open_tunnel_async("a.test:1", via=via)
        handler = TunnelHandler(asyncio.get_running_loop(), None)
        context = client_context if tls else None
        connecting = asyncio.create_task(
            connect(tunnel, handler, ssl=context, server_hostname="a.test", bridges=set())
        )
        for _ in range(turns):
            await asyncio.sleep(0)
        connecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            (await connecting).abort()
        # Not for want of time, and before the loop is closed.
        for _ in range(100):
            if proxy.wait_closed(0):
                break
            await asyncio.sleep(0.02)
        assert proxy.wait_closed(0)

    with nothing_left(), ScriptedProxy(Receive(), Send(OK)) as proxy:
        run(use(proxy.url))


@pytest.mark.parametrize("descriptors", ["many", "none"])
def test_a_bridge_that_is_not_waited_for(
    run: Run,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    descriptors: str,
) -> None:
    """Cancelled before its task has begun."""

    async def use(via: Proxy) -> None:
        tunnel = await open_tunnel_async("a.test:1", via=via)
        handler = TunnelHandler(asyncio.get_running_loop(), None)
        bridges: set[asyncio.Task[None]] = set()
        connecting = asyncio.create_task(
            connect(tunnel, handler, ssl=None, server_hostname="a.test", bridges=bridges)
        )
        await asyncio.sleep(0)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        await asyncio.gather(*bridges)
        handler.connection_lost(None)  # as it may after all

    if descriptors == "none":
        monkeypatch.setattr("connect_tunnel._async.bridge.socket_pair", no_descriptors)
    script = (Receive(), Send(OK), Echo())
    with nothing_left(), ScriptedProxy(*script, ssl_context=server_context) as proxy:
        run(use(Proxy(proxy.url, ssl_context=client_context)))


def no_descriptors() -> Any:
    raise OSError(24, "Too many open files")


def test_no_descriptors_for_a_bridge(
    run: Run,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("connect_tunnel._async.bridge.socket_pair", no_descriptors)
    with ScriptedProxy(Receive(), Send(OK), ssl_context=server_context) as proxy:
        error = run(wrong(Proxy(proxy.url, ssl_context=client_context)))
        assert proxy.wait_closed(10)
    assert type(error) is aiohttp.ClientConnectorError
    assert "Too many open files" in str(error)


# --- the connection to the proxy, and secrets ---


def test_where_from_and_with_what(run: Run, origin: WebOrigin) -> None:
    async def use(url: str) -> None:
        option = (socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
        connector = TunnelConnector(url, local_address=("127.0.0.2", 0), socket_options=[option])
        async with (
            ClientSession(connector=connector) as session,
            session.get(origin.at("/bytes/9999999", "http")) as response,
        ):
            assert response.connection is not None
            transport = response.connection.transport
            assert transport is not None
            assert transport.get_extra_info("sockname")[0] == "127.0.0.2"
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(*option[:2]) == 65536

    with LoopbackProxy() as proxy:
        run(use(proxy.url))


def test_no_error_shows_a_secret(run: Run) -> None:
    no = (
        b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n"
        b'Proxy-Authenticate: Digest realm="r", nonce="n0nce-5520", qop="auth"\r\n\r\n'
    )
    with ScriptedProxy(NextRequest(), Send(no), NextRequest(), Send(no)) as proxy:
        error = run(wrong(proxy.url.replace("://", "://alice:0p3n-sesame@")))
    assert isinstance(error, aiohttp.ClientHttpProxyError)
    assert isinstance(error.__cause__, ProxyAuthenticationRequired)
    shown = f"{error} {error!r} {error.args} {error.__cause__!r} {error.headers}"
    assert "0p3n-sesame" not in shown
    assert "n0nce-5520" not in shown
    answer = proxy_response(error)
    assert answer is not None
    assert "n0nce-5520" in answer.headers["proxy-authenticate"]
