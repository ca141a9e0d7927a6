"""Ways there other than one HTTP proxy at a port: SOCKS, Unix sockets, PROXY protocol, chains.

ZOO.md, section 5, tells what the SOCKS proxies answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import anyio
import pytest

from connect_tunnel import (
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyUnreachable,
    TunnelError,
    TunnelRefused,
)

from . import haproxy, unix
from .logins import WRONG, assert_hidden
from .ring import PASSWORD, USER, Port, Ring, Service, has_ipv6
from .shells import SECONDS, Shell, echoed, receive_exactly
from .socks import DANTE, MICROSOCKS, OPENSSH, SOCKS, Socks
from .targets import BANNER, SSHD

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance

    Via = Proxy | str

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("origins")]

# ---- SOCKS ----

HERE = {"socks4", "socks5"}  # which look names up on this machine
GRANTED = {"SOCKS4": 90, "SOCKS5": 0}


@pytest.fixture
def pick(start: Callable[[Service], None]) -> Callable[[str], Socks]:
    """Start a SOCKS proxy, given by the name of one way to ask it."""

    def pick(name: str) -> Socks:
        start(SOCKS[name].service)
        return SOCKS[name]

    return pick


@pytest.fixture(params=SOCKS)
def socks(request: pytest.FixtureRequest, pick: Callable[[str], Socks]) -> Socks:
    return pick(request.param)


async def test_socks(shell: Shell, ring: Ring, socks: Socks) -> None:
    target = f"127.0.0.1:{ring.port(Port.ECHO)}"
    async with await shell.open(target, socks.via(ring)) as stream:
        protocol = stream.response.http_version
        assert protocol == socks.scheme[:6].upper()
        assert stream.response.status == GRANTED[protocol]
        assert await echoed(stream, b"hello") == b"hello"


# dante is for IPv4 only here, and what a machine calls localhost may be ::1.
@pytest.mark.parametrize("socks", sorted(SOCKS.keys() - {"socks5-dante"}), indirect=True)
async def test_socks_to_a_name(shell: Shell, ring: Ring, socks: Socks) -> None:
    """LL-07: whoever looks it up."""
    target = f"localhost:{ring.port(Port.ECHO)}"
    async with await shell.open(target, socks.via(ring)) as stream:
        assert await echoed(stream, b"hello") == b"hello"


async def test_socks_to_a_server_that_speaks_first(shell: Shell, ring: Ring, socks: Socks) -> None:
    """LL-06: its banner may come with the grant."""
    for turn in range(10):
        target = f"127.0.0.1:{ring.port(Port.BANNER)}"
        async with await shell.open(target, socks.via(ring)) as stream:
            tag = b"%d" % turn
            assert await receive_exactly(stream, len(BANNER)) == BANNER
            assert await echoed(stream, tag) == tag


async def test_tls_through_socks(shell: Shell, ring: Ring, socks: Socks) -> None:
    stream = await shell.open(f"127.0.0.1:{ring.port(Port.TLS_ECHO)}", socks.via(ring))
    async with await stream.start_tls(ring.target_authority.context) as tls:
        assert await echoed(tls, b"hello") == b"hello"


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("name", ["socks5-microsocks", "socks5h-microsocks", "socks5h-openssh"])
async def test_socks_to_ipv6(
    shell: Shell, ring: Ring, pick: Callable[[str], Socks], name: str
) -> None:
    target = f"[::1]:{ring.port(Port.ECHO)}"
    async with await shell.open(target, pick(name).via(ring)) as stream:
        assert await echoed(stream, b"hello") == b"hello"


@pytest.mark.parametrize("name", ["socks4-dante", "socks4a-openssh"])
async def test_socks4_to_ipv6(
    shell: Shell, ring: Ring, pick: Callable[[str], Socks], name: str
) -> None:
    """LL-07."""
    with pytest.raises(InvalidTarget, match="no way to name"):
        await shell.open(f"[::1]:{ring.port(Port.ECHO)}", pick(name).via(ring))


UNKNOWN = "nowhere.invalid:443"
# The way, the target, and what comes back.
REFUSALS = [
    ("socks5h-microsocks", Port.REFUSED, "SOCKS5", 5, "connection refused"),
    ("socks5h-microsocks", UNKNOWN, "SOCKS5", 1, "general failure"),
    ("socks5h-microsocks-login", Port.REFUSED, "SOCKS5", 5, "connection refused"),
    ("socks5-dante", Port.REFUSED, "SOCKS5", 5, "connection refused"),
    ("socks5h-dante", Port.REFUSED, "SOCKS5", 5, "connection refused"),
    ("socks5h-dante", Port.FORBIDDEN, "SOCKS5", 2, "not allowed by the ruleset"),
    ("socks5h-dante", UNKNOWN, "SOCKS5", 4, "host unreachable"),
    ("socks4-dante", Port.REFUSED, "SOCKS4", 91, "rejected or failed"),
    ("socks4-dante", Port.FORBIDDEN, "SOCKS4", 91, "rejected or failed"),
]
each_refusal = pytest.mark.parametrize(
    ("name", "where", "protocol", "code", "reason"),
    REFUSALS,
    ids=[f"{name}-{getattr(where, 'name', 'unknown').lower()}" for name, where, *_ in REFUSALS],
)


def target_at(ring: Ring, where: Port | str) -> str:
    return where if isinstance(where, str) else f"127.0.0.1:{ring.port(where)}"


@each_refusal
async def test_socks_that_refuses(  # noqa: PLR0913, PLR0917 - a row
    shell: Shell, ring: Ring, pick: Callable[[str], Socks],
    name: str, where: Port | str, protocol: str, code: int, reason: str,
) -> None:  # fmt: skip
    """LL-06: and dante's refusals have the name in them that was asked for."""
    way, target = pick(name), target_at(ring, where)
    with pytest.raises(TunnelRefused) as caught:
        await shell.open(target, way.via(ring))
    error = caught.value
    assert type(error) is TunnelRefused
    response = error.response
    assert (response.http_version, response.status, response.reason) == (protocol, code, reason)
    assert f"refused the tunnel to {target} ({protocol} reply {code}: {reason})" in str(error)
    assert (error.proxy_url, error.target, error.phase) == (way.url(ring), target, "connect")
    assert error.hint
    assert ("looked up by the proxy" in error.hint) is (where == UNKNOWN)


@each_refusal
async def test_refusal_of_socks_as_a_value(  # noqa: PLR0913, PLR0917 - a row
    shell: Shell, ring: Ring, pick: Callable[[str], Socks],
    name: str, where: Port | str, protocol: str, code: int, reason: str,
) -> None:  # fmt: skip
    response = await shell.ask(target_at(ring, where), pick(name).via(ring))
    assert (response.http_version, response.status, response.reason) == (protocol, code, reason)
    assert response.complete


@pytest.mark.parametrize("name", ["socks4-dante", "socks5-dante", "socks5-microsocks"])
async def test_a_name_that_is_not_known_here(
    shell: Shell, ring: Ring, pick: Callable[[str], Socks], name: str
) -> None:
    """LL-07: the proxy does not see it, nor is it tried in another way."""
    with pytest.raises(TunnelError) as caught:
        await shell.open(UNKNOWN, pick(name).via(ring))
    assert not isinstance(caught.value, TunnelRefused)
    assert "nowhere.invalid" in str(caught.value)


async def test_openssh_hangs_up_where_others_refuse(
    shell: Shell, ring: Ring, pick: Callable[[str], Socks]
) -> None:
    for name in ("socks4a-openssh", "socks5h-openssh"):
        with pytest.raises(ProxyHungUp, match="without answering the request") as caught:
            await shell.open(f"127.0.0.1:{ring.port(Port.REFUSED)}", pick(name).via(ring))
        assert "failed to reach the target" in (caught.value.hint or "")


async def test_wrong_password_for_socks(
    shell: Shell, ring: Ring, pick: Callable[[str], Socks]
) -> None:
    """LL-05."""
    way = pick("socks5h-microsocks-login")
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", way.via(ring, auth=(USER, WRONG)))
    error = caught.value
    assert f"rejected the credentials of '{USER}'" in str(error)
    assert "check the user and the password" in str(error)
    assert_hidden(error)


async def test_no_password_for_socks(
    shell: Shell, ring: Ring, pick: Callable[[str], Socks]
) -> None:
    """LL-04."""
    way = pick("socks5h-microsocks-login")
    with pytest.raises(ProxyAuthenticationRequired, match="no acceptable method") as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", way.without_password(ring))
    assert "auth=(user, password)" in (caught.value.hint or "")


async def test_password_in_the_url(shell: Shell, ring: Ring, pick: Callable[[str], Socks]) -> None:
    way = pick("socks5h-microsocks-login")
    via = way.url(ring).replace("://", f"://{USER}:{PASSWORD}@")
    async with await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via) as stream:
        assert await echoed(stream, b"hello") == b"hello"


async def test_socks_url_for_another_server(
    shell: Shell, ring: Ring, start: Callable[[Service], None]
) -> None:
    start(SSHD)
    for scheme in ("socks4a", "socks5h"):
        for port, name in ((Port.SSH, "SSH"), (Port.BANNER, "mail")):
            with pytest.raises(ProxyMisbehaved, match="something that is not SOCKS") as caught:
                await shell.open("127.0.0.1:1", f"{scheme}://127.0.0.1:{ring.port(port)}")
            assert name in (caught.value.hint or "")


async def test_socks_url_of_another_version(
    shell: Shell, ring: Ring, start: Callable[[Service], None]
) -> None:
    start(MICROSOCKS)
    with pytest.raises(ProxyMisbehaved) as caught:
        await shell.open("127.0.0.1:1", f"socks4a://127.0.0.1:{ring.port(Port.MICROSOCKS)}")
    assert "use a socks5h:// URL" in (caught.value.hint or "")


async def test_http_url_for_socks(
    shell: Shell, ring: Ring, start: Callable[[Service], None]
) -> None:
    start(MICROSOCKS)
    with pytest.raises(ProxyMisbehaved) as caught:
        await shell.open("127.0.0.1:1", f"http://127.0.0.1:{ring.port(Port.MICROSOCKS)}")
    assert "SOCKS" in (caught.value.hint or "")


# ---- a proxy behind a Unix socket ----


@pytest.fixture(params=["URL", "argument"])
def socket_of_squid(
    request: pytest.FixtureRequest, ring: Ring, start: Callable[[Service], None]
) -> Via:
    start(unix.SOCAT)
    path = str(unix.path_of(ring))
    return f"unix://{path}" if request.param == "URL" else Proxy("http://proxy", unix_path=path)


async def test_unix_socket(shell: Shell, ring: Ring, socket_of_squid: Via) -> None:
    target = f"localhost:{ring.port(Port.ECHO)}"
    async with await shell.open(target, socket_of_squid) as stream:
        assert stream.response.status == 200
        assert await echoed(stream, b"hello") == b"hello"


async def test_tls_through_a_unix_socket(shell: Shell, ring: Ring, socket_of_squid: Via) -> None:
    stream = await shell.open(f"localhost:{ring.port(Port.TLS_ECHO)}", socket_of_squid)
    async with await stream.start_tls(ring.target_authority.context) as tls:
        assert await echoed(tls, b"hello") == b"hello"


async def test_refusal_behind_a_unix_socket(shell: Shell, ring: Ring, socket_of_squid: Via) -> None:
    with pytest.raises(TunnelRefused) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.FORBIDDEN)}", socket_of_squid)
    assert caught.value.response.status == 403
    assert "x-squid-error" in caught.value.response.headers


async def test_unix_socket_that_is_not_there(shell: Shell, ring: Ring) -> None:
    path = ring.folder / "nothing.sock"
    with pytest.raises(ProxyUnreachable) as caught:
        await shell.open("127.0.0.1:1", f"unix://{path}")
    assert str(path) in str(caught.value)


# ---- the PROXY protocol ----


async def told(ring: Ring, line: str) -> None:
    """Wait until haproxy has logged this."""
    log = ring.folder / haproxy.HAPROXY.name / "out.log"
    with anyio.fail_after(SECONDS):
        while True:
            if line in log.read_text().splitlines():
                return
            await anyio.sleep(0.01)


@pytest.mark.parametrize("version", [1, 2])
async def test_proxy_protocol(
    shell: Shell, ring: Ring, start: Callable[[Service], None], version: Literal[1, 2]
) -> None:
    start(haproxy.HAPROXY)
    port = ring.port(Port.HAPROXY)
    via = Proxy(f"http://127.0.0.1:{port}", proxy_protocol=version)
    async with await shell.open(f"localhost:{ring.port(Port.ECHO)}", via) as stream:
        assert stream.response.status == 200
        assert await echoed(stream, b"hello") == b"hello"
        ours = stream.port
    await told(ring, f"127.0.0.1:{ours} 127.0.0.1:{port}")


@pytest.mark.parametrize("version", [1, 2])
async def test_proxy_protocol_through_a_unix_socket(
    shell: Shell, ring: Ring, start: Callable[[Service], None], version: Literal[1, 2]
) -> None:
    """There are no addresses to tell, and it says so."""
    start(haproxy.HAPROXY)
    path = str(haproxy.path_of(ring))
    via = Proxy("http://proxy", unix_path=path, proxy_protocol=version)
    async with await shell.open(f"localhost:{ring.port(Port.ECHO)}", via) as stream:
        assert await echoed(stream, b"hello") == b"hello"


async def test_proxy_protocol_that_is_missing(
    shell: Shell, ring: Ring, start: Callable[[Service], None]
) -> None:
    start(haproxy.HAPROXY)
    with pytest.raises(ProxyHungUp):
        await shell.open("127.0.0.1:1", f"http://127.0.0.1:{ring.port(Port.HAPROXY)}")


async def test_proxy_protocol_to_one_that_does_not_know_it(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """It takes the header for a request, and may be done with it before CONNECT is sent."""
    via = Proxy(enter("squid").url(ring), proxy_protocol=1)
    with pytest.raises((TunnelRefused, ProxyHungUp)) as caught:
        await shell.open("127.0.0.1:1", via)
    assert not isinstance(caught.value, TunnelRefused) or caught.value.response.status == 400


# ---- chains ----


@pytest.fixture
def hop(
    ring: Ring,
    start: Callable[[Service], None],
    enter: Callable[[str], Entrance],
    pick: Callable[[str], Socks],
) -> Callable[[str], Proxy]:
    """One proxy of a chain, given by its name."""

    def hop(name: str) -> Proxy:
        if name in SOCKS:
            return pick(name).via(ring)
        if name == "unix":
            start(unix.SOCAT)
            return Proxy("http://proxy", unix_path=str(unix.path_of(ring)))
        if name == "haproxy":
            start(haproxy.HAPROXY)
            return Proxy(f"http://127.0.0.1:{ring.port(Port.HAPROXY)}", proxy_protocol=2)
        return enter(name).via(ring)

    return hop


CHAINS = [
    ("socks5h-microsocks", "squid-tls", "tinyproxy"),
    ("squid-tls", "socks5h-microsocks-login", "apache-tls"),
    ("unix", "socks5h-dante", "squid-tls-basic"),
    ("haproxy", "socks4a-openssh", "envoy-tls", "socks5h-microsocks"),
    ("socks4-dante", "socks5-microsocks", "socks4a-openssh"),
    ("squid-tls", "envoy-tls", "squid-tls-basic"),
]


@pytest.mark.parametrize("names", CHAINS, ids=" ".join)
async def test_chain_to_sshd(
    shell: Shell, ring: Ring, start: Callable[[Service], None],
    hop: Callable[[str], Proxy], names: tuple[str, ...],
) -> None:  # fmt: skip
    """LL-08: whatever the hops are made of, what comes first comes through."""
    start(SSHD)
    via: list[Via] = [hop(name) for name in names]
    async with await shell.open(f"127.0.0.1:{ring.port(Port.SSH)}", via) as ssh:
        assert (await receive_exactly(ssh, 8)).startswith(b"SSH-2.0-")


@pytest.mark.parametrize("names", CHAINS, ids=" ".join)
async def test_chain_to_tls(
    shell: Shell, ring: Ring, hop: Callable[[str], Proxy], names: tuple[str, ...]
) -> None:
    """LL-08: TLS inside of as many layers of it as there are TLS hops."""
    target = f"127.0.0.1:{ring.port(Port.TLS_ECHO)}"
    via: list[Via] = [hop(name) for name in names]
    stream = await shell.open(target, via)
    async with await stream.start_tls(ring.target_authority.context) as tls:
        for size in (1, 100_000):
            assert await echoed(tls, bytes(size)) == bytes(size)


async def test_chain_with_a_wrong_password_in_the_middle(
    shell: Shell, ring: Ring, hop: Callable[[str], Proxy], pick: Callable[[str], Socks]
) -> None:
    """LL-08: credentials go to their hop, and the error says which that is."""
    way = pick("socks5h-microsocks-login")
    via: list[Via] = [hop("squid-tls-basic"), way.via(ring, auth=(USER, WRONG)), hop("tinyproxy")]
    with pytest.raises(ProxyAuthenticationRequired, match=r"\(hop 2 of 3\) rejected") as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via)
    assert (caught.value.hop, caught.value.proxy_url) == ("2 of 3", way.url(ring))
    assert_hidden(caught.value)


@pytest.mark.parametrize(
    ("names", "where"),
    [
        (("socks5h-microsocks", "DEAD", "tinyproxy"), "1 of 3"),
        (("squid", "socks5h-dante", "DEAD"), "2 of 3"),
        (("unix", "squid-tls", "socks5h-microsocks"), "3 of 3"),
        (("socks5h-microsocks", "socks4-dante", "tinyproxy"), "3 of 3"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
async def test_chain_that_is_refused(
    shell: Shell, ring: Ring, hop: Callable[[str], Proxy], names: tuple[str, ...], where: str
) -> None:
    """LL-08: by the hop that could not reach the next, or the target."""
    dead = f"http://127.0.0.1:{ring.port(Port.DEAD)}"
    via: list[Via] = [dead if name == "DEAD" else hop(name) for name in names]
    with pytest.raises(TunnelRefused, match=rf"\(hop {where}\) refused") as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.REFUSED)}", via)
    assert caught.value.hop == where


async def test_chain_with_another_server_in_the_middle(
    shell: Shell, ring: Ring, hop: Callable[[str], Proxy]
) -> None:
    banner = f"socks5h://127.0.0.1:{ring.port(Port.BANNER)}"
    with pytest.raises(ProxyMisbehaved) as caught:
        await shell.open("127.0.0.1:1", [hop("socks5h-microsocks"), banner, hop("squid")])
    assert caught.value.hop == "2 of 3"


def test_all_ways_are_tried() -> None:
    assert {way.service for way in SOCKS.values()} > {MICROSOCKS, DANTE, OPENSSH}
