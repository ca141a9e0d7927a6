"""Many tunnels at once, each of which does what it likes: bytes stay right, and nothing is left.

`CONNECT_TUNNEL_STRESS=300` lets it go on for so many seconds.
"""

from __future__ import annotations

import gc
import os
import random
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import HTTP2, TunnelError
from connect_tunnel.testing import Echo, HalfClose, LoopbackH2Proxy, ScriptedProxy

from .h2_party import End, Party, clear, play
from .shells import SHELLS, nothing_left

if TYPE_CHECKING:
    from .conftest import Contexts

SECONDS = float(os.environ.get("CONNECT_TUNNEL_STRESS", "1"))
AT_ONCE = 16

pytestmark = pytest.mark.timeout(60 + 2 * SECONDS)


async def live(party: Party, where: tuple[str, int], chance: random.Random) -> str:
    """One tunnel's life; what it was."""
    if chance.random() < 0.1 and party.shell != "sync":
        with anyio.move_on_after(chance.random() * 0.02):
            end = await party.open(where)
            await end.close()
        return "given up in opening"
    end = await party.open(where)
    for _ in range(chance.randrange(4)):
        await end.echo(chance.randbytes(chance.choice((1, 100, 5_000, 150_000))))
    fate = chance.choice(
        ("closes", "ends", "reads in vain", "is cut short", "closes in a read", "is forgotten")
    )
    match fate:
        case "ends":
            data = chance.randbytes(10_000)
            await end.write(data)
            await end.send_eof()
            assert await end.all() == data
        case "reads in vain":
            with pytest.raises(TimeoutError):
                await end.read(0.001 + chance.random() * 0.05)
            await end.echo(b"and goes on")
        case "is cut short":
            try:
                await end.write(bytes(3_000_000), 0.002 + chance.random() * 0.03)
            except TimeoutError:
                pass
        case "closes in a read":
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_read_in_vain, end)
                await anyio.sleep(chance.random() * 0.02)
                await end.close()
        case "is forgotten":
            return fate
        case _:
            pass
    await end.close()
    return fate


async def _read_in_vain(end: End) -> None:
    with pytest.raises(TunnelError, match="is closed"):
        await end.read()


@pytest.mark.filterwarnings("ignore:unclosed <(Async)?Tunnel:ResourceWarning")
@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
@pytest.mark.parametrize("shell", SHELLS)
def test_whatever_they_do(shell: str, tls: bool, both_h2: Contexts) -> None:
    seed = random.randrange(2**32)
    server = both_h2.server if tls else None
    options = {"http1": True, "ssl_context": both_h2.client} if tls else {}

    async def story(party: Party) -> None:
        ends = anyio.current_time() + SECONDS
        fates: list[str] = []

        async def go_on(number: int) -> None:
            chance = random.Random(seed + number)
            while anyio.current_time() < ends:
                fates.append(await live(party, (target.host, target.port), chance))

        await party.together(*(partial(go_on, number) for number in range(AT_ONCE)))
        await party.together(*([partial(anyio.sleep, 0)] * 2))
        gc.collect()
        assert len(fates) >= AT_ONCE, seed
        last = await party.open((target.host, target.port))
        await last.echo(bytes(200_000))
        await last.close()
        assert len(party.connections) <= 2
        for connection in party.connections:
            connection.attend()  # who passes sees to what was forgotten; the last took one of two
            with connection.monitor:
                assert not connection.turn.held
                assert not connection.turn._parked
                assert connection.reserved == 0
                assert connection.seats == 0

    with (
        nothing_left(),
        ScriptedProxy(Echo(), HalfClose()) as target,
        LoopbackH2Proxy(ssl_context=server, max_concurrent_streams=12) as proxy,
    ):
        play(
            shell,
            story,
            clear(proxy, http2=HTTP2(max_connections=2), **options),
            longest=20 + SECONDS,
        )
