"""However a request ends: its place in the pool is free, and nothing is left (T13)."""

from __future__ import annotations

import functools
import gc
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from connect_tunnel.testing import Close, LoopbackProxy, Receive, Reset, ScriptedProxy, Send

from .http_faces import ASYNC_FACES, FACES, Face, outcome_async
from .http_origin import Origin
from .raw import OK, descriptors
from .shells import nothing_left

if TYPE_CHECKING:
    import ssl
    from collections.abc import Coroutine, Generator

    from connect_tunnel.testing import Step

each_face = pytest.mark.parametrize("face", FACES, ids=str)
pytestmark = [
    pytest.mark.skipif(
        not descriptors(), reason="descriptors are counted in /proc, which is not here"
    ),
    # The origin's: `wrap_socket` loses one whose client is gone already. Ours are none of these.
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"
    ),
]

NO = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 8\r\n\r\nAsk Bob."
ENDS: dict[str, list[Step]] = {
    "refused": [Receive(), Send(NO), Close()],
    "reset": [Reset()],
    "cut": [Receive(), Send(b"HTTP/1.1 2"), Close()],
    "no TLS": [Receive(), Send(OK + b"SSH-2.0-x\r\n")],
}


@each_face
@pytest.mark.parametrize("name", ENDS)
def test_t13_failures_use_up_nothing(face: Face, name: str) -> None:
    """Of two places, in thirty requests one after the other and as many at once."""
    gc.collect()
    requests = [("GET", f"https://{number}.test/", {"timeout": 20}) for number in range(30)]
    limits = face.httpx.Limits(max_connections=2)
    with nothing_left(), ScriptedProxy(*ENDS[name]) as proxy:
        errors = face.talk(proxy.url, *requests, limits=limits)
        errors += face.at_once(proxy.url, requests, limits=limits)
        for error in errors:
            assert type(error) in {face.httpx.ProxyError, face.httpx.ConnectError}
        error = None
        del errors  # their tracebacks hold what they went through
        gc.collect()


class CancelledAt:
    """Awaits something, and has it cancelled where it waits for the nth time."""

    def __init__(self, work: Coroutine[Any, Any, None], number: int) -> None:
        self.work = work
        self.number = number
        self.waits = 0

    def __await__(self) -> Generator[Any, Any, None]:
        step = functools.partial(self.work.send, None)
        while True:
            try:
                wait = step()
            except StopIteration:
                return
            self.waits += 1
            if self.waits == self.number:
                self.scope.cancel()
            try:
                step = functools.partial(self.work.send, (yield wait))
            except BaseException as error:  # noqa: BLE001 - what is awaited deals with it
                step = functools.partial(self.work.throw, error)

    async def run(self) -> None:
        with anyio.CancelScope() as self.scope:
            await self


@pytest.mark.parametrize("http2", [False, True])
@pytest.mark.parametrize("face", ASYNC_FACES, ids=str)
def test_t13_cancellation_at_each_wait(
    face: Face, http2: bool, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """After each the only place of the pool is there for the next request."""
    server_context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    settings = {
        "verify": client_context,
        "http2": http2,
        "limits": face.httpx.Limits(max_connections=1),
    }

    async def work() -> None:
        transport = face.transport(proxy.url, **settings)
        timeout = face.httpx.Timeout(10, pool=3)
        async with face.httpx.AsyncClient(transport=transport, timeout=timeout) as client:
            for number in range(1, 18):  # more than there are, but of HTTP/2
                attempt = CancelledAt(ask(client, origin.url()), number)
                await attempt.run()
                got = await client.get(origin.url(host="127.0.0.1"))  # and no tunnel to the other
                assert got.status_code == 200

    async def ask(client: Any, url: str) -> None:
        await client.get(url)

    gc.collect()
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        face.run(work)
        gc.collect()


@pytest.mark.parametrize("face", ASYNC_FACES, ids=str)
def test_t13_many_cancelled_at_once(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """At whatever moment, a hundred in ten rounds, with places for three."""
    server_context.set_alpn_protocols(["http/1.1"])
    limits = face.httpx.Limits(max_connections=3)

    async def work() -> None:
        transport = face.transport(proxy.url, verify=client_context, limits=limits)
        async with face.httpx.AsyncClient(transport=transport, timeout=10) as client:
            for round_ in range(10):
                with anyio.move_on_after(0.005 * round_):
                    async with anyio.create_task_group() as tasks:
                        for _ in range(10):
                            tasks.start_soon(outcome_async, client, "GET", origin.url())
            got = await client.get(origin.url())
            assert got.status_code == 200

    gc.collect()
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        face.run(work)
        gc.collect()


@each_face
def test_t13_a_response_that_nobody_reads(
    face: Face, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """Its tunnel is closed with it: what is left of the body is in the way."""
    server_context.set_alpn_protocols(["http/1.1"])
    settings = {"verify": client_context, "limits": face.httpx.Limits(max_connections=1)}
    before = threading.active_count()
    with nothing_left(), LoopbackProxy() as proxy, Origin(server_context) as origin:
        for _ in range(3):
            transport = face.transport(proxy.url, **settings)
            face.while_open(transport, origin.url(), lambda _: None)
        assert proxy.wait_closed()
        assert len(proxy.requests) == 3
    assert threading.active_count() <= before
