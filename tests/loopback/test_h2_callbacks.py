"""Closing a tunnel over HTTP/2 from where nothing can be awaited: a callback of asyncio's."""

from __future__ import annotations

import asyncio
import contextvars
from typing import TYPE_CHECKING

import pytest

from connect_tunnel import AsyncDialer, Proxy, TunnelClosed
from connect_tunnel.testing import LoopbackH2Proxy, ScriptedProxy

from .shells import nothing_left

if TYPE_CHECKING:
    from connect_tunnel import AsyncTunnel


@pytest.mark.parametrize("act", ["close", "abort"])
def test_who_waits_is_woken(act: str) -> None:
    """Both who does the work of the connection, and who leaves it to the other."""

    async def main(via: Proxy, target: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        async with AsyncDialer(via, timeout=10) as dialer:
            tunnels = [await dialer.open_tunnel(target) for _ in range(2)]
            waiting = [asyncio.create_task(end_of(tunnel)) for tunnel in tunnels]
            await asyncio.sleep(0.1)
            for tunnel in tunnels:
                loop.call_soon(getattr(tunnel, act), context=contextvars.Context())
            ends = await asyncio.wait_for(asyncio.gather(*waiting), 5)
            assert [type(end).__mro__[1] for end in ends] == [TunnelClosed, TunnelClosed]

    async def end_of(tunnel: AsyncTunnel) -> Exception:
        with pytest.raises(TunnelClosed) as caught:
            await tunnel.receive()
        return caught.value

    with nothing_left(), LoopbackH2Proxy() as proxy, ScriptedProxy() as silent:
        via = Proxy(proxy.url, http1=False, http2=True)
        asyncio.run(main(via, (silent.host, silent.port)))
