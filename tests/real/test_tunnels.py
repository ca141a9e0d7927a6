"""What goes through an open tunnel, for each entrance of each proxy and each shell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connect_tunnel import TunnelBroken

from .proxies import ENTRANCES
from .ring import PASSWORD, Port, Ring, has_ipv6
from .shells import Shell, echoed, receive_exactly
from .targets import BANNER

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel import Proxy

    from .entrance import Entrance

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("origins")]

MEGABYTE = bytes(range(256)) * 4096


async def test_echo(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    target = f"127.0.0.1:{ring.port(Port.ECHO)}"
    async with await shell.open(target, entrance.via(ring)) as stream:
        assert stream.response.status == 200
        assert await echoed(stream, b"hello") == b"hello"


async def test_name_is_resolved_by_the_proxy(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    target = f"localhost:{ring.port(Port.ECHO)}"
    async with await shell.open(target, entrance.via(ring)) as stream:
        assert await echoed(stream, b"hello") == b"hello"


async def test_server_that_speaks_first(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """Its banner is often in the segment that ends the proxy's head (ZOO gotcha 2)."""
    via = entrance.via(ring)
    for turn in range(30):
        async with await shell.open(f"127.0.0.1:{ring.port(Port.BANNER)}", via) as stream:
            tag = b"%d" % turn
            assert await receive_exactly(stream, len(BANNER)) == BANNER
            assert await echoed(stream, tag) == tag


async def test_tls_with_the_target(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """TLS in TLS where the way to the proxy is TLS; each hop has an authority of its own."""
    target = f"localhost:{ring.port(Port.TLS_ECHO)}"
    stream = await shell.open(target, entrance.via(ring))
    async with await stream.start_tls(ring.target_authority.context) as tls:
        assert await echoed(tls, b"hello") == b"hello"


async def test_tls_carries_a_megabyte(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    target = f"localhost:{ring.port(Port.TLS_ECHO)}"
    stream = await shell.open(target, enter("squid-tls").via(ring))
    async with await stream.start_tls(ring.target_authority.context) as tls:
        for start in range(0, len(MEGABYTE), 1 << 16):
            block = MEGABYTE[start : start + (1 << 16)]
            assert await echoed(tls, block) == block


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize(
    "entrance", [name for name in ENTRANCES if name != "proxy-py"], indirect=True
)
async def test_ipv6_target(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """Proxy.py answers 502 to CONNECT [::1]:port."""
    target = f"[::1]:{ring.port(Port.ECHO)}"
    async with await shell.open(target, entrance.via(ring)) as stream:
        assert await echoed(stream, b"hello") == b"hello"


@pytest.mark.parametrize("entrance", ["apache", "apache-tls"], indirect=True)
async def test_answer_after_half_close(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """Of our proxies only apache keeps it; the others lose the answer (ZOO gotcha 13)."""
    target = f"127.0.0.1:{ring.port(Port.EOF)}"
    async with await shell.open(target, entrance.via(ring)) as stream:
        await stream.send(b"request")
        await stream.send_eof()
        assert await receive_exactly(stream, 100) == b"eof after 7 bytes\n"


@pytest.mark.parametrize(
    "entrance", ["squid-tls", "squid-tls-basic", "apache-tls", "envoy-tls"], indirect=True
)
async def test_end_of_the_target_over_tls(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """Apache ends a tunnel without a close_notify, which could as well be a truncation."""
    assert await farewell(shell, ring, entrance.via(ring))
    if not entrance.close_notify:
        with pytest.raises(TunnelBroken, match="close_notify"):
            await farewell(shell, ring, entrance.strict(ring))


async def farewell(shell: Shell, ring: Ring, via: Proxy) -> bool:
    """Whether all that a server said arrives before the end of its connection."""
    async with await shell.open(f"127.0.0.1:{ring.port(Port.SMTP)}", via) as stream:
        await stream.send(b"QUIT\r\n")
        said = await receive_exactly(stream, 1 << 20)
    return said.startswith(b"220 ") and said.endswith(b"221 Bye\r\n")


async def test_nothing_shows_the_password(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    via = enter("squid-basic").via(ring)
    target = f"127.0.0.1:{ring.port(Port.ECHO)}"
    async with await shell.open(target, via) as stream:
        shown = f"{via!r} {via} {stream!r} {stream.response!r} {vars(stream)!r}"
    assert PASSWORD not in shown
