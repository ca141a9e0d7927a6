"""A way through two proxies, and many tunnels through one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import AsyncDialer, AsyncTunnel, TunnelRefused

from .ring import Port, Ring
from .shells import AsyncStream, Shell, echoed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("origins")]

CROWD = 100
CHAINS = [
    ("squid", "tinyproxy"),
    ("squid-tls", "apache-tls"),
    ("squid-tls-basic", "tinyproxy-basic"),
    ("envoy-tls", "squid", "apache-tls"),
]


@pytest.mark.parametrize("names", CHAINS, ids=" ".join)
async def test_chain(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance], names: tuple[str, ...]
) -> None:
    """As many layers of TLS as there are TLS hops, and one more with the target."""
    stream = await shell.open(
        f"localhost:{ring.port(Port.TLS_ECHO)}", [enter(name).via(ring) for name in names]
    )
    async with await stream.start_tls(ring.target_authority.context) as tls:
        assert await echoed(tls, b"hello") == b"hello"


async def test_chain_whose_second_proxy_refuses(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    first, second = enter("squid"), enter("tinyproxy")
    target = f"127.0.0.1:{ring.port(Port.FORBIDDEN)}"
    with pytest.raises(TunnelRefused) as caught:
        await shell.open(target, [first.via(ring), second.via(ring)])
    assert caught.value.response.reason == "Access violation"
    assert caught.value.proxy_url == second.url(ring)
    assert caught.value.hop == "2 of 2"


async def test_chain_whose_first_proxy_refuses(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    first = enter("squid")
    second = f"http://127.0.0.1:{ring.port(Port.DEAD)}"
    with pytest.raises(TunnelRefused) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", [first.via(ring), second])
    assert caught.value.response.status == 503
    assert caught.value.proxy_url == first.url(ring)
    assert caught.value.hop == "1 of 2"


@pytest.mark.parametrize("shell", ["asyncio", "trio"], indirect=True)
async def test_crowd(shell: Shell, ring: Ring, enter: Callable[[str], Entrance]) -> None:
    """A hundred tunnels at once through squid, each with a tag of its own (T23)."""
    arrived = 0
    everyone = anyio.Event()

    async def talk(dialer: AsyncDialer, number: int) -> None:
        nonlocal arrived
        tag = b"tunnel %d " % number * 100
        tunnel = await dialer.open_tunnel(f"127.0.0.1:{ring.port(Port.ECHO)}")
        assert isinstance(tunnel, AsyncTunnel)
        async with AsyncStream(tunnel) as stream:
            assert await echoed(stream, tag) == tag
            arrived += 1
            if arrived == CROWD:
                everyone.set()
            await everyone.wait()
            assert await echoed(stream, tag) == tag

    async with AsyncDialer(enter("squid").via(ring)) as dialer, anyio.create_task_group() as tasks:
        for number in range(CROWD):
            tasks.start_soon(talk, dialer, number)
    assert arrived == CROWD
