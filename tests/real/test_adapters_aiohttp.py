"""aiohttp through squid, in clear and by TLS, with a password, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import uvloop
from aiohttp import ClientSession

from connect_tunnel import ProxyAuthenticationRequired
from connect_tunnel.adapters.aiohttp import TunnelConnector, proxy_response
from tests.loopback.web_origin import BLOCK, WebOrigin, digest_of

from .ring import USER, Port, Ring

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

    from .entrance import Entrance

    Run = Callable[[Coroutine[Any, Any, Any]], Any]

SIZE = 100 << 20


@pytest.fixture(params=["squid-basic", "squid-tls-basic"])
def entrance(request: pytest.FixtureRequest, enter: Callable[[str], Entrance]) -> Entrance:
    return enter(request.param)


@pytest.fixture
def origin(ring: Ring) -> Iterator[WebOrigin]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ring.target_authority.cert, ring.target_authority.key)
    with WebOrigin(context) as server:
        yield server


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(coroutine)

    return run


def tunnelled(ring: Ring, via: Any, limit: int = 100) -> ClientSession:
    context = ring.target_authority.context
    return ClientSession(connector=TunnelConnector(via, ssl=context, limit=limit))


async def get(session: ClientSession, url: str) -> str:
    async with session.get(url) as response:
        answer = proxy_response(response)
        assert answer is not None
        assert answer.status == 200
        return await response.text()


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_get(run: Run, ring: Ring, entrance: Entrance, origin: WebOrigin, scheme: str) -> None:
    async def use() -> None:
        async with tunnelled(ring, entrance.via(ring)) as session:
            for tag in range(3):
                assert await get(session, origin.at(f"/echo/{tag}", scheme)) == str(tag)

    run(use())
    assert len(set(origin.peers)) == 1


@pytest.mark.parametrize("scheme", ["wss", "ws"])
def test_websocket(
    run: Run, ring: Ring, entrance: Entrance, origin: WebOrigin, scheme: str
) -> None:
    async def use() -> None:
        async with (
            tunnelled(ring, entrance.via(ring)) as session,
            session.ws_connect(origin.at("/ws", scheme), max_msg_size=0) as websocket,
        ):
            for size in (1, 1_000_000):
                await websocket.send_bytes(bytes(size))
                assert await websocket.receive_bytes() == bytes(size)

    run(use())


def test_a_hundred_megabytes_each_way(
    run: Run, ring: Ring, entrance: Entrance, origin: WebOrigin
) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        for _ in range(SIZE // len(BLOCK)):
            yield BLOCK

    async def use() -> None:
        async with tunnelled(ring, entrance.via(ring)) as session:
            digest = hashlib.sha256()
            async with session.get(origin.at(f"/bytes/{SIZE}")) as response:
                async for data in response.content.iter_any():
                    digest.update(data)
            expected = digest_of(SIZE)
            assert digest.hexdigest() == expected
            async with session.post(origin.at("/digest"), data=blocks()) as response:
                assert await response.text() == expected

    run(use())


def test_t23_two_hundred_tasks_none_crossed(
    run: Run, ring: Ring, entrance: Entrance, origin: WebOrigin
) -> None:
    async def echoed(session: ClientSession, tag: int) -> None:
        assert await get(session, origin.at(f"/echo/{tag}")) == str(tag)

    async def use() -> None:
        async with (
            tunnelled(ring, entrance.via(ring), limit=200) as session,
            asyncio.TaskGroup() as tasks,
        ):
            for tag in range(200):
                tasks.create_task(echoed(session, tag))

    run(use())
    assert len(origin.requests) == 200


def test_a_refusal_with_its_page(run: Run, ring: Ring, entrance: Entrance) -> None:
    where = f"localhost:{ring.port(Port.FORBIDDEN)}"

    async def use() -> None:
        async with tunnelled(ring, entrance.via(ring)) as session:
            with pytest.raises(aiohttp.ClientHttpProxyError) as caught:
                await get(session, f"https://{where}/")
        assert caught.value.status == 403
        answer = proxy_response(caught.value)
        assert answer is not None
        assert answer.headers["x-squid-error"] == "ERR_ACCESS_DENIED 0"
        assert b"<html" in answer.body
        assert answer.complete

    run(use())


def test_a_password_that_is_wrong(
    run: Run, ring: Ring, entrance: Entrance, origin: WebOrigin
) -> None:
    async def use() -> None:
        async with tunnelled(ring, entrance.via(ring, auth=(USER, "open sesame"))) as session:
            with pytest.raises(aiohttp.ClientHttpProxyError) as caught:
                await get(session, origin.at())
        assert isinstance(caught.value.__cause__, ProxyAuthenticationRequired)
        assert "sesame" not in f"{caught.value} {caught.value!r}"

    run(use())
    assert origin.requests == []


def test_cancelled_requests_give_their_places_back(
    run: Run, ring: Ring, entrance: Entrance, origin: WebOrigin
) -> None:
    async def use() -> None:
        async with tunnelled(ring, entrance.via(ring), limit=2) as session:
            for turn in range(20):
                task = asyncio.create_task(get(session, origin.at("/slow")))
                await asyncio.sleep(0.002 * turn)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            assert await get(session, origin.at("/echo/x")) == "x"

    run(use())
