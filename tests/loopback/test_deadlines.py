"""One deadline for the whole opening: a proxy that drips cannot stretch it, in any phase."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    Proxy,
    Timeout,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.auth import Basic
from connect_tunnel.testing import Flood, LoopbackProxy, NextRequest, Receive, ScriptedProxy, Send

from .raw import OK
from .shells import SHELLS, failure, nothing_left, took

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator

    from connect_tunnel import TunnelError
    from connect_tunnel.testing import Step

SECONDS = 1.0
AT_MOST = 1.3
EVERY = 0.2

BODY = b"Proxy-Authenticate: Basic realm=x\r\nContent-Length: 500\r\n\r\n"
NO = b"HTTP/1.1 403 No\r\nContent-Length: 500\r\n\r\n"
AUTHENTICATE = b"HTTP/1.1 407 Who\r\n" + BODY
HANDSHAKE = "a TLS handshake"
CHAIN = "the head of a second hop"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


def drip(data: bytes) -> Send:
    return Send(data, size=1, delay=EVERY)


# What the proxy does with a connection, the phase where time runs out, and what is raised.
DRIPS: dict[str, tuple[list[Step], str, type[TunnelError]]] = {
    "a head": ([Receive(), drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99)], "connect", TunnelTimeout),
    "interim responses": ([Receive(), drip(INTERIM * 9)], "connect", TunnelTimeout),
    "whole interim responses": (
        [Receive(), Send(INTERIM * 7, size=len(INTERIM), delay=EVERY), drip(OK * 9)],
        "connect",
        TunnelTimeout,
    ),
    "a refusal's body": ([Receive(), Send(NO), drip(b"x" * 99)], "connect", TunnelRefused),
    "a chunked body": (
        [
            Receive(),
            Send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Flood(b"1\r\nx\r\n", delay=EVERY, seconds=3),
        ],
        "connect",
        TunnelRefused,
    ),
    "a head through TLS": (
        [Receive(), drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99)],
        "connect",
        TunnelTimeout,
    ),
    HANDSHAKE: (
        # The first fragment of a message that is as long as a message may be.
        [
            Receive(b"\x16\x03\x01"),
            Send(b"\x16\x03\x03\x40\x00"),
            drip(b"\x02\x00\x3f\xfc" + bytes(99)),
        ],
        "proxy_tls",
        TunnelTimeout,
    ),
    CHAIN: (
        [Receive(), drip(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99)],
        "connect",
        TunnelTimeout,
    ),
    "the answer to credentials": (
        [
            NextRequest(),
            Send(AUTHENTICATE.replace(b"500", b"0")),
            NextRequest(),
            drip(OK.replace(b"\r\n\r\n", b"\r\nX: " + b"x" * 99)),
        ],
        "connect",
        TunnelTimeout,
    ),
}


Outcome = tuple[float, "TunnelError"]


@pytest.fixture(scope="module")
def outcomes(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> Generator[Callable[[str, str], Outcome]]:
    """Plays all of them at the same time: they mostly wait."""
    playing: dict[tuple[str, str], Future[Outcome]] = {}
    with ThreadPoolExecutor(len(SHELLS) * len(DRIPS)) as pool:
        for shell in SHELLS:
            for name in DRIPS:
                contexts = (server_context, client_context) if "TLS" in name else (None, None)
                playing[shell, name] = pool.submit(play, shell, name, *contexts)
        yield lambda shell, name: playing[shell, name].result(20)


def play(
    shell: str, name: str, server: ssl.SSLContext | None, client: ssl.SSLContext | None
) -> Outcome:
    script = DRIPS[name][0]
    if name == HANDSHAKE:
        server = None
    with ExitStack() as stack, ScriptedProxy(*script, ssl_context=server) as proxy:
        scheme = "http" if client is None else "https"
        auth = Basic("user", "word", preemptive=False)
        url = f"{scheme}://127.0.0.1:{proxy.port}"
        via = [Proxy(url, auth=auth, ssl_context=client)]
        if name == CHAIN:
            via.insert(0, Proxy(stack.enter_context(LoopbackProxy()).url))
        began = time.monotonic()
        error = failure(shell, via=via, timeout=SECONDS)
        return time.monotonic() - began, error


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", DRIPS)
def test_a_proxy_that_drips(name: str, shell: str, outcomes: Callable[[str, str], Outcome]) -> None:
    _, phase, kind = DRIPS[name]
    seconds, error = outcomes(shell, name)
    assert seconds <= AT_MOST
    assert type(error) is kind
    assert error.phase == phase
    if isinstance(error, TunnelRefused):
        assert error.response.status in (403, 407)
        assert not error.response.complete
        assert error.response.body.startswith(b"xxx")
    else:
        assert "1.0 s" in str(error)
        assert error.hop == ("2 of 2" if name == CHAIN else None)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("timeout", "script"),
    [
        (Timeout(5, answer=0.15), [Receive()]),
        (Timeout(None, answer=0.15), [Receive()]),
        (Timeout(5, answer=0.15), [Receive(), drip(b"HTTP/1.1 200 OK\r\nX: xxxxxxxxxxxxxxxx")]),
        (Timeout(0.15, answer=5), [Receive()]),
        (0.15, [Receive()]),
    ],
)
def test_parts(timeout: Any, script: list[Step], shell: str) -> None:
    """What comes first counts; the error says which it was."""
    with nothing_left(), ScriptedProxy(*script) as proxy, took(0.1, 1):
        error = failure(shell, via=proxy.url, timeout=timeout)
    assert isinstance(error, TunnelTimeout)
    assert error.phase == "connect"
    assert "did not answer CONNECT within 0.15 s" in str(error)
    assert error.elapsed is not None
    assert 0.1 < error.elapsed < 1


@pytest.mark.parametrize("shell", SHELLS)
def test_a_part_is_counted_anew_for_each_hop(shell: str) -> None:
    """Two answers of 0.2 s each, of which neither takes longer than its part."""
    slow: tuple[Step, ...] = Receive(), Send(b"HTTP/1.1 ", size=9, delay=0.2)
    script: tuple[Step, ...] = (
        *slow,
        Send(b"200 OK\r\n\r\n"),
        *slow,
        Send(b"403 No\r\nContent-Length: 0\r\n\r\n"),
    )
    with nothing_left(), ScriptedProxy(*script) as proxy, took(0.35, 1):
        error = failure(shell, via=[proxy.url, "http://p.test"], timeout=Timeout(5, answer=0.35))
    assert isinstance(error, TunnelRefused)


@pytest.mark.parametrize("shell", SHELLS)
def test_no_second_try_when_time_is_up(shell: str) -> None:
    """The body of a 407 drips until there is no time: no credentials go out after that."""
    script = NextRequest(), Send(AUTHENTICATE), drip(b"x" * 9), NextRequest(), Send(OK)
    with nothing_left(), ScriptedProxy(*script) as proxy, took(0.1, 1):
        via = Proxy(proxy.url, auth=Basic("user", "word", preemptive=False))
        error = failure(shell, via=via, timeout=0.15)
        assert isinstance(error, TunnelTimeout)
        assert proxy.wait_closed()
        assert len(proxy.heads) == 1
