"""What other clients have been attacked by (USERS, 5), tried on this one.

Some of it lives where its subject is: T5 and T20 (a refusal is data) in test_refusal.py, T6, T7,
T8 and T18 (TLS) in test_tls.py, T13 (nothing is left) in test_leaks.py, T23 (fifty tunnels, none
crossed) in test_dialer.py; and what a failure shows is searched for secrets in test_secrets.py.
"""

from __future__ import annotations

import time
import tracemalloc
from base64 import b64decode
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    Dialer,
    InvalidTarget,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyMisbehaved,
    TunnelRefused,
)
from connect_tunnel.auth import Auth, Basic, Bearer, Digest
from connect_tunnel.testing import (
    Close,
    Echo,
    Flood,
    HalfClose,
    LoopbackProxy,
    NextRequest,
    Receive,
    Reply,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import SHELLS, converse, failure, nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel import ProxyResponse
    from connect_tunnel.auth import Exchange, Flow
    from connect_tunnel.testing import Step

CHALLENGE = b"Proxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
PASSWORD = "aGVsbG8-s3cret"
CREDENTIALS = b"dXNlcjphR1ZzYkc4LXMzY3JldA=="  # of "user" and that password, as Basic has them


class Noting(Auth):
    """Would answer anything, and notes what it is told."""

    def __init__(self) -> None:
        self.told: list[int] = []

    def flow(self, exchange: Exchange) -> Flow:
        while True:
            response: ProxyResponse = yield f"Ticket {len(self.told)}" if self.told else None
            self.told.append(response.status)


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
@pytest.mark.parametrize(
    "challenge",
    [
        b"Proxy-Authenticate: Basic realm=x\r\n",
        b"Proxy-Authenticate: Digest realm=x, nonce=y, qop=auth\r\n",
    ],
    ids=["Basic", "Digest"],
)
def test_t2_a_407_inside_the_tunnel_is_the_target_s_data(challenge: bytes, shell: str) -> None:
    """Bound to what comes before the 2xx, not to a status code (cpp-httplib 2457)."""
    answer = b"HTTP/1.1 407 Who\r\n" + challenge + b"Content-Length: 0\r\n\r\n"
    auth = Noting()
    script = Receive(), Send(OK), Receive(b"ping"), Send(answer), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        assert converse(shell, via=Proxy(proxy.url, auth=auth), timeout=5) == answer
        assert proxy.wait_closed()
        assert auth.told == [200]
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
def test_t9_a_connection_is_let_in_for_one_tunnel(shell: str) -> None:
    """Of whoever was let in on it, as by NTLM, and of nobody else (CVE-2026-3784)."""

    class Handshake(Auth):
        def flow(self, exchange: Exchange) -> Flow:
            for leg in (1, 2, 3):
                exchange.bound = leg > 1
                yield f"Handshake {leg}"

    challenge = b"HTTP/1.1 407 Who\r\n" + CHALLENGE
    legs: list[Step] = [Receive(), Send(challenge), Receive(), Send(challenge), Receive()]
    with nothing_left(), ScriptedProxy(*legs, Send(OK + b"hi"), HalfClose()) as proxy:
        for _ in range(2):
            via = Proxy(proxy.url, auth=Handshake())
            assert converse(shell, via=via, timeout=5) == b"hi"
        assert proxy.wait_closed()
        assert proxy.connections == 2
        for connection in proxy.received:
            assert connection.count(b"CONNECT") == 3
            assert connection.endswith(b"\r\n\r\nping")


# --- T10: what one proxy taught is for no other ---

WANTS_DIGEST = (
    b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Digest realm=r, nonce=n, qop=auth\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


def gate(head: bytes) -> bytes:
    """Lets in whoever brings a Digest."""
    return OK + b"hi" if b"Proxy-Authorization: Digest " in head else WANTS_DIGEST


GATE = Receive(), Reply(gate), HalfClose()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "auth", [Digest("alice", PASSWORD), None], ids=["the same credentials", "none"]
)
def test_t10_the_state_of_one_proxy_goes_to_no_other(auth: Auth | None, shell: str) -> None:
    """Though it is the same `Auth` that learnt it (CVE-2026-7168, -8927, -6253)."""
    with (
        nothing_left(),
        ScriptedProxy(*GATE) as one,
        ScriptedProxy(Receive(), Send(OK + b"hi"), HalfClose()) as other,
    ):
        first = Proxy(one.url, auth=Digest("alice", PASSWORD) if auth is None else auth)
        assert converse(shell, via=first, timeout=5) == b"hi"
        assert converse(shell, via=Proxy(other.url, auth=auth), timeout=5) == b"hi"
        assert b"Authorization" not in b"".join(other.received)
        assert [b"Authorization" in head for head in one.heads] == [False, True]


def test_t10_one_way_remembers_its_own_proxy() -> None:
    """A list of dialers is what fails over, so far: each has its own memory."""
    with nothing_left(), ScriptedProxy(*GATE) as one, ScriptedProxy(*GATE) as other:
        auth = Digest("alice", PASSWORD)
        dialers = [Dialer(Proxy(proxy.url, auth=auth), timeout=5) for proxy in (one, other)]
        for dialer in [*dialers, *dialers]:
            dialer.open_tunnel("a.test:1").close()
        for proxy in (one, other):
            assert [b"Authorization" in head for head in proxy.heads] == [False, True, True]
            assert b"nc=00000001" in proxy.heads[1]
            assert b"nc=00000002" in proxy.heads[2]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "later", [None, Digest("alice", "another"), Digest("bob", PASSWORD)], ids=repr
)
def test_t10_changed_credentials_begin_anew(later: Auth | None, shell: str) -> None:
    """And where they are taken away, nothing is sent (CVE-2026-9079)."""
    with nothing_left(), ScriptedProxy(*GATE) as proxy:
        via = Proxy(proxy.url, auth=Digest("alice", PASSWORD))
        assert converse(shell, via=via, timeout=5) == b"hi"
        if later is None:
            error = failure(shell, via=proxy.url, timeout=5)
            assert isinstance(error, ProxyAuthenticationRequired)
        else:
            via = Proxy(proxy.url, auth=later)
            assert converse(shell, via=via, timeout=5) == b"hi"
        assert b"Authorization" not in proxy.heads[2]


@pytest.mark.parametrize("shell", SHELLS)
def test_t10_a_callable_that_changes_its_mind_is_believed(shell: str) -> None:
    given = iter([Digest("alice", PASSWORD), Digest("alice", "another"), None])
    with nothing_left(), ScriptedProxy(*GATE) as proxy:
        via = Proxy(proxy.url, auth=lambda proxy, challenges: next(given, None))
        for _ in range(2):
            assert converse(shell, via=via, timeout=5) == b"hi"
        failure(shell, via=via, timeout=5)
        assert [b"Authorization" in head for head in proxy.heads] == [*[False, True] * 2, False]
        assert [b"nc=00000001" in head for head in proxy.heads] == [*[False, True] * 2, False]


# --- T12: what is checked is what is sent ---

ODD = "x\u010d\u010aX-Injected: 1"  # CR LF, if its octets are cut off


class Saying(Auth):
    """Says something that it can be made to change."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def flow(self, exchange: Exchange) -> Flow:
        yield self.said


UNSENDABLE: dict[str, Callable[[str], Any]] = {
    "a field": lambda url: Proxy(url, headers={"X": ODD}),
    "a field made later": lambda url: Proxy(url, headers=lambda target: {"X": ODD}),
    "credentials of a flow": lambda url: Proxy(url, auth=Saying(ODD)),
    "credentials of a flow, in octets": lambda url: Proxy(url, auth=Saying(b"x\r\nX: 1")),
    "the host of a proxy": lambda url: f"http://{ODD}:80",
    "a token": lambda url: Proxy(url, auth=Bearer(ODD, allow_cleartext=True)),
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("make", UNSENDABLE.values(), ids=UNSENDABLE)
def test_t12_no_character_becomes_a_control(make: Callable[[str], Any], shell: str) -> None:
    """It is refused, and not an octet is sent (CVE-2018-12116)."""
    with nothing_left(), ScriptedProxy(Receive()) as proxy:
        with pytest.raises(ValueError, match=r"\S"):
            raise failure(shell, via=make(proxy.url), timeout=5)
        assert proxy.wait_closed()
        assert b"".join(proxy.received) == b""


@pytest.mark.parametrize("shell", SHELLS)
def test_t12_nor_in_a_target_or_a_password(shell: str) -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK + b"hi"), HalfClose()) as proxy:
        with pytest.raises(InvalidTarget):
            raise failure(shell, (ODD, 1), via=proxy.url, timeout=5)
        assert b"".join(proxy.received) == b""
        assert converse(shell, via=Proxy(proxy.url, auth=("u", ODD)), timeout=5) == b"hi"
        head = proxy.heads[0]
        assert b"X-Injected" not in head
        assert head.count(b"\r\n") == len(head.splitlines()) == 5
        sent = head.partition(b"Authorization: Basic ")[2].partition(b"\r\n")[0]
        assert b64decode(sent) == f"u:{ODD}".encode()


def test_t12_what_was_checked_cannot_be_changed() -> None:
    """Nor does it help to change what it was made of."""
    headers = {"X": "1"}
    with nothing_left(), ScriptedProxy(Receive(), Send(OK + b"hi"), HalfClose()) as proxy:
        via = Proxy(proxy.url, headers=headers, auth=Basic("u", "p"))
        headers["X"] = "1\r\nX-Injected: 1"
        for fact in (via, via.auth, via.endpoint, via.fields):
            for name in ("url", "user", "host", "wire", "_credentials", "other"):
                with pytest.raises(AttributeError):
                    setattr(fact, name, "x\r\n")
        assert converse("sync", via=via, timeout=5) == b"hi"
        assert b"X: 1\r\n" in proxy.heads[0]
        assert b"X-Injected" not in proxy.heads[0]


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
