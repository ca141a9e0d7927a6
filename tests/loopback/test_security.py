"""What other clients have been attacked by (USERS, 5), tried on this one.

Some of it lives where its subject is: T5 and T20 (a refusal is data) in test_refusal.py, T6, T7,
T8 and T18 (TLS) in test_tls.py, T13 (nothing is left) in test_leaks.py, T23 (fifty tunnels, none
crossed) in test_dialer.py.
"""

from __future__ import annotations

import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from connect_tunnel import (
    Dialer,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyMisbehaved,
    TunnelRefused,
    open_tunnel,
    open_tunnel_async,
)
from connect_tunnel.auth import Basic
from connect_tunnel.testing import (
    Close,
    Echo,
    Flood,
    HalfClose,
    LoopbackProxy,
    NextRequest,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import SHELLS, converse, failure, nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel import Challenge
    from connect_tunnel._secret import Secret
    from connect_tunnel._steps import Program
    from connect_tunnel.testing import Step

CHALLENGE = b"Proxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
PASSWORD = "aGVsbG8-s3cret"
CREDENTIALS = b"dXNlcjphR1ZzYkc4LXMzY3JldA=="  # of "user" and that password, as Basic has them


class Counted(Basic):
    """Counts how often it is asked."""

    asked = 0

    def answer(
        self, challenges: Sequence[Challenge] | None, sent: Secret[bytes] | None
    ) -> Program[Secret[bytes] | None]:
        type(self).asked += 1
        return super().answer(challenges, sent)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("preemptive", [True, False])
def test_t1_credentials_stay_out_of_the_tunnel(preemptive: bool, shell: str) -> None:
    """They are in the CONNECT of their hop, once, and nowhere else (CVE-2023-32681)."""
    challenge: list[Step] = []
    if not preemptive:
        challenge = [NextRequest(), Send(b"HTTP/1.1 407 Who\r\n" + CHALLENGE)]
    script = *challenge, NextRequest(), Send(OK + b"hi"), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        auth = Basic("user", PASSWORD, preemptive=preemptive)
        via = Proxy(proxy.url, auth=auth, headers={"X-Proxy-Key": "k3y"})
        assert converse(shell, via=via, timeout=5) == b"hi"
        assert proxy.wait_closed()
        sent = b"".join(proxy.received)
        assert sent.count(CREDENTIALS) == 1
        assert sent.endswith(b"\r\n\r\nping")
        assert proxy.heads[-1].count(b"Proxy-Authorization: Basic " + CREDENTIALS) == 1
        assert sent == b"".join(proxy.heads) + b"ping"


@pytest.mark.parametrize("shell", SHELLS)
def test_t2_a_407_inside_the_tunnel_is_the_target_s_data(shell: str) -> None:
    """Bound to what comes before the 2xx, not to a status code (cpp-httplib 2457)."""
    answer = b"HTTP/1.1 407 Who\r\n" + CHALLENGE
    Counted.asked = 0
    script = Receive(), Send(OK), Receive(b"ping"), Send(answer), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        via = Proxy(proxy.url, auth=Counted("user", PASSWORD, preemptive=False))
        assert converse(shell, via=via, timeout=5) == answer
        assert proxy.wait_closed()
        assert Counted.asked == 1  # before the first request
        assert b"uthorization" not in b"".join(proxy.received)
        assert proxy.connections == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_t2_a_407_glued_to_the_2xx_is_the_target_s_too(shell: str) -> None:
    answer = b"HTTP/1.1 407 Who\r\n" + CHALLENGE
    with nothing_left(), ScriptedProxy(Receive(), Send(OK + answer), HalfClose()) as proxy:
        via = Proxy(proxy.url, auth=Basic("user", PASSWORD, preemptive=False))
        assert converse(shell, via=via, timeout=5) == answer
        assert proxy.connections == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_t3_connect_holds_what_it_was_given_and_no_more(shell: str) -> None:
    """And every hop gets its own (CVE-2015-3153)."""
    chain = NextRequest(), Send(OK), NextRequest(), Send(OK + b"hi"), HalfClose()
    with nothing_left(), ScriptedProxy(*chain) as proxy:
        first = Proxy(proxy.url, auth=("one", "first"), headers={"X-First": "1"})
        second = Proxy("http://second.test:8080", headers=lambda target: {"X-For": str(target)})
        assert converse(shell, "a.test:1", via=[first, second], timeout=5) == b"hi"
        one, two = (head.split(b"\r\n") for head in proxy.heads)
    assert names(one) == [b"Host", b"User-Agent", b"X-First", b"Proxy-Authorization"]
    assert one[0] == b"CONNECT second.test:8080 HTTP/1.1"
    assert names(two) == [b"Host", b"User-Agent", b"X-For"]
    assert two[0] == b"CONNECT a.test:1 HTTP/1.1"
    assert b"X-For: a.test:1" in two


def names(head: list[bytes]) -> list[bytes]:
    return [line.partition(b":")[0] for line in head[1:] if line]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "status", [b"403 Forbidden", b"407 Who", b"302 Found", b"500 No", b"600 ?"]
)
def test_t4_a_refusal_is_never_a_stream(status: bytes, shell: str) -> None:
    """The connection is closed, and nothing was written after CONNECT (FalseCONNECT)."""
    page = b"<html><script>alert(document.domain)</script>"
    fields = b"Set-Cookie: a=b\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page)
    answer = b"HTTP/1.1 %b\r\n" % status + fields + page
    with nothing_left(), ScriptedProxy(Receive(), Send(answer), Wait(0.05)) as proxy:
        error = failure(shell, "victim.test:443", via=proxy.url, timeout=5)
        assert isinstance(error, TunnelRefused | ProxyMisbehaved)
        assert error.proxy_url == proxy.url
        assert "proxy" in str(error)
        assert proxy.wait_closed()
        assert proxy.received == proxy.heads


@pytest.mark.parametrize("shell", SHELLS)
def test_t9_identities_share_no_connection(shell: str) -> None:
    """Two who ask are two connections, and so are two askings of one (CVE-2016-0755)."""
    users = [("alice", "a"), ("bob", "b"), ("alice", "a")]
    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo(), HalfClose()) as proxy:
        for user in users:
            assert converse(shell, via=Proxy(proxy.url, auth=user), timeout=5) == b"ping"
        assert proxy.connections == 3
        sent = [head.partition(b"Proxy-Authorization: ")[2] for head in proxy.heads]
        assert sent[0] == sent[2] != sent[1]


def test_t9_after_a_refusal_nobody_uses_the_connection() -> None:
    """Nor does what one was told become what another is (CVE-2026-1965)."""
    no = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"
    with nothing_left(), ScriptedProxy(Receive(), Send(no), Wait(0.2)) as proxy:
        with Dialer(proxy.url, timeout=5) as dialer:
            for _ in range(3):
                with pytest.raises(TunnelRefused):
                    dialer.open_tunnel("a.test:1")
        assert proxy.connections == 3


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "end", [[Send(b"HTTP/1.1 403 No\r\n\r\n"), Close()], [Reset()], [Send(b"\0"), Close()]]
)
def test_t13_every_way_to_fail_closes_once(end: list[Step], shell: str) -> None:
    with nothing_left(), ScriptedProxy(Receive(), *end) as proxy:
        for _ in range(5):
            failure(shell, via=proxy.url, timeout=5)
        assert proxy.wait_closed()


# --- T19: endless heads, interim responses and bodies ---

ENDLESS: dict[str, tuple[list[Step], type[Exception]]] = {
    "a line": ([Send(b"HTTP/1.1 200 "), Flood(b"x" * 4096)], ProxyMisbehaved),
    "fields": ([Send(b"HTTP/1.1 200 OK\r\n"), Flood(b"X: y\r\n" * 500)], ProxyMisbehaved),
    "interim responses": ([Flood(b"HTTP/1.1 100 Continue\r\n\r\n")], ProxyMisbehaved),
    "a body": ([Send(b"HTTP/1.1 403 No\r\n\r\n"), Flood(b"x" * 4096)], TunnelRefused),
    "chunks": (
        [
            Send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n"),
            Flood(b"10\r\n0123456789abcdef\r\n" * 100),
        ],
        TunnelRefused,
    ),
    "a chunk's extension": (
        [
            Send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1;"),
            Flood(b"x" * 4096),
        ],
        TunnelRefused,
    ),
    "trailers": (
        [
            Send(b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"),
            Flood(b"X: y\r\n" * 500),
        ],
        TunnelRefused,
    ),
    "the body of a 407": (
        [Send(b"HTTP/1.1 407 Who\r\n" + CHALLENGE[:35] + b"\r\n"), Flood(b"x" * 4096)],
        ProxyAuthenticationRequired,
    ),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("name", ENDLESS)
def test_t19_what_never_ends_is_cut(name: str, shell: str) -> None:
    """In less than a mebibyte, and before the deadline (CVE-2026-22815)."""
    script, kind = ENDLESS[name]
    with nothing_left(), ScriptedProxy(Receive(), *script) as proxy:
        failure(shell, via=proxy.url, timeout=5)  # what it imports is no part of the measure
        tracemalloc.start()
        try:
            with took(0, 4):
                error = failure(shell, via=proxy.url, timeout=5)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert type(error) is kind
        assert peak < 1 << 20


def test_t19_a_deadline_holds_against_a_peer_that_is_always_ready() -> None:
    """Who tries first and then waits must look at the clock, too: the proxy never lets it wait."""
    interim = b"HTTP/1.1 100 Continue\r\nX: " + b"x" * 60_000 + b"\r\n\r\n"
    with ScriptedProxy(Receive(), Flood(interim)) as proxy, took(0, 2):
        began = time.monotonic()
        error = failure("sync", via=proxy.url, timeout=1)
        assert isinstance(error, ProxyMisbehaved | TimeoutError)
        assert time.monotonic() - began < 1.3


# --- promise 4: credentials go nowhere else ---


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Who\r\n" + CHALLENGE,
        b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"",
    ],
)
def test_a_failure_shows_no_secret(answer: bytes, shell: str) -> None:
    """Not in its message, its facts, or the locals of its traceback."""
    with nothing_left(), ScriptedProxy(Receive(), Send(answer), Close()) as proxy:
        user = f"http://user:{PASSWORD}@127.0.0.1:{proxy.port}"
        shown = traceback_of(shell, user)
    assert PASSWORD not in shown
    assert CREDENTIALS.decode() not in shown


def traceback_of(shell: str, via: Any) -> str:
    """The traceback of a failed opening with all the locals of our frames."""
    import traceback  # noqa: PLC0415

    async def use() -> None:
        async with await open_tunnel_async("a.test:1", via=Proxy(via), timeout=5):
            pass

    try:
        if shell == "sync":
            open_tunnel("a.test:1", via=Proxy(via), timeout=5).close()
        else:
            anyio.run(use, backend=shell)
    except OSError as error:
        told = traceback.TracebackException.from_exception(error, capture_locals=True)
        ours = [frame for frame in told.stack if "connect_tunnel" in frame.filename]
        assert ours
        told.stack[:] = ours
        return "".join(told.format()) + repr(vars(error)) + str(error)
    raise AssertionError("opened")


@pytest.mark.parametrize("shell", SHELLS)
def test_basic_credentials_reach_a_proxy_that_wants_them(shell: str) -> None:
    with (
        nothing_left(),
        ScriptedProxy(Echo(), HalfClose()) as target,
        LoopbackProxy(auth=("user", PASSWORD)) as proxy,
    ):
        goal = target.host, target.port
        for preemptive in (True, False):
            via = Proxy(proxy.url, auth=Basic("user", PASSWORD, preemptive=preemptive))
            assert converse(shell, goal, via=via, timeout=5) == b"ping"
        error = failure(shell, goal, via=Proxy(proxy.url, auth=("user", "wrong")), timeout=5)
        assert isinstance(error, ProxyAuthenticationRequired)
        assert error.challenges[0].scheme == "Basic"
