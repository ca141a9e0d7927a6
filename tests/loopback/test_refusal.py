"""A proxy's no, as an error and as a value, with its body streamed (USERS, T5 and T20)."""

from __future__ import annotations

import gzip
import pickle
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from connect_tunnel import (
    AsyncDialer,
    AsyncRefusal,
    Dialer,
    ProxyAuthenticationRequired,
    ProxyResponse,
    Refusal,
    TunnelClosed,
    TunnelRefused,
)
from connect_tunnel.testing import Close, Flood, Receive, Reset, ScriptedProxy, Send, Wait

from .shells import BACKENDS, SHELLS, failure, nothing_left, took

if TYPE_CHECKING:
    from collections.abc import Callable

    from connect_tunnel.testing import Step

HEAD = b"HTTP/1.1 403 Forbidden\r\nVia: 1.1 p\r\n"
LARGE = bytes(range(256)) * 4096  # 1 MiB
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


def request(shell: str, *script: Step, use: str = "read", timeout: float = 5) -> Any:
    """Ask for a tunnel, expect a no, and do something with it."""

    async def in_a_loop() -> Any:
        async with AsyncDialer(proxy.url, timeout=timeout) as dialer:
            no = await dialer.request_tunnel("a.test:1")
            assert isinstance(no, AsyncRefusal)
            assert repr(no) == f"<AsyncRefusal 403 by {proxy.url}>"
            async with no:
                if use == "read":
                    response = await no.read()
                    assert no.complete == response.complete
                    return response
                if use == "stream":
                    return b"".join([part async for part in no.iter_bytes()])
                assert not no.complete
                return no.response

    def in_a_thread() -> Any:
        with Dialer(proxy.url, timeout=timeout) as dialer:
            no = dialer.request_tunnel("a.test:1")
            assert isinstance(no, Refusal)
            assert repr(no) == f"<Refusal 403 by {proxy.url}>"
            with no:
                if use == "read":
                    response = no.read()
                    assert no.complete == response.complete
                    return response
                assert not no.complete
                return b"".join(no.iter_bytes()) if use == "stream" else no.response

    with nothing_left(), ScriptedProxy(Receive(), *script) as proxy:
        outcome = in_a_thread() if shell == "sync" else anyio.run(in_a_loop, backend=shell)
        assert proxy.wait_closed()
        assert len(proxy.heads) == 1
        return outcome


@pytest.mark.parametrize("shell", SHELLS)
def test_a_refusal_as_a_value(shell: str) -> None:
    script = Send(HEAD + b"Content-Length: 2\r\n\r\nno"), Wait(0.03)
    response = request(shell, *script, use="look")
    assert (response.status, response.reason, response.body) == (403, "Forbidden", b"")
    response = request(shell, *script)
    assert isinstance(response, ProxyResponse)
    assert (response.body, response.complete) == (b"no", True)
    assert response.headers["via"] == "1.1 p"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_large_body_is_streamed(shell: str) -> None:
    """Without the limit that an error's body has."""
    length = b"Content-Length: %d\r\n\r\n" % len(LARGE)
    assert request(shell, Send(HEAD + length + LARGE), use="stream") == LARGE
    body = b"%x\r\n%b\r\n0\r\nTrailer: x\r\n\r\n" % (len(LARGE), LARGE)
    assert request(shell, Send(HEAD + CHUNKED + body), use="stream") == LARGE
    response = request(shell, Send(HEAD + length + LARGE))
    assert (response.body, response.complete) == (LARGE[:65536], False)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "script",
    [
        [Send(HEAD + b"Content-Length: 9\r\n\r\npart"), Close()],
        [Send(HEAD + b"Content-Length: 9\r\n\r\npart"), Wait(0.03), Reset()],
        [Send(HEAD + CHUNKED + b"4\r\npart\r\nzz\r\n"), Wait(0.03)],
    ],
)
def test_a_body_that_is_broken_off_is_still_that_refusal(script: list[Step], shell: str) -> None:
    response = request(shell, *script)
    assert (response.status, response.body, response.complete) == (403, b"part", False)
    assert request(shell, *script, use="stream") == b"part"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_body_that_never_ends(shell: str) -> None:
    """An error has the first of it, within its time; a stream has the time of each part."""
    endless = Send(HEAD + b"\r\n"), Flood(b"x" * 4000, delay=0.01)
    with took(0, 2):
        response = request(shell, *endless)
    assert len(response.body) == 65536
    assert not response.complete
    slow = Send(HEAD + b"Content-Length: 9\r\n\r\npart"), Receive(b"never")
    with took(0.2, 1):
        response = request(shell, *slow, timeout=0.3)
    assert (response.body, response.complete) == (b"part", False)
    with took(0.2, 1):
        assert request(shell, *slow, use="stream", timeout=0.3) == b"part"


@pytest.mark.parametrize("shell", SHELLS)
def test_a_refusal_as_an_error(shell: str) -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(HEAD + b"\r\nno"), Close()) as proxy:
        error = failure(shell, via=proxy.url, timeout=5)
        assert isinstance(error, TunnelRefused)
        assert error.response.body == b"no"
        assert error.response.complete
        assert not error.retryable
        copy = pickle.loads(pickle.dumps(error))
        assert copy.response == error.response
        assert str(copy) == str(error)
        assert proxy.wait_closed()


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "head",
    [
        b"302 Found\r\nLocation: http://login.test/\r\nSet-Cookie: a=b\r\nRefresh: 0\r\n",
        b"401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\n",
        b"503 Busy\r\nRetry-After: 1\r\n",
        b"421 Misdirected\r\n",
    ],
)
def test_t5_nothing_is_followed_answered_kept_or_tried_again(head: bytes, shell: str) -> None:
    script = Receive(), Send(b"HTTP/1.1 %bContent-Length: 0\r\n\r\n" % head), Wait(0.03)
    with nothing_left(), ScriptedProxy(*script) as proxy:
        error = failure(shell, via=f"http://user:word@127.0.0.1:{proxy.port}", timeout=5)
        assert isinstance(error, TunnelRefused)
        assert isinstance(error, ProxyAuthenticationRequired) is head.startswith(b"401")
        assert proxy.wait_closed()
        assert proxy.connections == 1
        assert proxy.received == proxy.heads


@pytest.mark.parametrize("shell", SHELLS)
def test_t20_a_body_is_not_decompressed(shell: str) -> None:
    bomb = gzip.compress(bytes(10 << 20))
    fields = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)
    assert request(shell, Send(HEAD + fields + bomb)).body == bomb


@pytest.mark.parametrize("shell", SHELLS)
def test_the_total_is_one_for_the_answer_and_its_body(shell: str) -> None:
    """H1-38: what is left when the head has come late is all that the body has."""
    script = Receive(), Wait(0.8), Send(HEAD + b"Content-Length: 9\r\n\r\nsorry"), Wait(3)
    with nothing_left(), ScriptedProxy(*script) as proxy, took(1.1, 1.8):
        error = failure(shell, via=proxy.url, timeout=1.2)
    assert isinstance(error, TunnelRefused)
    assert (error.response.body, error.response.complete) == (b"sorry", False)


# --- refusals that nobody closed ---


def test_a_refusal_that_was_not_closed() -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(HEAD + b"\r\n")) as proxy:
        with Dialer(proxy.url, timeout=5) as dialer:
            held = [dialer.request_tunnel("a.test:1")]
            with pytest.warns(ResourceWarning, match="unclosed <Refusal 403 by http"):
                held.clear()
        assert proxy.wait_closed()


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_async_refusal_that_was_not_closed(backend: str) -> None:
    async def use() -> None:
        async with AsyncDialer(proxy.url, timeout=5) as dialer:
            held = [await dialer.request_tunnel("a.test:1")]
            with pytest.warns(ResourceWarning, match="unclosed <AsyncRefusal 403 by http"):
                held.clear()

    with nothing_left(), ScriptedProxy(Receive(), Send(HEAD + b"\r\n")) as proxy:
        anyio.run(use, backend=backend)
        assert proxy.wait_closed()


# --- reading what is closed ---

LATE: list[Callable[[Refusal], object]] = [
    lambda no: no.read(),
    lambda no: list(no.iter_bytes()),
]


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("act", LATE)
def test_a_refusal_that_is_over(act: Callable[[Refusal], object], read_first: bool) -> None:
    script = Receive(), Send(HEAD + b"Content-Length: 2\r\n\r\nno"), Wait(0.03)
    with nothing_left(), ScriptedProxy(*script) as proxy, Dialer(proxy.url, timeout=5) as dialer:
        no = dialer.request_tunnel("a.test:1")
        assert isinstance(no, Refusal)
        if read_first:
            assert no.read().body == b"no"
        no.close()
        no.close()
        with pytest.raises(TunnelClosed, match="closed"):
            act(no)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_async_refusal_that_was_closed_unread(backend: str) -> None:
    async def use() -> None:
        async with AsyncDialer(proxy.url, timeout=5) as dialer:
            no = await dialer.request_tunnel("a.test:1")
            assert isinstance(no, AsyncRefusal)
            await no.aclose()
            with pytest.raises(TunnelClosed, match="closed"):
                await no.read()
            with pytest.raises(TunnelClosed, match="closed"):
                async for _ in no.iter_bytes():
                    pass

    with nothing_left(), ScriptedProxy(Receive(), Send(HEAD + b"\r\n"), Wait(0.03)) as proxy:
        anyio.run(use, backend=backend)


def test_a_stream_that_is_left_early() -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(HEAD + b"\r\n" + LARGE)) as proxy:
        with Dialer(proxy.url, timeout=5) as dialer:
            no = dialer.request_tunnel("a.test:1")
            assert isinstance(no, Refusal)
            with no:
                for part in no.iter_bytes():
                    assert LARGE.startswith(part)
                    break
        assert proxy.wait_closed()
