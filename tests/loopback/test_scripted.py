"""The scripted proxy that other tests stand on, seen by plain sockets."""

from __future__ import annotations

import os
import socket
import ssl
import time
from typing import TYPE_CHECKING

import pytest

from connect_tunnel.testing import (
    Close,
    Echo,
    Flood,
    HalfClose,
    NextConnection,
    NextRequest,
    Receive,
    Reply,
    Reset,
    ScriptedProxy,
    ScriptError,
    Send,
    Wait,
)
from connect_tunnel.testing._listener import Listener

from .raw import HEAD, OK, dial, receive_all, receive_exactly, receive_head
from .shells import nothing_left

if TYPE_CHECKING:
    from connect_tunnel.testing import Step

# --- scripts ---


@pytest.mark.parametrize(
    ("script", "answer"),
    [
        ([Receive(), Send(OK), Close()], OK),
        ([Receive(), Send(OK, size=1), Close()], OK),
        ([Receive(), Send(OK, size=7, delay=0.001), Close()], OK),
        ([Receive(), Send(b""), HalfClose()], b""),
        ([Receive(b"CONNECT "), Receive(), Send(OK), HalfClose()], OK),
        ([Receive(), Wait(0.01), Send(OK), HalfClose()], OK),
        ([Receive(), Flood(b"x", delay=0.01, seconds=0.005), Close()], b"x"),
    ],
)
def test_one_connection(script: list[Step], answer: bytes) -> None:
    with ScriptedProxy(*script) as proxy:
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            assert receive_all(sock) == answer
        assert proxy.wait_closed()
    assert proxy.received == [HEAD]
    assert proxy.connections == 1


def test_heads_are_what_ends_with_an_empty_line() -> None:
    with ScriptedProxy(Receive(), Receive(b"HELO"), Receive(), HalfClose()) as proxy:
        with dial(proxy) as sock:
            sock.sendall(HEAD + b"HELO" + HEAD + b"more")
            sock.shutdown(socket.SHUT_WR)
            assert receive_all(sock) == b""
        assert proxy.wait_closed()
    assert proxy.heads == [HEAD, HEAD]
    assert proxy.received == [HEAD + b"HELO" + HEAD + b"more"]


def test_a_reply_is_made_of_the_last_head() -> None:
    def answer(head: bytes) -> bytes:
        return head.upper() if head else b"not asked yet\r\n\r\n"

    script = Reply(answer), Receive(), Receive(b"HELO"), Reply(answer), HalfClose()
    with ScriptedProxy(*script) as proxy, dial(proxy) as sock:
        assert receive_head(sock) == b"not asked yet\r\n\r\n"
        sock.sendall(HEAD + b"HELO")
        assert receive_all(sock) == HEAD.upper()


def test_a_reply_knows_the_head_of_its_own_connection() -> None:
    script = Receive(), Wait(0.05), Reply(lambda head: head), HalfClose()
    heads = [HEAD, HEAD.replace(b"a.test", b"b.test")]
    with ScriptedProxy(*script) as proxy, dial(proxy) as first, dial(proxy) as second:
        for sock, head in zip((first, second), heads, strict=True):
            sock.sendall(head)
        assert [receive_all(sock) for sock in (first, second)] == heads


def test_a_reply_that_fails_is_an_error_of_the_script() -> None:
    def fail(head: bytes) -> bytes:
        raise LookupError(head.decode())

    with pytest.raises(LookupError, match=r"CONNECT a\.test:1"):  # noqa: SIM117, PT012 - in order
        with ScriptedProxy(Receive(), Reply(fail)) as proxy:
            with dial(proxy) as sock:
                sock.sendall(HEAD)
                assert receive_all(sock) == b""
            assert proxy.wait_closed()


def test_echo_starts_with_what_was_not_taken() -> None:
    with ScriptedProxy(Receive(), Echo(), HalfClose()) as proxy, dial(proxy) as sock:
        sock.sendall(HEAD + b"early")
        assert receive_exactly(sock, 5) == b"early"
        sock.sendall(b" and late")
        sock.shutdown(socket.SHUT_WR)
        assert receive_all(sock) == b" and late"


def test_a_reset_is_a_reset() -> None:
    with ScriptedProxy(Receive(), Reset()) as proxy, dial(proxy) as sock:
        sock.sendall(HEAD)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)


def test_connections_are_served_at_the_same_time() -> None:
    with ScriptedProxy(Receive(), Send(OK)) as proxy, dial(proxy) as first, dial(proxy) as second:
        for sock in (second, first):
            sock.sendall(HEAD)
            assert receive_exactly(sock, len(OK)) == OK
    assert proxy.heads == [HEAD, HEAD]


def test_a_script_may_go_on_to_the_next_connection() -> None:
    with ScriptedProxy(Receive(), Close(), NextConnection(), Receive(), Send(OK)) as proxy:
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            assert receive_all(sock) == b""
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            assert receive_exactly(sock, len(OK)) == OK
    assert proxy.connections == 2


def test_a_client_that_resets_may_come_again() -> None:
    """To close with something unread is to reset; the next request is on the next connection."""
    with ScriptedProxy(Receive(), Send(OK), NextRequest(), Send(OK)) as proxy:
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            sock.recv(1)
        time.sleep(0.1)  # the reset is there before the next connection
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            assert receive_exactly(sock, len(OK)) == OK
    assert proxy.connections == 2


@pytest.mark.parametrize("ended_by", ["nobody", "client", "proxy"])
def test_the_next_request_may_come_on_a_new_connection(ended_by: str) -> None:
    end = Close() if ended_by == "proxy" else Wait(0)
    script = (Receive(), end, NextRequest(), Send(OK))
    with ScriptedProxy(*script) as proxy, dial(proxy) as first:
        first.sendall(HEAD)
        if ended_by == "client":
            first.close()
        with dial(proxy) as second:
            second.sendall(HEAD)
            assert receive_exactly(second, len(OK)) == OK
    assert proxy.received == [HEAD, HEAD]


@pytest.mark.parametrize("pipelined", [False, True])
def test_the_next_request_may_come_on_the_same_connection(pipelined: bool) -> None:
    script = (Receive(), Send(OK), NextRequest(), Send(OK))
    with ScriptedProxy(*script) as proxy, dial(proxy) as sock:
        sock.sendall(HEAD * (2 if pipelined else 1))
        receive_exactly(sock, len(OK))
        if not pipelined:
            sock.sendall(HEAD)
        assert receive_exactly(sock, len(OK)) == OK
    assert proxy.connections == 1


def test_scripts_that_need_connections_are_played_again() -> None:
    with ScriptedProxy(Receive(), Close(), NextConnection(), Receive(), Close()) as proxy:
        for _ in range(4):
            with dial(proxy) as sock:
                sock.sendall(HEAD)
                assert receive_all(sock) == b""
    assert proxy.heads == [HEAD] * 4


# --- clients that leave ---


def test_a_client_that_leaves_may_come_back_for_the_next_step() -> None:
    flood = Flood(b"x" * 65536)
    with ScriptedProxy(Receive(), flood, Echo(), NextConnection(), Receive(), Send(OK)) as proxy:
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            sock.recv(1)
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            assert receive_exactly(sock, len(OK)) == OK
    assert proxy.heads == [HEAD, HEAD]


def test_to_leave_in_the_middle_of_a_request_is_an_error() -> None:
    with pytest.raises(ScriptError, match=r"after b'CONN'"), ScriptedProxy(Receive()) as proxy:  # noqa: PT012
        with dial(proxy) as sock:
            sock.sendall(b"CONN")
        assert proxy.wait_closed()


def test_the_error_of_the_test_comes_first() -> None:
    with pytest.raises(ZeroDivisionError), ScriptedProxy(Receive()) as proxy:  # noqa: PT012
        with dial(proxy) as sock:
            sock.sendall(b"CONN")
        assert proxy.wait_closed()
        raise ZeroDivisionError


def test_to_leave_at_any_other_time_is_not() -> None:
    with ScriptedProxy(Receive(), Flood(b"x" * 65536)) as proxy:
        with dial(proxy):
            pass
        with dial(proxy) as sock:
            sock.sendall(HEAD)
            sock.recv(1)
        assert proxy.wait_closed()
        assert len(proxy.hangups) == 2


def test_a_connection_that_is_kept_open_is_told() -> None:
    with ScriptedProxy(Receive(), Send(OK)) as proxy, dial(proxy) as sock:
        sock.sendall(HEAD)
        receive_exactly(sock, len(OK))
        assert not proxy.wait_closed(0.05)


def test_to_exit_in_the_middle_of_a_request_is_nobodys_fault() -> None:
    with ScriptedProxy(Receive()) as proxy:
        sock = socket.create_connection((proxy.host, proxy.port))
        sock.sendall(b"CONN")
        while proxy.received != [b"CONN"]:
            time.sleep(0.001)
    sock.close()


# --- nothing is left behind ---


@pytest.mark.parametrize(
    "script",
    [
        [],
        [Receive()],
        [Wait(60)],
        [Flood(b"x" * 65536)],
        [Echo()],
        [NextRequest()],
        [NextConnection()],
        [Close()],
        [Wait(0.05), Reset()],
    ],
    ids=str,
)
def test_exit_ends_every_play(script: list[Step]) -> None:
    with nothing_left(0), ScriptedProxy(*script) as proxy, dial(proxy), dial(proxy):
        pass


def test_a_connection_that_comes_when_all_is_over_ends_at_once() -> None:
    listener = Listener()
    ours, theirs = socket.socketpair()
    with ours:
        listener.stopping.set()
        listener.adopt(theirs)
        assert ours.recv(1) == b""
        listener.stop()
    assert theirs.fileno() == -1


# --- TLS ---


def test_tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    script = (Receive(), Send(OK), Echo(), HalfClose())
    with (
        ScriptedProxy(*script, ssl_context=server_context) as proxy,
        dial(proxy) as raw,
        client_context.wrap_socket(
            raw, server_hostname=proxy.host, suppress_ragged_eofs=False
        ) as sock,
    ):
        assert proxy.url == f"https://127.0.0.1:{proxy.port}"
        sock.sendall(HEAD)
        assert receive_exactly(sock, len(OK)) == OK
        for size in (1, 16384, 100_000):
            data = os.urandom(size)
            sock.sendall(data)
            assert receive_exactly(sock, size) == data
        sock.unwrap()  # answered by close_notify: otherwise an error


@pytest.mark.parametrize("step", [Close(), Reset()])
def test_tls_cut_short(
    step: Step, server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with (
        ScriptedProxy(Receive(), step, ssl_context=server_context) as proxy,
        dial(proxy) as raw,
        client_context.wrap_socket(
            raw, server_hostname=proxy.host, suppress_ragged_eofs=False
        ) as sock,
    ):
        sock.sendall(HEAD)
        with pytest.raises((ssl.SSLEOFError, ConnectionResetError)):
            sock.recv(1)


def test_a_client_that_does_not_trust_the_proxy(server_context: ssl.SSLContext) -> None:
    with ScriptedProxy(Receive(), ssl_context=server_context) as proxy:
        with dial(proxy) as raw, pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(raw, server_hostname=proxy.host)
        assert proxy.wait_closed()
        assert [type(left) for left in proxy.hangups] == [ssl.SSLError]
