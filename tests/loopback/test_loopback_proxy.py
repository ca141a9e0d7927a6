"""The proxy that works, seen by plain sockets."""

from __future__ import annotations

import errno
import select
import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from connect_tunnel._net.pair import socket_pair
from connect_tunnel.testing import (
    Echo,
    HalfClose,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
)
from connect_tunnel.testing._listener import reset
from connect_tunnel.testing._relay import join

from .raw import HEAD, dial, receive_all, receive_exactly, receive_head
from .shells import nothing_left

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator


@pytest.fixture
def target() -> Generator[ScriptedProxy]:
    """A server that greets, and then sends back what it gets until the end of it."""
    with ScriptedProxy(Send(b"hello "), Echo(), Send(b"bye"), HalfClose()) as server:
        yield server


@contextmanager
def tunnel(
    proxy: LoopbackProxy, target: ScriptedProxy, *, fields: bytes = b"", early: bytes = b""
) -> Generator[socket.socket]:
    with dial(proxy) as sock:
        sock.sendall(request(target, fields) + early)
        assert receive_head(sock) == b"HTTP/1.1 200 Connection established\r\n\r\n"
        yield sock


def request(target: ScriptedProxy, fields: bytes = b"") -> bytes:
    return b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n%s\r\n" % (target.port, fields)


def test_a_tunnel(target: ScriptedProxy) -> None:
    with LoopbackProxy() as proxy:
        with tunnel(proxy, target, early=b"early ") as sock:
            assert receive_exactly(sock, 12) == b"hello early "
            sock.sendall(b"late ")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b"late bye"
        assert proxy.wait_closed()
        assert proxy.requests == [(f"127.0.0.1:{target.port}", request(target))]
        assert proxy.url == f"http://127.0.0.1:{proxy.port}"


def test_a_reset_goes_through_either_way() -> None:
    with LoopbackProxy() as proxy:
        with (
            ScriptedProxy(Receive(b"!"), Reset()) as target,
            tunnel(proxy, target) as sock,
        ):
            sock.sendall(b"!")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with ScriptedProxy(Receive()) as target:
            with tunnel(proxy, target) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            assert target.wait_closed()
            assert [type(left) for left in target.hangups] == [ConnectionResetError]


def test_a_reset_that_a_write_has_heard_of_is_no_end() -> None:
    # The kernel tells of a reset once, and to whoever asks first.
    near, far = socket_pair()
    left, right = socket_pair()
    with near, far, left, right:
        for sock in (far, left, right):
            sock.setblocking(True)
            sock.settimeout(10)
        reset(near)
        poller = select.poll()
        poller.register(far, select.POLLIN)
        poller.poll(10_000)
        assert far.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET
        join(left, far)
        with pytest.raises(ConnectionResetError):
            right.recv(1)


def test_basic_credentials(target: ScriptedProxy) -> None:
    with LoopbackProxy(auth=("alice", "s3cret")) as proxy, dial(proxy) as sock:
        for fields in (b"", b"Proxy-Authorization: Basic YWxpY2U6d3Jvbmc=\r\n"):
            sock.sendall(request(target, fields))
            head, body = receive_head(sock), receive_exactly(sock, 13)
            assert head.startswith(b"HTTP/1.1 407 ")
            assert b'\r\nProxy-Authenticate: Basic realm="loopback", charset="UTF-8"\r\n' in head
            assert body == b"Who are you?\n"
        sock.sendall(request(target, b"proxy-authorization:Basic YWxpY2U6czNjcmV0 \r\n"))
        assert receive_head(sock).startswith(b"HTTP/1.1 200 ")


def test_a_refusal_in_the_users_own_words(target: ScriptedProxy) -> None:
    words = b"HTTP/1.1 403 Not today\r\n\r\nCome again."
    asked: list[str] = []

    def refuse(authority: str) -> bytes | None:
        asked.append(authority)
        return words if len(asked) == 1 else None

    with LoopbackProxy(refuse=refuse) as proxy:
        with dial(proxy) as sock:
            sock.sendall(request(target))
            assert receive_all(sock) == words
        with tunnel(proxy, target):
            pass
    assert asked == [f"127.0.0.1:{target.port}"] * 2


def test_what_the_users_own_words_fail_with() -> None:
    def refuse(authority: str) -> bytes | None:
        raise LookupError(authority)

    with pytest.raises(LookupError, match=r"a\.test:1"), LoopbackProxy(refuse=refuse) as proxy:  # noqa: PT012
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            assert receive_all(sock) == b""
        assert proxy.wait_closed()


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"CONNECT 127.0.0.1:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n"),
        (b"CONNECT [::1]:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n"),
        (b"CONNECT 127.0.0.1:65536 HTTP/1.1\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n"),
        (b"CONNECT a..b:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 502 Bad Gateway\r\n"),
        (b"CONNECT a@b:1 HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n"),
        (b"x" * 70_000, b""),
    ],
)
def test_what_cannot_be_done(said: bytes, answer: bytes) -> None:
    with LoopbackProxy() as proxy, dial(proxy) as sock:
        sock.sendall(said)
        try:
            assert receive_all(sock).startswith(answer)
        except ConnectionResetError:
            assert not answer


def test_a_proxy_behind_tls(
    target: ScriptedProxy, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with (
        LoopbackProxy(ssl_context=server_context) as proxy,
        dial(proxy) as raw,
        client_context.wrap_socket(raw, server_hostname=proxy.host) as sock,
    ):
        assert proxy.url == f"https://127.0.0.1:{proxy.port}"
        sock.sendall(request(target))
        assert receive_head(sock).startswith(b"HTTP/1.1 200 ")
        assert receive_exactly(sock, 6) == b"hello "
        sock.sendall(b"goodbye")
        assert receive_exactly(sock, 7) == b"goodbye"


def test_exit_ends_every_tunnel() -> None:
    with (
        nothing_left(0),
        ScriptedProxy(Echo()) as target,
        LoopbackProxy() as proxy,
        dial(proxy),
        dial(proxy) as idle,
        tunnel(proxy, target),
    ):
        idle.sendall(HEAD[:9])
