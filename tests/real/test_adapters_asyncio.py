"""asyncio's streams and transports through squid, with TLS inside; on both of its loops."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import pytest
import uvloop

from connect_tunnel import TargetTLSError, TunnelRefused
from connect_tunnel.adapters.asyncio import create_connection, open_connection

from .proxies import ORIGIN_PAGE
from .ring import PASSWORD, Port, Ring, Service
from .targets import BANNER, HTTPS

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .entrance import Entrance

LOOPS: Final = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
ENTRANCES: Final = ["squid", "squid-basic", "squid-tls", "squid-tls-basic"]
MEGABYTE: Final = bytes(range(256)) * 4096
SECONDS: Final = 10

pytestmark = pytest.mark.usefixtures("origins")
each = pytest.mark.parametrize("entrance", ENTRANCES, indirect=True)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(main, SECONDS))

    return run


@each
def test_streams_with_tls(ring: Ring, entrance: Entrance, run: Any) -> None:
    async def main() -> None:
        reader, writer = await open_connection(
            "localhost",
            ring.port(Port.TLS_ECHO),
            via=entrance.via(ring),
            ssl=ring.target_authority.context,
            timeout=SECONDS,
        )
        receiving = asyncio.create_task(reader.readexactly(len(MEGABYTE)))
        for start in range(0, len(MEGABYTE), 10_000):
            writer.write(MEGABYTE[start : start + 10_000])
            await writer.drain()
        assert await receiving == MEGABYTE
        writer.close()
        await writer.wait_closed()

    run(main())


@each
def test_a_server_that_speaks_first(ring: Ring, entrance: Entrance, run: Any) -> None:
    async def main() -> None:
        for turn in range(10):
            reader, writer = await open_connection(
                "127.0.0.1", ring.port(Port.BANNER), via=entrance.via(ring)
            )
            assert await reader.readexactly(len(BANNER)) == BANNER
            writer.write(b"%d\n" % turn)
            assert await reader.readline() == b"%d\n" % turn
            writer.close()
            await writer.wait_closed()

    run(main())


@each
def test_a_protocol(
    ring: Ring, entrance: Entrance, run: Any, start: Callable[[Service], None]
) -> None:
    start(HTTPS)

    class Fetch(asyncio.Protocol):
        def __init__(self) -> None:
            self.data = b""
            self.ended = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert transport.get_extra_info("ssl_object") is not None
            request = b"GET /page HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            transport.write(request)  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

        def data_received(self, data: bytes) -> None:
            self.data += data

        def connection_lost(self, exc: Exception | None) -> None:
            self.ended.set_result(exc)

    async def main() -> None:
        _, protocol = await create_connection(
            Fetch,
            "localhost",
            ring.port(Port.HTTPS),
            via=entrance.via(ring),
            ssl=ring.target_authority.context,
        )
        assert await protocol.ended is None
        assert protocol.data.partition(b"\r\n\r\n")[2] == ORIGIN_PAGE

    run(main())


@each
def test_tls_is_verified(ring: Ring, entrance: Entrance, run: Any) -> None:
    """By the default context too, which does not know our authority."""

    async def main() -> None:
        with pytest.raises(TargetTLSError, match="cannot be trusted"):
            await open_connection(
                "localhost", ring.port(Port.TLS_ECHO), via=entrance.via(ring), ssl=True
            )

    run(main())


@each
def test_a_refusal(ring: Ring, entrance: Entrance, run: Any) -> None:
    async def main() -> None:
        with pytest.raises(TunnelRefused) as caught:
            await open_connection("127.0.0.1", ring.port(Port.FORBIDDEN), via=entrance.via(ring))
        assert caught.value.response.status == 403
        assert PASSWORD not in str(caught.value)

    run(main())


@pytest.mark.parametrize("entrance", ["squid-basic", "squid-tls-basic"], indirect=True)
def test_silence(ring: Ring, entrance: Entrance, run: Any) -> None:
    """The timeout is of the opening alone."""

    async def main() -> None:
        reader, writer = await open_connection(
            "127.0.0.1", ring.port(Port.ECHO), via=entrance.via(ring), timeout=2
        )
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(1), 3)
        writer.write(b"still there?\n")
        assert await reader.readline() == b"still there?\n"
        writer.close()
        await writer.wait_closed()

    run(main())
