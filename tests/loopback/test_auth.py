"""Authentication over real sockets, in every shell: what is asked, and what it costs."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from connect_tunnel import (
    AsyncDialer,
    Dialer,
    InvalidProxy,
    Proxy,
    ProxyAuthenticationRequired,
    ProxyMisbehaved,
    TunnelTimeout,
)
from connect_tunnel.auth import Auth, Basic, Bearer, Call, Digest, Offload, Prompt
from connect_tunnel.testing import (
    HalfClose,
    NextRequest,
    Receive,
    Reply,
    ScriptedProxy,
    Send,
    Wait,
)
from tests.cases.grade import is_digest

from .raw import OK
from .shells import BACKENDS, SHELLS, TARGET, converse, failure, nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connect_tunnel import Challenge
    from connect_tunnel._steps import Step as ProgramStep
    from connect_tunnel.auth import Exchange, Flow
    from connect_tunnel.auth._prompt import Found
    from connect_tunnel.testing import Step
    from tests.cases.case import DigestFacts

BASIC = b"HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"


def credentials(head: bytes) -> str | None:
    found = re.search(rb"(?m)^Proxy-Authorization: (.*)\r$", head)
    return None if found is None else found[1].decode()


# ---- several tunnels of one dialer ----


def open_tunnels(shell: str, via: Any, *, in_turn: int, at_once: int = 0) -> None:
    """Open tunnels with one dialer, and hear the target's "hi" in each."""
    if shell != "sync":
        anyio.run(partial(_open_tunnels, via, in_turn, at_once), backend=shell)
        return
    with Dialer(via, timeout=10) as dialer:

        def use(_: int) -> bytes:
            with dialer.open_tunnel(TARGET) as tunnel:
                return tunnel.read(2, timeout=5)

        assert [use(number) for number in range(in_turn)] == [b"hi"] * in_turn
        with ThreadPoolExecutor(max(at_once, 1)) as pool:
            assert list(pool.map(use, range(at_once))) == [b"hi"] * at_once


async def _open_tunnels(via: Any, in_turn: int, at_once: int) -> None:
    heard: list[bytes] = []
    async with AsyncDialer(via, timeout=10) as dialer:

        async def use() -> None:
            async with await dialer.open_tunnel(TARGET) as tunnel:
                heard.append(await tunnel.receive(2))

        for _ in range(in_turn):
            await use()
        async with anyio.create_task_group() as group:
            for _ in range(at_once):
                group.start_soon(use)
    assert heard == [b"hi"] * (in_turn + at_once)


class DigestGate:
    """A proxy that lets in who knows the password, and counts the uses of its nonce."""

    WHO: DigestFacts = {  # noqa: RUF012 - nobody changes it
        "username": "alice",
        "password": "s3cret:pw",
        "realm": "corp",
        "nonce": "n0nce",
        "uri": TARGET,
        "algorithm": "SHA-256",
        "qop": "auth",
    }
    CHALLENGE = (
        b"HTTP/1.1 407 Who\r\n"
        b'Proxy-Authenticate: Digest realm="corp", nonce="n0nce", algorithm=SHA-256, qop="auth"\r\n'
        b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    )

    def __init__(self) -> None:
        self.used: list[int] = []

    def __call__(self, head: bytes) -> bytes:
        said = credentials(head)
        if said is None or not is_digest([said], self.WHO):
            return self.CHALLENGE
        found = re.search("nc=([0-9a-f]{8})", said)
        assert found is not None
        self.used.append(int(found[1], 16))
        return OK + b"hi"


ALICE = Digest("alice", "s3cret:pw")


@pytest.mark.parametrize("shell", SHELLS)
def test_au_05_digest_needs_no_407_for_a_second_tunnel(shell: str) -> None:
    gate = DigestGate()
    with nothing_left(), ScriptedProxy(Receive(), Reply(gate), HalfClose()) as proxy:
        open_tunnels(shell, Proxy(proxy.url, auth=ALICE), in_turn=3)
        assert gate.used == [1, 2, 3]
        assert proxy.connections == len(proxy.heads) == 4
        assert [bool(credentials(head)) for head in proxy.heads] == [False, True, True, True]


@pytest.mark.parametrize("shell", SHELLS)
def test_au_13_no_number_is_used_twice_by_tunnels_at_once(shell: str) -> None:
    gate = DigestGate()
    with nothing_left(), ScriptedProxy(Receive(), Reply(gate), HalfClose()) as proxy:
        open_tunnels(shell, Proxy(proxy.url, auth=ALICE), in_turn=1, at_once=20)
        assert sorted(gate.used) == list(range(1, 22))
        assert proxy.connections == 22


@pytest.mark.parametrize("shell", SHELLS)
def test_au_05_another_dialer_begins_anew(shell: str) -> None:
    gate = DigestGate()
    with nothing_left(), ScriptedProxy(Receive(), Reply(gate), HalfClose()) as proxy:
        via = Proxy(proxy.url, auth=ALICE)
        for _ in range(2):
            open_tunnels(shell, via, in_turn=1)
        assert gate.used == [1, 1]
        assert proxy.connections == 4


@pytest.mark.parametrize("shell", SHELLS)
def test_au_03_a_password_goes_by_digest_where_that_is_asked_for(shell: str) -> None:
    """On the connection of the 407, if the proxy leaves it."""
    challenge = DigestGate.CHALLENGE.replace(b"Connection: close\r\n", b"")
    gate = DigestGate()
    script = Receive(), Send(challenge), Receive(), Reply(gate), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        via = Proxy(proxy.url, auth=("alice", "s3cret:pw"))
        assert converse(shell, via=via, timeout=5) == b"hi"
        assert gate.used == [1]
        assert proxy.connections == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_au_18_a_wrong_password_is_told_as_one(shell: str) -> None:
    gate = DigestGate()
    with nothing_left(), ScriptedProxy(Receive(), Reply(gate), HalfClose()) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=Digest("alice", "guess")), timeout=5)
        assert isinstance(error, ProxyAuthenticationRequired)
        assert str(error) == (
            f"proxy {proxy.url} rejected the credentials of 'alice' for the tunnel to {TARGET} "
            "(tried Digest): it offers Digest (realm 'corp'); check the user and the password"
        )
        assert (gate.used, proxy.connections) == ([], 2)


@pytest.mark.parametrize("shell", SHELLS)
def test_au_19_a_proxy_that_does_not_know_the_password(shell: str) -> None:
    """It grants the tunnel all the same, and the tunnel is not handed out."""
    granted = b'HTTP/1.1 200 OK\r\nProxy-Authentication-Info: rspauth="00"\r\n\r\n'
    script = NextRequest(), Send(DigestGate.CHALLENGE), NextRequest(), Send(granted), Wait(0.05)
    with nothing_left(), ScriptedProxy(*script) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=ALICE), timeout=5)
        assert isinstance(error, ProxyMisbehaved)
        assert error.phase == "auth"
        assert proxy.wait_closed()
        assert proxy.received == proxy.heads


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("auth", [("alice", "a"), Bearer("t", allow_cleartext=True)], ids=str)
def test_au_23_a_401_is_told_as_failed_authentication(auth: Any, shell: str) -> None:
    """As tinyproxy says it of wrong credentials; and they are not sent again."""
    no = b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 2\r\n\r\nno"
    with nothing_left(), ScriptedProxy(Receive(), Send(no), Wait(0.05)) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=auth), timeout=5)
        assert isinstance(error, ProxyAuthenticationRequired)
        assert error.response.status == 401
        assert error.response.body == b"no"
        assert len(proxy.heads) == 1


# ---- a chain ----


def digest_challenge(nonce: bytes) -> bytes:
    return (
        b"HTTP/1.1 407 Who\r\n"
        b"Proxy-Authenticate: Digest realm=r, nonce=%b, qop=auth\r\n"
        b"Content-Length: 0\r\n\r\n"
    ) % nonce


@pytest.mark.parametrize("shell", SHELLS)
def test_au_06_nobody_in_a_chain_sees_what_is_another_s(shell: str) -> None:
    script: list[Step] = []
    for challenge, then in ((b"first", OK), (b"second", OK + b"hi")):
        script += [Receive(), Send(digest_challenge(challenge)), Receive(), Send(then)]
    with nothing_left(), ScriptedProxy(*script, HalfClose()) as proxy:
        one = Proxy(proxy.url, auth=Digest("one", "1"))
        two = Proxy("http://two.test:8080", auth=Digest("two", "2"))
        assert converse(shell, via=[one, two], timeout=5) == b"hi"
        assert proxy.connections == 1
        lines = [head.split(b"\r\n")[0] for head in proxy.heads]
        sent = [credentials(head) for head in proxy.heads]
    assert lines == [b"CONNECT two.test:8080 HTTP/1.1"] * 2 + [b"CONNECT a.test:1 HTTP/1.1"] * 2
    assert sent[0] is sent[2] is None
    for said, user, password, nonce, uri in (
        (sent[1], "one", "1", "first", "two.test:8080"),
        (sent[3], "two", "2", "second", "a.test:1"),
    ):
        facts: DigestFacts = {
            "username": user,
            "password": password,
            "realm": "r",
            "nonce": nonce,
            "uri": uri,
            "nc": "00000001",
        }
        assert said is not None
        assert is_digest([said], facts)


# ---- credentials that are asked for ----


def give(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
    return ("alice", "a") if challenges else None


async def give_later(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
    await anyio.sleep(0.01)
    return give(proxy, challenges)


async def token() -> str:
    await anyio.sleep(0.01)
    return "t"


@pytest.mark.parametrize(
    ("ask", "shell"),
    [(give, shell) for shell in SHELLS] + [(give_later, shell) for shell in BACKENDS],
)
def test_credentials_from_a_callable(ask: Any, shell: str) -> None:
    script = NextRequest(), Send(BASIC), NextRequest(), Send(OK + b"hi"), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        assert converse(shell, via=Proxy(proxy.url, auth=ask), timeout=5) == b"hi"
        assert [credentials(head) for head in proxy.heads] == [None, "Basic YWxpY2U6YQ=="]


@pytest.mark.parametrize("shell", BACKENDS)
def test_a_token_from_a_coroutine_function(shell: str) -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK + b"hi"), HalfClose()) as proxy:
        via = Proxy(proxy.url, auth=Bearer(token, allow_cleartext=True))
        assert converse(shell, via=via, timeout=5) == b"hi"
        assert credentials(proxy.heads[0]) == "Bearer t"


class Later(Auth):
    def flow(self, exchange: Exchange) -> Flow:
        yield f"Ticket {(yield from Call(token))}"


@pytest.mark.parametrize(
    "auth",
    [Prompt(give_later), Bearer(token, allow_cleartext=True), Later()],
    ids=["Prompt", "Bearer", "a flow"],
)
def test_a_coroutine_function_in_synchronous_code(auth: Auth) -> None:
    """Has nobody to await it, which is said; and nothing was sent."""
    with nothing_left(), ScriptedProxy(Receive()) as proxy:
        with pytest.raises(TypeError, match="given to the synchronous API returned an awaitable"):
            failure("sync", via=Proxy(proxy.url, auth=auth), timeout=5)
        assert proxy.wait_closed()
        assert b"".join(proxy.received) == b""


@pytest.mark.parametrize("shell", SHELLS)
def test_what_a_callable_raises_comes_out(shell: str) -> None:
    def fail(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
        raise LookupError("nobody is there")

    with nothing_left(), ScriptedProxy(Receive()) as proxy:
        with pytest.raises(LookupError, match="nobody is there"):
            failure(shell, via=Proxy(proxy.url, auth=fail), timeout=5)
        assert proxy.wait_closed()


@pytest.mark.parametrize("shell", SHELLS)
def test_t11_what_a_flow_may_not_send(shell: str) -> None:
    class Odd(Auth):
        def flow(self, exchange: Exchange) -> Flow:
            yield "Ticket s3cr3t\r\nX-Injected: 1"

    with nothing_left(), ScriptedProxy(Receive()) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=Odd()), timeout=5)
        assert isinstance(error, InvalidProxy)
        assert "s3cr3t" not in str(error)
        assert proxy.wait_closed()
        assert b"".join(proxy.received) == b""


# ---- time ----


class Slow(Auth):
    """Waits for something before it answers."""

    def __init__(self, step: ProgramStep[Any]) -> None:
        self._step = step

    def flow(self, exchange: Exchange) -> Flow:
        yield None
        yield from self._step
        yield "Ticket t"


@pytest.mark.parametrize("shell", SHELLS)
def test_help_that_outlives_the_deadline(shell: str) -> None:
    """Is left to itself, and whoever waited is told where the time went."""
    go_on = threading.Event()
    with nothing_left(), ScriptedProxy(Receive(), Send(BASIC), Receive()) as proxy:
        via = Proxy(proxy.url, auth=Slow(Offload(go_on.wait, 10)))
        with took(0.2, 2):
            error = failure(shell, via=via, timeout=0.25)
        assert type(error) is TunnelTimeout
        assert error.phase == "auth"
        assert error.proxy_url == proxy.url
        assert proxy.wait_closed()
        assert len(proxy.heads) == 1
        go_on.set()


@pytest.mark.parametrize("shell", BACKENDS)
def test_a_callable_that_outlives_the_deadline(shell: str) -> None:
    ended: list[str] = []

    async def ask(proxy: Proxy, challenges: Sequence[Challenge]) -> Found:
        try:
            await anyio.sleep(10)
        finally:
            ended.append("cancelled")
        return None

    with nothing_left(), ScriptedProxy(Receive(), Send(BASIC), Receive()) as proxy:
        with took(0.2, 2):
            error = failure(shell, via=Proxy(proxy.url, auth=ask), timeout=0.25)
        assert type(error) is TunnelTimeout
        assert error.phase == "auth"
        assert ended == ["cancelled"]
        assert proxy.wait_closed()


@pytest.mark.parametrize("shell", SHELLS)
def test_a_connection_that_is_bound_and_ends(shell: str) -> None:
    class Handshake(Auth):
        def flow(self, exchange: Exchange) -> Flow:
            yield "Handshake 1"
            exchange.bound = True
            yield "Handshake 2"

    with nothing_left(), ScriptedProxy(Receive(), Send(DigestGate.CHALLENGE)) as proxy:
        error = failure(shell, via=Proxy(proxy.url, auth=Handshake()), timeout=5)
        assert "in the middle of a handshake that is bound to it" in str(error)
        assert error.phase == "auth"
        assert proxy.connections == 1


@pytest.mark.parametrize("shell", SHELLS)
def test_au_09_a_proxy_that_wants_unicode_in_normal_form(shell: str) -> None:
    no = BASIC.replace(b"realm=x", b'realm=x, charset="UTF-8"')
    script = Receive(), Send(no), Receive(), Send(OK + b"hi"), HalfClose()
    with nothing_left(), ScriptedProxy(*script) as proxy:
        via = Proxy(proxy.url, auth=Basic("Ja\u0308", "p"))
        assert converse(shell, via=via, timeout=5) == b"hi"
        sent = [credentials(head) for head in proxy.heads]
    assert sent == ["Basic SmHMiDpw", "Basic SsOkOnA="]
