"""The network backends for httpcore and httpcore2: what their pools see of a tunnel."""

from __future__ import annotations

import functools
import importlib
import inspect
import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
import pytest

from connect_tunnel import (
    AsyncDialer,
    Dialer,
    InvalidTarget,
    TargetTLSError,
    TunnelBroken,
    TunnelClosed,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.routing import Direct
from connect_tunnel.testing import (
    Close,
    Echo,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .http_origin import Origin
from .raw import OK
from .shells import SHELLS, nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel.testing import Step

NO = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nAsk Bob."


class Core(NamedTuple):
    """A library, and how it is called."""

    library: str
    shell: str

    @property
    def httpcore(self) -> Any:
        return importlib.import_module(self.library)

    def named(self, name: str) -> Any:
        """What the library or our adapter calls this, with "Async" before it on a loop."""
        adapter = importlib.import_module(f"connect_tunnel.adapters.{self.library}")
        name = name if self.shell == "sync" else f"Async{name}"
        return getattr(adapter, name, None) or getattr(self.httpcore, name)

    def backend(self, via: Any, **options: Any) -> Any:
        dialer = Dialer if self.shell == "sync" else AsyncDialer
        return self.named("TunnelBackend")(dialer(via, **options))

    def use(self, work: Callable[[Callable[..., Any]], Any]) -> Any:
        """Run a story that awaits what it does by `do(function, ...)`, in either shell."""
        if self.shell == "sync":
            return drive(work(call))
        return anyio.run(work, call_async, backend=self.shell)

    def __str__(self) -> str:
        return f"{self.library}-{self.shell}"


async def call(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return function(*args, **options)


async def call_async(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    result = function(*args, **options)
    return await result if inspect.isawaitable(result) else result


def drive(story: Any) -> Any:
    """Run a coroutine that never waits."""
    try:
        story.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


CORES = [Core(library, shell) for library in ("httpcore", "httpcore2") for shell in SHELLS]
each_core = pytest.mark.parametrize("core", CORES, ids=str)


def close_of(core: Core, stream: Any) -> Any:
    return stream.close if core.shell == "sync" else stream.aclose


# --- the verbs ---


@each_core
def test_reading_writing_and_the_end(core: Core) -> None:
    async def story(do: Any) -> None:
        stream = await do(core.backend(proxy.url).connect_tcp, "a.test", 1, timeout=5)
        await do(stream.write, b"", timeout=5)
        await do(stream.write, b"ping", timeout=5)
        assert await do(stream.read, 3, timeout=5) == b"pin"
        assert await do(stream.read, 65536, timeout=None) == b"g"
        await do(stream.write, b"end", timeout=None)
        assert await do(stream.read, 99, timeout=5) == b"bye"
        assert await do(stream.read, 99, timeout=5) == b""
        await do(close_of(core, stream))
        await do(close_of(core, stream))

    script: list[Step] = [
        Receive(),
        Send(OK),
        Receive(b"ping"),
        Send(b"ping"),
        Receive(b"end"),
        Send(b"bye"),
    ]
    with nothing_left(), ScriptedProxy(*script, Close()) as proxy:
        core.use(story)


@each_core
def test_what_is_known_of_a_stream(
    core: Core, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    server_context.set_alpn_protocols(["http/1.1"])

    async def story(do: Any) -> None:
        backend = core.backend(proxy.url)
        stream = await do(
            backend.connect_tcp, "localhost", origin.server_port, 5, "127.0.0.9",
            [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)],
        )  # fmt: skip
        known = stream.get_extra_info
        assert known("ssl_object") is None
        assert known("proxy_response").status == 200
        assert known("client_addr")[0] == "127.0.0.9"
        assert known("server_addr") == (proxy.host, proxy.port)
        assert known("socket").getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
        assert known("is_readable") is False
        assert known("something else") is None
        tls = await do(stream.start_tls, client_context, "localhost", 5)
        assert type(tls) is type(stream)
        assert isinstance(tls, core.named("NetworkStream"))
        assert tls.get_extra_info("ssl_object").version() == "TLSv1.3"
        assert tls.get_extra_info("proxy_response").status == 200
        await do(close_of(core, tls))

    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        core.use(story)


@each_core
def test_a_direct_stream(core: Core) -> None:
    async def story(do: Any) -> None:
        stream = await do(core.backend(Direct()).connect_tcp, "127.0.0.1", origin.server_port)
        assert stream.get_extra_info("proxy_response") is None
        await do(close_of(core, stream))

    with nothing_left(), Origin() as origin:
        core.use(story)


@each_core
def test_waiting_between_two_tries(core: Core) -> None:
    async def story(do: Any) -> None:
        await do(core.backend("http://p:1").sleep, 0.1)

    with took(0.1, 1):
        core.use(story)


@each_core
def test_no_tunnel_leads_to_a_unix_socket(core: Core) -> None:
    async def story(do: Any) -> None:
        with pytest.raises(core.httpcore.UnsupportedProtocol, match="unix:///"):
            await do(core.backend("http://p:1").connect_unix_socket, "/run/x.sock")

    core.use(story)


# --- what goes wrong ---


@each_core
def test_errors_of_reading_and_writing(core: Core) -> None:
    """The library's, and ours behind each as its `__cause__`."""

    async def story(do: Any) -> None:
        async def fails(kind: str, cause: type[Exception], *act: Any) -> None:
            with pytest.raises(getattr(core.httpcore, kind)) as caught:
                await do(*act)
            assert isinstance(caught.value.__cause__, cause)
            assert "a.test:1" in str(caught.value)

        stream = await do(core.backend(proxy.url).connect_tcp, "a.test", 1, timeout=5)
        await fails("ReadTimeout", TimeoutError, stream.read, 9, 0.05)
        await fails("ReadTimeout", TimeoutError, stream.read, 9, 0)
        await fails("WriteTimeout", TimeoutError, stream.write, bytes(1 << 25), 0.05)
        await fails("WriteError", TunnelBroken, stream.write, b"x", 5)
        await do(close_of(core, stream))
        await fails("ReadError", TunnelClosed, stream.read, 9, 5)
        await fails("WriteError", TunnelClosed, stream.write, b"x", 5)

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Wait(9)) as proxy:
        core.use(story)


@each_core
def test_a_reset(core: Core) -> None:
    async def story(do: Any) -> None:
        stream = await do(core.backend(proxy.url).connect_tcp, "a.test", 1, timeout=5)
        await do(stream.write, b"!", 5)
        with pytest.raises(core.httpcore.ReadError) as caught:
            await do(stream.read, 9, 5)
        assert isinstance(caught.value.__cause__, TunnelBroken)
        await do(close_of(core, stream))

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Receive(b"!"), Reset()) as proxy:
        core.use(story)


@each_core
@pytest.mark.parametrize(
    ("hostname", "script", "kind", "cause"),
    [
        ("a.test", [Send(b"220 ring\r\n")], "ConnectError", TargetTLSError),
        ("a.test", [], "ConnectTimeout", TunnelTimeout),
        ("a b", [], "ConnectError", InvalidTarget),
    ],
)
def test_tls_that_fails_closes_the_tunnel(
    core: Core, hostname: str, script: list[Any], kind: str, cause: type[Exception]
) -> None:
    async def story(do: Any) -> None:
        stream = await do(core.backend(proxy.url).connect_tcp, "a.test", 1, timeout=5)
        with pytest.raises(getattr(core.httpcore, kind)) as caught:
            await do(stream.start_tls, ssl.create_default_context(), hostname, 0.2)
        assert isinstance(caught.value.__cause__, cause)

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), *script) as proxy:
        core.use(story)
        assert proxy.wait_closed()


@each_core
def test_tls_that_cannot_begin_closes_the_tunnel(core: Core) -> None:
    async def story(do: Any) -> None:
        stream = await do(core.backend(proxy.url).connect_tcp, "a.test", 1, timeout=5)
        with pytest.raises((TypeError, AttributeError)):
            await do(stream.start_tls, "no context", "a.test", 5)

    with nothing_left(), ScriptedProxy(Receive(), Send(OK)) as proxy:
        core.use(story)
        assert proxy.wait_closed()


@each_core
def test_an_end_without_close_notify_is_an_end(
    core: Core, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """As it is in httpcore: HTTP has its own ways to tell."""

    async def story(do: Any) -> None:
        stream = await do(core.backend(proxy.url).connect_tcp, "localhost", port, timeout=5)
        stream = await do(stream.start_tls, client_context, "localhost", 5)
        assert await do(stream.read, 9, 5) == b"cut off"
        assert await do(stream.read, 9, 5) == b""
        await do(close_of(core, stream))

    with nothing_left(), LoopbackProxy() as proxy, cutting_off(server_context) as port:
        core.use(story)


def cutting_off(context: ssl.SSLContext) -> Any:
    """A server that says so in TLS, and ends the TCP connection below it."""
    import contextlib  # noqa: PLC0415
    import threading  # noqa: PLC0415

    @contextlib.contextmanager
    def serving() -> Any:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def serve() -> None:
                sock, _ = listener.accept()
                with context.wrap_socket(sock, server_side=True) as tls:
                    tls.sendall(b"cut off")

            thread = threading.Thread(target=serve)
            thread.start()
            yield listener.getsockname()[1]
            thread.join()

    return serving()


# --- behind a pool ---


@each_core
def test_a_refusal_through_a_pool(core: Core) -> None:
    """The pool raises what we raise `from None`; ours is left as the context."""

    async def story(do: Any) -> None:
        pool = core.named("ConnectionPool")(network_backend=core.backend(proxy.url))
        with pytest.raises(core.httpcore.ProxyError, match=r"Ask Bob\.") as caught:
            await do(pool.request, "GET", "https://a.test/")
        assert caught.value.__cause__ is None
        assert isinstance(caught.value.__context__, TunnelRefused)
        assert pool.connections == []

    with nothing_left(), ScriptedProxy(Receive(), Send(NO), Close()) as proxy:
        core.use(story)


@each_core
@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/2"])
def test_requests_through_a_pool(
    core: Core, version: bytes, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    async def story(do: Any) -> None:
        pool = core.named("ConnectionPool")(
            ssl_context=client_context,
            http2=version == b"HTTP/2",
            network_backend=core.backend(proxy.url),
        )
        for _ in range(2):
            response = await do(pool.request, "POST", origin.url(), content=b"x" * 9)
            assert response.content == b"x" * 9
            assert response.extensions["http_version"] == version
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("proxy_response").status == 200
        await do(close_of(core, pool))

    server_context.set_alpn_protocols(["h2", "http/1.1"] if version == b"HTTP/2" else ["http/1.1"])
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        core.use(story)
        assert len(proxy.requests) == 1


@each_core
def test_http_goes_through_a_tunnel_too(core: Core) -> None:
    async def story(do: Any) -> None:
        pool = core.named("ConnectionPool")(network_backend=core.backend(proxy.url))
        response = await do(pool.request, "GET", origin.url())
        assert response.content == b"hello"
        await do(close_of(core, pool))

    with nothing_left(), LoopbackProxy() as proxy, Origin() as origin:
        core.use(story)
        assert len(proxy.requests) == 1


@each_core
def test_a_connection_taken_over(core: Core) -> None:
    """An upgrade gives the stream away, with what came behind the head."""

    async def story(do: Any) -> None:
        pool = core.named("ConnectionPool")(network_backend=core.backend(proxy.url))
        async with Streaming(do, pool, "http://a.test/", {"Upgrade": "echo"}) as response:
            assert response.status == 101
            stream = response.extensions["network_stream"]
            assert stream.get_extra_info("proxy_response").status == 200
            assert await do(stream.read, 99) == b"early"
            await do(stream.write, b"ping")
            assert await do(stream.read, 99) == b"ping"
        await do(close_of(core, pool))

    grant = b"HTTP/1.1 101 Yes\r\nUpgrade: echo\r\nConnection: upgrade\r\n\r\nearly"
    script: list[Step] = [Receive(), Send(OK), Receive(), Send(grant), Echo()]
    with nothing_left(), ScriptedProxy(*script) as proxy:
        core.use(story)


class Streaming:
    """`pool.stream` of either shell."""

    def __init__(self, do: Any, pool: Any, url: str, headers: dict[str, str]) -> None:
        self.do = do
        options = {"headers": list(headers.items())}
        self.open = functools.partial(pool.stream, "GET", url, **options)

    async def __aenter__(self) -> Any:
        self.stream = self.open()
        enter = getattr(self.stream, "__aenter__", None) or self.stream.__enter__
        return await self.do(enter)

    async def __aexit__(self, *error: object) -> None:
        leave = getattr(self.stream, "__aexit__", None) or self.stream.__exit__
        await self.do(leave, *error)


# --- the core's part ---


@each_core
def test_the_dialer_s_own_limit_holds_as_well(core: Core) -> None:
    async def story(do: Any) -> None:
        backend = core.backend(proxy.url, timeout=0.2)
        for timeout in (None, 5):
            with pytest.raises(core.httpcore.ConnectTimeout):
                await do(backend.connect_tcp, "a.test", 1, timeout=timeout)

    with nothing_left(), ScriptedProxy(Receive()) as proxy, took(0.4, 2):
        core.use(story)
