"""T13: however an opening by asyncio ends, nothing of it is left."""

from __future__ import annotations

import asyncio
import gc
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import pytest

from connect_tunnel import TunnelError, TunnelRefused
from connect_tunnel.adapters.asyncio import create_connection, open_connection
from connect_tunnel.testing import Echo, LoopbackProxy, Receive, ScriptedProxy, Send, Wait

from .asyncio_loops import LOOPS, Recorder, run, way
from .raw import OK
from .shells import nothing_left

if TYPE_CHECKING:
    import ssl

    from connect_tunnel.testing import Step

NO: Final = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
AT_ONCE: Final = 1000


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(params=["plain", "TLS"])
def hop(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> ssl.SSLContext | None:
    return server_context if request.param == "TLS" else None


def test_t13_a_thousand_refusals(loop: str) -> None:
    async def some() -> None:
        for _ in range(AT_ONCE // 10):
            with pytest.raises(TunnelRefused):
                await open_connection("a.test", 1, via=proxy.url, timeout=8)

    async def main() -> None:
        await asyncio.gather(*[some() for _ in range(10)])

    with nothing_left(), LoopbackProxy(refuse=lambda _: NO) as proxy:
        run(loop, main())
        gc.collect()


SCRIPTS: dict[str, list[Step]] = {
    "an answer": [Receive(), Wait(0.3)],
    "TLS with the target": [Receive(), Send(OK), Wait(0.3)],
    "nothing": [Receive(), Send(OK), Echo()],
}


@pytest.mark.parametrize("place", SCRIPTS)
def test_t13_an_opening_that_is_cancelled(
    loop: str, hop: ssl.SSLContext | None, place: str, client_context: ssl.SSLContext
) -> None:
    context = client_context if place.startswith("TLS") else None

    async def main() -> None:
        for seconds in (0.0, 0.001, 0.005, 0.05):
            task = asyncio.create_task(
                create_connection(
                    Recorder, "a.test", 1, via=way(proxy, client_context), ssl=context, timeout=5
                )
            )
            await asyncio.sleep(seconds)
            task.cancel()
            with suppress(asyncio.CancelledError):
                transport, protocol = await task
                transport.abort()
                await protocol.until_called("lost")

    with nothing_left(), ScriptedProxy(*SCRIPTS[place], ssl_context=hop) as proxy:
        run(loop, main())
        gc.collect()


def test_t13_an_opening_that_is_cancelled_step_by_step(
    loop: str, hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    """At each turn of the loop, the last one too, where there is a transport already."""

    async def main() -> None:
        for steps in range(60):
            task = asyncio.create_task(
                create_connection(Recorder, "a.test", 1, via=way(proxy, client_context), timeout=5)
            )
            for _ in range(steps):
                await asyncio.sleep(0.0002 if steps % 2 else 0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                transport, protocol = await task
                transport.close()
                await protocol.until_called("lost")

    with nothing_left(), ScriptedProxy(*SCRIPTS["nothing"], ssl_context=hop) as proxy:
        run(loop, main())
        gc.collect()


def test_t13_a_transport_whose_maker_is_cancelled_at_the_last_moment(
    loop: str, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """When `connection_made` is called: the protocol hears that it was in vain."""
    protocols: list[Recorder] = []

    async def main() -> None:
        def factory() -> Recorder:
            protocols.append(Recorder(on={"made": lambda _: task.cancel()}))
            return protocols[0]

        task = asyncio.create_task(
            create_connection(factory, "a.test", 1, via=way(proxy, client_context), timeout=5)
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        await protocols[0].until_called("lost")
        assert protocols[0].calls == ["made", "lost"]

    with (
        nothing_left(),
        ScriptedProxy(*SCRIPTS["nothing"], ssl_context=server_context) as proxy,
    ):
        run(loop, main())


def test_t13_nobody_to_talk_to(loop: str) -> None:
    async def main() -> None:
        for _ in range(20):
            with pytest.raises(TunnelError):
                await open_connection("a.test", 1, via="http://127.0.0.1:1", timeout=5)

    with nothing_left():
        run(loop, main())
        gc.collect()
