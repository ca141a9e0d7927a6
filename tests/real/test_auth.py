"""Basic and Digest at real proxies: what is sent, how often, and what is told of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from connect_tunnel import ProxyAuthenticationRequired
from connect_tunnel.auth import Basic, Digest, Password

from .logins import WRONG, Log, assert_hidden, echo, opens
from .ring import PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance
    from .ring import Ring
    from .shells import Shell

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("origins")]

DIGESTS = ["squid-digest", "apache-digest"]


@pytest.mark.parametrize("entrance", ["squid-basic", "apache-basic"], indirect=True)
async def test_basic_when_asked(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """AU-01, H1-39: the whole 407 is read, and answered on its connection."""
    log = Log(ring, entrance)
    via = entrance.via(ring, auth=Basic(USER, PASSWORD, preemptive=False))
    port = await opens(await shell.open(echo(ring), via))
    assert await log.of(port) == ["407 -", "200 Basic"]


@pytest.mark.parametrize("entrance", ["proxy-py-basic", "tinyproxy-basic"], indirect=True)
async def test_basic_after_a_407_that_closes(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """H1-39: on a new connection; proxy.py's challenge has no realm either."""
    asking = await shell.ask(echo(ring), entrance.without_password(ring))
    assert asking.headers["connection"] == "close"
    assert ("realm" in asking.headers["proxy-authenticate"]) is (entrance.name != "proxy-py-basic")
    via = entrance.via(ring, auth=Basic(USER, PASSWORD, preemptive=False))
    await opens(await shell.open(echo(ring), via))


async def test_wrong_password_that_is_told_as_401(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-23: tinyproxy's way of saying so is told as what it is, and not answered."""
    entrance = enter("tinyproxy-basic")
    log = ring.folder / entrance.service.name / "tinyproxy.log"
    before = log.read_text().count(": CONNECT ")
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(echo(ring), entrance.via(ring, auth=(USER, WRONG)))
    assert log.read_text().count(": CONNECT ") == before + 1
    assert caught.value.response.status == 401
    assert USER in str(caught.value)
    assert_hidden(caught.value)


# --- Digest ---


@pytest.mark.parametrize("entrance", DIGESTS, indirect=True)
async def test_digest_instead_of_basic(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """AU-03: a pair is sent as Basic at once, and then as what the proxy wants."""
    log = Log(ring, entrance)
    port = await opens(await shell.open(echo(ring), entrance.via(ring)))
    assert await log.of(port) == ["407 Basic", "200 Digest"]


@pytest.mark.parametrize("entrance", DIGESTS, indirect=True)
async def test_digest(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """AU-01, AU-10, H1-39."""
    log = Log(ring, entrance)
    via = entrance.via(ring, auth=Digest(USER, PASSWORD))
    port = await opens(await shell.open(echo(ring), via))
    assert await log.of(port) == ["407 -", "200 Digest"]


@pytest.mark.parametrize("auth", [Password, Digest])
@pytest.mark.parametrize("entrance", DIGESTS, indirect=True)
async def test_wrong_password_for_digest(
    shell: Shell, ring: Ring, entrance: Entrance, auth: type[Password | Digest]
) -> None:
    """AU-18: a 407 to Digest that is not stale is the last."""
    log = Log(ring, entrance)
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(echo(ring), entrance.via(ring, auth=auth(USER, WRONG)))
    first = "407 Basic" if auth is Password else "407 -"
    assert await log.rejected(2) == [first, "407 Digest"]
    assert caught.value.response.status == 407
    assert [challenge.scheme for challenge in caught.value.challenges] == ["Digest"]
    assert USER in str(caught.value)
    assert_hidden(caught.value)


@pytest.mark.parametrize("auth", [Password, Digest])
@pytest.mark.parametrize("entrance", DIGESTS, indirect=True)
async def test_second_tunnel_is_not_asked(
    shell: Shell, ring: Ring, entrance: Entrance, auth: type[Password | Digest]
) -> None:
    """AU-05, AU-13: a dialer uses the nonce again, with the next nc, also while it is in use."""
    log = Log(ring, entrance)
    dialer = shell.dialer(entrance.via(ring, auth=auth(USER, PASSWORD)))
    async with await dialer.open(echo(ring)) as first:
        second = await opens(await dialer.open(echo(ring)))
        port = await opens(first)
    third = await opens(await dialer.open(echo(ring)))
    assert (await log.of(port))[-1] == "200 Digest"
    assert await log.of(second) == ["200 Digest"]
    assert await log.of(third) == ["200 Digest"]
    assert len(await log.rejected(1)) == 1


async def test_nonce_that_grows_stale(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-18: squid wants a new nonce after 50 requests, which is no wrong password."""
    entrance = enter("squid-digest")
    log = Log(ring, entrance)
    dialer = shell.dialer(entrance.via(ring, auth=Digest(USER, PASSWORD)))
    ports = [await opens(await dialer.open(echo(ring))) for _ in range(60)]
    again = [port for port in ports[1:] if len(await log.of(port)) > 1]
    assert len(again) == 1
    assert await log.of(again[0]) == ["407 Digest", "200 Digest"]


async def test_crowd_with_one_nonce(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-13: squid wants nc to grow, so whoever is overtaken is told to ask again."""
    entrance = enter("squid-digest")
    log = Log(ring, entrance)
    dialer = shell.dialer(entrance.via(ring, auth=Digest(USER, PASSWORD)))
    ports = [await opens(await dialer.open(echo(ring)))]

    async def open_one() -> None:
        ports.append(await opens(await dialer.open(echo(ring))))

    async with anyio.create_task_group() as crowd:
        for _ in range(20):
            crowd.start_soon(open_one)
    for port in ports:
        assert (await log.of(port))[-1] == "200 Digest"
