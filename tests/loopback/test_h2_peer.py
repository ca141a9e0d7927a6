"""The proxy that works and speaks HTTP/2, seen by h2 and by frames that no library would send."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import hpack
import pytest

from connect_tunnel.testing import (
    Echo,
    HalfClose,
    LoopbackH2Proxy,
    Receive,
    Reset,
    ScriptedProxy,
    Send,
    TLSPeer,
    Wait,
)
from connect_tunnel.testing import _h2_frames as h2

from .h2_client import H2Client, h2_client
from .raw import HEAD, dial, receive_exactly, receive_head
from .shells import nothing_left, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    import trustme

    from connect_tunnel.testing._h2_frames import Frame

REALM = b'Basic realm="loopback", charset="UTF-8"'


@pytest.fixture
def target() -> Generator[ScriptedProxy]:
    """A server that greets, and then sends back what it gets until the end of it."""
    with ScriptedProxy(Send(b"hello "), Echo(), Send(b"bye"), HalfClose()) as server:
        yield server


@pytest.fixture(scope="module")
def h2_context(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = ca.issue_cert("127.0.0.1")
    certificate.configure_cert(context)  # pyright: ignore[reportUnknownMemberType]
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.fixture(scope="module")
def client_of_h2(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)  # pyright: ignore[reportUnknownMemberType]
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_tunnels_side_by_side(
    target: ScriptedProxy, h2_context: ssl.SSLContext, client_of_h2: ssl.SSLContext, tls: bool
) -> None:
    sent = os.urandom(300_000)
    with (
        LoopbackH2Proxy(ssl_context=h2_context if tls else None) as proxy,
        h2_client(proxy, client_of_h2 if tls else None) as client,
    ):
        streams = [client.open(target.port) for _ in range(5)]
        for stream in streams:
            assert client.receive(stream, 6) == b"hello "
            client.send(stream, sent, end_stream=True)
        for stream in streams:
            assert client.receive(stream, len(sent) + 3) == sent + b"bye"
        client.until(lambda: client.ended == set(streams))
        assert target.wait_closed()
        assert (proxy.connections, proxy.protocols) == (1, ["h2"])
        authority = f"127.0.0.1:{target.port}"
        head = f":method: CONNECT\r\n:authority: {authority}\r\n\r\n".encode()
        assert proxy.requests == [(authority, head)] * 5
        assert client.reset == {}


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "tls"])
def test_one_who_speaks_http1(
    target: ScriptedProxy, h2_context: ssl.SSLContext, client_context: ssl.SSLContext, tls: bool
) -> None:
    """Without ALPN, or without the preface, of which it may have sent the beginning."""
    request = b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n\r\n" % target.port
    with (
        LoopbackH2Proxy(ssl_context=h2_context if tls else None) as proxy,
        dial(proxy) as plain,
    ):
        sock = client_context.wrap_socket(plain, server_hostname=proxy.host) if tls else plain
        with sock:
            sock.sendall(request)
            assert receive_head(sock) == b"HTTP/1.1 200 Connection established\r\n\r\n"
            assert receive_exactly(sock, 6) == b"hello "
        assert proxy.protocols == ["http/1.1"]
        with dial(proxy) as sock:
            sock.sendall(b"PRI * HTTP/2.0\r\n"[:-1])
            sock.shutdown(socket.SHUT_WR)
        assert proxy.wait_closed()


def test_words_said_before_the_answer(target: ScriptedProxy) -> None:
    with LoopbackH2Proxy() as proxy, h2_client(proxy) as client:
        stream = client.request(f"localhost:{target.port}")
        client.send(stream, b"early ", end_stream=True)
        assert client.receive(stream, 15) == b"hello early bye"
        ended = client.request(f"localhost:{target.port}", end_stream=True)
        assert client.receive(ended, 9) == b"hello bye"
        client.until(lambda: {stream, ended} <= client.ended)


def test_the_targets_end_leaves_the_other_way_open() -> None:
    with (
        ScriptedProxy(Send(b"done"), HalfClose(), Receive(b"and mine"), Echo()) as target,
        LoopbackH2Proxy() as proxy,
        h2_client(proxy) as client,
    ):
        stream = client.open(target.port)
        client.until(lambda: stream in client.ended)
        assert client.receive(stream, 4) == b"done"
        client.send(stream, b"and mine", end_stream=True)
        assert target.wait_closed()
        assert target.received == [b"and mine"]
        assert client.reset == {}


def test_a_reset_goes_through_either_way() -> None:
    with LoopbackH2Proxy() as proxy, h2_client(proxy) as client:
        with ScriptedProxy(Receive(b"!"), Reset()) as target:
            stream = client.open(target.port)
            client.send(stream, b"!")
            client.until(lambda: stream in client.reset)
            assert client.reset[stream] == h2.CONNECT_ERROR
        with ScriptedProxy(Receive()) as target:
            client.h2.reset_stream(client.open(target.port), 8)
            client.flush()
            assert target.wait_closed()
            assert [type(left) for left in target.hangups] == [ConnectionResetError]


def test_a_target_that_takes_nothing_hears_of_a_reset() -> None:
    with (
        ScriptedProxy(Wait(60)) as target,
        LoopbackH2Proxy() as proxy,
        h2_client(proxy) as client,
    ):
        stream = client.open(target.port)
        send_until_stuck(client, stream)
        client.h2.reset_stream(stream, 8)
        client.flush()
        wait_until(lambda: len(proxy._listener._open) == 1)  # the client


def test_a_client_that_leaves_resets_its_targets() -> None:
    with ScriptedProxy(Receive()) as target, LoopbackH2Proxy() as proxy:
        with h2_client(proxy) as client:
            client.open(target.port)
            client.open(target.port)
        assert target.wait_closed()
        assert [type(left) for left in target.hangups] == [ConnectionResetError] * 2


def test_a_stuck_target_holds_up_no_other(target: ScriptedProxy) -> None:
    sent = os.urandom(200_000)
    with (
        ScriptedProxy(Wait(60)) as stuck,
        LoopbackH2Proxy() as proxy,
        h2_client(proxy) as client,
    ):
        send_until_stuck(client, client.open(stuck.port))
        stream = client.open(target.port)
        client.send(stream, sent, end_stream=True)
        assert client.receive(stream, len(sent) + 9) == b"hello " + sent + b"bye"


def send_until_stuck(client: H2Client, stream: int) -> None:
    """Fill all that lies between here and a target that does not read."""
    client.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.send(stream, bytes(64 << 20))
    client.sock.settimeout(10)


def test_a_client_that_does_not_read_holds_up_the_target() -> None:
    size = 32 << 20
    with (
        ScriptedProxy(Receive(b"!"), Send(bytes(size)), HalfClose()) as target,
        LoopbackH2Proxy() as proxy,
        raw(proxy, {h2.INITIAL_WINDOW_SIZE: h2.LARGEST_WINDOW}) as client,
    ):
        client.put(h2.window_update(0, h2.LARGEST_WINDOW - h2.DEFAULT_WINDOW))
        client.connect(1, target.port)
        client.put(h2.frame(h2.DATA, 0, 1, b"!"))
        assert not target.wait_closed(0.5)
        # Pings are answered all the same, once it reads: nobody waits for anybody.
        client.put(*[h2.frame(h2.PING, 0, 0, b"8 octets")] * 1000)
        received = pongs = 0
        while received < size or pongs < 1000:
            frame = client.next()
            received += len(frame.payload) if frame.type == h2.DATA else 0
            pongs += frame.type == h2.PING
        assert received == size


def test_basic_credentials(target: ScriptedProxy) -> None:
    authority = f"127.0.0.1:{target.port}"
    with LoopbackH2Proxy(auth=("alice", "s3cret")) as proxy, h2_client(proxy) as client:
        for fields in ((), (("proxy-authorization", "Basic YWxpY2U6d3Jvbmc="),)):
            stream = client.request(authority, *fields)
            client.until(lambda: stream in client.reset)  # noqa: B023
            assert client.fields[stream] == {
                b":status": b"407",
                b"proxy-authenticate": REALM,
                b"content-type": b"text/plain; charset=utf-8",
                b"content-length": b"13",
            }
            assert client.data[stream] == b"Who are you?\n"
            assert stream in client.ended
            assert client.reset[stream] == h2.NO_ERROR
        stream = client.request(authority, ("proxy-authorization", "Basic YWxpY2U6czNjcmV0"))
        assert client.receive(stream, 6) == b"hello "
        assert [asked for asked, _ in proxy.requests] == [authority] * 3
        assert proxy.connections == 1


def test_a_refusal_in_the_users_own_words(target: ScriptedProxy) -> None:
    words = b"HTTP/1.1 403 Not today\r\nX-Why: rain\r\nConnection: close\r\n\r\n" + bytes(100_000)
    asked: list[str] = []

    def refuse(authority: str) -> bytes | None:
        asked.append(authority)
        return words if authority == "a.test:1" else None

    with LoopbackH2Proxy(refuse=refuse) as proxy, h2_client(proxy) as client:
        stream = client.request("a.test:1")
        client.until(lambda: stream in client.reset)
        assert client.fields[stream] == {b":status": b"403", b"x-why": b"rain"}
        assert client.data[stream] == bytes(100_000)
        ended = client.request("a.test:1", end_stream=True)
        client.until(lambda: ended in client.ended)
        assert ended not in client.reset
        client.open(target.port)
    assert asked == ["a.test:1"] * 2 + [f"127.0.0.1:{target.port}"]


def test_a_refusal_that_is_not_waited_for() -> None:
    """Its body waits for a window; before and after its head the client may reset it."""
    asked, go_on = threading.Event(), threading.Event()

    def refuse(authority: str) -> bytes:
        asked.set()
        if authority == "b.test:1":
            go_on.wait(5)
        return b"HTTP/1.1 403 No\r\n\r\nNo."

    with LoopbackH2Proxy(refuse=refuse) as proxy, raw(proxy, {h2.INITIAL_WINDOW_SIZE: 0}) as client:
        client.put(connect_frame(1, "a.test:1"))
        assert client.until(h2.HEADERS).stream == 1
        client.put(h2.rst_stream(1, 8))
        asked.clear()
        client.put(connect_frame(3, "b.test:1"))
        assert asked.wait(5)
        client.put(h2.rst_stream(3, 8))
        client.answered_ping()
        go_on.set()
        client.put(connect_frame(5, "c.test:1"))
        assert client.until(h2.HEADERS).stream == 5
        client.put(h2.window_update(5, 1), h2.window_update(5, 9))
        assert client.until(h2.DATA).payload[:1] == b"N"


def test_a_tunnel_that_is_not_waited_for(target: ScriptedProxy) -> None:
    asked, go_on = threading.Event(), threading.Event()

    def dawdle(authority: str) -> None:
        asked.set()
        go_on.wait(5)

    with LoopbackH2Proxy(refuse=dawdle) as proxy, raw(proxy) as client:
        client.put(connect_frame(1, f"127.0.0.1:{target.port}"))
        assert asked.wait(5)
        client.put(h2.rst_stream(1, 8))
        client.answered_ping()
        go_on.set()
        wait_until(lambda: target.connections)
        assert target.wait_closed()
        client.put(h2.frame(h2.PING, 0, 0, bytes(8)))
        assert client.next().type == h2.PING  # and no headers


def test_as_many_tunnels_as_are_allowed(target: ScriptedProxy) -> None:
    with LoopbackH2Proxy(max_concurrent_streams=2) as proxy, h2_client(proxy) as client:
        first, second = client.open(target.port), client.open(target.port)
        assert client.settings[h2.MAX_CONCURRENT_STREAMS] == 2
        client.h2.remote_settings[h2.MAX_CONCURRENT_STREAMS] = 100  # or h2 would not dare
        client.h2.remote_settings.acknowledge()
        third = client.request(f"127.0.0.1:{target.port}")
        client.until(lambda: third in client.reset)
        assert client.reset[third] == h2.REFUSED_STREAM
        client.send(first, b"", end_stream=True)
        client.until(lambda: first in client.ended)
        fourth = client.open(target.port)
        for stream in (second, fourth):
            assert client.receive(stream, 6) == b"hello "


@pytest.mark.parametrize("window", [1, 7, 1 << 20])
def test_the_windows_of_the_proxy(target: ScriptedProxy, window: int) -> None:
    with LoopbackH2Proxy(initial_window_size=window) as proxy, h2_client(proxy) as client:
        stream = client.open(target.port)
        sent = b"through the eye of a needle" * 20
        client.send(stream, sent, end_stream=True)
        assert client.receive(stream, 6 + len(sent)) == b"hello " + sent
        assert client.settings[h2.INITIAL_WINDOW_SIZE] == window


def test_the_windows_of_the_client(target: ScriptedProxy) -> None:
    with LoopbackH2Proxy() as proxy, raw(proxy, {h2.INITIAL_WINDOW_SIZE: 3}) as client:
        client.connect(1, target.port)
        assert client.until(h2.DATA).payload == b"hel"
        client.put(h2.settings({h2.INITIAL_WINDOW_SIZE: 1, 1: 0}))  # the window is -2 now
        client.put(h2.window_update(1, 2))  # and 0 now
        client.answered_ping()
        client.put(h2.window_update(1, 1))
        assert client.until(h2.DATA).payload == b"l"
        client.put(h2.settings({h2.INITIAL_WINDOW_SIZE: 100}))
        assert client.until(h2.DATA).payload == b"o "


def test_padding_counts(target: ScriptedProxy) -> None:
    """It takes window that is given back, and is no data."""
    with LoopbackH2Proxy(initial_window_size=200) as proxy, raw(proxy) as client:
        client.put(h2.frame(h2.HEADERS, h2.END_HEADERS | h2.PADDED | h2.PRIORITIZED, 1,
            b"\x02" + bytes(5) + block(f"127.0.0.1:{target.port}") + bytes(2)))  # fmt: skip
        assert client.until(h2.DATA).payload == b"hello "
        for _ in range(10):
            client.put(h2.frame(h2.DATA, h2.PADDED, 1, b"\x63x" + bytes(99)))
            assert client.until(h2.DATA).payload == b"x"


def test_a_request_in_pieces(target: ScriptedProxy) -> None:
    request = block(f"127.0.0.1:{target.port}")
    with LoopbackH2Proxy() as proxy, raw(proxy) as client:
        client.put(h2.frame(h2.HEADERS, 0, 1, request[:3]))
        client.put(h2.frame(h2.CONTINUATION, 0, 1, request[3:9]))
        client.put(h2.frame(h2.CONTINUATION, h2.END_HEADERS, 1, request[9:]))
        assert client.until(h2.DATA).payload == b"hello "


@pytest.mark.parametrize("frame", [
    h2.frame(h2.PRIORITY, 0, 1, bytes(5)),
    h2.frame(h2.PING, h2.ACK, 0, bytes(8)),
    h2.frame(h2.SETTINGS, h2.ACK, 0),
    h2.frame(99, 255, 7, b"from the future"),
    h2.goaway(0, h2.NO_ERROR),
    h2.rst_stream(1, 8),
    h2.window_update(1, 9),
    h2.frame(h2.DATA, 0, 1, b"late"),
])  # fmt: skip
def test_what_is_of_no_consequence(target: ScriptedProxy, frame: bytes) -> None:
    with LoopbackH2Proxy() as proxy, raw(proxy) as client:
        client.put(connect_frame(1, "a.test:99999"))
        assert client.until(h2.RST_STREAM).number() == h2.NO_ERROR  # it was refused
        client.put(frame)
        client.connect(3, target.port)
        assert client.until(h2.DATA).stream == 3


GET = [(":method", "GET"), (":scheme", "http"), (":path", "/")]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (GET, 400),
        ([*GET, (":authority", "a.test")], 400),
        ([(":method", "CONNECT"), (":authority", "a.test")], 400),
        ([(":method", "CONNECT"), (":authority", "a@b:1")], 400),
        ([(":method", "CONNECT"), (":authority", "127.0.0.1:1")], 502),
        ([(":method", "CONNECT"), (":authority", "[::1]:1")], 502),
        ([(":method", "CONNECT"), (":authority", "127.0.0.1:65536")], 502),
    ],
)
def test_what_cannot_be_done(headers: list[tuple[str, str]], status: int) -> None:
    with LoopbackH2Proxy() as proxy, h2_client(proxy) as client:
        client.h2.config.validate_outbound_headers = False
        stream = client.send_headers(headers)
        client.until(lambda: stream in client.reset)
        assert client.status[stream] == status


CONNECT = [(":method", "CONNECT"), (":authority", "a.test:1")]


@pytest.mark.parametrize("headers", [
    [*CONNECT, (":scheme", "https"), (":path", "/")],
    [(":method", "CONNECT")],
    [*CONNECT, CONNECT[1]],
    [("x", "y"), *CONNECT],
    [*CONNECT, ("X-Upper", "y")],
    [*CONNECT, ("proxy-connection", "keep-alive")],
    [*CONNECT, ("x", " padded")],
    [*CONNECT, ("x", "a\nb")],
    [(":method", "GET"), (":authority", "a.test:1")],
    [],
])  # fmt: skip
def test_malformed_requests(target: ScriptedProxy, headers: list[tuple[str, str]]) -> None:
    with LoopbackH2Proxy() as proxy, raw(proxy) as client:
        request = hpack.Encoder().encode(headers, huffman=False)
        client.put(h2.frame(h2.HEADERS, h2.END_HEADERS, 1, request))
        assert client.until(h2.RST_STREAM).number() == h2.PROTOCOL_ERROR
        client.connect(3, target.port)
        assert proxy.requests[0][0] == f"127.0.0.1:{target.port}"


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([h2.frame(h2.HEADERS, h2.END_HEADERS | h2.END_STREAM, 1, b"\x88")], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.DATA, 0, 1, bytes(200))], h2.FLOW_CONTROL_ERROR),
        ([h2.frame(h2.DATA, h2.END_STREAM, 1), h2.frame(h2.DATA, 0, 1, b"more")], 5),
        ([h2.window_update(1, 0)], h2.PROTOCOL_ERROR),
        ([h2.window_update(1, h2.LARGEST_WINDOW)], h2.FLOW_CONTROL_ERROR),
    ],
)
def test_mistakes_that_end_a_tunnel(target: ScriptedProxy, frames: list[bytes], code: int) -> None:
    with (
        ScriptedProxy(Wait(60)) as waiting,  # so that the tunnel does not end by itself
        LoopbackH2Proxy(initial_window_size=100) as proxy,
        raw(proxy) as client,
    ):
        client.connect(1, waiting.port)
        client.connect(3, target.port)
        client.put(*frames)
        reset = client.until(h2.RST_STREAM)
        assert (reset.stream, reset.number()) == (1, code)
        client.put(h2.frame(h2.DATA, h2.END_STREAM, 3, b"the other lives"))
        assert b"the other lives" in client.data_of(3)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([h2.window_update(0, 0)], h2.PROTOCOL_ERROR),
        ([h2.window_update(0, h2.LARGEST_WINDOW)], h2.FLOW_CONTROL_ERROR),
        ([h2.settings({h2.INITIAL_WINDOW_SIZE: 1 << 31})], h2.FLOW_CONTROL_ERROR),
        ([h2.frame(h2.SETTINGS, 0, 0, b"12345")], h2.FRAME_SIZE_ERROR),
        ([h2.frame(h2.PING, 0, 0, b"7 octet")], h2.FRAME_SIZE_ERROR),
        ([h2.frame(h2.RST_STREAM, 0, 1, b"123")], h2.FRAME_SIZE_ERROR),
        ([h2.frame(h2.WINDOW_UPDATE, 0, 0, b"123")], h2.FRAME_SIZE_ERROR),
        ([h2.frame(99, 0, 0, bytes(16385))], h2.FRAME_SIZE_ERROR),
        ([h2.frame(h2.PUSH_PROMISE, 4, 1, bytes(4))], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.CONTINUATION, 4, 1, b"\x88")], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 0, 1, b"\x88"), h2.rst_stream(1, 8)], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 4, 2, b"\x88")], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 12, 1, b"\xff\x88")], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.HEADERS, 4, 1, b"\xff\xff\xff")], 9),
        ([h2.frame(h2.DATA, 0, 0, b"x")], h2.PROTOCOL_ERROR),
        ([h2.frame(h2.DATA, 0, 99, b"x")], h2.PROTOCOL_ERROR),
        ([h2.rst_stream(99, 8)], h2.PROTOCOL_ERROR),
    ],
)
def test_mistakes_that_end_the_connection(frames: list[bytes], code: int) -> None:
    with LoopbackH2Proxy() as proxy, raw(proxy) as client:
        client.put(*frames)
        assert int.from_bytes(client.until(h2.GOAWAY).payload[4:], "big") == code
        assert client.is_at_end()


@pytest.mark.parametrize("said", [
    h2.PREFACE[:-1] + b"!" + h2.settings({}),
    h2.PREFACE + h2.frame(h2.PING, 0, 0, bytes(8)),
])  # fmt: skip
def test_a_bad_beginning(
    h2_context: ssl.SSLContext, client_of_h2: ssl.SSLContext, said: bytes
) -> None:
    with (
        LoopbackH2Proxy(ssl_context=h2_context) as proxy,
        dial(proxy) as plain,
        client_of_h2.wrap_socket(plain, server_hostname=proxy.host) as sock,
    ):
        sock.sendall(said)
        client = Raw(sock)
        assert int.from_bytes(client.until(h2.GOAWAY).payload[4:], "big") == h2.PROTOCOL_ERROR


@pytest.mark.parametrize("said", [
    h2.PREFACE,
    h2.PREFACE + h2.settings({})[:-1],
    h2.PREFACE + h2.settings({}) + h2.frame(h2.HEADERS, 0, 1, b"\x88"),
    h2.PREFACE + h2.settings({}) + h2.frame(h2.PING, 0, 0, bytes(8))[:-1],
])  # fmt: skip
def test_a_client_that_leaves_in_the_middle(said: bytes) -> None:
    with LoopbackH2Proxy() as proxy, dial(proxy) as sock:
        sock.sendall(said)
        sock.shutdown(socket.SHUT_WR)
        assert Raw(sock).until(h2.SETTINGS)
        assert proxy.wait_closed()


def test_hpack_is_asked_for_when_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hpack", None)
    with pytest.raises(ImportError, match=r"connect-tunnel\[http2\]"):
        LoopbackH2Proxy()


def test_hpack_is_not_loaded_before() -> None:
    code = "import connect_tunnel.testing, sys; sys.exit('hpack' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_exit_ends_every_tunnel() -> None:
    with (
        nothing_left(0),
        ScriptedProxy(Echo()) as target,
        LoopbackH2Proxy(refuse=lambda name: HEAD if "a.test" in name else None) as proxy,
        raw(proxy, {h2.INITIAL_WINDOW_SIZE: 0}) as waiting,
        h2_client(proxy) as client,
    ):
        waiting.put(connect_frame(1, "a.test:1"))
        client.open(target.port)
        client.open(target.port)


def test_what_tls_has_to_say_is_said_before_the_next_wait(
    server_context: ssl.SSLContext, client_context: ssl.SSLContext
) -> None:
    """A key update, say; here it is something that a writer has not sent yet."""
    near, far = socket.socketpair()
    with near, far, ThreadPoolExecutor(1) as pool:
        greeting = pool.submit(TLSPeer, far, server_context)
        with client_context.wrap_socket(near, server_hostname="localhost") as client:
            client.settimeout(5)
            peer = greeting.result()
            peer._tls.write(b"said")
            waiting = pool.submit(peer.recv, 4)
            assert receive_exactly(client, 4) == b"said"
            client.sendall(b"done")
            assert waiting.result() == b"done"


# --- a client that sends what it is told ---


@contextmanager
def raw(proxy: LoopbackH2Proxy, values: dict[int, int] | None = None) -> Generator[Raw]:
    with dial(proxy) as sock:
        sock.sendall(h2.PREFACE + h2.settings(values or {}))
        yield Raw(sock)


def block(authority: str) -> bytes:
    return hpack.Encoder().encode([(":method", "CONNECT"), (":authority", authority)])


def connect_frame(stream: int, authority: str) -> bytes:
    # Of an encoder of its own, whose table is as empty as the proxy's: nothing refers to it.
    literal = b"\x02\x07CONNECT\x01" + bytes([len(authority)]) + authority.encode()
    return h2.frame(h2.HEADERS, h2.END_HEADERS, stream, literal)


class Raw:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reader = h2.FrameReader(sock.recv, bytearray())

    def put(self, *frames: bytes) -> None:
        self._sock.sendall(b"".join(frames))

    def connect(self, stream: int, port: int) -> None:
        self.put(connect_frame(stream, f"127.0.0.1:{port}"))
        answer = self.until(h2.HEADERS)
        assert answer.stream == stream
        fields = hpack.Decoder().decode(answer.payload, raw=True)
        assert [(name, value) for name, value in fields] == [(b":status", b"200")]

    def next(self) -> Frame:
        frame = self._reader.read()
        assert frame is not None, "the connection ended"
        return frame

    def until(self, kind: int) -> Frame:
        while (frame := self.next()).type != kind:
            pass
        return frame

    def answered_ping(self) -> None:
        self.put(h2.frame(h2.PING, 0, 0, b"in order"))
        while (frame := self.next()).type != h2.PING:
            assert frame.type != h2.DATA

    def data_of(self, stream: int) -> bytes:
        data = b""
        while not (frame := self.until(h2.DATA)).has(h2.END_STREAM):
            if frame.stream == stream:
                data += frame.payload
        return data

    def is_at_end(self) -> bool:
        try:
            return self._reader.read() is None
        except ConnectionResetError:  # there was more that it did not read
            return True
