"""How each proxy says no, and what of it reaches the caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from connect_tunnel import (
    ProxyAuthenticationRequired,
    ProxyHungUp,
    ProxyMisbehaved,
    ProxyTLSError,
    ProxyUnreachable,
    TunnelRefused,
    TunnelTimeout,
)

from .proxies import ENTRANCES
from .ring import PASSWORD, REALM, USER, Port, Ring
from .shells import Shell, echoed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .entrance import Entrance

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class No:
    """A refusal as ZOO.md tells it."""

    status: int
    reason: str
    header: tuple[str, str]
    body: bytes  # a part of it


# fmt: off
REFUSED = {
    "squid": No(503, "Service Unavailable", ("x-squid-error", "ERR_CONNECT_FAIL 111"), b"<html"),
    "tinyproxy": No(500, "Unable to connect", ("server", "tinyproxy/"), b"Unable to connect"),
    "apache": No(503, "Service Unavailable", ("content-type", "text/html"), b"<html>"),
    "envoy": No(503, "Service Unavailable", ("server", "envoy"), b"upstream connect error"),
    "proxy-py": No(502, "Bad Gateway", ("proxy-agent", "proxy.py v"), b"Bad Gateway"),
}
FORBIDDEN = {
    "squid": No(403, "Forbidden", ("x-squid-error", "ERR_ACCESS_DENIED 0"), b"<html"),
    "tinyproxy": No(403, "Access violation", ("server", "tinyproxy/"), b"Access violation"),
    "apache": No(403, "Proxy Error", ("content-type", "text/html"), b"<html>"),
    "envoy": No(403, "Forbidden", ("server", "envoy"), b"RBAC: access denied"),
}
# fmt: on
@dataclass(frozen=True)
class Row:
    port: Port
    entrance: str
    no: No

    def __str__(self) -> str:
        return f"{self.port.name.lower()}-{self.entrance}"


ROWS = [
    Row(port, entrance, no)
    for port, table in ((Port.REFUSED, REFUSED), (Port.FORBIDDEN, FORBIDDEN))
    for service, no in table.items()
    for entrance in (service, f"{service}-tls")
    if entrance not in {"tinyproxy-tls", "proxy-py-tls"}
]


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_refusal_is_told_whole(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance], row: Row
) -> None:
    no, target = row.no, f"127.0.0.1:{ring.port(row.port)}"
    with pytest.raises(TunnelRefused) as caught:
        await shell.open(target, enter(row.entrance).via(ring))
    error = caught.value
    assert type(error) is TunnelRefused
    assert (error.response.status, error.response.reason) == (no.status, no.reason)
    field, value = no.header
    assert value in error.response.headers[field]
    assert no.body in error.response.body
    assert error.response.complete
    assert error.retryable is (no.status in {502, 503})
    assert error.target == target
    assert str(no.status) in str(error)


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_refusal_as_a_value(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance], row: Row
) -> None:
    via = enter(row.entrance).via(ring)
    response = await shell.ask(f"127.0.0.1:{ring.port(row.port)}", via)
    assert response.status == row.no.status
    assert row.no.body in response.body
    assert response.complete


GUARDED = ["squid-basic", "squid-tls-basic", "tinyproxy-basic", "apache-basic"]
IN_CLEAR = [name for name in GUARDED if not ENTRANCES[name].tls]  # which need no context


@pytest.mark.parametrize("entrance", GUARDED, indirect=True)
async def test_credentials_are_wanted(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", entrance.without_password(ring))
    assert caught.value.response.status == 407
    [challenge] = caught.value.challenges
    assert challenge.scheme.lower() == "basic"
    realm = "Tinyproxy" if entrance.name == "tinyproxy-basic" else REALM
    assert dict(challenge.params)["realm"] == realm
    assert caught.value.hint


@pytest.mark.parametrize("entrance", GUARDED, indirect=True)
async def test_wrong_credentials(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """AU-23: tinyproxy answers 401, which means the same here."""
    via = entrance.via(ring, auth=(USER, "open sesame"))
    with pytest.raises(ProxyAuthenticationRequired) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via)
    error = caught.value
    assert error.response.status == (401 if entrance.name == "tinyproxy-basic" else 407)
    assert "sesame" not in f"{error} {error!r} {vars(error)}"


@pytest.mark.usefixtures("origins")
@pytest.mark.parametrize("entrance", IN_CLEAR, indirect=True)
async def test_credentials_in_the_url(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    via = entrance.url(ring).replace("://", f"://{USER}:{PASSWORD}@")
    async with await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via) as stream:
        assert await echoed(stream, b"hello") == b"hello"


@pytest.mark.parametrize("entrance", ["squid", "apache", "envoy"], indirect=True)
async def test_https_url_for_a_plain_port(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    via = entrance.as_if(ring, tls=True)
    with pytest.raises(ProxyTLSError) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via)
    assert caught.value.phase == "proxy_tls"
    assert "http://" in (caught.value.hint or "")


@pytest.mark.parametrize("entrance", ["tinyproxy", "proxy-py"], indirect=True)
async def test_https_url_for_a_plain_port_that_waits(
    shell: Shell, ring: Ring, entrance: Entrance
) -> None:
    """These take a ClientHello for the start of a request, and wait for its end (gotcha 20)."""
    via = entrance.as_if(ring, tls=True)
    with pytest.raises(TunnelTimeout) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via, timeout=0.5)
    assert caught.value.phase == "proxy_tls"


@pytest.mark.parametrize("entrance", ["squid-tls", "apache-tls", "envoy-tls"], indirect=True)
async def test_http_url_for_a_tls_port(shell: Shell, ring: Ring, entrance: Entrance) -> None:
    """Some say 400 in clear text; others hang up, or answer with a TLS alert."""
    via = entrance.as_if(ring, tls=False)
    with pytest.raises((ProxyMisbehaved, TunnelRefused)) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via)
    assert caught.value.phase == "connect"
    assert "https://" in (caught.value.hint or "")


async def test_proxy_whose_certificate_is_not_trusted(
    shell: Shell, ring: Ring, enter: Callable[[str], Entrance]
) -> None:
    """The system's authorities do not know ours."""
    with pytest.raises(ProxyTLSError) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", enter("squid-tls").url(ring))
    assert "certificate" in str(caught.value)


async def test_proxy_that_is_not_there(shell: Shell, ring: Ring) -> None:
    port = ring.port(Port.DEAD)
    with pytest.raises(ProxyUnreachable) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", f"http://127.0.0.1:{port}")
    error = caught.value
    assert error.phase == "tcp"
    assert isinstance(error, ConnectionError)
    [(address, said)] = error.attempts
    assert f"127.0.0.1:{port}" in address
    assert "refused" in said.lower()


@pytest.mark.usefixtures("origins")
async def test_server_that_is_no_proxy(shell: Shell, ring: Ring) -> None:
    """An SMTP server greets before it is asked."""
    via = f"http://127.0.0.1:{ring.port(Port.SMTP)}"
    with pytest.raises(ProxyMisbehaved) as caught:
        await shell.open(f"127.0.0.1:{ring.port(Port.ECHO)}", via)
    assert not isinstance(caught.value, ProxyHungUp)
    assert "220 ring" in caught.value.received
