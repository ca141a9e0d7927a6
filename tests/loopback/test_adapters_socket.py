"""`create_connection` through a tunnel, in the place of the standard library's."""

from __future__ import annotations

import gc
import socket
import threading
import traceback
from typing import TYPE_CHECKING, Any, Final

import pytest

from connect_tunnel import (
    Dialer,
    InvalidProxy,
    InvalidTarget,
    Proxy,
    TunnelError,
    TunnelRefused,
    TunnelTimeout,
)
from connect_tunnel.adapters.socket import create_connection
from connect_tunnel.testing import Echo, LoopbackProxy, Receive, ScriptedProxy, Send, Wait

from .raw import OK, receive_exactly
from .shells import nothing_left, took

if TYPE_CHECKING:
    import ssl
    from collections.abc import Generator

TARGET: Final = ("a.test", 1)
PASSWORD: Final = "s3cret-p4ss"
NO: Final = b"HTTP/1.1 403 No\r\nSet-Cookie: a=b\r\nContent-Length: 3\r\n\r\nno!"


@pytest.fixture(params=["plain", "TLS"])
def hop(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> ssl.SSLContext | None:
    return server_context if request.param == "TLS" else None


def way(proxy: ScriptedProxy | LoopbackProxy, client: ssl.SSLContext, **facts: Any) -> Proxy:
    context = client if proxy.url.startswith("https") else None
    return Proxy(proxy.url, ssl_context=context, **facts)


@pytest.fixture(autouse=True)
def default_timeout() -> Generator[None]:
    yield
    socket.setdefaulttimeout(None)


def test_a_socket(hop: ssl.SSLContext | None, client_context: ssl.SSLContext) -> None:
    script = Receive(), Send(OK + b"220 ready\r\n"), Echo()
    with nothing_left(), ScriptedProxy(*script, ssl_context=hop) as proxy:
        with create_connection(TARGET, 5, via=way(proxy, client_context)) as sock:
            assert type(sock) is socket.socket
            assert sock.gettimeout() == 5
            assert receive_exactly(sock, 11) == b"220 ready\r\n"
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(b"hello")
            assert receive_exactly(sock, 5) == b"hello"
        assert proxy.wait_closed()


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        (None, (), None),
        (7.0, (), 7.0),
        (7.0, (None,), None),
        (7.0, (5,), 5),
        (None, (socket._GLOBAL_DEFAULT_TIMEOUT,), None),  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
    ],
)
def test_the_timeout_stays_with_the_socket(
    default: float | None, given: tuple[Any, ...], expected: float | None
) -> None:
    socket.setdefaulttimeout(default)
    with (
        ScriptedProxy(Receive(), Send(OK)) as proxy,
        create_connection(TARGET, *given, via=proxy.url) as sock,
    ):
        assert sock.gettimeout() == expected


def test_the_timeout_is_of_the_opening_too() -> None:
    with nothing_left(), socket.create_server(("127.0.0.1", 0)) as silent:
        via = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with took(0.1, 3), pytest.raises(TunnelTimeout):
            create_connection(TARGET, 0.2, via=via)
        socket.setdefaulttimeout(0.2)
        with took(0.1, 3), pytest.raises(TunnelTimeout):
            create_connection(TARGET, via=via)


def test_a_dialer_has_a_timeout_of_its_own(hop: ssl.SSLContext | None) -> None:
    with nothing_left(), ScriptedProxy(Receive(), Wait(0.3), Send(OK), Echo()) as proxy:
        with (
            Dialer(proxy.url, timeout=5) as dialer,
            create_connection(TARGET, 0.1, via=dialer) as sock,
        ):
            with pytest.raises(TimeoutError):
                sock.recv(1)
            sock.sendall(b"x")
        with Dialer(proxy.url, timeout=0.1) as dialer, pytest.raises(TunnelTimeout):
            create_connection(TARGET, 5, via=dialer)


def test_silence_is_no_end(hop: ssl.SSLContext | None, client_context: ssl.SSLContext) -> None:
    with ScriptedProxy(Receive(), Send(OK), Wait(2.5), Send(b"here"), ssl_context=hop) as proxy:
        dialer = Dialer(way(proxy, client_context), timeout=2)
        with create_connection(TARGET, via=dialer) as sock:
            assert receive_exactly(sock, 4) == b"here"


def test_it_is_dialled_from_where_it_should_be() -> None:
    with (
        ScriptedProxy(Receive(), Send(OK)) as proxy,
        create_connection(TARGET, 5, ("127.0.0.2", 0), via=proxy.url) as sock,
    ):
        assert sock.getsockname()[0] == "127.0.0.2"


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"address": ("", 1)}, InvalidTarget, "host is empty"),
        ({"timeout": 0}, ValueError, "positive number"),
        ({"timeout": -1, "via": Dialer("http://127.0.0.1:1")}, ValueError, "positive number"),
        ({"via": "proxy.test"}, InvalidProxy, "scheme"),
        (
            {"via": Dialer("http://127.0.0.1:1"), "source_address": ("127.0.0.1", 0)},
            ValueError,
            "its own local address",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    call: Any = create_connection
    with ScriptedProxy() as proxy:
        with pytest.raises(kind, match=said):
            call(**{"address": TARGET, "via": proxy.url, **options})
        assert proxy.connections == 0


def test_t1_t3_connect_alone_has_credentials_and_nothing_of_the_tunnel_s(
    hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    """T1, T3: what is sent is the head, and then what was written."""
    request = b"GET / HTTP/1.1\r\nAuthorization: Bearer t0ken\r\nCookie: a=b\r\n\r\n"
    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo(), ssl_context=hop) as proxy:
        via = way(proxy, client_context, auth=("alice", PASSWORD), headers={"X-Team": "web"})
        with create_connection(TARGET, 5, via=via) as sock:
            sock.sendall(request)
            assert receive_exactly(sock, len(request)) == request
        assert proxy.wait_closed()
        [head] = proxy.heads
        assert proxy.received == [head + request]
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:] if line]
    assert names == [b"Host", b"User-Agent", b"X-Team", b"Proxy-Authorization"]


def test_t4_t5_a_refusal_is_an_error_and_data(
    hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    """T4, T5: nothing is written after the CONNECT, and nothing comes of the fields."""
    with nothing_left(), ScriptedProxy(Receive(), Send(NO), ssl_context=hop) as proxy:
        with pytest.raises(TunnelRefused) as caught:
            create_connection(TARGET, 5, via=way(proxy, client_context))
        assert caught.value.response.body == b"no!"
        assert proxy.wait_closed()
        assert proxy.received == proxy.heads
        assert proxy.connections == 1


def test_t13_a_thousand_refusals() -> None:
    with nothing_left(), LoopbackProxy(refuse=lambda _: NO) as proxy:
        for _ in range(1000):
            with pytest.raises(TunnelRefused):
                create_connection(TARGET, 5, via=proxy.url)
        gc.collect()


def test_t23_fifty_at_once_and_none_crossed(
    hop: ssl.SSLContext | None, client_context: ssl.SSLContext
) -> None:
    good: list[int] = []

    def talk(number: int) -> None:
        tag = b"<%d>" % number * 100
        with create_connection(TARGET, 10, via=dialer) as sock:
            sock.sendall(tag)
            assert receive_exactly(sock, len(tag)) == tag
        good.append(number)

    with nothing_left(), ScriptedProxy(Receive(), Send(OK), Echo(), ssl_context=hop) as proxy:
        dialer = Dialer(way(proxy, client_context))
        threads = [threading.Thread(target=talk, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(good) == list(range(50))


@pytest.mark.parametrize("scheme", ["http", "gopher"])
def test_no_traceback_shows_a_password(scheme: str) -> None:
    with ScriptedProxy(Receive(), Send(NO)) as proxy:
        via = f"{scheme}://alice:{PASSWORD}@{proxy.host}:{proxy.port}"
        with pytest.raises(TunnelError) as caught:
            create_connection(TARGET, 5, via=via)
    told = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(told.format())
    assert PASSWORD in text  # this test has it, and the rest of the frames
    assert PASSWORD not in text[text.index("connect_tunnel/adapters") :]
