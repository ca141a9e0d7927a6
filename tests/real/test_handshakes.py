"""Negotiate and NTLM at real proxies, and the choice among all that a proxy offers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from connect_tunnel import ProxyAuthenticationRequired, TunnelRefused
from connect_tunnel.auth import NTLM, Digest, Negotiate, Password, Strongest

from .logins import WRONG, Log, assert_hidden, echo, opens
from .ring import PASSWORD, USER, Port

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance, Login
    from .ring import Ring
    from .shells import Shell

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("origins")]


@pytest.mark.usefixtures("ticket")
@pytest.mark.parametrize("entrance", ["squid-negotiate", "squid-tls-negotiate"], indirect=True)
async def test_negotiate(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """AU-20: with the ticket that the user has, and on one connection."""
    log = Log(ring, entrance)
    port = await opens(await shell.open(echo(ring), entrance.via(ring, auth=Negotiate())))
    assert (await log.of(port))[-1] == "200 Negotiate"


@pytest.mark.usefixtures("ticket")
async def test_negotiate_is_bound_to_tls(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-21: this proxy rejects a login that does not name its certificate."""
    via = enter("squid-bound-negotiate").via(ring, auth=Negotiate())
    await opens(await shell.open(echo(ring), via))


@pytest.mark.usefixtures("ticket")
@pytest.mark.parametrize("auth", [Negotiate(), NTLM(USER, PASSWORD)], ids=["negotiate", "ntlm"])
async def test_second_tunnel_begins_with_a_token(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance], auth: Negotiate | NTLM
) -> None:
    """AU-05: a dialer knows what the proxy wants, and sends it at once."""
    entrance = enter(f"squid-{auth.scheme.lower()}")
    log = Log(ring, entrance)
    dialer = shell.dialer(entrance.via(ring, auth=auth))
    first = await opens(await dialer.open(echo(ring)))
    second = await opens(await dialer.open(echo(ring)))
    tokens = ["407 NTLM", "200 NTLM"] if isinstance(auth, NTLM) else ["200 Negotiate"]
    assert await log.of(first) == ["407 -", *tokens]
    assert await log.of(second) == tokens


@pytest.mark.usefixtures("no_ticket")
async def test_negotiate_with_a_password(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-20: the ticket is got with it."""
    via = enter("squid-negotiate").via(ring, auth=Negotiate(USER, PASSWORD))
    await opens(await shell.open(echo(ring), via))


@pytest.mark.usefixtures("no_ticket")
async def test_negotiate_without_a_ticket(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-20: whoever has no ticket is told so."""
    via = enter("squid-negotiate").via(ring, auth=Negotiate())
    with pytest.raises(ProxyAuthenticationRequired, match="ticket") as caught:
        await shell.open(echo(ring), via)
    assert caught.value.response.status == 407
    assert_hidden(caught.value)


@pytest.mark.usefixtures("ticket")
async def test_strongest_of_what_is_offered(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-03: Negotiate, at a proxy that offers Digest and Basic as well."""
    entrance = enter("squid-choice")
    log = Log(ring, entrance)
    auth = Strongest(Negotiate(), Password(USER, PASSWORD))
    port = await opens(await shell.open(echo(ring), entrance.via(ring, auth=auth)))
    assert (await log.of(port))[-1] == "200 Negotiate"


@pytest.mark.usefixtures("no_ticket")
async def test_strongest_of_what_there_is(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-03: Digest, where the proxy would like Negotiate and there is no ticket."""
    entrance = enter("squid-choice")
    log = Log(ring, entrance)
    auth = Strongest(Negotiate(), Password(USER, PASSWORD))
    port = await opens(await shell.open(echo(ring), entrance.via(ring, auth=auth)))
    assert (await log.of(port))[-1] == "200 Digest"


async def test_digest_rather_than_basic(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-03: whoever is asked first sends no password."""
    entrance = enter("squid-choice")
    log = Log(ring, entrance)
    via = entrance.via(ring, auth=Password(USER, PASSWORD, preemptive=False))
    port = await opens(await shell.open(echo(ring), via))
    assert await log.of(port) == ["407 -", "200 Digest"]


async def test_ntlm(shell: Shell, ring: Ring, enter: Callable[[str], Entrance]) -> None:
    """AU-20: three messages on one connection."""
    entrance = enter("squid-ntlm")
    log = Log(ring, entrance)
    port = await opens(await shell.open(echo(ring), entrance.via(ring, auth=NTLM(USER, PASSWORD))))
    assert (await log.of(port))[-2:] == ["407 NTLM", "200 NTLM"]


async def test_ntlm_is_bound_to_tls(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-21: this proxy rejects a login that does not name its certificate."""
    via = enter("squid-bound-ntlm").via(ring, auth=NTLM(USER, PASSWORD))
    await opens(await shell.open(echo(ring), via))


@pytest.mark.usefixtures("no_ticket")
async def test_ntlm_within_negotiate(
    shell: Shell,
    ring: Ring,
    enter: Callable[[str], Entrance],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """AU-20: what a password does where there is no Kerberos; as many messages as NTLM has."""
    monkeypatch.setenv("KRB5_CONFIG", os.devnull)
    entrance = enter("squid-negotiate-ntlm")
    log = Log(ring, entrance)
    via = entrance.via(ring, auth=Negotiate(USER, PASSWORD))
    port = await opens(await shell.open(echo(ring), via))
    assert (await log.of(port))[-2:] == ["407 Negotiate", "200 Negotiate"]


async def test_wrong_password_for_ntlm(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """AU-20: the proxy's last word has no token, which is a no and not one more question."""
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(echo(ring), enter("squid-ntlm").via(ring, auth=NTLM(USER, WRONG)))
    assert caught.value.response.status == 407
    assert USER in str(caught.value)
    assert_hidden(caught.value)


@pytest.mark.usefixtures("ticket")
@pytest.mark.parametrize(
    ("name", "auth"),
    [
        ("squid-digest", Digest(USER, PASSWORD)),
        ("squid-negotiate", Negotiate()),
        ("squid-ntlm", NTLM(USER, PASSWORD)),
    ],
    ids=["digest", "negotiate", "ntlm"],
)
async def test_refusal_after_the_login(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance], name: str, auth: Login
) -> None:
    """AU-24: squid's error page may hold the request that it refused."""
    with pytest.raises(TunnelRefused) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.FORBIDDEN)}", enter(name).via(ring, auth=auth))
    assert type(caught.value) is TunnelRefused
    assert caught.value.response.status == 403
    assert_hidden(caught.value)
