"""`Tunnel`: what it tells of itself, and its verbs where they have something special to say.

The promises that every stream keeps are in test_conformance.py.
"""

from __future__ import annotations

import array
import gc
import select
import socket
import ssl
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from connect_tunnel import (
    Proxy,
    Target,
    Tunnel,
    TunnelBroken,
    TunnelClosed,
    TunnelTimeout,
    open_tunnel,
)
from connect_tunnel._net.waits import READ, WRITE
from connect_tunnel.testing import (
    Echo,
    Flood,
    HalfClose,
    LoopbackProxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    Wait,
)

from .raw import OK
from .shells import nothing_left, took, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from connect_tunnel.testing import Step


@contextmanager
def tunnel_to(*script: Step, ok: bytes = OK) -> Generator[Tunnel]:
    """A tunnel in which the target does these steps."""
    with (
        ScriptedProxy(Receive(), Send(ok), *script) as proxy,
        open_tunnel("a.test:1", via=proxy.url, timeout=5) as tunnel,
    ):
        yield tunnel


def read_all(tunnel: Tunnel) -> bytes:
    return b"".join(iter(lambda: tunnel.read(timeout=5), b""))


# --- what it tells ---


def test_what_opened_it() -> None:
    with (
        LoopbackProxy() as first,
        ScriptedProxy(Receive(), Send(b"HTTP/1.1 299 Fine\r\n\r\n")) as last,
    ):
        with open_tunnel("A.test:1", via=[first.url, last.url], timeout=5) as tunnel:
            assert tunnel.target == Target("a.test", 1)
            assert (tunnel.response.status, tunnel.response.reason) == (299, "Fine")
            assert tunnel.route.proxies == (first.url, last.url)
            assert [response.status for response in tunnel.route.responses] == [200, 299]
            assert repr(tunnel) == f"<Tunnel to a.test:1 through {last.url}>"
        assert repr(tunnel) == f"<Tunnel to a.test:1 through {last.url} closed>"


def test_extra_info() -> None:
    with tunnel_to(Receive(b"?"), Send(b"!"), Wait(5)) as tunnel:
        sock = tunnel.get_extra_info("socket")
        assert isinstance(sock, socket.socket)
        assert not sock.getblocking()
        assert tunnel.get_extra_info("server_addr") == sock.getpeername()
        assert tunnel.get_extra_info("client_addr") == sock.getsockname()
        assert tunnel.get_extra_info("ssl_object") is None
        assert tunnel.get_extra_info("nonsense") is None
        assert tunnel.get_extra_info("is_readable") is False
        tunnel.write(b"?")
        wait_until(lambda: tunnel.get_extra_info("is_readable"))
        assert tunnel.read(timeout=5) == b"!"
    assert tunnel.get_extra_info("server_addr") is None
    assert tunnel.get_extra_info("client_addr") is None
    assert tunnel.get_extra_info("is_readable") is True  # to learn that it is closed


def test_extra_info_of_tls(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> None:
    with ScriptedProxy(Receive(), Send(OK), Echo(), ssl_context=server_context) as proxy:
        via = Proxy(proxy.url, ssl_context=client_context)
        with open_tunnel("a.test:1", via=via, timeout=5) as tunnel:
            tls = tunnel.get_extra_info("ssl_object")
            assert isinstance(tls, ssl.SSLObject)
            assert tls.getpeercert()
            assert tunnel.get_extra_info("server_addr") == (proxy.host, proxy.port)
            assert not tunnel.get_extra_info("is_readable")
            tunnel.write(b"x")
            wait_until(lambda: tunnel.get_extra_info("is_readable"))
            assert tunnel.read(timeout=5) == b"x"


# --- reading and writing ---


@pytest.mark.parametrize("count", [0, -1])
def test_reading_nothing_is_no_reading(count: int) -> None:
    with tunnel_to() as tunnel, pytest.raises(ValueError, match="at least 1"):
        tunnel.read(count)


def test_a_read_is_of_64_kib_at_most() -> None:
    """Larger ones fall into a trap of glibc."""
    with tunnel_to(Flood(b"x" * 65536)) as tunnel:
        for _ in range(64):
            assert 1 <= len(tunnel.read(1 << 20, timeout=5)) <= 65536


def test_early_bytes_come_first_and_whole() -> None:
    with tunnel_to(Send(b" and late"), HalfClose(), ok=OK + b"early") as tunnel:
        assert tunnel.read(1) == b"e"
        assert tunnel.read(4) == b"arly"
        assert read_all(tunnel) == b" and late"


@pytest.mark.parametrize(
    "data", [b"abcd", bytearray(b"abcd"), memoryview(b"abcd"), array.array("I", b"abcd"), b""]
)
def test_whatever_holds_bytes_can_be_written(data: Any) -> None:
    with tunnel_to(Receive(b"."), Send(b"ok"), HalfClose()) as tunnel:
        tunnel.write(data, timeout=5)
        tunnel.write(b".")
        assert read_all(tunnel) == b"ok"


def test_timeouts_say_what_and_where() -> None:
    with tunnel_to(Wait(5)) as tunnel:
        with took(0.05, 1), pytest.raises(TunnelTimeout) as caught:
            tunnel.read(timeout=0.1)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.phase == "tunnel"
        assert caught.value.target == "a.test:1"
        assert "no data came through the tunnel to a.test:1 within 0.1 s" in str(caught.value)
        with took(0.05, 1), pytest.raises(TunnelTimeout, match="it was not all sent"):
            tunnel.write(b"x" * (32 << 20), timeout=0.1)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "1"])
def test_what_is_no_timeout(timeout: Any) -> None:
    with tunnel_to(Wait(5)) as tunnel:
        for act in (tunnel.read, partial(tunnel.write, b"x"), tunnel.send_eof):
            with pytest.raises(ValueError, match="timeout"):
                act(timeout=timeout)
        tunnel.write(b"x", timeout=5)  # none of them did anything


def test_a_reset_is_told_with_its_number() -> None:
    with tunnel_to(Reset()) as tunnel:
        with pytest.raises(TunnelBroken) as caught:
            tunnel.read(timeout=5)
        assert isinstance(caught.value, ConnectionError)
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        assert caught.value.errno == caught.value.__cause__.errno
        assert "the tunnel to a.test:1 broke: " in str(caught.value)
        with pytest.raises(TunnelBroken):
            tunnel.write(bytes(32 << 20), timeout=5)


def test_an_end_that_cannot_be_sent() -> None:
    with tunnel_to(Reset()) as tunnel:
        with pytest.raises(TunnelBroken):
            tunnel.read(timeout=5)
        with pytest.raises(TunnelBroken):
            tunnel.send_eof()


# --- who may do what when ---


VERBS: list[Callable[[Tunnel], object]] = [
    lambda tunnel: tunnel.read(),
    lambda tunnel: tunnel.write(b"x"),
    lambda tunnel: tunnel.write(b""),
    lambda tunnel: tunnel.send_eof(),
    lambda tunnel: tunnel.start_tls(),
    lambda tunnel: tunnel.socket(),
]


@pytest.mark.parametrize("verb", VERBS)
def test_after_close_everything_is_closed(verb: Callable[[Tunnel], object]) -> None:
    with tunnel_to(Send(b"x")) as tunnel:
        tunnel.close()
        with pytest.raises(TunnelClosed, match=r"the tunnel to a\.test:1 is closed") as caught:
            verb(tunnel)
        assert caught.value.phase == "tunnel"


@pytest.mark.parametrize("verb", VERBS)
def test_what_was_handed_over_is_empty(verb: Callable[[Tunnel], object]) -> None:
    with tunnel_to(Echo()) as tunnel, tunnel.socket() as sock:
        with pytest.raises(TunnelClosed):
            verb(tunnel)
        tunnel.close()
        sock.sendall(b"still here")
        assert sock.recv(100) == b"still here"


@pytest.mark.parametrize("verb", VERBS[1:])
def test_after_the_end_nothing_can_be_sent(verb: Callable[[Tunnel], object]) -> None:
    with tunnel_to(Wait(1)) as tunnel:
        tunnel.send_eof()
        with pytest.raises(TunnelBroken, match="its sending side was ended"):
            verb(tunnel)


@pytest.mark.parametrize("verb", [VERBS[0], VERBS[4], VERBS[5]])
def test_while_a_thread_reads(verb: Callable[[Tunnel], object]) -> None:
    with tunnel_to(Receive(b"."), Send(b"x"), Wait(5)) as tunnel:
        reading = threading.Thread(target=tunnel.read, kwargs={"timeout": 5})
        reading.start()
        wait_until(lambda: READ not in tunnel._stream.turns)
        with pytest.raises(RuntimeError, match=r"another thread is (reading|using)"):
            verb(tunnel)
        tunnel.write(b".")
        reading.join(5)


def test_while_a_thread_reads_on_after_a_short_read() -> None:
    with tunnel_to(Send(b"x"), Receive(b"."), Send(b"y"), HalfClose()) as tunnel:
        assert tunnel.read(timeout=5) == b"x"
        got: list[bytes] = []
        reading = threading.Thread(target=lambda: got.append(tunnel.read(timeout=5)))
        reading.start()
        wait_until(lambda: READ not in tunnel._stream.turns)
        for limit in (None, 5):
            with pytest.raises(RuntimeError, match="another thread is reading"):
                tunnel.read(timeout=limit)
        tunnel.write(b".")
        reading.join(5)
        assert got == [b"y"]
        assert tunnel.read(timeout=5) == b""


def test_while_a_thread_writes() -> None:
    with tunnel_to(Wait(5)) as tunnel:
        failed: list[BaseException] = []

        def write() -> None:
            try:
                tunnel.write(b"x" * (64 << 20), timeout=5)
            except TunnelClosed as error:
                failed.append(error)

        writing = threading.Thread(target=write)
        writing.start()
        wait_until(lambda: WRITE not in tunnel._stream.turns)
        for verb in VERBS[1:]:
            with pytest.raises(RuntimeError, match=r"another thread is (writing|using)"):
                verb(tunnel)
        tunnel.close()
        writing.join(5)
        assert failed


def test_a_write_that_could_not_begin_may_be_tried_again() -> None:
    """Nothing of it has gone, so the target misses nothing."""
    with tunnel_to(Wait(1.5), Receive(b"!")) as tunnel:
        sock = tunnel.get_extra_info("socket")
        # The kernel makes room for a while yet, on a machine that is busy for long.
        for size in (1 << 16, 1):
            while select.select([], [sock], [], 0.3)[1]:
                with suppress(BlockingIOError):
                    while sock.send(bytes(1 << 16)):
                        pass
            with suppress(BlockingIOError):
                while sock.send(bytes(size)):
                    pass
        with pytest.raises(TunnelTimeout):
            tunnel.write(b"lost", timeout=0.05)
        tunnel.write(b"!", timeout=5)


# --- socket() ---


def test_the_socket_is_as_good_as_new() -> None:
    """Blocking, without a timeout, and with nothing of the target's read from it."""
    with (
        nothing_left(),
        tunnel_to(Echo(), ok=OK + b"220 ready\r\n") as tunnel,
        tunnel.socket() as sock,
        sock.makefile("rwb") as file,
    ):
        assert type(sock) is socket.socket
        assert sock.getblocking()
        assert sock.gettimeout() is None
        assert file.readline() == b"220 ready\r\n"
        file.write(b"HELO\r\n")
        file.flush()
        assert file.readline() == b"HELO\r\n"


def test_the_socket_heeds_the_process_s_default(monkeypatch: pytest.MonkeyPatch) -> None:
    with tunnel_to() as tunnel:
        socket.setdefaulttimeout(7)
        try:
            with tunnel.socket() as sock:
                assert sock.gettimeout() == 7
        finally:
            socket.setdefaulttimeout(None)


def test_the_socket_goes_into_ssl(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with LoopbackProxy() as proxy, ScriptedProxy(Echo(), ssl_context=server_context) as target:
        tunnel = open_tunnel((target.host, target.port), via=proxy.url, timeout=5)
        with client_context.wrap_socket(tunnel.socket(), server_hostname="127.0.0.1") as tls:
            tls.sendall(b"x")
            assert tls.recv(1) == b"x"


# --- tunnels that nobody closed ---


def test_a_tunnel_that_was_not_closed() -> None:
    with nothing_left(), ScriptedProxy(Receive(), Send(OK)) as proxy:
        held = [open_tunnel("a.test:1", via=proxy.url, timeout=5)]
        with pytest.warns(ResourceWarning, match=r"unclosed <Tunnel to a\.test:1 through http"):
            held.clear()
        assert proxy.wait_closed()


def test_a_temporary_is_no_leak(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    with LoopbackProxy() as proxy, ScriptedProxy(Echo(), ssl_context=server_context) as target:
        goal = target.host, target.port
        with open_tunnel(goal, via=proxy.url).start_tls(client_context, timeout=5) as tunnel:
            gc.collect()
            tunnel.write(b"x")
            assert tunnel.read(timeout=5) == b"x"
        with open_tunnel(goal, via=proxy.url).socket() as sock:
            gc.collect()
            assert sock.fileno() != -1
