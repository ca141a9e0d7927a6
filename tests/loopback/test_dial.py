"""Dialling a proxy: Happy Eyeballs (LL-01 to LL-03) and what reaches the socket (LL-09)."""

from __future__ import annotations

import errno
import os
import socket
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import Dialer, Proxy, ProxyUnreachable, Timeout, open_tunnel
from connect_tunnel._net.dial import ATTEMPT_DELAY, dial, interleave
from connect_tunnel._net.sock import SocketLayer, new_socket
from connect_tunnel._net.waits import READ, WRITE, AnyReady, Deadline, Ready
from connect_tunnel.routing import Direct
from connect_tunnel.testing import HalfClose, Receive, ScriptedProxy, Send

from .raw import OK
from .shells import (
    SHELLS,
    at_best,
    blackhole,
    converse,
    failure,
    nothing_left,
    perform,
    refusing,
    took,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

    from connect_tunnel._steps import Address

V4, V6 = socket.AF_INET, socket.AF_INET6


@pytest.fixture
def good() -> Generator[Address]:
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()


@pytest.mark.parametrize(
    ("given", "order"),
    [
        ("6", "6"),
        ("4444", "4444"),
        ("6644", "6464"),
        ("4466", "4646"),
        ("46664", "46466"),
        ("66646", "64666"),
    ],
)
def test_families_take_turns_beginning_with_the_resolver_s_first(given: str, order: str) -> None:
    """LL-01, LL-02: and within a family the resolver's order stays (RFC 8305, 4)."""
    hosts = {"4": "192.0.2.1", "6": "2001:db8::1"}
    addresses: list[Address] = [(hosts[family], port) for port, family in enumerate(given, 1)]
    turns = interleave(addresses)
    assert [address[0] for address in turns] == [hosts[family] for family in order]
    for family in hosts.values():
        assert [a for a in turns if a[0] == family] == [a for a in addresses if a[0] == family]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_failure_brings_on_the_next_attempt_at_once(shell: str, good: Address) -> None:
    def race() -> None:
        with perform(shell, dial([bad, good], None, ()), Deadline()) as sock:
            assert sock.getpeername() == good
            assert not sock.getblocking()

    with nothing_left(), refusing() as bad:
        at_best(race, ATTEMPT_DELAY - 0.05)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("family", [V4, V6])
def test_a_black_hole_does_not_hold_up_the_others(
    family: socket.AddressFamily, shell: str, good: Address
) -> None:
    """LL-01: the second attempt begins beside the first, and the loser is closed."""

    def race() -> None:
        with took(0.2, 5), perform(shell, dial([hole, good], None, ()), Deadline()) as sock:
            assert sock.getpeername() == good

    with nothing_left(), blackhole(family) as hole:
        at_best(race, 0.4)


def test_attempts_are_staggered() -> None:
    """LL-03: three addresses, SYNs at 0, 250 and 500 ms, and then patience."""
    assert 0.1 <= ATTEMPT_DELAY <= 2  # RFC 8305, 8
    with blackhole() as hole, nothing_left():
        operation = dial([hole] * 3, None, ())
        wait = next(operation)
        for racing, delay in ((1, ATTEMPT_DELAY), (2, ATTEMPT_DELAY), (3, None)):
            assert isinstance(wait, AnyReady)
            assert len(wait.interests) == racing
            assert wait.seconds == delay
            wait = operation.send([])
        assert isinstance(wait, AnyReady)
        operation.close()
        assert [sock.fileno() for sock, _ in wait.interests] == [-1, -1, -1]


def test_a_single_address_is_waited_for_like_any_socket() -> None:
    with blackhole() as hole:
        operation = dial([hole], None, ())
        wait = next(operation)
        assert isinstance(wait, Ready)
        assert wait.direction == WRITE
        operation.close()
        assert wait.sock.fileno() == -1


@pytest.mark.parametrize("shell", SHELLS)
def test_all_attempts_are_told(shell: str) -> None:
    with refusing() as one, refusing() as two, nothing_left():
        addresses: list[Address] = [one, ("::1", one[1]), two]
        with pytest.raises(ProxyUnreachable) as caught:
            perform(shell, dial(addresses, None, ()), Deadline())
        refused = os.strerror(errno.ECONNREFUSED)
        assert sorted(caught.value.attempts) == sorted(
            [
                (f"127.0.0.1:{one[1]}", refused),
                (f"[::1]:{one[1]}", refused),
                (f"127.0.0.1:{two[1]}", refused),
            ]
        )
        assert caught.value.errno == errno.ECONNREFUSED
        for address, said in caught.value.attempts:
            assert f"{address}: {said}" in str(caught.value)


def test_a_name_without_addresses() -> None:
    with pytest.raises(ProxyUnreachable, match="its name has no address") as caught:
        perform("sync", dial([], None, ()), Deadline())
    assert caught.value.attempts == ()
    assert caught.value.errno is None


def test_what_fails_before_a_syn_is_an_attempt_too(good: Address) -> None:
    """No route, and an address that is not this machine's: known at once, and closed."""
    with nothing_left():
        nowhere: Address = "255.255.255.255", 1
        with perform("sync", dial([nowhere, good], None, ()), Deadline()) as sock:
            assert sock.getpeername() == good
        with pytest.raises(ProxyUnreachable) as caught:
            perform("sync", dial([nowhere], None, ()), Deadline())
        assert caught.value.attempts[0][0] == "255.255.255.255:1"
        with pytest.raises(ProxyUnreachable) as caught:
            perform("sync", dial([good], ("203.0.113.77", 0), ()), Deadline())
        assert caught.value.errno == errno.EADDRNOTAVAIL


def test_a_system_whose_sockets_all_block_at_first(
    good: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connect_tunnel._net.sock._NONBLOCK", 0)
    with nothing_left(), perform("sync", dial([good], None, ()), Deadline()) as sock:
        assert sock.gettimeout() == 0


@pytest.mark.parametrize("shell", SHELLS)
def test_a_unix_socket_whose_queue_is_full(shell: str) -> None:
    """LL-09: it is not one that may be connected later, so nobody waits for it."""
    with nothing_left(), ExitStack() as stack:
        path = str(Path(stack.enter_context(tempfile.TemporaryDirectory())) / "p.sock")
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(path)
        listener.listen(0)
        code = 0
        while code == 0:
            filler = stack.enter_context(socket.socket(socket.AF_UNIX))
            filler.setblocking(False)
            code = filler.connect_ex(path)
        with took(0, 1), pytest.raises(ProxyUnreachable) as caught:
            perform(shell, dial([path], None, ()), Deadline())
    assert caught.value.errno == errno.EAGAIN
    assert caught.value.attempts == ((path, os.strerror(errno.EAGAIN)),)


# --- proxies that are far away: nothing is known at once ---


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback a connection is there, or refused, by the time that one looks."""

    def begin(address: Address, *_: object, **__: object) -> tuple[socket.socket, bool]:
        family = V6 if ":" in address[0] else V4
        sock = new_socket(family, None, ())
        return sock, sock.connect_ex(address) == 0

    monkeypatch.setattr("connect_tunnel._net.dial._begin", begin)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.usefixtures("far_away")
def test_far_away_it_is_all_the_same(shell: str, good: Address) -> None:
    def race() -> None:
        with perform(shell, dial([bad, ("::1", bad[1]), good], None, ()), Deadline()) as sock:
            assert sock.getpeername() == good

    with nothing_left(), refusing() as bad:
        at_best(race, ATTEMPT_DELAY - 0.05)
        with perform(shell, dial([good], None, ()), Deadline()) as sock:
            assert sock.getpeername() == good
        with pytest.raises(ProxyUnreachable) as caught:
            perform(shell, dial([bad, ("::1", bad[1])], None, ()), Deadline())
        assert [address for address, _ in caught.value.attempts] == [
            f"127.0.0.1:{bad[1]}",
            f"[::1]:{bad[1]}",
        ]


# --- the last segment of TCP's handshake ---

on_linux = pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux can wait")


def segments(sock: socket.socket) -> int:
    """How many have been sent, as `struct tcp_info` of linux/tcp.h has it."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 140)
    return int.from_bytes(info[136:], sys.byteorder)


def acknowledges_at_once(sock: socket.socket) -> bool:
    return bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK))


@on_linux
@pytest.mark.parametrize(("speaks_first", "sent"), [(True, 2), (False, 3)])
def test_an_ack_goes_with_what_is_said_first(speaks_first: bool, sent: int, good: Address) -> None:
    """SYN, and the ACK of the other's SYN with the request: not the ACK alone before it."""
    operation = dial([good], None, (), speaks_first=speaks_first)
    with perform("sync", operation, Deadline()) as sock:
        # Or half a head, from a proxy with Nagle's algorithm, would be all until the delayed ACK.
        assert acknowledges_at_once(sock)
        sock.send(b"hello")
        assert segments(sock) == sent


@on_linux
def test_an_ack_that_could_not_go_with_it_goes_before_we_wait() -> None:
    """Where there is no window for what we say, we would be waiting for each other."""
    with new_socket(V4, None, (), speaks_first=True) as sock:
        layer = SocketLayer(sock, speaks_first=True)
        assert not acknowledges_at_once(sock)
        layer.ready(READ)
        assert acknowledges_at_once(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        layer.ready(READ)  # once is enough
        assert not acknowledges_at_once(sock)


def test_a_unix_socket_has_no_ack() -> None:
    one, other = socket.socketpair()
    with one, other:
        ready = SocketLayer(one, speaks_first=True).ready(READ)
        assert (ready.sock, ready.direction) == (one, READ)


@on_linux
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("way", ["https", "http", "direct"])
def test_only_client_hello_takes_it_along(
    shell: str,
    way: str,
    server_context: ssl.SSLContext,
    client_context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A target that is dialled may speak first, as SSH does: there is nothing to wait for."""
    made: list[bool] = []

    def seen(*args: Any, **options: Any) -> socket.socket:
        sock = new_socket(*args, **options)
        made.append(acknowledges_at_once(sock))
        return sock

    monkeypatch.setattr("connect_tunnel._net.dial.new_socket", seen)
    script = (HalfClose(),) if way == "direct" else (Receive(), Send(OK), HalfClose())
    over_tls = way == "https"
    with ScriptedProxy(*script, ssl_context=server_context if over_tls else None) as server:
        if way == "direct":
            converse(shell, (server.host, server.port), via=Direct())
        else:
            converse(shell, via=Proxy(server.url, ssl_context=client_context if over_tls else None))
    assert made == [way != "https"]


# --- through the front door ---


@pytest.mark.parametrize("shell", SHELLS)
def test_the_error_says_where_when_and_what(shell: str) -> None:
    with refusing() as bad, nothing_left():
        error = failure(shell, via=f"http://127.0.0.1:{bad[1]}")
        assert isinstance(error, ProxyUnreachable)
        assert isinstance(error, ConnectionError)
        assert (error.phase, error.target) == ("tcp", "a.test:1")
        assert error.proxy_url == f"http://127.0.0.1:{bad[1]}"
        assert error.elapsed is not None
        assert 0 <= error.elapsed < 1
        assert error.errno == errno.ECONNREFUSED


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("timeout", [0.15, Timeout(5, tcp=0.15)])
def test_a_dial_ends_in_time(shell: str, timeout: float | Timeout) -> None:
    with blackhole() as hole, nothing_left(), took(0.1, 1):
        error = failure(shell, via=f"http://127.0.0.1:{hole[1]}", timeout=timeout)
        assert isinstance(error, TimeoutError)
        assert error.phase == "tcp"
        assert "0.15 s" in str(error)


def test_options_and_the_local_address_reach_the_socket() -> None:
    """LL-09: TCP_NODELAY and SO_KEEPALIVE without being asked, the caller's after ours."""
    options = (
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 7),
        (socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\x05\0\0\0"),
    )
    with ScriptedProxy(Receive(), Send(OK)) as proxy:
        local = ("127.0.0.2", 0)
        with (
            Dialer(proxy.url, local_address=local, socket_options=options) as dialer,
            dialer.open_tunnel("a.test:1") as tunnel,
            tunnel.socket() as sock,
        ):
            assert sock.getsockname()[0] == "127.0.0.2"
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 7
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == options[1][2]
        no_keepalive = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 0)]
        with (
            open_tunnel("a.test:1", via=proxy.url, socket_options=no_keepalive) as tunnel,
            tunnel.socket() as sock,
        ):
            assert not sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.proto == socket.IPPROTO_TCP  # or asyncio leaves Nagle's algorithm on


def test_an_option_that_the_kernel_refuses() -> None:
    with nothing_left(), ScriptedProxy() as proxy:
        error = failure("sync", via=proxy.url, socket_options=[(socket.SOL_SOCKET, 9999, 1)])
        assert isinstance(error, ProxyUnreachable)
        assert error.errno == errno.ENOPROTOOPT


def test_a_zone_that_this_machine_does_not_have() -> None:
    """NM-06: the zone of a proxy is for dialling it; one that is not there is no lookup."""
    with nothing_left(), took(0, 1):
        error = failure("sync", via="http://[fe80::1%nosuch0]:3128", timeout=3)
    assert isinstance(error, ProxyUnreachable)
    assert error.hint or error.attempts


def test_a_proxy_is_dialled_with_its_zone() -> None:
    with refusing() as (_, port), nothing_left():
        error = failure("sync", via=f"http://[fe80::1%lo]:{port}", timeout=3)
    assert isinstance(error, ProxyUnreachable)
    assert error.phase == "tcp"
    assert error.attempts[0][0] == f"[fe80::1%lo]:{port}"
