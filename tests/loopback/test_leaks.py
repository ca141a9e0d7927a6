"""What is refused, cancelled, reset or garbled leaves nothing behind (promise 5, LL-10, T13)."""

from __future__ import annotations

import gc
import signal
import socket
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from connect_tunnel import (
    Proxy,
    TunnelError,
    TunnelTimeout,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel._sync.bell import SocketBell
from connect_tunnel.routing import Decision, Direct, FirstWorking, Offload, Router
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

from .fronts import behind_unix_socket
from .raw import OK, descriptors
from .shells import BACKENDS, blackhole, nothing_left, refusing, took, wait_until

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Generator
    from typing import Self

    from connect_tunnel import Target
    from connect_tunnel._steps import Program
    from connect_tunnel.testing import Step

pytestmark = pytest.mark.skipif(
    not descriptors(), reason="descriptors are counted in /proc, which is not here"
)

AT_ONCE = 1000
NO = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"

HEADS: dict[str, bytes | None] = {
    "refused": NO,
    "hung up": b"",
    "cut": b"HTTP/1.1 2",
    "garbled": b"\x00\x01 this is no HTTP\r\n\r\n",
    "reset": None,
}


class Fast:
    """Answers one connection after the other in a single thread, and keeps none."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock:
                if self._answer is None:  # a reset: what was sent is not read
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                else:
                    sock.recv(4096)
                    sock.sendall(self._answer)


@contextmanager
def counted() -> Generator[None]:
    """Descriptors, threads and objects of ours are as many as before; and no warning of one."""
    gc.collect()
    with nothing_left():
        yield
        gc.collect()


@pytest.mark.parametrize("name", HEADS)
def test_a_thousand_failures_in_threads(name: str) -> None:
    with counted(), Fast(HEADS[name]) as proxy:
        for _ in range(AT_ONCE):
            with pytest.raises(TunnelError):
                open_tunnel("a.test:1", via=proxy.url, timeout=5)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", HEADS)
def test_a_thousand_failures_in_loops(name: str, backend: str) -> None:
    async def open_some() -> None:
        for _ in range(AT_ONCE // 10):
            with pytest.raises(TunnelError):
                await open_tunnel_async("a.test:1", via=proxy.url, timeout=5)

    async def use() -> None:
        before = tasks_now(backend)
        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(open_some)
        assert tasks_now(backend) == before

    with counted(), Fast(HEADS[name]) as proxy:
        anyio.run(use, backend=backend)


def tasks_now(backend: str) -> int:
    if backend == "asyncio":
        import asyncio  # noqa: PLC0415

        return len(asyncio.all_tasks())
    import trio  # noqa: PLC0415

    return trio.lowlevel.current_statistics().tasks_living


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_cancelled_openings(backend: str) -> None:
    """At whatever moment: some before they dial, some after, a hundred at once."""

    async def use() -> None:
        before = tasks_now(backend)
        for round_ in range(10):
            with anyio.move_on_after(0.002 * round_) as scope:
                async with anyio.create_task_group() as tasks:
                    for _ in range(AT_ONCE // 10):
                        tasks.start_soon(open_one)
            assert scope.cancelled_caught
        await anyio.lowlevel.checkpoint()
        assert tasks_now(backend) == before

    async def open_one() -> None:
        async with await open_tunnel_async("a.test:1", via=url):
            raise AssertionError("opened")

    with counted(), closing(socket.create_server(("127.0.0.1", 0), backlog=2000)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        anyio.run(use, backend=backend)


def test_a_thousand_timeouts_in_threads() -> None:
    with counted(), closing(socket.create_server(("127.0.0.1", 0), backlog=2000)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for _ in range(AT_ONCE):
            with pytest.raises(TunnelTimeout):
                open_tunnel("a.test:1", via=url, timeout=0.001)


# --- cancellation at each wait ---


class Stuck(Router):
    """Waits for somebody before it decides."""

    def route(self, target: Target) -> Program[Decision]:
        yield from Offload(time.sleep, 0.2)
        return Decision([[]], "too late")


@contextmanager
def waiting(
    name: str, server: ssl.SSLContext, client: ssl.SSLContext
) -> Generator[tuple[Any, Any]]:
    """A way there, and the target: opening a tunnel waits for ever at the named place."""
    forever = 0.5
    scripts: dict[str, list[Step]] = {
        "TLS": [Wait(forever)],
        "an answer": [Receive(), Wait(forever)],
        "half an answer": [Receive(), Send(b"HTTP/1.1 20"), Wait(forever)],
        "a body": [Receive(), Send(NO[:-1]), Wait(forever)],
        "SOCKS, a method": [Receive(b"\x05\x01\x00"), Wait(forever)],
        "SOCKS, a grant": [
            Receive(b"\x05\x01\x00"),
            Send(b"\x05\x00"),
            Receive(b"a.test\x00\x01"),
            Send(b"\x05"),
            Wait(forever),
        ],
    }
    if name == "a dial":
        with blackhole() as hole:
            yield f"http://127.0.0.1:{hole[1]}", "a.test:1"
    elif name == "several dials":
        with blackhole() as hole:
            yield f"http://several.test:{hole[1]}", "a.test:1"
    elif name == "a lookup":
        yield "http://stuck.test:3128", "a.test:1"
    elif name == "a lookup for SOCKS":
        with ScriptedProxy() as proxy:
            yield f"socks5://127.0.0.1:{proxy.port}", "stuck.test:1"
    elif name == "a direct lookup":
        yield Direct(), "stuck.test:1"
    elif name == "a direct dial":
        with blackhole() as hole:
            yield Direct(), hole
    elif name == "a second way":
        with refusing() as (_, port), blackhole() as hole:
            yield FirstWorking([f"http://127.0.0.1:{p}" for p in (port, hole[1])]), "a.test:1"
    elif name == "a router":
        yield Stuck(), "a.test:1"
    elif name == "behind a Unix socket":
        with (
            ScriptedProxy(*scripts["an answer"]) as proxy,
            behind_unix_socket(proxy.port) as path,
        ):
            yield f"unix://{path}", "a.test:1"
    elif name == "a second hop":
        with LoopbackProxy() as first, ScriptedProxy(*scripts["an answer"]) as proxy:
            yield [first.url, proxy.url], "a.test:1"
    elif name == "an answer through TLS":
        with ScriptedProxy(*scripts["an answer"], ssl_context=server) as proxy:
            yield Proxy(proxy.url, ssl_context=client), "a.test:1"
    else:
        with ScriptedProxy(*scripts[name]) as proxy:
            scheme = {"TLS": "https", "SOCKS, ": "socks5h"}.get(name[:7], "http")
            yield f"{scheme}://127.0.0.1:{proxy.port}", "a.test:1"


PLACES = (
    "a lookup",
    "a dial",
    "several dials",
    "TLS",
    "an answer",
    "half an answer",
    "a body",
    "an answer through TLS",
    "a second hop",
    "SOCKS, a method",
    "SOCKS, a grant",
    "a lookup for SOCKS",
    "a direct lookup",
    "a direct dial",
    "a second way",
    "a router",
    "behind a Unix socket",
)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that takes a moment, and one with two addresses."""

    def look_up(host: bytes | str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host == b"stuck.test":
            time.sleep(0.2)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 2

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.usefixtures("names")
def test_an_opening_that_is_cancelled(
    by_group: bool,
    place: str,
    backend: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
) -> None:
    ended: list[str] = []

    async def open_one(via: Any, target: Any) -> None:
        try:
            await open_tunnel_async(target, via=via)
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise

    async def use() -> None:
        before = tasks_now(backend)
        if by_group:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(open_one, *way)
                await anyio.sleep(0.04)
                tasks.cancel_scope.cancel()
        else:
            with anyio.move_on_after(0.04):
                await open_one(*way)
        assert ended == ["cancelled"]
        assert tasks_now(backend) == before

    with counted(), waiting(place, server_context, client_context) as way, took(0.03, 1):
        anyio.run(use, backend=backend)


VERBS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "receive": lambda tunnel: tunnel.receive(),
    "send": lambda tunnel: tunnel.send(bytes(64 << 20)),
    "start_tls": lambda tunnel: tunnel.start_tls(),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_that_is_cancelled(verb: str, backend: str) -> None:
    async def use() -> None:
        tunnel = await open_tunnel_async("a.test:1", via=proxy.url, timeout=5)
        with anyio.move_on_after(0.04) as scope:
            await VERBS[verb](tunnel)
        assert scope.cancelled_caught
        await tunnel.aclose()

    with counted(), ScriptedProxy(Receive(), Send(OK), Wait(0.5)) as proxy:
        anyio.run(use, backend=backend)


# --- KeyboardInterrupt ---


class Interrupted(BaseException):
    """As a KeyboardInterrupt, which pytest takes for its own."""


@contextmanager
def interrupted(after: float) -> Generator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    old = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, after)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.usefixtures("names")
def test_an_opening_that_is_interrupted(
    place: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """A yield in a finally would make a RuntimeError of it."""
    with (
        counted(),
        waiting(place, server_context, client_context) as (via, target),
        took(0.03, 1),
        pytest.raises(Interrupted),
        interrupted(0.04),
    ):
        open_tunnel(target, via=via)


def test_a_read_that_is_interrupted() -> None:
    """Nothing is lost, and reading may go on."""
    with (
        counted(),
        ScriptedProxy(Receive(), Send(OK), Receive(b"."), Echo()) as proxy,
        open_tunnel("a.test:1", via=proxy.url) as tunnel,
    ):
        with pytest.raises(Interrupted), interrupted(0.05):
            tunnel.read()
        tunnel.write(b".x")
        assert tunnel.read(timeout=5) == b"x"


def test_a_write_that_is_interrupted() -> None:
    data = bytes(64 << 20)  # not while the clock runs
    with (
        counted(),
        ScriptedProxy(Receive(), Send(OK), Wait(0.3)) as proxy,
        open_tunnel("a.test:1", via=proxy.url) as tunnel,
    ):
        with pytest.raises(Interrupted), interrupted(0.05):
            tunnel.write(data)
        with pytest.raises(TunnelError, match="cut short"):
            tunnel.write(b"x")


def test_a_handshake_that_is_interrupted() -> None:
    with counted(), ScriptedProxy(Receive(), Send(OK), Wait(0.3)) as proxy:
        tunnel = open_tunnel("a.test:1", via=proxy.url)
        with pytest.raises(Interrupted), interrupted(0.05):
            tunnel.start_tls()
        assert tunnel.get_extra_info("socket").fileno() == -1


def test_an_opening_that_is_dropped_half_way() -> None:
    """An operation that is collected lets go, too."""
    from connect_tunnel._net.driver import Driver  # noqa: PLC0415
    from connect_tunnel._open import request_tunnel  # noqa: PLC0415
    from connect_tunnel._target import Target  # noqa: PLC0415
    from connect_tunnel._timeout import Timeout  # noqa: PLC0415
    from connect_tunnel._via import read_via  # noqa: PLC0415

    with counted(), ScriptedProxy(Receive(), Close()) as proxy:
        hops = read_via(proxy.url)
        assert isinstance(hops, tuple)
        driver = Driver(Target("a.test", 1), Timeout(), new_bell=SocketBell)
        operation = driver.run(request_tunnel(hops, Target("a.test", 1)))
        next(operation)
        assert driver.holds
        del operation
        gc.collect()
        assert not driver.holds


def test_resets_while_nobody_looks() -> None:
    with counted(), ScriptedProxy(Receive(), Send(OK), Reset()) as proxy:
        for _ in range(20):
            with open_tunnel("a.test:1", via=proxy.url, timeout=5) as tunnel:
                wait_until(lambda: tunnel.get_extra_info("is_readable"))
